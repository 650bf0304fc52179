//! The id of a request: in its span, its response, its audit events, and in the message of an error.

use crate::error::AppError;
use std::fmt::Display;
use uuid::Uuid;

tokio::task_local! {
    static CURRENT: String;
}

/// Makes one.
#[must_use]
pub fn new() -> String {
    Uuid::new_v4().simple().to_string()
}

/// Runs a future as part of the request with this id.
pub async fn scope<F: Future>(id: String, future: F) -> F::Output {
    CURRENT.scope(id, future).await
}

/// Logs what went wrong, once, and gives what may be said about it: the id under which the log has the rest. Outside a
/// request, or in a task that it started, that id is a new one.
#[must_use]
pub fn internal(error: &dyn Display) -> AppError {
    let request_id = CURRENT.try_with(Clone::clone).unwrap_or_else(|_| new());
    tracing::error!(%request_id, %error, "a request failed");
    AppError::Internal { request_id }
}
