//! What the metadata database's trouble does to sessions: a page that reads goes on, anything else says what is wrong.
//!
//! The layer that keeps sessions knows one answer to any error, 500 without a word. This one stands around it, remembers
//! what the store met, and says it.

use crate::{
    error::AppError,
    server::{db::error::trouble, web::errors::Failure},
};
use axum::{
    extract::Request,
    http::{Method, StatusCode},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::cell::RefCell;

tokio::task_local! {
    static MET: Met;
}

struct Met {
    /// Whether the request does without what it would write into its session.
    reads: bool,
    error: RefCell<Option<AppError>>,
}

/// Around the layer of sessions.
pub async fn layer(request: Request, next: Next) -> Response {
    // Signing in is a GET, too, and nothing without its session.
    let reads = matches!(*request.method(), Method::GET | Method::HEAD) && !request.uri().path().starts_with("/auth/");
    let run = async {
        let response = next.run(request).await;
        let met = MET.with(|met| met.error.take());
        match met {
            Some(error) if response.status() == StatusCode::INTERNAL_SERVER_ERROR => Failure(error).into_response(),
            _ => response,
        }
    };
    MET.scope(Met { reads, error: RefCell::default() }, run).await
}

/// Remembers what the store met.
pub(super) fn note(error: sqlx::Error) {
    let error = AppError::from(error);
    let _ = MET.try_with(|met| met.error.replace(Some(error)));
}

/// What an error of a session means: what the store met, or that it cannot be reached.
#[must_use]
pub fn noted() -> AppError {
    MET.try_with(|met| met.error.borrow().clone()).ok().flatten().unwrap_or(AppError::Unavailable)
}

/// Whether a session may stay unwritten: the database takes no changes, and the page only reads. What it would have taken
/// out of its session it shows once more.
pub(super) fn may_be_left(error: &sqlx::Error) -> bool {
    trouble(error) == Some(AppError::ReadOnly) && MET.try_with(|met| met.reads).unwrap_or(false)
}
