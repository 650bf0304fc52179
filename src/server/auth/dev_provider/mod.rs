//! The built-in development provider: `OpenID` Connect for a laptop with nothing around it, so that there is one way to
//! sign in and it is always the real one.
//!
//! It believes whatever name it is told: a door without a lock. It is there only when no issuer is set, and opens only
//! when everything about a request is loopback ([`address::may_use_dev_provider`]); else it does not exist. It remembers
//! nothing but codes, for a minute.

mod keys;
mod page;

use crate::server::{
    config::Config,
    web::{Web, address, errors, router},
};
use axum::{
    Form, Json, Router,
    extract::{Query, Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{Html, IntoResponse, Redirect, Response},
    routing::{MethodRouter, get, post},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use keys::Keys;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use url::Url;

/// Where it lives, under the public URL.
pub const PATH: &str = "/dev/oidc";
/// The one client it knows.
pub const CLIENT_ID: &str = "granary";
/// Seconds a code is good for.
const CODE: i64 = 60;
/// Seconds a token is good for: it is read at once.
const TOKEN: i64 = 300;
/// Codes that may be waiting; more than anybody on a laptop needs.
const MOST_CODES: usize = 1000;

/// The provider.
pub struct DevProvider {
    issuer: String,
    redirect: String,
    after_sign_out: String,
    keys: Keys,
    codes: Mutex<HashMap<String, Grant>>,
}

/// What a code stands for.
struct Grant {
    challenge: String,
    nonce: Option<String>,
    person: Person,
    until: i64,
}

/// Whoever somebody says to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Person {
    name: String,
    email: String,
}

impl Person {
    /// The same for the same mail address.
    fn subject(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(&Sha256::digest(self.email.to_lowercase())[..15])
    }
}

impl DevProvider {
    /// One with keys of its own, which end with it.
    ///
    /// # Errors
    /// When a key cannot be made.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let at = |path: &str| config.public_url.join(path).map(String::from);
        Ok(Self { issuer: at(PATH)?, redirect: at("/auth/callback")?, after_sign_out: at("/sign-in")?, keys: Keys::new()?, codes: Mutex::default() })
    }

    fn issue(&self, question: &Question, person: Person, now: i64) -> String {
        let code = keys::random();
        let grant = Grant { challenge: question.code_challenge.clone(), nonce: question.nonce.clone(), person, until: now + CODE };
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        codes.retain(|_, grant| grant.until > now);
        if codes.len() < MOST_CODES {
            codes.insert(code.clone(), grant);
        }
        code
    }

    fn redeem(&self, request: &TokenRequest, now: i64) -> Option<Grant> {
        // Taken out whatever comes: a code is good for one try.
        let grant = self.codes.lock().unwrap_or_else(PoisonError::into_inner).remove(&request.code)?;
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&request.code_verifier));
        let right = request.grant_type == "authorization_code"
            && request.client_id == CLIENT_ID
            && request.redirect_uri == self.redirect
            && challenge == grant.challenge
            && grant.until > now;
        right.then_some(grant)
    }
}

/// What stands under [`PATH`].
pub(crate) fn table() -> [(&'static str, MethodRouter<Web>); 6] {
    [
        ("/.well-known/openid-configuration", get(metadata)),
        ("/jwks", get(jwks)),
        ("/authorize", get(ask).post(answer)),
        ("/token", post(token)),
        ("/userinfo", get(user_info)),
        ("/end_session", get(end_session)),
    ]
}

/// Its routes, under [`PATH`].
pub fn routes(web: &Web) -> Router<Web> {
    let Some(provider) = web.auth.dev_provider.clone() else { return Router::new() };
    router::of(table()).layer(axum::Extension(provider)).layer(from_fn_with_state(web.clone(), door))
}

type Provider = axum::Extension<Arc<DevProvider>>;

async fn door(State(web): State<Web>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    if address::may_use_dev_provider(&parts, &web.app.config) {
        next.run(Request::from_parts(parts, body)).await
    } else {
        StatusCode::NOT_FOUND.into_response()
    }
}

async fn metadata(provider: Provider) -> Json<serde_json::Value> {
    let issuer = &provider.issuer;
    Json(json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "userinfo_endpoint": format!("{issuer}/userinfo"),
        "jwks_uri": format!("{issuer}/jwks"),
        "end_session_endpoint": format!("{issuer}/end_session"),
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["EdDSA"],
        "token_endpoint_auth_methods_supported": ["none"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": ["openid", "profile", "email"],
        "authorization_response_iss_parameter_supported": true,
    }))
}

async fn jwks(provider: Provider) -> Response {
    Json(provider.keys.public()).into_response()
}

/// What the client asks for; kept in the form's hidden fields.
#[derive(Debug, Deserialize)]
struct Question {
    response_type: String,
    client_id: String,
    redirect_uri: String,
    state: String,
    nonce: Option<String>,
    code_challenge: String,
    code_challenge_method: String,
}

impl Question {
    fn is_right(&self, provider: &DevProvider) -> bool {
        self.response_type == "code"
            && self.client_id == CLIENT_ID
            && self.redirect_uri == provider.redirect
            && self.code_challenge_method == "S256"
            && !self.code_challenge.is_empty()
    }
}

/// The form, with what the client asked for.
#[derive(Debug, Deserialize)]
struct Filled {
    #[serde(flatten)]
    question: Question,
    #[serde(flatten)]
    person: Person,
}

async fn ask(State(web): State<Web>, provider: Provider, Query(question): Query<Question>) -> Response {
    if !question.is_right(&provider) {
        return wrong();
    }
    let nobody = Person { name: "Developer".to_owned(), email: "developer@example.org".to_owned() };
    Html(page::form(&web.assets, &question, &nobody, None)).into_response()
}

async fn answer(State(web): State<Web>, provider: Provider, Form(filled): Form<Filled>) -> Response {
    let Filled { question, person } = filled;
    if !question.is_right(&provider) {
        return wrong();
    }
    let person = Person { name: person.name.trim().to_owned(), email: person.email.trim().to_owned() };
    if let Some(error) = page::problem(&person) {
        return (StatusCode::UNPROCESSABLE_ENTITY, Html(page::form(&web.assets, &question, &person, Some(error)))).into_response();
    }
    let Ok(mut to) = Url::parse(&provider.redirect) else { return wrong() };
    let code = provider.issue(&question, person, web.app.clock.now().unix_timestamp());
    to.query_pairs_mut().append_pair("code", &code).append_pair("state", &question.state).append_pair("iss", &provider.issuer);
    Redirect::to(to.as_str()).into_response()
}

fn wrong() -> Response {
    errors::said(StatusCode::BAD_REQUEST, "This is not a sign-in that Granary began. Begin again at its start page.")
}

#[derive(Debug, Deserialize)]
struct TokenRequest {
    grant_type: String,
    client_id: String,
    redirect_uri: String,
    code: String,
    code_verifier: String,
}

async fn token(State(web): State<Web>, provider: Provider, Form(request): Form<TokenRequest>) -> Response {
    let now = web.app.clock.now().unix_timestamp();
    let Some(grant) = provider.redeem(&request, now) else {
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": "invalid_grant" }))).into_response();
    };
    let claims = json!({
        "iss": provider.issuer, "aud": CLIENT_ID, "sub": grant.person.subject(), "iat": now, "exp": now + TOKEN, "nonce": grant.nonce,
    });
    let access = json!({ "person": grant.person, "exp": now + TOKEN });
    match (provider.keys.sign(&access), provider.keys.sign(&claims)) {
        (Ok(access_token), Ok(id_token)) => {
            Json(json!({ "access_token": access_token, "token_type": "Bearer", "expires_in": TOKEN, "id_token": id_token })).into_response()
        }
        (Err(error), _) | (_, Err(error)) => errors::Failure::from(error).into_response(),
    }
}

#[derive(Deserialize)]
struct Access {
    person: Person,
    exp: i64,
}

/// Name and address are told here and not in the ID token, as many issuers do.
async fn user_info(State(web): State<Web>, provider: Provider, headers: HeaderMap) -> Response {
    let token = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).and_then(|v| v.strip_prefix("Bearer "));
    let access: Option<Access> = token.and_then(|token| provider.keys.open(token));
    match access.filter(|access| access.exp > web.app.clock.now().unix_timestamp()) {
        Some(Access { person, .. }) => {
            Json(json!({ "sub": person.subject(), "name": person.name, "email": person.email, "email_verified": false })).into_response()
        }
        None => (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"")]).into_response(),
    }
}

#[derive(Debug, Deserialize)]
struct EndSession {
    post_logout_redirect_uri: Option<String>,
}

/// Nobody is signed in here, so there is nothing to end; leads back to the one place it knows.
async fn end_session(provider: Provider, Query(request): Query<EndSession>) -> Response {
    if request.post_logout_redirect_uri.is_none_or(|to| to == provider.after_sign_out) {
        Redirect::to(&provider.after_sign_out).into_response()
    } else {
        wrong()
    }
}
