//! `OpenID` Connect Back-Channel Logout 1.0: the issuer itself, with no browser in between, ends sessions here.
//!
//! Whoever can reach Granary can post here, so nothing counts but the token, and all of it must be right.

use super::{
    client::{Client, SKEW, Trouble, is_subject, seconds},
    known::{ALGORITHMS, Known},
};
use crate::{
    error::AppError,
    server::{
        db::sessions::{self, Logout},
        web::{Web, errors::Failure},
    },
};
use anyhow::{Context, anyhow, bail, ensure};
use axum::{
    Form, Json,
    extract::{State, rejection::FormRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use openidconnect::{JsonWebKey, JsonWebKeyId, core::CoreJwsSigningAlgorithm};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};

/// What a logout token is about.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// Longest token, in bytes; it names a person and a session, nothing else.
const LONGEST: usize = 16 << 10;
/// Longest token id and session id, in bytes.
const LONGEST_ID: usize = 512;
/// Longest time a token may be good for: for so long its id is remembered. Two minutes are usual.
const LONGEST_LIFE: Duration = Duration::days(1);

/// What the issuer posts.
#[derive(Debug, Deserialize)]
pub struct Posted {
    logout_token: String,
}

/// `POST /auth/back-channel-logout`. That there was nothing to end is a success, too.
///
/// # Errors
/// [`AppError::Unavailable`]: nothing was ended, and the issuer may try again.
pub async fn back_channel(State(web): State<Web>, posted: Result<Form<Posted>, FormRejection>) -> Result<Response, Failure> {
    if web.app.config.oidc.is_none() {
        return Ok(StatusCode::NOT_FOUND.into_response());
    }
    let Ok(Form(posted)) = posted else { return Ok(refused("a form with the field logout_token is expected")) };
    let logout = match web.auth.client.read_logout(&posted.logout_token, web.app.clock.now()).await {
        Ok(logout) => logout,
        Err(trouble) => {
            tracing::warn!(error = trouble.to_string(), "a logout token was refused");
            // Without the issuer's keys it cannot be told yet.
            let Trouble::Away(_) = trouble else { return Ok(refused("the logout token is not valid")) };
            return Err(AppError::Unavailable.into());
        }
    };
    let Some(ended) = sessions::log_out(&web.app.db, &logout).await? else {
        tracing::warn!("a logout token was posted again");
        return Ok(refused("the logout token was used already"));
    };
    tracing::info!(ended, "the issuer ended sessions");
    Ok(StatusCode::OK.into_response())
}

fn refused(why: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({ "error": "invalid_request", "error_description": why }))).into_response()
}

/// A JSON Web Token taken apart; nothing in it is believed yet.
struct Token<'a> {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    message: &'a str,
    signature: Vec<u8>,
}

impl<'a> Token<'a> {
    fn parse(token: &'a str) -> anyhow::Result<Self> {
        ensure!(token.len() <= LONGEST, "it has {} bytes", token.len());
        let (message, signature) = token.rsplit_once('.').context("it has no parts")?;
        let (header, claims) = message.split_once('.').context("it has two parts")?;
        let part = |text: &str| anyhow::Ok(serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(text)?)?);
        Ok(Self { header: part(header)?, claims: part(claims)?, message, signature: BASE64_URL_SAFE_NO_PAD.decode(signature)? })
    }

    /// Its algorithm, where it is one that only the issuer can sign with, and nothing in its header is unknown to us.
    fn algorithm(&self) -> anyhow::Result<CoreJwsSigningAlgorithm> {
        ensure!(!self.header.contains_key("crit") && !self.header.contains_key("cty"), "its header asks for what is not understood");
        match self.header.get("typ").map(|typ| typ.as_str().unwrap_or_default().to_ascii_lowercase()).as_deref() {
            None | Some("jwt" | "application/jwt" | "logout+jwt" | "application/logout+jwt") => {}
            Some(_) => bail!("it is a token of another type"),
        }
        let algorithm = serde_json::from_value(self.header.get("alg").cloned().unwrap_or_default())?;
        ensure!(ALGORITHMS.contains(&algorithm), "its algorithm is not accepted");
        Ok(algorithm)
    }

    /// Whether one of the issuer's keys signed it.
    fn is_signed(&self, known: &Known, algorithm: &CoreJwsSigningAlgorithm) -> bool {
        let kid = self.header.get("kid").and_then(Value::as_str).map(|kid| JsonWebKeyId::new(kid.to_owned()));
        let keys = known.metadata.jwks().keys().iter().filter(|key| kid.is_none() || key.key_id() == kid.as_ref());
        keys.into_iter().any(|key| key.verify_signature(algorithm, self.message.as_bytes(), &self.signature).is_ok())
    }
}

/// One that is signed by the issuer.
#[derive(Debug, Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    iat: f64,
    exp: f64,
    jti: String,
    events: Map<String, Value>,
    sub: Option<String>,
    sid: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    Many(Vec<String>),
    One(String),
}

impl Claims {
    /// What they ask for, where everything that the standard wants is right.
    fn judge(self, issuer: &str, client: &str, now: OffsetDateTime) -> Result<Logout, Trouble> {
        let right = |right: bool, what: &'static str| if right { Ok(()) } else { Err(Trouble::Refused(anyhow!(what))) };
        let audience = match self.aud {
            Audience::Many(all) => all,
            Audience::One(one) => vec![one],
        };
        right(self.iss == issuer, "another issuer's")?;
        // Others that are named could pass on what they were sent.
        right(!audience.is_empty() && audience.iter().all(|one| one == client), "not for this client alone")?;
        right(self.events.get(EVENT).is_some_and(Value::is_object), "about something else")?;
        right(!self.jti.is_empty() && self.jti.len() <= LONGEST_ID, "without a usable id")?;
        right(self.sub.is_some() || self.sid.is_some(), "about nobody")?;
        right(self.sub.as_deref().is_none_or(is_subject), "about a subject that is none")?;
        right(self.sid.as_deref().is_none_or(|sid| !sid.is_empty() && sid.len() <= LONGEST_ID), "about a session that is none")?;
        right(!self.sid.as_deref().is_some_and(|sid| sid.contains('\0')), "about a session that is none")?;
        let in_time = self.iat <= seconds(now + SKEW) && self.exp > seconds(now) && self.exp <= seconds(now + LONGEST_LIFE);
        if !in_time {
            return Err(Trouble::Clock(format!("a logout token from {} to {} seconds", self.iat, self.exp)));
        }
        let token = Sha256::digest(format!("{} {}", self.iss, self.jti)).into();
        Ok(Logout { token, expires_at: now + LONGEST_LIFE, issuer: self.iss, subject: self.sub, session: self.sid })
    }
}

impl Client {
    /// What a logout token asks for, where it is wholly valid.
    async fn read_logout(&self, token: &str, now: OffsetDateTime) -> Result<Logout, Trouble> {
        let token = Token::parse(token).map_err(|e| Trouble::Refused(e.context("not a token")))?;
        let algorithm = token.algorithm().map_err(Trouble::Refused)?;
        let signed = |known: &Known| token.is_signed(known, &algorithm);
        let known = self.issuer.now().is_some_and(|known| signed(&known));
        if !known && !signed(&*self.issuer.renew_seldom().await?) {
            return Err(Trouble::Refused(anyhow!("none of the issuer's keys signed it")));
        }
        // It would be an ID token.
        if token.claims.contains_key("nonce") {
            return Err(Trouble::Refused(anyhow!("it has a nonce")));
        }
        let claims: Claims = serde_json::from_value(Value::Object(token.claims)).map_err(|e| Trouble::Refused(e.into()))?;
        claims.judge(self.issuer.issuer.as_str(), self.issuer.id.as_str(), now)
    }
}
