//! What a server function may ask about its request.

use crate::{
    error::AppError,
    server::{domain::Actor, state::App},
};

/// The running Granary.
///
/// # Errors
/// [`AppError::Internal`] outside a request.
pub fn app() -> Result<App, AppError> {
    leptos::prelude::use_context::<App>().ok_or_else(|| AppError::Internal { request_id: String::new() })
}

/// Who asks.
///
/// # Errors
/// [`AppError::SignedOut`] when nobody is signed in, [`AppError::Unavailable`] when that cannot be told.
pub async fn actor() -> Result<Actor, AppError> {
    Err(AppError::SignedOut)
}
