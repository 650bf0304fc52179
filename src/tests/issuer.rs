//! An issuer that says what a test has it say, wrong things included.

use axum::{
    Form, Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use openidconnect::{
    JsonWebKeyId, PrivateSigningKey,
    core::{CoreEdDsaPrivateSigningKey, CoreJsonWebKeySet, CoreJwsSigningAlgorithm},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
};
use tokio::net::TcpListener;

/// What a code is exchanged for.
struct Grant {
    challenge: String,
    claims: Value,
    key: u8,
}

#[derive(Default)]
struct Inner {
    url: String,
    grants: Mutex<HashMap<String, Grant>>,
    /// The key whose public half is published.
    published: Mutex<u8>,
    user_info: Mutex<Value>,
}

/// The issuer.
#[derive(Clone)]
pub(crate) struct Issuer(Arc<Inner>);

impl Issuer {
    pub(crate) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let issuer = Self(Arc::new(Inner { url, published: Mutex::new(1), ..Inner::default() }));
        let routes = Router::new()
            .route("/.well-known/openid-configuration", get(metadata))
            .route("/jwks", get(jwks))
            .route("/token", post(token))
            .route("/userinfo", get(user_info))
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

    /// A code for an authorization request, with right claims but for those of `change`, signed by a key.
    pub(crate) fn code(&self, request: &url::Url, key: u8, change: Value) -> String {
        let query: BTreeMap<_, _> = request.query_pairs().into_owned().collect();
        #[expect(clippy::disallowed_methods, reason = "what verifies this asks the machine, too")]
        let now = time::OffsetDateTime::now_utc().unix_timestamp();
        let mut claims = json!({ "iss": self.url(), "aud": query["client_id"], "sub": "1", "iat": now, "exp": now + 60, "nonce": query["nonce"] });
        claims.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let code = uuid::Uuid::new_v4().to_string();
        self.0.grants.lock().unwrap().insert(code.clone(), Grant { challenge: query["code_challenge"].clone(), claims, key });
        code
    }
}

fn key(number: u8) -> CoreEdDsaPrivateSigningKey {
    let der = [&[0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20][..], &[number; 32]].concat();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", BASE64_STANDARD.encode(der));
    CoreEdDsaPrivateSigningKey::from_ed25519_pem(&pem, Some(JsonWebKeyId::new(number.to_string()))).unwrap()
}

async fn metadata(State(issuer): State<Issuer>) -> Json<Value> {
    let url = issuer.url();
    Json(json!({
        "issuer": url, "authorization_endpoint": format!("{url}/authorize"), "token_endpoint": format!("{url}/token"),
        "userinfo_endpoint": format!("{url}/userinfo"), "jwks_uri": format!("{url}/jwks"), "response_types_supported": ["code"],
        "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["EdDSA", "HS256", "none"],
        "authorization_response_iss_parameter_supported": true,
    }))
}

async fn jwks(State(issuer): State<Issuer>) -> Response {
    let published = *issuer.0.published.lock().unwrap();
    Json(CoreJsonWebKeySet::new(vec![key(published).as_verification_key()])).into_response()
}

async fn token(State(issuer): State<Issuer>, Form(form): Form<BTreeMap<String, String>>) -> Response {
    let Some(grant) = issuer.0.grants.lock().unwrap().remove(&form["code"]) else { return StatusCode::BAD_REQUEST.into_response() };
    assert_eq!(BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&form["code_verifier"])), grant.challenge);
    let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    // Key 0 is none: an unsigned token.
    let algorithm = if grant.key == 0 { "none" } else { "EdDSA" };
    let message = format!("{}.{}", part(json!({ "alg": algorithm, "kid": grant.key.to_string() })), part(grant.claims));
    let signature = match grant.key {
        0 => Vec::new(),
        number => key(number).sign(&CoreJwsSigningAlgorithm::EdDsa, message.as_bytes()).unwrap(),
    };
    let id_token = format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature));
    Json(json!({ "access_token": "x", "token_type": "Bearer", "id_token": id_token })).into_response()
}

async fn user_info(State(issuer): State<Issuer>) -> Json<Value> {
    Json(issuer.0.user_info.lock().unwrap().clone())
}
