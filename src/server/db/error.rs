//! What an error of the metadata database means to the one who asked. Logged here, once; who passes it on does not.

use crate::error::AppError;

impl From<sqlx::Error> for AppError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::RowNotFound => Self::NotFound,
            error if is_away(&error) => {
                tracing::warn!(%error, "the metadata database cannot be reached");
                Self::Unavailable
            }
            error => {
                tracing::error!(%error, "the metadata database refused");
                Self::Internal { request_id: String::new() }
            }
        }
    }
}

impl From<anyhow::Error> for AppError {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<sqlx::Error>() {
            Ok(error) => error.into(),
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "a request failed");
                Self::Internal { request_id: String::new() }
            }
        }
    }
}

/// No connection, or one that ended: class 08 (connection exception), 53 (out of resources), 57 (operator intervention)
/// and 25006 (read-only) of `PostgreSQL`'s error codes.
fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(e) => e.code().is_some_and(|c| c.starts_with("08") || c.starts_with("53") || c.starts_with("57") || c == "25006"),
        _ => false,
    }
}
