//! Queries of URLs: read and written here, because the router's map decodes values twice and so loses a literal `%41`.

use leptos::prelude::*;
use leptos_router::{hooks::use_url, location::Url};

/// The query of a page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// That of this request.
    pub(crate) fn of_page() -> Self {
        Self::parse(use_url().get_untracked().search())
    }

    fn parse(search: &str) -> Self {
        let text = |part: &str| Url::unescape(&part.replace('+', " "));
        let pairs = search.trim_start_matches('?').split('&').filter(|pair| !pair.is_empty());
        Self(pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(key, value)| (text(key), text(value))).collect())
    }

    /// The first value of a key; empty when there is none.
    pub(crate) fn get(&self, key: &str) -> String {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone()).unwrap_or_default()
    }
}

/// `?key=value&…` without what is empty; nothing at all when everything is.
pub(crate) fn link(pairs: &[(&str, &str)]) -> String {
    let all: Vec<_> = pairs.iter().filter(|(_, value)| !value.is_empty()).map(|(key, value)| format!("{key}={}", Url::escape(value))).collect();
    if all.is_empty() { String::new() } else { format!("?{}", all.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_through_a_link_as_they_are() {
        let value = "a b&c=%41+é/?#";
        let query = Query::parse(&link(&[("q", value), ("status", ""), ("page", "2")]));
        assert_eq!((query.get("q"), query.get("status"), query.get("page")), (value.to_owned(), String::new(), "2".to_owned()));
        assert_eq!(link(&[("q", "")]), "");
    }

    #[test]
    fn a_form_writes_spaces_as_plus() {
        assert_eq!(Query::parse("q=a+b%2B&x").get("q"), "a b+");
        assert_eq!(Query::parse("").get("q"), "");
    }
}
