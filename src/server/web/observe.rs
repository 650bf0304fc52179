//! What is known of each request: its id, one line in the log, its numbers.

use super::request_id;
use crate::server::measures::{REQUEST_TIMES, REQUESTS};
use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderValue, Method, StatusCode},
    middleware::Next,
    response::Response,
};
use std::time::Instant;
use tracing::Instrument;

/// Id of the request, made here: what a client sends is not taken over.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

/// Gives the request its id, and says how it ended. Neither its query, where a sign-in passes its code, nor its cookies
/// nor any other header is written down.
pub async fn layer(mut request: Request, next: Next) -> Response {
    let id = request_id::new();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or_else(|| "other".to_owned(), |route| route.as_str().to_owned());
    let span = tracing::info_span!("request", request_id = %id, %method, path = request.uri().path());
    request.extensions_mut().insert(RequestId(id.clone()));
    let begin = Instant::now();
    let mut response = request_id::scope(id.clone(), next.run(request)).instrument(span.clone()).await;
    let took = begin.elapsed();
    let status = response.status();
    span.in_scope(|| say(&route, status, took.as_millis()));
    let labels = [("method", known(&method)), ("route", route), ("status", status.as_str().to_owned())];
    metrics::counter!(REQUESTS, &labels).increment(1);
    metrics::histogram!(REQUEST_TIMES, &labels[..2]).record(took.as_secs_f64());
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}

/// A client may call its method anything; a label may not be.
fn known(method: &Method) -> String {
    let usual = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
    if usual.contains(method) { method.to_string() } else { "other".to_owned() }
}

fn say(route: &str, status: StatusCode, ms: u128) {
    let often = matches!(route, "/pkg/{*path}" | "/healthz" | "/readyz" | "/metrics");
    if status.is_server_error() {
        tracing::warn!(status = status.as_u16(), ms, "answered");
    } else if often {
        tracing::debug!(status = status.as_u16(), ms, "answered");
    } else {
        tracing::info!(status = status.as_u16(), ms, "answered");
    }
}
