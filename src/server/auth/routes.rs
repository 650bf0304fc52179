//! `/auth/*`: signing in and out. Why a sign-in failed is said by the sign-in page; the log has the details.

use super::{
    client::{Pending, SignedIn, Trouble},
    current::Who,
    session::{self, ISSUER_SESSION, PERSON},
    trouble,
};
use crate::{
    error::AppError,
    server::{
        db::{events, people, sessions},
        web::{Web, errors::Failure, forms},
    },
};
use axum::{
    Extension, Form,
    extract::{Query, State, rejection::QueryRejection},
    http::{StatusCode, Uri},
    response::Redirect,
};
use serde::Deserialize;
use std::collections::BTreeMap;
use tower_sessions::Session;
use url::form_urlencoded;
use uuid::Uuid;

const PENDING: &str = "sign_ins";
const ID_TOKEN: &str = "id_token";
/// Sign-ins that one browser may have begun at the same time, in several windows.
const MOST_PENDING: usize = 4;
/// Seconds that a sign-in may take, the issuer's second factor included.
const LONGEST: i64 = 15 * 60;
/// Characters of the issuer's word for an error that are logged.
const LONGEST_WORD: usize = 100;

/// Why a sign-in failed, as the sign-in page is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// The issuer, or the person, said no.
    Denied,
    /// Not among `GRANARY_OIDC_ALLOW`.
    NotAllowed,
    /// Too late, used already, or not begun in this browser.
    Expired,
    /// The issuer does not answer.
    Unreachable,
    /// Its answer is not valid at this time.
    Clock,
    /// It does not accept Granary as its client.
    Setup,
    /// Its answer was not right.
    Failed,
}

impl Reason {
    const ALL: [(Self, &'static str, StatusCode); 7] = [
        (Self::Denied, "denied", StatusCode::FORBIDDEN),
        (Self::NotAllowed, "not-allowed", StatusCode::FORBIDDEN),
        (Self::Expired, "expired", StatusCode::BAD_REQUEST),
        (Self::Unreachable, "unreachable", StatusCode::SERVICE_UNAVAILABLE),
        (Self::Clock, "clock", StatusCode::BAD_GATEWAY),
        (Self::Setup, "setup", StatusCode::BAD_GATEWAY),
        (Self::Failed, "failed", StatusCode::BAD_GATEWAY),
    ];

    fn word(self) -> &'static str {
        Self::ALL.iter().find(|(reason, ..)| *reason == self).map_or("failed", |(_, word, _)| word)
    }

    /// That of an answer without a code, by the words that the standards have for it.
    fn of_answer(error: Option<&str>) -> Self {
        match error {
            None => Self::Failed,
            Some("temporarily_unavailable" | "server_error") => Self::Unreachable,
            Some("invalid_request" | "unauthorized_client" | "unsupported_response_type" | "invalid_scope") => Self::Setup,
            Some(_) => Self::Denied,
        }
    }
}

impl From<&Trouble> for Reason {
    fn from(trouble: &Trouble) -> Self {
        match trouble {
            Trouble::Away(_) => Self::Unreachable,
            Trouble::Refused(_) => Self::Failed,
            Trouble::Clock(_) => Self::Clock,
            Trouble::Setup(_) => Self::Setup,
            Trouble::NotAllowed(_) => Self::NotAllowed,
        }
    }
}

/// The status of the sign-in page when it says why a sign-in failed.
#[must_use]
pub fn status_of_sign_in_page(uri: &Uri) -> Option<StatusCode> {
    let query = uri.query().filter(|_| uri.path() == "/sign-in")?;
    let (_, error) = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "error")?;
    Reason::ALL.iter().find(|(_, word, _)| *word == error).map(|(.., status)| *status)
}

fn back_to_sign_in(reason: Reason, back: &str) -> Redirect {
    Redirect::to(&format!("{}&error={}", forms::sign_in_path(back), reason.word()))
}

/// What the sign-in page posts.
#[derive(Debug, Deserialize)]
pub struct Start {
    #[serde(default, rename = "return")]
    back: String,
}

/// `POST /auth/start`: leads to the issuer.
///
/// # Errors
/// [`AppError::Unavailable`].
pub async fn start(State(web): State<Web>, Extension(session): Extension<Session>, Form(form): Form<Start>) -> Result<Redirect, Failure> {
    let back = forms::own_path(&form.back).unwrap_or("/");
    let now = web.app.clock.now().unix_timestamp();
    let (url, begun) = match web.auth.client.begin(back, now).await {
        Ok(begun) => begun,
        Err(trouble) => {
            tracing::warn!(error = trouble.to_string(), "a sign-in could not be begun");
            return Ok(back_to_sign_in(Reason::from(&trouble), back));
        }
    };
    let mut pending = pending(&session, now).await?;
    pending.insert(begun.state.clone(), begun);
    while pending.len() > MOST_PENDING
        && let Some(oldest) = pending.values().min_by_key(|p| p.begun).map(|p| p.state.clone())
    {
        pending.remove(&oldest);
    }
    session.insert(PENDING, pending).await.map_err(|e| away(&e))?;
    Ok(Redirect::to(url.as_str()))
}

/// What the issuer sends back.
#[derive(Debug, Deserialize)]
pub struct Answer {
    state: Option<String>,
    code: Option<String>,
    iss: Option<String>,
    error: Option<String>,
}

/// `GET /auth/callback`: the issuer's answer.
///
/// # Errors
/// [`AppError::Unavailable`].
pub async fn callback(
    State(web): State<Web>,
    Extension(session): Extension<Session>,
    answer: Result<Query<Answer>, QueryRejection>,
) -> Result<Redirect, Failure> {
    let Ok(Query(answer)) = answer else { return Ok(back_to_sign_in(Reason::Failed, "/")) };
    let now = web.app.clock.now();
    let Some(begun) = take(&web, &session, answer.state.as_deref(), now.unix_timestamp()).await? else {
        // Somebody who went back in their browser is signed in already.
        let signed_in = session.get::<Uuid>(PERSON).await.map_err(|e| away(&e))?.is_some();
        return Ok(if signed_in { Redirect::to("/") } else { back_to_sign_in(Reason::Expired, "/") });
    };
    let back = begun.back.clone();
    let Some(code) = answer.code else {
        let error: Option<String> = answer.error.map(|error| error.chars().take(LONGEST_WORD).collect());
        tracing::info!(error, "the issuer did not sign somebody in");
        return Ok(back_to_sign_in(Reason::of_answer(error.as_deref()), &back));
    };
    match web.auth.client.finish(begun, code, answer.iss.as_deref(), now).await {
        Ok(signed_in) => {
            admit(&web, &session, signed_in).await?;
            Ok(Redirect::to(&back))
        }
        Err(trouble) => {
            tracing::warn!(error = trouble.to_string(), "a sign-in failed");
            Ok(back_to_sign_in(Reason::from(&trouble), &back))
        }
    }
}

/// The sign-in of an answer, taken out before anything else is done with it: it is good for one try, even when two answers
/// come at the same moment.
async fn take(web: &Web, session: &Session, state: Option<&str>, now: i64) -> Result<Option<Pending>, AppError> {
    let mut all = pending(session, now).await?;
    let (Some(begun), Some(id)) = (state.and_then(|state| all.remove(state)), session.id()) else { return Ok(None) };
    session.insert(PENDING, all).await.map_err(|e| away(&e))?;
    let taken = sessions::take(&web.app.db, &session::hash(id), PENDING, &begun.state).await?;
    Ok(taken.then_some(begun))
}

/// Makes the session the person's, under a new id: one that somebody else may have planted is worth nothing afterwards.
async fn admit(web: &Web, session: &Session, signed_in: SignedIn) -> Result<(), AppError> {
    let app = &web.app;
    let person = people::sign_in(&app.db, &signed_in.identity, app.catalogue.personal_quota, app.clock.now()).await?;
    let before = session.get::<Uuid>(PERSON).await.map_err(|e| away(&e))?;
    if before.is_some_and(|before| before != person) {
        // What the one before them typed or revealed is not theirs to see.
        session.clear().await;
    }
    session.cycle_id().await.map_err(|e| away(&e))?;
    session.insert(PERSON, person).await.map_err(|e| away(&e))?;
    session.insert(ID_TOKEN, signed_in.id_token).await.map_err(|e| away(&e))?;
    session.insert(ISSUER_SESSION, signed_in.issuer_session).await.map_err(|e| away(&e))?;
    tracing::info!(%person, "signed in");
    Ok(())
}

/// `POST /auth/sign-out`: ends the session here, then leads to the issuer to end its own.
///
/// # Errors
/// [`AppError::Unavailable`]: the session goes on.
pub async fn sign_out(State(web): State<Web>, Extension(session): Extension<Session>) -> Result<Redirect, Failure> {
    end(&web, &session).await
}

/// `POST /auth/sign-out-everywhere`: ends all sessions of the person, in every browser.
///
/// # Errors
/// [`AppError::Unavailable`]: the sessions go on.
pub async fn sign_out_everywhere(
    State(web): State<Web>,
    Extension(who): Extension<Who>,
    Extension(session): Extension<Session>,
) -> Result<Redirect, Failure> {
    match who.actor() {
        Ok(actor) => {
            let mut tx = web.app.db.begin().await?;
            let ended = sessions::delete_all(&mut tx, actor.me.person).await?;
            events::write(&mut tx, &actor, None, "Sign out everywhere", &format!("{ended} sessions")).await?;
            tx.commit().await?;
        }
        Err(AppError::SignedOut) => {}
        Err(error) => return Err(error.into()),
    }
    end(&web, &session).await
}

async fn end(web: &Web, session: &Session) -> Result<Redirect, Failure> {
    let id_token: Option<String> = session.get(ID_TOKEN).await.map_err(|e| away(&e))?.flatten();
    session.flush().await.map_err(|e| away(&e))?;
    let at_issuer = web.auth.client.sign_out_url(id_token.as_deref());
    Ok(Redirect::to(at_issuer.as_ref().map_or("/sign-in", |url| url.as_str())))
}

/// Sign-ins that were begun and may still end, by their state.
async fn pending(session: &Session, now: i64) -> Result<BTreeMap<String, Pending>, AppError> {
    let mut all: BTreeMap<String, Pending> = session.get(PENDING).await.map_err(|e| away(&e))?.unwrap_or_default();
    all.retain(|_, p| now - p.begun < LONGEST);
    Ok(all)
}

/// Sessions live in the metadata database.
fn away(error: &tower_sessions::session::Error) -> AppError {
    tracing::warn!(%error, "a session could not be read or written");
    trouble::noted()
}
