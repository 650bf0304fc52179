//! From errors of the metadata database to what a person is told.

use crate::{error::AppError, server::web::request_id};

impl From<sqlx::Error> for AppError {
    /// A row that is not there is [`AppError::NotFound`]; a database that is away is [`AppError::Unavailable`]; anything
    /// else is logged here, once, and becomes [`AppError::Internal`]. Violated constraints that mean something to the
    /// caller are told apart before, by the caller.
    fn from(error: sqlx::Error) -> Self {
        if matches!(error, sqlx::Error::RowNotFound) {
            Self::NotFound
        } else if is_away(&error) {
            tracing::warn!(%error, "the metadata database is away");
            Self::Unavailable
        } else {
            request_id::internal(&error)
        }
    }
}

impl From<anyhow::Error> for AppError {
    /// An error of the metadata database anywhere in the chain counts as such; anything else is logged here, once.
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<sqlx::Error>() {
            Ok(error) => error.into(),
            Err(error) if error.chain().filter_map(|cause| cause.downcast_ref()).any(is_away) => Self::Unavailable,
            Err(error) => request_id::internal(&format_args!("{error:#}")),
        }
    }
}

/// Whether the error says that the database cannot be reached now, rather than that something is wrong with what it was asked.
#[must_use]
pub fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => true,
        // Class 08: connection; 53300: too many of them; class 57: shut down, crashed, starting up (57014 is a cancelled statement).
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| code.starts_with("08") || code == "53300" || (code.starts_with("57P") && code != "57P05"))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_row_is_not_found_and_a_missing_database_unavailable() {
        assert_eq!(AppError::from(sqlx::Error::RowNotFound), AppError::NotFound);
        assert_eq!(AppError::from(sqlx::Error::PoolTimedOut), AppError::Unavailable);
        let wrapped = anyhow::Error::from(sqlx::Error::PoolClosed).context("while listing");
        assert_eq!(AppError::from(wrapped), AppError::Unavailable);
        assert!(matches!(AppError::from(anyhow::anyhow!("a bug")), AppError::Internal { request_id } if !request_id.is_empty()));
    }
}
