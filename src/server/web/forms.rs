//! Forms that work without JavaScript and lose nothing.
//!
//! A post that fails keeps what was typed in the session and leads back to its page, which takes it from there once. What
//! is kept are objects with an entry for each thing, so that posts of the same moment do not overwrite each other's.

use super::{
    Web, context,
    errors::{Failure, wants_html},
};
use crate::{
    error::{AppError, FieldErrors},
    model::form::Attempt,
    server::{
        auth::{current::Who, trouble},
        config::Config,
    },
};
use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use leptos::server_fn::error::SERVER_FN_ERROR_HEADER;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;
use time::Duration;
use tower_sessions::Session;
use url::{Url, form_urlencoded};
use uuid::Uuid;

const ATTEMPTS: &str = "attempts_by_form";
const NOTICES: &str = "notices_by_id";
const REVEALED: &str = "revealed";

/// Attempts that a session keeps, and notices; the oldest gives way.
const MOST: usize = 5;
/// Bytes of a value that are kept: more than any of our fields takes.
const LONGEST_VALUE: usize = 8 << 10;
/// Most bytes of a form.
pub const LARGEST_BODY: usize = 64 << 10;
/// Longest path that somebody is sent back to.
const LONGEST_PATH: usize = 2 << 10;
/// How long a password stays revealed.
const REVEAL: Duration = Duration::minutes(5);
/// How long a notice is shown again: the page it was shown on draws itself anew when something changes, and what a person
/// asked for a moment ago often does.
const LINGER: Duration = Duration::seconds(5);

/// A notice in the session.
#[derive(Debug, Serialize, Deserialize)]
struct Notice {
    text: String,
    /// When it was shown first, in seconds since 1970.
    shown: Option<i64>,
}

/// An attempt in the session; `id` grows with time.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    id: Uuid,
    attempt: Attempt,
}

/// Answers a form post: on success the browser goes to the path that `result` holds, on failure back to the page it came
/// from, where [`attempt`] finds what was typed. A caller that wants JSON gets the result itself.
///
/// # Errors
/// For JSON callers, that of `result`; for browsers only what [passes](AppError::passes), which becomes a page: the session,
/// where the form would be kept, is out of reach too.
pub async fn answer(form: &str, values: &[(&str, &str)], result: Result<String, AppError>) -> Result<(), AppError> {
    if !context::wants_html()? {
        return result.map(drop);
    }
    let to = match result {
        Ok(path) => path,
        Err(error) if error.passes() => return Err(error),
        Err(error) => {
            let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            keep(&context::session()?, form, values, &error).await?;
            way_back(&context::parts()?.headers, &context::app()?.config, &error)
        }
    };
    context::go_to(&to);
    Ok(())
}

/// What was typed into a form whose post failed; taken out, so that it is shown once.
///
/// # Errors
/// [`AppError::Unavailable`].
pub async fn attempt(form: &str) -> Result<Option<Attempt>, AppError> {
    let session = context::session()?;
    let mut attempts: BTreeMap<String, Kept> = read(&session, ATTEMPTS).await?;
    let found = attempts.remove(form);
    if found.is_some() {
        write(&session, ATTEMPTS, &attempts).await?;
    }
    Ok(found.map(|kept| kept.attempt))
}

/// Leaves a line for the next page of this session.
///
/// # Errors
/// [`AppError::Unavailable`].
pub async fn leave_notice(text: &str) -> Result<(), AppError> {
    let session = context::session()?;
    let mut notices: BTreeMap<Uuid, Notice> = read(&session, NOTICES).await?;
    notices.insert(Uuid::now_v7(), Notice { text: text.to_owned(), shown: None });
    while notices.len() > MOST {
        notices.pop_first();
    }
    write(&session, NOTICES, &notices).await
}

/// The lines that were left, and those that were shown a moment ago; older ones are taken out.
///
/// # Errors
/// [`AppError::Unavailable`].
pub async fn notice() -> Result<Option<String>, AppError> {
    let session = context::session()?;
    let mut notices: BTreeMap<Uuid, Notice> = read(&session, NOTICES).await?;
    if notices.is_empty() {
        return Ok(None);
    }
    let now = context::app()?.clock.now().unix_timestamp();
    let (all, new) = (notices.len(), notices.values().any(|notice| notice.shown.is_none()));
    notices.retain(|_, notice| *notice.shown.get_or_insert(now) + LINGER.whole_seconds() >= now);
    if notices.is_empty() {
        session.remove_value(NOTICES).await.map_err(|e| away(&e))?;
    } else if new || notices.len() < all {
        write(&session, NOTICES, &notices).await?;
    }
    let texts: Vec<_> = notices.into_values().map(|notice| notice.text).collect();
    Ok((!texts.is_empty()).then(|| texts.join(" ")))
}

/// Lets this session see the first password of a datastore for five minutes.
///
/// # Errors
/// [`AppError::Unavailable`].
pub async fn reveal(datastore: Uuid) -> Result<(), AppError> {
    let session = context::session()?;
    let now = context::app()?.clock.now();
    let mut until: BTreeMap<Uuid, i64> = read(&session, REVEALED).await?;
    until.retain(|_, until| *until > now.unix_timestamp());
    until.insert(datastore, (now + REVEAL).unix_timestamp());
    write(&session, REVEALED, &until).await
}

/// Whether this session may see it now.
///
/// # Errors
/// [`AppError::Unavailable`].
pub async fn is_revealed(datastore: Uuid) -> Result<bool, AppError> {
    let until: BTreeMap<Uuid, i64> = read(&context::session()?, REVEALED).await?;
    let now = context::app()?.clock.now().unix_timestamp();
    Ok(until.get(&datastore).is_some_and(|until| *until > now))
}

/// Around the server functions: what their own code cannot do for a plain form, because it ends before [`answer`].
///
/// Who is signed out goes to sign in, and what was typed is kept; an error that is left becomes one of the form, or a page.
/// Programs get the error's own status instead of leptos's 500.
pub async fn layer(State(web): State<Web>, request: Request, next: Next) -> Response {
    if request.method() != Method::POST || !wants_html(request.headers()) {
        return with_status(next.run(request).await).await;
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LARGEST_BODY).await else { return StatusCode::PAYLOAD_TOO_LARGE.into_response() };
    if let Err(error) = Who::of(&parts.extensions).actor() {
        return give_back(&web, &parts, &body, error).await;
    }
    let request = Request::from_parts(parts.clone(), Body::from(body.clone()));
    let response = next.run(request).await;
    match error_of(response).await {
        Ok(response) => response,
        Err((_, error)) => give_back(&web, &parts, &body, error).await,
    }
}

async fn give_back(web: &Web, parts: &Parts, body: &Bytes, error: AppError) -> Response {
    let Some(session) = parts.extensions.get::<Session>() else { return Failure(error).into_response() };
    if error.passes() {
        return Failure(error).into_response();
    }
    let typed = form_urlencoded::parse(body).map(|(name, value)| (field_name(&name).to_owned(), value.into_owned())).collect();
    match keep(session, form_of(parts.uri.path()), typed, &error).await {
        Ok(()) => Redirect::to(&way_back(&parts.headers, &web.app.config, &error)).into_response(),
        Err(error) => Failure(error).into_response(),
    }
}

/// The name under which the pages know the form that posts to a server function, as it gives it to [`answer`].
fn form_of(path: &str) -> &str {
    match path.trim_start_matches("/api/").split_once('/') {
        Some(("wizard", "save")) => "wizard",
        Some(("firewall", _)) => "source",
        Some((_, verb)) => verb,
        None => path,
    }
}

/// The wizard's fields are posted as `fields[name]`.
fn field_name(name: &str) -> &str {
    name.strip_prefix("fields[").and_then(|n| n.strip_suffix(']')).unwrap_or(name)
}

async fn with_status(response: Response) -> Response {
    match error_of(response).await {
        Ok(response) => response,
        Err((mut parts, error)) => {
            let failure = Failure(error).into_response();
            // The body's length stays; the header tells the client that this is a server function's error.
            parts.status = failure.status();
            parts.headers.extend(failure.headers().clone());
            Response::from_parts(parts, failure.into_body())
        }
    }
}

/// A server function's error, where its answer is one.
async fn error_of(response: Response) -> Result<Response, (axum::http::response::Parts, AppError)> {
    if !response.headers().contains_key(SERVER_FN_ERROR_HEADER) {
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let error = to_bytes(body, LARGEST_BODY).await.ok().and_then(|body| serde_json::from_slice(&body).ok());
    Err((parts, error.unwrap_or_else(|| super::request_id::internal(&"a server function's error could not be read"))))
}

async fn keep(session: &Session, form: &str, values: Vec<(String, String)>, error: &AppError) -> Result<(), AppError> {
    let (errors, message) = match error {
        AppError::Invalid(errors) => (errors.clone(), None),
        other => (FieldErrors::default(), Some(other.to_string())),
    };
    let values = values.into_iter().filter(|(name, _)| !name.contains("password")).map(|(name, value)| (name, bounded(&value))).collect();
    let mut attempts: BTreeMap<String, Kept> = read(session, ATTEMPTS).await?;
    let attempt = Attempt { form: form.to_owned(), values, errors, message };
    attempts.insert(form.to_owned(), Kept { id: Uuid::now_v7(), attempt });
    while attempts.len() > MOST
        && let Some(oldest) = attempts.iter().min_by_key(|(_, kept)| kept.id).map(|(form, _)| form.clone())
    {
        attempts.remove(&oldest);
    }
    write(session, ATTEMPTS, &attempts).await
}

/// As much as is kept of a value. `PostgreSQL` takes no NUL in text.
fn bounded(value: &str) -> String {
    value[..value.floor_char_boundary(LONGEST_VALUE)].replace('\0', "")
}

/// Where a post that failed leads: to sign in and then back, or back.
fn way_back(headers: &HeaderMap, config: &Config, error: &AppError) -> String {
    let referer = headers.get(header::REFERER).and_then(|v| v.to_str().ok());
    let page = referer.and_then(|referer| Url::parse(referer).ok()).filter(|url| url.origin() == config.public_url.origin());
    let page = page.map(|url| without_leftovers(&url)).and_then(|path| own_path(&path).map(str::to_owned)).unwrap_or_else(|| "/".to_owned());
    if *error == AppError::SignedOut { sign_in_path(&page) } else { page }
}

/// Path and query, without what leptos adds after an error.
fn without_leftovers(url: &Url) -> String {
    let mut kept = url.clone();
    let pairs: Vec<_> = url.query_pairs().filter(|(name, _)| !matches!(name.as_ref(), "__path" | "__err")).collect();
    kept.set_query(None);
    if !pairs.is_empty() {
        kept.query_pairs_mut().extend_pairs(pairs);
    }
    kept.query().map_or_else(|| kept.path().to_owned(), |query| format!("{}?{query}", kept.path()))
}

/// The sign-in page, with the way back.
#[must_use]
pub fn sign_in_path(back: &str) -> String {
    format!("/sign-in?return={}", form_urlencoded::byte_serialize(back.as_bytes()).collect::<String>())
}

/// A path to send somebody to, where it is one of our own pages and nothing else: never another host, nor a place that
/// signs in or out again.
#[must_use]
pub fn own_path(path: &str) -> Option<&str> {
    let plain = path.len() <= LONGEST_PATH && path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    let page = ["/auth/", "/api/", "/dev/", "/sign-in"].iter().all(|other| !path.starts_with(other));
    (plain && page && path.starts_with('/') && !path.starts_with("//")).then_some(path)
}

async fn read<T: DeserializeOwned + Default>(session: &Session, key: &str) -> Result<T, AppError> {
    Ok(session.get(key).await.map_err(|e| away(&e))?.unwrap_or_default())
}

async fn write(session: &Session, key: &str, value: &impl Serialize) -> Result<(), AppError> {
    session.insert(key, value).await.map_err(|e| away(&e))
}

/// Sessions live in the metadata database: their error means that it is away.
fn away(error: &tower_sessions::session::Error) -> AppError {
    tracing::warn!(%error, "a session could not be read");
    trouble::noted()
}
