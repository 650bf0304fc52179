//! What browsers are told about every answer.

use super::Web;
use axum::{
    extract::{Request, State},
    http::{HeaderName, HeaderValue, header},
    middleware::Next,
    response::Response,
};
use leptos::nonce::Nonce;

/// On every answer, unless it says something else itself.
const ALWAYS: [(HeaderName, &str); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // Forms that failed find their way back by it.
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    (header::CACHE_CONTROL, "no-store"),
];

/// Two years, as browsers' preload lists ask for; the host's other names are not spoken for.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=63072000");

/// Adds the headers.
pub async fn layer(State(web): State<Web>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in ALWAYS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CONTENT_SECURITY_POLICY)
        && let Some(policy) = policy(&web, None)
    {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    if web.app.config.is_https() {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HSTS);
    }
    response
}

/// What a page may load and do. Scripts run only with the nonce; without one there are none.
#[must_use]
pub fn policy(web: &Web, nonce: Option<&Nonce>) -> Option<HeaderValue> {
    let script = nonce.map(|nonce| format!("script-src 'nonce-{nonce}' 'wasm-unsafe-eval'; ")).unwrap_or_default();
    // Chromium holds the redirects after a form's post to form-action, and signing in and out leads to the issuer.
    let issuer = web.auth.client.origins().join(" ");
    HeaderValue::from_str(&format!(
        "default-src 'none'; {script}style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; \
         form-action 'self' {issuer}; base-uri 'none'; frame-ancestors 'none'"
    ))
    .ok()
}
