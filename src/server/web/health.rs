//! `/healthz`: the process lives. `/readyz`: it can do its work.

use super::Web;
use crate::server::db::metadata;
use axum::{extract::State, http::StatusCode};

/// Lives.
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// Ready: the metadata database answers and its schema is at least ours.
pub async fn readyz(State(web): State<Web>) -> (StatusCode, &'static str) {
    match metadata::is_ready(&web.app.db).await {
        Ok(true) => (StatusCode::OK, "ready\n"),
        Ok(false) => (StatusCode::SERVICE_UNAVAILABLE, "the metadata database's schema is older than this Granary\n"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the metadata database cannot be reached\n"),
    }
}
