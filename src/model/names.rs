//! What names may be. Each rule answers in words that stand beside the field.

/// Longest name of a datastore, in characters.
pub const DATASTORE_NAME_MAX: usize = 64;
/// Longest tag, in characters.
pub const TAG_MAX: usize = 32;
/// Longest identifier PostgreSQL keeps whole, in bytes (NAMEDATALEN - 1).
pub const IDENTIFIER_MAX: usize = 63;

/// Names an engine or Granary keeps for itself, as first database or first user.
const RESERVED: [&str; 14] = [
    "postgres",
    "template0",
    "template1",
    "granary_admin",
    "granary_replication",
    "granary_monitor",
    "public",
    "none",
    "default",
    "root",
    "mysql",
    "sys",
    "information_schema",
    "performance_schema",
];

fn whole(value: &str, what: &str, max: usize) -> Result<String, String> {
    let value = value.trim();
    if value.is_empty() {
        return Err(format!("Give the {what} a name."));
    }
    let length = value.chars().count();
    if length > max {
        return Err(format!("At most {max} characters; this has {length}."));
    }
    Ok(value.to_owned())
}

/// A datastore's name: it becomes part of host names, file names and environment variables.
///
/// # Errors
/// What is wrong, for a person.
pub fn datastore(value: &str) -> Result<String, String> {
    let value = whole(value, "datastore", DATASTORE_NAME_MAX)?;
    if let Some(bad) = value.chars().find(|c| !(c.is_ascii_alphanumeric() || *c == '-' || *c == '_')) {
        return Err(format!("Use letters a-z, digits, - and _ only; {} is not possible.", show(bad)));
    }
    if !value.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Err("Begin with a letter.".to_owned());
    }
    Ok(value)
}

/// Splits the tags field (commas or line ends) and checks each; `max` is the catalogue's limit.
///
/// # Errors
/// What is wrong, for a person.
pub fn tags(value: &str, max: usize) -> Result<Vec<String>, String> {
    let mut tags: Vec<String> = Vec::new();
    for tag in value.split([',', '\n']).map(str::trim).filter(|t| !t.is_empty()) {
        if tag.chars().count() > TAG_MAX {
            return Err(format!("A tag has at most {TAG_MAX} characters; “{tag}” is longer."));
        }
        if let Some(bad) = tag.chars().find(|c| !(c.is_alphanumeric() || "-_.:=/ ".contains(*c))) {
            return Err(format!("A tag has letters, digits, spaces and - _ . : = / only; {} is not possible.", show(bad)));
        }
        if !tags.iter().any(|t| t == tag) {
            tags.push(tag.to_owned());
        }
    }
    if tags.len() > max {
        return Err(format!("At most {max} tags; these are {}.", tags.len()));
    }
    Ok(tags)
}

/// The name of a first database or first user: plain enough for every client and snippet without quoting.
///
/// # Errors
/// What is wrong, for a person.
pub fn identifier(value: &str, what: &str) -> Result<String, String> {
    let value = whole(value, what, IDENTIFIER_MAX)?;
    if let Some(bad) = value.chars().find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '_')) {
        return Err(format!("Use small letters a-z, digits and _ only; {} is not possible.", show(bad)));
    }
    if !value.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Err("Begin with a small letter.".to_owned());
    }
    if RESERVED.contains(&value.as_str()) || value.starts_with("pg_") {
        return Err(format!("“{value}” is kept for the server itself; choose another."));
    }
    Ok(value)
}

fn show(c: char) -> String {
    if c == ' ' { "a space".to_owned() } else { format!("“{c}”") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r006_names_and_tags_are_checked_with_reasons() {
        assert_eq!(datastore("  orders-db "), Ok("orders-db".to_owned()));
        for (bad, says) in [
            ("", "Give the"),
            ("   ", "Give the"),
            ("9lives", "letter"),
            ("a'b", "“'”"),
            ("a\"b", "“\"”"),
            ("a\\b", "“\\”"),
            ("a;b", "“;”"),
            ("x🐘", "“🐘”"),
            ("a b", "a space"),
        ] {
            assert!(datastore(bad).unwrap_err().contains(says), "{bad}");
        }
        assert!(datastore(&"a".repeat(64)).is_ok());
        assert!(datastore(&"a".repeat(65)).unwrap_err().contains("65"));
        assert_eq!(tags("a, b,a\nc", 12), Ok(vec!["a".to_owned(), "b".to_owned(), "c".to_owned()]));
        let thirteen = (1..=13).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
        assert!(tags(&thirteen, 12).unwrap_err().contains("13"));
    }

    #[test]
    fn r042_first_user_names_are_plain_and_not_reserved() {
        assert_eq!(identifier("app_1", "user"), Ok("app_1".to_owned()));
        for bad in ["", "App", "1a", "a-b", "postgres", "pg_read", "granary_admin", "default", "a'b", "a;--"] {
            assert!(identifier(bad, "user").is_err(), "{bad}");
        }
    }
}
