//! Who of an issuer's accounts is a customer.

use crate::server::config::Allow;

/// What the rules are judged by. Nothing here is taken from the person's own word.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    /// Subject.
    pub subject: String,
    /// Mail address, only where the issuer verified it.
    pub verified_email: Option<String>,
    /// Groups.
    pub groups: Vec<String>,
}

/// Whether any rule lets this account in.
#[must_use]
pub fn is_allowed(rules: &[Allow], claims: &Claims) -> bool {
    // The last @ ends the local part, which may hold others in quotation marks.
    let domain = claims.verified_email.as_deref().and_then(|mail| mail.rsplit_once('@')).map(|(_, domain)| domain);
    rules.iter().any(|rule| match rule {
        Allow::Subject(subject) => *subject == claims.subject,
        Allow::Domain(allowed) => domain.is_some_and(|d| d.eq_ignore_ascii_case(allowed)),
        Allow::Group(group) => claims.groups.contains(group),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r001_only_customers_are_let_in() {
        let claims = |subject: &str, mail: Option<&str>, groups: &[&str]| Claims {
            subject: subject.into(),
            verified_email: mail.map(Into::into),
            groups: groups.iter().map(|g| (*g).to_owned()).collect(),
        };
        let rules = [Allow::Subject("42".into()), Allow::Domain("example.org".into()), Allow::Group("db".into())];
        for allowed in [claims("42", None, &[]), claims("1", Some("ada@Example.org"), &[]), claims("1", None, &["x", "db"])] {
            assert!(is_allowed(&rules, &allowed), "{allowed:?}");
        }
        for refused in [
            claims("4", None, &[]),
            claims("1", Some("ada@evil.example.org"), &[]),
            claims("1", Some("ada@example.org.evil"), &[]),
            claims("1", Some("\"x@example.org\"@evil.test"), &[]),
            claims("1", None, &["db2", "DB"]),
        ] {
            assert!(!is_allowed(&rules, &refused), "{refused:?}");
        }
        assert!(!is_allowed(&[], &claims("42", None, &[])));
    }
}
