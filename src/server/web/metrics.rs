//! `/metrics`, for Prometheus: to this machine, or to whoever has the token.

use super::{Web, address};
use axum::{
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use std::sync::OnceLock;

/// Seconds that tell a quick answer from a slow one.
const BUCKETS: [f64; 9] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// Begins to record; `None` when something else of this process records already.
pub fn recorder() -> Option<&'static PrometheusHandle> {
    if RECORDER.get().is_none() {
        let builder = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS).ok()?;
        let handle = builder.install_recorder().ok()?;
        let _ = RECORDER.set(handle);
    }
    RECORDER.get()
}

/// Serves what was recorded.
pub async fn show(State(web): State<Web>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let token = web.app.config.metrics_token.as_ref();
    let shown = parts.headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).and_then(|v| v.strip_prefix("Bearer "));
    let has_token = token.zip(shown).is_some_and(|(token, shown)| is_same(token.expose_secret(), shown));
    if !has_token && !address::is_from_here(&parts) {
        return (StatusCode::FORBIDDEN, "Metrics are for this machine, or for “Authorization: Bearer” with GRANARY_METRICS_TOKEN.\n").into_response();
    }
    let Some(recorder) = recorder() else { return StatusCode::NOT_FOUND.into_response() };
    metrics::gauge!("granary_metadata_connections").set(f64::from(web.app.db.size()));
    recorder.run_upkeep();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], recorder.render()).into_response()
}

/// Compares hashes, so that the time it takes says nothing of the token.
fn is_same(token: &str, shown: &str) -> bool {
    Sha256::digest(token) == Sha256::digest(shown)
}
