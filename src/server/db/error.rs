//! From errors of the metadata database to what a person is told.

use crate::{error::AppError, server::web::request_id};

impl From<sqlx::Error> for AppError {
    /// A row that is not there is [`AppError::NotFound`]; a database that is away is [`AppError::Unavailable`]; anything
    /// else is logged here, once, and becomes [`AppError::Internal`]. Violated constraints that mean something to the
    /// caller are told apart before, by the caller.
    fn from(error: sqlx::Error) -> Self {
        if matches!(error, sqlx::Error::RowNotFound) {
            Self::NotFound
        } else if let Some(trouble) = trouble(&error) {
            tracing::warn!(%error, "the metadata database is in trouble");
            trouble
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
            Err(error) => trouble_in(&error).unwrap_or_else(|| request_id::internal(&format_args!("{error:#}"))),
        }
    }
}

/// The metadata database's trouble, where that is what the error comes from: nothing is wrong with what it was asked, and
/// the same will work when the trouble is over.
#[must_use]
pub fn trouble_in(error: &anyhow::Error) -> Option<AppError> {
    error.chain().filter_map(|cause| cause.downcast_ref()).find_map(trouble)
}

/// [`AppError::Unavailable`] when the database cannot be reached or is too slow, [`AppError::ReadOnly`] when it takes no
/// changes; `None` when something is wrong with what it was asked.
#[must_use]
pub fn trouble(error: &sqlx::Error) -> Option<AppError> {
    match error {
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => Some(AppError::Unavailable),
        sqlx::Error::Database(error) => by_code(&error.code()?),
        _ => None,
    }
}

fn by_code(code: &str) -> Option<AppError> {
    match code {
        // A read-only transaction; a full disk.
        "25006" | "53100" => Some(AppError::ReadOnly),
        // Too many connections, out of memory; our own limits: of a statement, for a lock, between two statements.
        "53200" | "53300" | "57014" | "55P03" | "25P03" => Some(AppError::Unavailable),
        // Class 08: connection; class 57: shut down, crashed, starting up.
        code if code.starts_with("08") || (code.starts_with("57P") && code != "57P05") => Some(AppError::Unavailable),
        _ => None,
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
        let wrapped = anyhow::Error::from(sqlx::Error::PoolTimedOut).context("while listing").context("a page");
        assert_eq!(AppError::from(wrapped), AppError::Unavailable);
        assert!(matches!(AppError::from(anyhow::anyhow!("a bug")), AppError::Internal { request_id } if !request_id.is_empty()));
    }

    #[test]
    fn trouble_is_told_from_a_wrong_question() {
        for code in ["08006", "53300", "57P01", "57P03", "57014", "55P03"] {
            assert_eq!(by_code(code), Some(AppError::Unavailable), "{code}");
        }
        for code in ["25006", "53100"] {
            assert_eq!(by_code(code), Some(AppError::ReadOnly), "{code}");
        }
        for code in ["23505", "42P01", "22001", "25001"] {
            assert_eq!(by_code(code), None, "{code}");
        }
    }
}
