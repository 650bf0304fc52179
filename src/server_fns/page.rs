//! What every page asks.

use crate::{
    error::AppError,
    model::{form::Attempt, person::Me},
};
use leptos::prelude::*;

/// Who is signed in; `None` when nobody is.
///
/// # Errors
/// [`AppError::Unavailable`].
#[server(endpoint = "page/me", input = server_fn::codec::GetUrl)]
pub async fn who() -> Result<Option<Me>, AppError> {
    match crate::server::web::context::actor().await {
        Ok(actor) => Ok(Some(actor.me)),
        Err(AppError::SignedOut) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What was typed into a form whose post failed; once.
///
/// # Errors
/// [`AppError::Unavailable`].
#[server(endpoint = "page/attempt")]
pub async fn last_attempt(form: String) -> Result<Option<Attempt>, AppError> {
    crate::server::web::forms::attempt(&form).await
}

/// What the last act of this session did ("Restart asked for"); once.
///
/// # Errors
/// [`AppError::Unavailable`].
#[server(endpoint = "page/notice")]
pub async fn notice() -> Result<Option<String>, AppError> {
    crate::server::web::forms::notice().await
}
