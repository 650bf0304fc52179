//! What a server function may ask about its request.

use super::errors;
use crate::{
    error::AppError,
    server::{auth::current::Who, domain::Actor, state::App},
};
use axum::http::{HeaderValue, StatusCode, header, request::Parts};
use leptos::prelude::use_context;
use leptos_axum::ResponseOptions;
use tower_sessions::Session;

/// The running Granary.
///
/// # Errors
/// [`AppError::Internal`] outside a request.
pub fn app() -> Result<App, AppError> {
    use_context::<App>().ok_or_else(outside)
}

/// Who asks.
///
/// # Errors
/// [`AppError::SignedOut`] when nobody is signed in, [`AppError::Unavailable`] when that cannot be told.
#[expect(clippy::unused_async, reason = "server functions are written as if it were asked now; it was found before them")]
pub async fn actor() -> Result<Actor, AppError> {
    Who::of(&parts()?.extensions).actor().map(|actor| (*actor).clone())
}

/// Sends the browser elsewhere, with a GET.
pub(super) fn go_to(path: &str) {
    if let (Some(options), Ok(path)) = (use_context::<ResponseOptions>(), HeaderValue::from_str(path)) {
        options.set_status(StatusCode::SEE_OTHER);
        options.insert_header(header::LOCATION, path);
    }
}

/// Whether the caller is a browser that posted a plain form.
pub(super) fn wants_html() -> Result<bool, AppError> {
    Ok(errors::wants_html(&parts()?.headers))
}

pub(super) fn parts() -> Result<Parts, AppError> {
    use_context::<Parts>().ok_or_else(outside)
}

pub(super) fn session() -> Result<Session, AppError> {
    parts()?.extensions.get().cloned().ok_or_else(outside)
}

/// The code was called where there is no request, such as while the list of routes is made.
fn outside() -> AppError {
    AppError::Internal { request_id: String::new() }
}
