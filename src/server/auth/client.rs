//! Granary as a client of an `OpenID` Connect issuer: the code flow with PKCE, state, nonce, an exact redirect, and the
//! issuer's name in its answer (RFC 9207).
//!
//! The issuer is looked up when it is needed first and again from time to time: one that is down keeps nobody from
//! starting Granary, nor those who are signed in from working.

use super::{
    allow::{self, Claims},
    http::{Http, HttpError},
};
use crate::server::{
    config::{Allow, Config},
    db::people::Identity,
};
use anyhow::{Context, anyhow};
use openidconnect::{
    AccessTokenHash, AdditionalClaims, AdditionalProviderMetadata, AuthType, AuthorizationCode, ClaimsVerificationError, ClientId, ClientSecret,
    CsrfToken, EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet, EndpointSet, IdTokenFields, IssuerUrl, LogoutProviderMetadata, LogoutRequest,
    Nonce, OAuth2TokenResponse, PkceCodeChallenge, PkceCodeVerifier, PostLogoutRedirectUrl, ProviderMetadata, RedirectUrl, Scope,
    StandardErrorResponse, StandardTokenResponse, TokenResponse, UserInfoClaims,
    core::{
        CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreErrorResponseType,
        CoreGenderClaim, CoreGrantType, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm, CoreJwsSigningAlgorithm,
        CoreResponseMode, CoreResponseType, CoreRevocableToken, CoreRevocationErrorResponse, CoreSubjectIdentifierType,
        CoreTokenIntrospectionResponse, CoreTokenType,
    },
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};
use tokio::sync::Mutex;
use url::Url;

/// How long what an issuer says of itself is believed without asking again.
const FRESH: Duration = Duration::from_hours(1);
/// Longest name and mail address that are kept, in characters.
const LONGEST: usize = 200;

/// Signatures that are accepted: those that only the issuer can make.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

type Metadata = ProviderMetadata<
    LogoutProviderMetadata<Announced>,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;
type Fields = IdTokenFields<More, EmptyExtraTokenFields, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm>;
type Tokens = StandardTokenResponse<Fields, CoreTokenType>;
type IdToken = openidconnect::IdToken<More, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm>;
type IdTokenClaims = openidconnect::IdTokenClaims<More, CoreGenderClaim>;
type Oidc = openidconnect::Client<
    More,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    Tokens,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// What an issuer says of itself beyond the standard library's fields.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Announced {
    /// RFC 9207: its answers name it.
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}
impl AdditionalProviderMetadata for Announced {}

/// Claims beyond the standard ones.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct More {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    groups: Option<Groups>,
}
impl AdditionalClaims for More {}

/// Issuers disagree on whether one group is a list.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Groups {
    Many(Vec<String>),
    One(String),
}

/// A sign-in that was begun; kept in the visitor's session and used once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pending {
    /// Ties the issuer's answer to this browser.
    pub state: String,
    nonce: String,
    verifier: String,
    /// Where to go afterwards.
    pub back: String,
    /// When it was begun, in seconds since 1970.
    pub begun: i64,
}

/// A sign-in that succeeded.
#[derive(Debug)]
pub struct SignedIn {
    /// Who it is.
    pub identity: Identity,
    /// The token, which the issuer wants to see again at sign-out.
    pub id_token: String,
}

/// Why it did not.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The issuer does not answer.
    #[error("the issuer cannot be reached: {0:#}")]
    Away(anyhow::Error),
    /// What it answered is not right.
    #[error("the issuer's answer was refused: {0:#}")]
    Refused(anyhow::Error),
    /// The account is not a customer's.
    #[error("the account {0} is not among those of GRANARY_OIDC_ALLOW")]
    NotAllowed(String),
}

/// What was learned of the issuer.
struct Known {
    metadata: Metadata,
    client: Oidc,
    at: Instant,
}

/// Speaks to one issuer.
pub struct Client {
    issuer: IssuerUrl,
    id: ClientId,
    secret: Option<SecretString>,
    redirect: RedirectUrl,
    after_sign_out: PostLogoutRedirectUrl,
    /// `None`: every account of the built-in provider is welcome.
    allow: Option<Vec<Allow>>,
    http: Http,
    known: RwLock<Option<Arc<Known>>>,
    /// Held while the issuer is asked: once for all who wait.
    asking: Mutex<()>,
}

impl Client {
    /// That of these settings; speaks to nobody yet.
    ///
    /// # Errors
    /// When a URL is none, or the HTTP client cannot be made.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let at = |path: &str| config.public_url.join(path).map(String::from);
        let (issuer, id) = match &config.oidc {
            Some(oidc) => (oidc.issuer.clone(), oidc.client_id.clone()),
            None => (at(super::dev_provider::PATH)?, super::dev_provider::CLIENT_ID.to_owned()),
        };
        Ok(Self {
            issuer: IssuerUrl::new(issuer)?,
            id: ClientId::new(id),
            secret: config.oidc.as_ref().and_then(|oidc| oidc.client_secret.clone()),
            redirect: RedirectUrl::new(at("/auth/callback")?)?,
            after_sign_out: PostLogoutRedirectUrl::new(at("/sign-in")?)?,
            allow: config.oidc.as_ref().map(|oidc| oidc.allow.clone()),
            // The built-in provider opens for this machine alone, not for its proxy.
            http: Http::new(config.oidc.is_none())?,
            known: RwLock::default(),
            asking: Mutex::default(),
        })
    }

    /// Begins a sign-in: where to send the browser, and what to keep until it comes back.
    ///
    /// # Errors
    /// [`Trouble::Away`].
    pub async fn begin(&self, back: &str, now: i64) -> Result<(Url, Pending), Trouble> {
        let known = self.known(FRESH).await?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let flow = CoreAuthenticationFlow::AuthorizationCode;
        let (url, state, nonce) = known
            .client
            .authorize_url(flow, CsrfToken::new_random, Nonce::new_random)
            .add_scopes(["profile", "email"].map(|scope| Scope::new(scope.to_owned())))
            .add_scopes(self.wants_groups().then(|| Scope::new("groups".to_owned())).filter(|scope| offers(&known.metadata, scope)))
            .set_pkce_challenge(challenge)
            .url();
        let pending = Pending {
            state: state.into_secret(),
            nonce: nonce.secret().clone(),
            verifier: verifier.into_secret(),
            back: back.to_owned(),
            begun: now,
        };
        Ok((url, pending))
    }

    /// Ends it with the code that the browser brought back, and the issuer it says it comes from.
    ///
    /// # Errors
    /// [`Trouble`].
    pub async fn finish(&self, pending: Pending, code: String, issuer: Option<&str>) -> Result<SignedIn, Trouble> {
        let known = self.known(FRESH).await?;
        self.check_issuer(&known, issuer)?;
        let request = known.client.exchange_code(AuthorizationCode::new(code)).map_err(|e| Trouble::Refused(e.into()))?;
        let tokens: Tokens =
            request.set_pkce_verifier(PkceCodeVerifier::new(pending.verifier)).request_async(&self.http).await.map_err(token_trouble)?;
        let id_token = tokens.id_token().ok_or_else(|| Trouble::Refused(anyhow!("there is no ID token in it")))?;
        let nonce = Nonce::new(pending.nonce);
        let (known, claims) = self.verify(known, id_token, &nonce).await?;
        check_access_token(&known, id_token, &claims, &tokens).map_err(Trouble::Refused)?;
        let info = self.user_info(&known, &claims, &tokens).await?;
        let (identity, claims) = self.judge(&claims, info.as_ref());
        if self.allow.as_ref().is_some_and(|rules| !allow::is_allowed(rules, &claims)) {
            return Err(Trouble::NotAllowed(identity.subject));
        }
        Ok(SignedIn { identity, id_token: id_token.to_string() })
    }

    /// Where to send the browser to sign out at the issuer as well; `None` where that is not possible.
    #[must_use]
    pub fn sign_out_url(&self, id_token: Option<&str>) -> Option<Url> {
        let end = self.known_now()?.metadata.additional_metadata().end_session_endpoint.clone()?;
        let mut request = LogoutRequest::from(end).set_client_id(self.id.clone()).set_post_logout_redirect_uri(self.after_sign_out.clone());
        if let Some(token) = id_token.and_then(|token| token.parse::<IdToken>().ok()) {
            request = request.set_id_token_hint(&token);
        }
        Some(request.http_get_url())
    }

    /// Origins that signing in and out leads a browser to.
    #[must_use]
    pub fn origins(&self) -> Vec<String> {
        let known = self.known_now();
        let end = known.as_ref().and_then(|k| k.metadata.additional_metadata().end_session_endpoint.as_ref().map(|end| end.url().clone()));
        let begin = known.as_ref().map_or_else(|| self.issuer.url().clone(), |k| k.metadata.authorization_endpoint().url().clone());
        let mut origins: Vec<_> = [Some(begin), end].into_iter().flatten().map(|url| url.origin().ascii_serialization()).collect();
        origins.dedup();
        origins
    }

    /// Learns of the issuer before anybody signs in, however long it takes.
    pub async fn warm_up(&self) {
        let mut pause = Duration::from_secs(1);
        while let Err(error) = self.known(FRESH).await {
            tracing::warn!(%error, issuer = self.issuer.as_str(), "nobody can sign in at the moment");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_mins(1));
        }
    }

    fn wants_groups(&self) -> bool {
        self.allow.iter().flatten().any(|rule| matches!(rule, Allow::Group(_)))
    }

    fn known_now(&self) -> Option<Arc<Known>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is known of the issuer, asked again when it is older than `fresh`. If it does not answer, what was known
    /// before has to do.
    async fn known(&self, fresh: Duration) -> Result<Arc<Known>, Trouble> {
        let is_fresh = |known: &Arc<Known>| known.at.elapsed() < fresh;
        if let Some(known) = self.known_now().filter(is_fresh) {
            return Ok(known);
        }
        let _asking = self.asking.lock().await;
        if let Some(known) = self.known_now().filter(is_fresh) {
            return Ok(known);
        }
        match self.ask().await {
            Ok(known) => {
                let known = Arc::new(known);
                *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(known.clone());
                Ok(known)
            }
            Err(error) => self.known_now().ok_or(Trouble::Away(error)),
        }
    }

    async fn ask(&self) -> anyhow::Result<Known> {
        let metadata =
            Metadata::discover_async(self.issuer.clone(), &self.http).await.with_context(|| format!("its metadata at {}", self.issuer.as_str()))?;
        let secret = self.secret.as_ref().map(|secret| ClientSecret::new(secret.expose_secret().to_owned()));
        let client = Oidc::from_provider_metadata(metadata.clone(), self.id.clone(), secret).set_redirect_uri(self.redirect.clone());
        // Basic is what an issuer supports that does not say.
        let methods = metadata.token_endpoint_auth_methods_supported();
        let posts =
            methods.is_some_and(|m| m.contains(&CoreClientAuthMethod::ClientSecretPost) && !m.contains(&CoreClientAuthMethod::ClientSecretBasic));
        let client = if posts { client.set_auth_type(AuthType::RequestBody) } else { client };
        Ok(Known { metadata, client, at: Instant::now() })
    }

    /// RFC 9207: an answer that names another issuer was mixed up on its way.
    fn check_issuer(&self, known: &Known, named: Option<&str>) -> Result<(), Trouble> {
        let announced = known.metadata.additional_metadata().additional_metadata.authorization_response_iss_parameter_supported;
        match named {
            Some(named) if named != self.issuer.as_str() => Err(Trouble::Refused(anyhow!("it names another issuer"))),
            None if announced => Err(Trouble::Refused(anyhow!("it does not name its issuer, which this issuer's answers do"))),
            _ => Ok(()),
        }
    }

    /// Verifies the ID token; with newly fetched keys when its key is not among those that are known.
    async fn verify(&self, known: Arc<Known>, token: &IdToken, nonce: &Nonce) -> Result<(Arc<Known>, IdTokenClaims), Trouble> {
        let claims = |known: &Known| token.claims(&known.client.id_token_verifier().set_allowed_algs(ALGORITHMS), nonce).cloned();
        match claims(&known) {
            Ok(claims) => return Ok((known, claims)),
            Err(ClaimsVerificationError::SignatureVerification(_)) => {}
            Err(error) => return Err(Trouble::Refused(error.into())),
        }
        let known = self.known(Duration::ZERO).await?;
        let claims = claims(&known).map_err(|e| Trouble::Refused(e.into()))?;
        Ok((known, claims))
    }

    /// What the ID token left out, from the issuer's user info endpoint, if it has one.
    async fn user_info(
        &self,
        known: &Known,
        claims: &IdTokenClaims,
        tokens: &Tokens,
    ) -> Result<Option<UserInfoClaims<More, CoreGenderClaim>>, Trouble> {
        let complete = claims.email().is_some()
            && (claims.name().is_some() || claims.preferred_username().is_some())
            && (claims.additional_claims().groups.is_some() || !self.wants_groups());
        if complete || known.client.user_info_url().is_none() {
            return Ok(None);
        }
        let request = known.client.user_info(tokens.access_token().clone(), Some(claims.subject().clone()));
        let request = request.map_err(|e| Trouble::Refused(e.into()))?;
        request.request_async(&self.http).await.map(Some).map_err(|e| Trouble::Refused(anyhow!(e).context("its user info")))
    }

    fn judge(&self, token: &IdTokenClaims, info: Option<&UserInfoClaims<More, CoreGenderClaim>>) -> (Identity, Claims) {
        let subject = token.subject().to_string();
        // Address and "verified" are taken from the same place.
        let (email, verified) = match (token.email(), info.and_then(UserInfoClaims::email)) {
            (Some(email), _) => (Some(email.to_string()), token.email_verified()),
            (None, Some(email)) => (Some(email.to_string()), info.and_then(UserInfoClaims::email_verified)),
            (None, None) => (None, None),
        };
        let name = |claim: Option<&openidconnect::LocalizedClaim<openidconnect::EndUserName>>| {
            claim.and_then(|name| name.get(None).or_else(|| name.iter().next().map(|(_, name)| name))).map(|name| name.to_string())
        };
        let username = token.preferred_username().or_else(|| info?.preferred_username()).map(|name| name.to_string());
        let name = name(token.name()).or_else(|| name(info?.name())).or(username);
        let groups = token.additional_claims().groups.clone().or_else(|| info?.additional_claims().groups.clone());
        let groups = match groups {
            Some(Groups::Many(groups)) => groups,
            Some(Groups::One(group)) => vec![group],
            None => Vec::new(),
        };
        let claims = Claims { subject: subject.clone(), verified_email: email.clone().filter(|_| verified == Some(true)), groups };
        let identity = Identity {
            issuer: self.issuer.as_str().to_owned(),
            subject,
            email: email.as_deref().and_then(short),
            name: name.as_deref().and_then(short),
        };
        (identity, claims)
    }
}

fn offers(metadata: &Metadata, scope: &Scope) -> bool {
    metadata.scopes_supported().is_some_and(|scopes| scopes.contains(scope))
}

/// An issuer that does not answer is told from one that says no.
fn token_trouble(error: openidconnect::RequestTokenError<HttpError, StandardErrorResponse<CoreErrorResponseType>>) -> Trouble {
    match error {
        openidconnect::RequestTokenError::Request(error) => Trouble::Away(error.into()),
        other => Trouble::Refused(anyhow!(other).context("its token endpoint")),
    }
}

/// The ID token's hash of the access token, where it has one, ties the two together.
fn check_access_token(known: &Known, token: &IdToken, claims: &IdTokenClaims, tokens: &Tokens) -> anyhow::Result<()> {
    let Some(expected) = claims.access_token_hash() else { return Ok(()) };
    let verifier = known.client.id_token_verifier();
    let actual = AccessTokenHash::from_token(tokens.access_token(), token.signing_alg()?, token.signing_key(&verifier)?)?;
    anyhow::ensure!(actual == *expected, "its access token is not the one of its ID token");
    Ok(())
}

/// For people to read: bounded, on one line, nothing when empty.
fn short(text: &str) -> Option<String> {
    let text: String = text.chars().filter(|c| !c.is_control()).take(LONGEST).collect();
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}
