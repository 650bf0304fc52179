//! The browser's side of safety: which host a request may name, and whether a write comes from our own pages.

use super::{
    Web,
    address::{self, is_loopback},
    errors,
};
use crate::server::{auth::session, config::Config};
use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, Uri, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};

/// Probes speak to an address, not to a name, and learn nothing.
const PROBES: [&str; 2] = ["/healthz", "/readyz"];

/// Lets requests through that name a host of ours: a page of somebody else who has a name lead here (DNS rebinding) names
/// that. Another name of this machine leads to the one under which the cookies are.
pub async fn hosts(State(web): State<Web>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match judge_host(&parts, &web.app.config) {
        Host::Ours => next.run(Request::from_parts(parts, body)).await,
        Host::Elsewhere(url) => Redirect::temporary(&url).into_response(),
        Host::Foreign => errors::said(
            StatusCode::MISDIRECTED_REQUEST,
            &format!("This is Granary, and it is reached under {} only. Open that address.", web.app.config.origin()),
        ),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Host {
    Ours,
    Elsewhere(String),
    Foreign,
}

fn judge_host(parts: &Parts, config: &Config) -> Host {
    if PROBES.contains(&parts.uri.path()) {
        return Host::Ours;
    }
    let Some(host) = address::host(parts) else { return Host::Foreign };
    if config.public_url.host().is_some_and(|ours| ours == host) {
        return Host::Ours;
    }
    if !is_loopback(&host) {
        return Host::Foreign;
    }
    // Prometheus on this machine asks for the listener's address.
    if parts.uri.path() == "/metrics" {
        return Host::Ours;
    }
    let public_is_loopback = config.public_url.host().is_some_and(|ours| is_loopback(&ours));
    if public_is_loopback && is_read(&parts.method) { Host::Elsewhere(format!("{}{}", config.origin(), path_of(&parts.uri))) } else { Host::Foreign }
}

fn path_of(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", |p| p.as_str())
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}

/// Refuses writes that a foreign page had a browser send.
pub async fn writes(State(web): State<Web>, request: Request, next: Next) -> Response {
    if is_read(request.method()) || is_own_write(request.headers(), &web.app.config) {
        return next.run(request).await;
    }
    tracing::warn!("a write that does not come from our own pages was refused");
    errors::said(
        StatusCode::FORBIDDEN,
        &format!("This request did not come from Granary's own pages, so nothing was done. Open {} and try again there.", web.app.config.origin()),
    )
}

fn is_own_write(headers: &HeaderMap, config: &Config) -> bool {
    // Browsers send it to https and loopback, and pages cannot set it.
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin";
    }
    if let Some(origin) = headers.get(header::ORIGIN) {
        return origin.as_bytes() == config.origin().as_bytes();
    }
    // Not a browser, then. Without a cookie there is nothing to misuse.
    !has_session_cookie(headers, session::cookie_name(config))
}

fn has_session_cookie(headers: &HeaderMap, name: &str) -> bool {
    let lines = headers.get_all(header::COOKIE).iter();
    // One that cannot be read might hold it.
    lines.map(|line| line.to_str()).any(|line| line.map_or(true, |line| line.split(';').any(|c| c.trim().split('=').next() == Some(name))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::support;
    use axum::http::Request;

    fn parts(method: &str, uri: &str, host: &str) -> Parts {
        Request::builder().method(method).uri(uri).header("host", host).body(()).unwrap().into_parts().0
    }

    #[test]
    fn only_our_own_names_are_answered() {
        let config = support::config(std::path::Path::new("/nowhere"), "http://127.0.0.1:3000");
        let judge = |method: &str, uri: &str, host: &str| judge_host(&parts(method, uri, host), &config);
        assert_eq!(judge("GET", "/", "127.0.0.1:3000"), Host::Ours);
        assert_eq!(judge("GET", "/a?b=c", "localhost:3000"), Host::Elsewhere("http://127.0.0.1:3000/a?b=c".into()));
        assert_eq!(judge("GET", "/", "[::1]:3000"), Host::Elsewhere("http://127.0.0.1:3000/".into()));
        assert_eq!(judge("POST", "/", "localhost:3000"), Host::Foreign);
        for foreign in ["evil.test", "127.0.0.1.evil.test:3000", "192.0.2.1", "", "a b"] {
            assert_eq!(judge("GET", "/", foreign), Host::Foreign, "{foreign}");
            assert_eq!(judge("GET", "/metrics", foreign), Host::Foreign, "{foreign}");
            assert_eq!(judge("GET", "/healthz", foreign), Host::Ours, "{foreign}");
        }
    }

    #[test]
    fn behind_a_public_url_loopback_names_are_foreign() {
        let config = support::config(std::path::Path::new("/nowhere"), "https://granary.example.org");
        let judge = |uri: &str, host: &str| judge_host(&parts("GET", uri, host), &config);
        assert_eq!(judge("/", "granary.example.org"), Host::Ours);
        assert_eq!(judge("/", "GRANARY.example.org:443"), Host::Ours);
        assert_eq!(judge("/", "localhost:3000"), Host::Foreign);
        assert_eq!(judge("/metrics", "127.0.0.1:3000"), Host::Ours);
    }

    #[test]
    fn writes_come_from_our_own_pages() {
        let config = support::config(std::path::Path::new("/nowhere"), "http://127.0.0.1:3000");
        let own = |headers: &[(&'static str, &str)]| {
            is_own_write(&headers.iter().map(|(k, v)| (header::HeaderName::from_static(k), v.parse().unwrap())).collect(), &config)
        };
        let cookie = ("cookie", "a=b; granary=x");
        assert!(own(&[("sec-fetch-site", "same-origin"), cookie]));
        assert!(own(&[("origin", "http://127.0.0.1:3000"), cookie]));
        assert!(own(&[]) && own(&[("cookie", "other=granary")]));
        for foreign in ["cross-site", "same-site", "none"] {
            assert!(!own(&[("sec-fetch-site", foreign)]), "{foreign}");
            assert!(!own(&[("sec-fetch-site", foreign), ("origin", "http://127.0.0.1:3000")]), "{foreign}");
        }
        for foreign in ["http://127.0.0.1:3001", "https://127.0.0.1:3000", "null", "http://evil.test", "http://127.0.0.1:3000.evil.test"] {
            assert!(!own(&[("origin", foreign)]), "{foreign}");
        }
        assert!(!own(&[cookie]));
    }
}
