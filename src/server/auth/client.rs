//! Granary as a client of an `OpenID` Connect issuer: the code flow with PKCE, state, nonce, an exact redirect, and the
//! issuer's name in its answer (RFC 9207).

use super::{
    allow::{self, Claims},
    http::HttpError,
    known::{ALGORITHMS, Knowledge, Known, Metadata, Tokens},
};
use crate::server::{
    config::{Allow, Config},
    db::people::Identity,
};
use anyhow::anyhow;
use openidconnect::{
    AccessTokenHash, AdditionalClaims, AuthorizationCode, ClaimsVerificationError, CsrfToken, LogoutRequest, Nonce, OAuth2TokenResponse,
    PkceCodeChallenge, PkceCodeVerifier, PostLogoutRedirectUrl, RequestTokenError, Scope, SignatureVerificationError, StandardErrorResponse,
    TokenResponse, UserInfoClaims, UserInfoError,
    core::{CoreAuthenticationFlow, CoreErrorResponseType, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm},
};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use time::OffsetDateTime;
use tokio::time::timeout;
use url::Url;

/// How long the issuer's part of a sign-in may take in all: less than any request.
const PATIENCE: Duration = Duration::from_secs(20);
/// How far the issuer's clock may be ahead.
pub(super) const SKEW: time::Duration = time::Duration::minutes(2);
/// Longest name and mail address that are kept, in characters.
const LONGEST: usize = 200;
/// Longest subject, as the standard has it.
const LONGEST_SUBJECT: usize = 255;
/// Longest code and ID token, in bytes; with hundreds of groups a token has some tens of kilobytes.
const LONGEST_CODE: usize = 8 << 10;
const LONGEST_TOKEN: usize = 64 << 10;
/// Longest ID token that is shown to the issuer again at sign-out: it stands in a URL.
const LONGEST_HINT: usize = 4 << 10;

type IdToken = openidconnect::IdToken<More, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm>;
type IdTokenClaims = openidconnect::IdTokenClaims<More, CoreGenderClaim>;
type UserInfo = UserInfoClaims<More, CoreGenderClaim>;

/// Claims beyond the standard ones.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct More {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    groups: Option<Groups>,
    /// Not valid before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<f64>,
    /// The issuer's name for its session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sid: Option<String>,
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
    /// The token, which the issuer wants to see again at sign-out, unless it is too long for that.
    pub id_token: Option<String>,
    /// The issuer's name for its session, by which it may end it.
    pub issuer_session: Option<String>,
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
    /// What it answered is not valid yet, or not any more.
    #[error("the issuer's answer is not valid at this time; do the clocks agree? {0}")]
    Clock(String),
    /// It does not know us.
    #[error("the issuer does not accept this client: {0}; are GRANARY_OIDC_CLIENT_ID, _CLIENT_SECRET and the redirect URI what it knows?")]
    Setup(String),
    /// The account is not a customer's.
    #[error("the account {0} is not among those of GRANARY_OIDC_ALLOW")]
    NotAllowed(String),
}

impl Trouble {
    /// Says where.
    #[must_use]
    pub(super) fn context(self, what: String) -> Self {
        match self {
            Self::Away(error) => Self::Away(error.context(what)),
            Self::Refused(error) => Self::Refused(error.context(what)),
            other => other,
        }
    }
}

/// Speaks to one issuer.
pub struct Client {
    pub(super) issuer: Knowledge,
    after_sign_out: PostLogoutRedirectUrl,
    /// `None`: every account of the built-in provider is welcome.
    allow: Option<Vec<Allow>>,
}

impl Client {
    /// That of these settings; speaks to nobody yet.
    ///
    /// # Errors
    /// When a URL is none, or the HTTP client cannot be made.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        Ok(Self {
            issuer: Knowledge::new(config)?,
            after_sign_out: PostLogoutRedirectUrl::new(config.public_url.join("/sign-in")?.into())?,
            allow: config.oidc.as_ref().map(|oidc| oidc.allow.clone()),
        })
    }

    /// Begins a sign-in: where to send the browser, and what to keep until it comes back.
    ///
    /// # Errors
    /// [`Trouble::Away`].
    pub async fn begin(&self, back: &str, now: i64) -> Result<(Url, Pending), Trouble> {
        let known = in_time(self.issuer.get()).await?;
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
    pub async fn finish(&self, pending: Pending, code: String, issuer: Option<&str>, now: OffsetDateTime) -> Result<SignedIn, Trouble> {
        in_time(async {
            let known = self.issuer.get().await?;
            self.check_issuer(&known, issuer)?;
            let nonce = Nonce::new(pending.nonce);
            let tokens = self.redeem(&known, code, pending.verifier).await?;
            let id_token = tokens.id_token().ok_or_else(|| Trouble::Refused(anyhow!("there is no ID token in it")))?;
            let (known, claims) = self.verify(known, id_token, &nonce).await?;
            self.check_claims(&claims, now)?;
            check_access_token(&known, id_token, &claims, &tokens).map_err(Trouble::Refused)?;
            let info = self.user_info(&known, &claims, &tokens).await?;
            self.admit(id_token, &claims, info.as_ref())
        })
        .await
    }

    /// The tokens that a code stands for.
    async fn redeem(&self, known: &Known, code: String, verifier: String) -> Result<Tokens, Trouble> {
        if code.len() > LONGEST_CODE {
            return Err(Trouble::Refused(anyhow!("its code has {} bytes", code.len())));
        }
        let request = known.client.exchange_code(AuthorizationCode::new(code)).map_err(|e| Trouble::Refused(e.into()))?;
        let tokens: Tokens =
            request.set_pkce_verifier(PkceCodeVerifier::new(verifier)).request_async(&self.issuer.http).await.map_err(token_trouble)?;
        match tokens.id_token().map(|token| token.to_string().len()) {
            Some(length) if length > LONGEST_TOKEN => Err(Trouble::Refused(anyhow!("its ID token has {length} bytes"))),
            _ => Ok(tokens),
        }
    }

    /// Judges who it is by the rules.
    fn admit(&self, token: &IdToken, claims: &IdTokenClaims, info: Option<&UserInfo>) -> Result<SignedIn, Trouble> {
        let issuer_session = claims.additional_claims().sid.clone().filter(|sid| !sid.is_empty());
        let (identity, claims) = self.judge(claims, info);
        if self.allow.as_ref().is_some_and(|rules| !allow::is_allowed(rules, &claims)) {
            return Err(Trouble::NotAllowed(identity.subject));
        }
        let id_token = Some(token.to_string()).filter(|token| token.len() <= LONGEST_HINT);
        Ok(SignedIn { identity, id_token, issuer_session })
    }

    /// Where to send the browser to sign out at the issuer as well; `None` where that is not possible.
    #[must_use]
    pub fn sign_out_url(&self, id_token: Option<&str>) -> Option<Url> {
        let end = self.issuer.now()?.metadata.additional_metadata().end_session_endpoint.clone()?;
        let mut request = LogoutRequest::from(end).set_client_id(self.issuer.id.clone()).set_post_logout_redirect_uri(self.after_sign_out.clone());
        if let Some(token) = id_token.and_then(|token| token.parse::<IdToken>().ok()) {
            request = request.set_id_token_hint(&token);
        }
        Some(request.http_get_url())
    }

    /// Origins that signing in and out leads a browser to.
    #[must_use]
    pub fn origins(&self) -> Vec<String> {
        let known = self.issuer.now();
        let end = known.as_ref().and_then(|k| k.metadata.additional_metadata().end_session_endpoint.as_ref().map(|end| end.url().clone()));
        let begin = known.as_ref().map_or_else(|| self.issuer.issuer.url().clone(), |k| k.metadata.authorization_endpoint().url().clone());
        let mut origins: Vec<_> = [Some(begin), end].into_iter().flatten().map(|url| url.origin().ascii_serialization()).collect();
        origins.dedup();
        origins
    }

    /// Learns of the issuer before anybody signs in, however long it takes.
    pub async fn warm_up(&self) {
        let mut pause = Duration::from_secs(1);
        while let Err(trouble) = self.issuer.get().await {
            tracing::warn!(error = trouble.to_string(), issuer = self.issuer.issuer.as_str(), "nobody can sign in at the moment");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_mins(1));
        }
    }

    fn wants_groups(&self) -> bool {
        self.allow.iter().flatten().any(|rule| matches!(rule, Allow::Group(_)))
    }

    /// RFC 9207: an answer that names another issuer was mixed up on its way.
    fn check_issuer(&self, known: &Known, named: Option<&str>) -> Result<(), Trouble> {
        let announced = known.metadata.additional_metadata().additional_metadata.authorization_response_iss_parameter_supported;
        match named {
            Some(named) if named != self.issuer.issuer.as_str() => Err(Trouble::Refused(anyhow!("it names another issuer"))),
            None if announced => Err(Trouble::Refused(anyhow!("it does not name its issuer, which this issuer's answers do"))),
            _ => Ok(()),
        }
    }

    /// Verifies the ID token; with newly fetched keys when its key is not among those that are known.
    async fn verify(&self, known: Arc<Known>, token: &IdToken, nonce: &Nonce) -> Result<(Arc<Known>, IdTokenClaims), Trouble> {
        let claims = |known: &Known| token.claims(&known.client.id_token_verifier().set_allowed_algs(ALGORITHMS), nonce).cloned();
        let error = match claims(&known) {
            Ok(claims) => return Ok((known, claims)),
            Err(error) => error,
        };
        let ClaimsVerificationError::SignatureVerification(
            SignatureVerificationError::NoMatchingKey | SignatureVerificationError::CryptoError(_) | SignatureVerificationError::InvalidKey(_),
        ) = error
        else {
            return Err(claims_trouble(error));
        };
        let known = self.issuer.renew().await?;
        let claims = claims(&known).map_err(claims_trouble)?;
        Ok((known, claims))
    }

    /// What the standard asks of an ID token beyond what the library verifies.
    fn check_claims(&self, claims: &IdTokenClaims, now: OffsetDateTime) -> Result<(), Trouble> {
        if !is_subject(claims.subject()) {
            return Err(Trouble::Refused(anyhow!("its subject is empty, too long, or has control characters")));
        }
        if claims.authorized_party().is_some_and(|party| *party != self.issuer.id) {
            return Err(Trouble::Refused(anyhow!("it was issued to another client")));
        }
        let latest = now + SKEW;
        if claims.issue_time().timestamp() > latest.unix_timestamp() {
            return Err(Trouble::Clock(format!("it was issued at {}", claims.issue_time())));
        }
        match claims.additional_claims().nbf {
            Some(nbf) if nbf > seconds(latest) => Err(Trouble::Clock(format!("it is valid from {nbf} seconds on"))),
            _ => Ok(()),
        }
    }

    /// What the ID token left out, from the issuer's user info endpoint, if it has one.
    async fn user_info(&self, known: &Known, claims: &IdTokenClaims, tokens: &Tokens) -> Result<Option<UserInfo>, Trouble> {
        let complete = claims.email().is_some()
            && (claims.name().is_some() || claims.preferred_username().is_some())
            && (claims.additional_claims().groups.is_some() || !self.wants_groups());
        if complete || known.client.user_info_url().is_none() {
            return Ok(None);
        }
        let request = known.client.user_info(tokens.access_token().clone(), Some(claims.subject().clone()));
        let request = request.map_err(|e| Trouble::Refused(e.into()))?;
        request.request_async(&self.issuer.http).await.map(Some).map_err(|error| match error {
            UserInfoError::Request(error) => error.trouble().context("its user info".to_owned()),
            other => Trouble::Refused(anyhow!(other).context("its user info")),
        })
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
            issuer: self.issuer.issuer.as_str().to_owned(),
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

/// An issuer may be slow in each of its answers, and a person does not wait for ever.
async fn in_time<T>(work: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(Trouble::Away(anyhow!("it did not answer within {PATIENCE:?}"))))
}

/// An issuer that does not answer is told from one that says no, and from one that does not know us.
fn token_trouble(error: RequestTokenError<HttpError, StandardErrorResponse<CoreErrorResponseType>>) -> Trouble {
    let what = "its token endpoint";
    match error {
        RequestTokenError::Request(error) => error.trouble().context(what.to_owned()),
        RequestTokenError::ServerResponse(error)
            if matches!(error.error(), CoreErrorResponseType::InvalidClient | CoreErrorResponseType::UnauthorizedClient) =>
        {
            Trouble::Setup(error.to_string())
        }
        other => Trouble::Refused(anyhow!(other).context(what)),
    }
}

fn claims_trouble(error: ClaimsVerificationError) -> Trouble {
    match error {
        ClaimsVerificationError::Expired(error) => Trouble::Clock(error),
        other => Trouble::Refused(other.into()),
    }
}

/// Whether it can stand for somebody.
pub(super) fn is_subject(subject: &str) -> bool {
    !subject.is_empty() && subject.len() <= LONGEST_SUBJECT && !subject.chars().any(char::is_control)
}

/// Seconds since 1970, as tokens have it.
pub(super) fn seconds(at: OffsetDateTime) -> f64 {
    (at - OffsetDateTime::UNIX_EPOCH).as_seconds_f64()
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
