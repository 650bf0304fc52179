//! `/metrics`, for Prometheus: to this machine, or to whoever has the token.

use super::{Web, address};
use crate::server::measures::{recorder, state};
use axum::{
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

/// Serves what was recorded, and what is.
pub async fn show(State(web): State<Web>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let token = web.app.config.metrics_token.as_ref();
    let shown = parts.headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).and_then(|v| v.strip_prefix("Bearer "));
    let has_token = token.zip(shown).is_some_and(|(token, shown)| is_same(token.expose_secret(), shown));
    if !has_token && !address::is_from_here(&parts) {
        return (StatusCode::FORBIDDEN, "Metrics are for this machine, or for “Authorization: Bearer” with GRANARY_METRICS_TOKEN.\n").into_response();
    }
    let Some(recorder) = recorder() else { return StatusCode::NOT_FOUND.into_response() };
    recorder.run_upkeep();
    let text = recorder.render() + &state::render(&web).await;
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// Compares hashes, so that the time it takes says nothing of the token.
fn is_same(token: &str, shown: &str) -> bool {
    Sha256::digest(token) == Sha256::digest(shown)
}
