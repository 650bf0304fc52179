//! An issuer that says what a test has it say, wrong things included, in what manner it is told to.

use axum::{
    Form, Json, Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::StatusCode,
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use openidconnect::{
    JsonWebKeyId, PrivateSigningKey,
    core::{CoreEdDsaPrivateSigningKey, CoreHmacKey, CoreJsonWebKeySet, CoreJwsSigningAlgorithm},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::net::TcpListener;
use tokio_stream::{StreamExt, iter, wrappers::IntervalStream};

/// Who signs a token.
#[derive(Debug, Clone)]
pub(crate) enum Signer {
    /// A key by its number; 1 is the one that is published first.
    Key(u8),
    /// A secret that is shared.
    Shared(Vec<u8>),
    /// These words, whatever the token says.
    Words(&'static str),
}

/// How an endpoint answers.
#[derive(Debug, Clone)]
pub(crate) enum Manner {
    /// With this.
    Says(u16, &'static str, &'static str),
    /// Never.
    Hangs,
    /// A little from time to time, for ever.
    Trickles,
    /// By leading to itself.
    Loops,
    /// With more than anybody needs.
    Floods,
    /// With half of it.
    Breaks,
}

/// What a code is exchanged for.
struct Grant {
    challenge: String,
    answer: Value,
    /// Whether it is good for more than one try.
    again: bool,
}

#[derive(Default)]
struct Inner {
    url: String,
    grants: Mutex<HashMap<String, Grant>>,
    /// The key whose public half is published.
    published: Mutex<u8>,
    user_info: Mutex<Value>,
    manners: Mutex<HashMap<String, Manner>>,
    metadata: Mutex<Value>,
}

/// The issuer.
#[derive(Clone)]
pub(crate) struct Issuer(Arc<Inner>);

impl Issuer {
    pub(crate) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let issuer = Self(Arc::new(Inner { url, published: Mutex::new(1), metadata: Mutex::new(json!({})), ..Inner::default() }));
        let routes = Router::new()
            .route("/.well-known/openid-configuration", get(metadata))
            .route("/jwks", get(jwks))
            .route("/token", post(token))
            .route("/userinfo", get(user_info))
            .layer(from_fn_with_state(issuer.clone(), behave))
            .with_state(issuer.clone());
        tokio::spawn(axum::serve(listener, routes).into_future());
        issuer
    }

    pub(crate) fn url(&self) -> &str {
        &self.0.url
    }

    /// Publishes another key.
    pub(crate) fn rotate(&self, key: u8) {
        *self.0.published.lock().unwrap() = key;
    }

    /// What the user info endpoint says.
    pub(crate) fn says(&self, info: Value) {
        *self.0.user_info.lock().unwrap() = info;
    }

    /// What it says of itself, beside or instead of what is right.
    pub(crate) fn announces(&self, metadata: Value) {
        *self.0.metadata.lock().unwrap() = metadata;
    }

    /// How an endpoint answers from now on; `None`: as it should.
    pub(crate) fn behaves(&self, path: &str, manner: Option<Manner>) {
        let mut manners = self.0.manners.lock().unwrap();
        match manner {
            Some(manner) => drop(manners.insert(path.to_owned(), manner)),
            None => drop(manners.remove(path)),
        }
    }

    /// Right claims of an ID token for an authorization request, but for those of `change`; null takes one out.
    pub(crate) fn claims(&self, request: &url::Url, change: &Value) -> Value {
        let query = query(request);
        let now = now();
        changed(json!({ "iss": self.url(), "aud": query["client_id"], "sub": "1", "iat": now, "exp": now + 60, "nonce": query["nonce"] }), change)
    }

    /// Right claims of a logout token, but for those of `change`.
    pub(crate) fn logout_claims(&self, change: &Value) -> Value {
        let (now, jti) = (now(), uuid::Uuid::new_v4());
        let events = json!({ "http://schemas.openid.net/event/backchannel-logout": {} });
        changed(json!({ "iss": self.url(), "aud": "granary", "iat": now, "exp": now + 120, "jti": jti, "events": events }), change)
    }

    /// A code for an authorization request, with right claims but for those of `change`, signed by a key; 0 is none.
    #[expect(clippy::needless_pass_by_value, reason = "calls read better")]
    pub(crate) fn code(&self, request: &url::Url, key: u8, change: Value) -> String {
        let signed = match key {
            0 => sign(&json!({ "alg": "none" }), &self.claims(request, &change), &Signer::Words("")),
            key => sign(&json!({}), &self.claims(request, &change), &Signer::Key(key)),
        };
        self.code_for(request, json!({ "id_token": signed }))
    }

    /// A code for which the token endpoint answers with this, beside what belongs into any answer.
    #[expect(clippy::needless_pass_by_value, reason = "calls read better")]
    pub(crate) fn code_for(&self, request: &url::Url, answer: Value) -> String {
        self.grant(request, &answer, false)
    }

    /// A code that is good again and again.
    pub(crate) fn code_for_ever(&self, request: &url::Url) -> String {
        let token = sign(&json!({}), &self.claims(request, &json!({})), &Signer::Key(1));
        self.grant(request, &json!({ "id_token": token }), true)
    }

    fn grant(&self, request: &url::Url, answer: &Value, again: bool) -> String {
        let answer = changed(json!({ "access_token": "x", "token_type": "Bearer" }), answer);
        let code = uuid::Uuid::new_v4().to_string();
        let grant = Grant { challenge: query(request)["code_challenge"].clone(), answer, again };
        self.0.grants.lock().unwrap().insert(code.clone(), grant);
        code
    }
}

fn query(request: &url::Url) -> BTreeMap<String, String> {
    request.query_pairs().into_owned().collect()
}

#[expect(clippy::disallowed_methods, reason = "what verifies this asks the machine, too")]
pub(crate) fn now() -> i64 {
    time::OffsetDateTime::now_utc().unix_timestamp()
}

fn changed(mut right: Value, change: &Value) -> Value {
    let map = right.as_object_mut().unwrap();
    map.extend(change.as_object().unwrap().clone());
    map.retain(|_, value| !value.is_null());
    right
}

/// A token whose header is right but for `header`.
pub(crate) fn sign(header: &Value, claims: &Value, signer: &Signer) -> String {
    let (alg, kid) = match signer {
        Signer::Key(number) => ("EdDSA", Some(number.to_string())),
        Signer::Shared(_) => ("HS256", None),
        Signer::Words(_) => ("EdDSA", Some("1".to_owned())),
    };
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(&changed(json!({ "alg": alg, "kid": kid }), header)), part(claims));
    let signature = match signer {
        Signer::Key(number) => key(*number).sign(&CoreJwsSigningAlgorithm::EdDsa, message.as_bytes()).unwrap(),
        Signer::Shared(secret) => CoreHmacKey::new(secret.clone()).sign(&CoreJwsSigningAlgorithm::HmacSha256, message.as_bytes()).unwrap(),
        Signer::Words(words) => words.as_bytes().to_vec(),
    };
    format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

/// The public half of a key, as it is published.
pub(crate) fn public(number: u8) -> Value {
    serde_json::to_value(key(number).as_verification_key()).unwrap()
}

fn key(number: u8) -> CoreEdDsaPrivateSigningKey {
    let der = [&[0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20][..], &[number; 32]].concat();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", BASE64_STANDARD.encode(der));
    CoreEdDsaPrivateSigningKey::from_ed25519_pem(&pem, Some(JsonWebKeyId::new(number.to_string()))).unwrap()
}

async fn behave(State(issuer): State<Issuer>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let manner = issuer.0.manners.lock().unwrap().get(&path).cloned();
    let json = |body: Body| ([("content-type", "application/json")], body).into_response();
    match manner {
        None => next.run(request).await,
        Some(Manner::Says(status, kind, text)) => (StatusCode::from_u16(status).unwrap(), [("content-type", kind)], text).into_response(),
        Some(Manner::Hangs) => std::future::pending().await,
        Some(Manner::Trickles) => {
            let ticks = IntervalStream::new(tokio::time::interval(Duration::from_millis(500)));
            json(Body::from_stream(ticks.map(|_| Ok::<_, Infallible>(Bytes::from_static(b" ")))))
        }
        Some(Manner::Loops) => Redirect::temporary(&format!("{}{path}", issuer.url())).into_response(),
        Some(Manner::Floods) => json(Body::from(" ".repeat(2 << 20))),
        Some(Manner::Breaks) => json(Body::from_stream(iter([Ok(Bytes::from_static(b"{")), Err(io::Error::other("broken"))]))),
    }
}

async fn metadata(State(issuer): State<Issuer>) -> Json<Value> {
    let url = issuer.url();
    let right = json!({
        "issuer": url, "authorization_endpoint": format!("{url}/authorize"), "token_endpoint": format!("{url}/token"),
        "userinfo_endpoint": format!("{url}/userinfo"), "jwks_uri": format!("{url}/jwks"), "response_types_supported": ["code"],
        "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["EdDSA", "HS256", "none"],
        "authorization_response_iss_parameter_supported": true,
    });
    Json(changed(right, &issuer.0.metadata.lock().unwrap()))
}

async fn jwks(State(issuer): State<Issuer>) -> Response {
    let published = *issuer.0.published.lock().unwrap();
    Json(CoreJsonWebKeySet::new(vec![key(published).as_verification_key()])).into_response()
}

async fn token(State(issuer): State<Issuer>, Form(form): Form<BTreeMap<String, String>>) -> Response {
    let Some(grant) = issuer.0.grants.lock().unwrap().remove(&form["code"]) else { return StatusCode::BAD_REQUEST.into_response() };
    assert_eq!(BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&form["code_verifier"])), grant.challenge);
    let answer = grant.answer.clone();
    if grant.again {
        issuer.0.grants.lock().unwrap().insert(form["code"].clone(), grant);
    }
    Json(answer).into_response()
}

async fn user_info(State(issuer): State<Issuer>) -> Json<Value> {
    Json(issuer.0.user_info.lock().unwrap().clone())
}
