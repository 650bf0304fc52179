//! What is known of the issuer.
//!
//! It is looked up when it is needed first and again from time to time: an issuer that is down keeps nobody from starting
//! Granary, nor those who are signed in from working.

use super::{
    client::{More, Trouble},
    http::{Http, HttpError},
};
use crate::server::config::Config;
use anyhow::{Context, anyhow, ensure};
use openidconnect::{
    AdditionalProviderMetadata, AuthType, ClientId, ClientSecret, DiscoveryError, EmptyExtraTokenFields, EndSessionUrl, EndpointMaybeSet,
    EndpointNotSet, EndpointSet, IdTokenFields, IssuerUrl, LogoutProviderMetadata, ProviderMetadata, RedirectUrl, StandardErrorResponse,
    StandardTokenResponse, TokenUrl, UserInfoUrl,
    core::{
        CoreAuthDisplay, CoreAuthPrompt, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreErrorResponseType, CoreGenderClaim, CoreGrantType,
        CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm, CoreJwsSigningAlgorithm, CoreResponseMode,
        CoreResponseType, CoreRevocableToken, CoreRevocationErrorResponse, CoreSubjectIdentifierType, CoreTokenIntrospectionResponse, CoreTokenType,
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
/// How often the issuer is asked at most because of what strangers send.
const SELDOM: Duration = Duration::from_secs(10);

/// Signatures that are accepted: those that only the issuer can make.
pub(super) const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
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

pub(super) type Metadata = ProviderMetadata<
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
pub(super) type Tokens = StandardTokenResponse<Fields, CoreTokenType>;
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
pub(super) struct Announced {
    /// RFC 9207: its answers name it.
    #[serde(default)]
    pub(super) authorization_response_iss_parameter_supported: bool,
}
impl AdditionalProviderMetadata for Announced {}

/// What was learned of the issuer.
pub(super) struct Known {
    pub(super) metadata: Metadata,
    pub(super) client: Oidc,
    at: Instant,
}

/// Asks an issuer what it says of itself, and remembers it.
pub(super) struct Knowledge {
    pub(super) issuer: IssuerUrl,
    pub(super) id: ClientId,
    pub(super) http: Http,
    secret: Option<SecretString>,
    redirect: RedirectUrl,
    known: RwLock<Option<Arc<Known>>>,
    /// Held while the issuer is asked: once for all who wait. When it was asked last.
    asking: Mutex<Option<Instant>>,
}

impl Knowledge {
    /// Knows nothing yet.
    pub(super) fn new(config: &Config) -> anyhow::Result<Self> {
        let at = |path: &str| config.public_url.join(path).map(String::from);
        let (issuer, id) = match &config.oidc {
            Some(oidc) => (oidc.issuer.clone(), oidc.client_id.clone()),
            None => (at(super::dev_provider::PATH)?, super::dev_provider::CLIENT_ID.to_owned()),
        };
        Ok(Self {
            issuer: IssuerUrl::new(issuer)?,
            id: ClientId::new(id),
            // The built-in provider opens for this machine alone, not for its proxy.
            http: Http::new(config.oidc.is_none())?,
            secret: config.oidc.as_ref().and_then(|oidc| oidc.client_secret.clone()),
            redirect: RedirectUrl::new(at("/auth/callback")?)?,
            known: RwLock::default(),
            asking: Mutex::default(),
        })
    }

    /// What is known at this moment.
    pub(super) fn now(&self) -> Option<Arc<Known>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is known, asked again when it is old. If the issuer does not answer, what was known before has to do.
    pub(super) async fn get(&self) -> Result<Arc<Known>, Trouble> {
        self.younger_than(FRESH, None).await
    }

    /// Asks again.
    pub(super) async fn renew(&self) -> Result<Arc<Known>, Trouble> {
        self.younger_than(Duration::ZERO, None).await
    }

    /// Asks again, unless the issuer was asked a moment ago: for what anybody can cause.
    pub(super) async fn renew_seldom(&self) -> Result<Arc<Known>, Trouble> {
        self.younger_than(Duration::ZERO, Some(SELDOM)).await
    }

    async fn younger_than(&self, fresh: Duration, pause: Option<Duration>) -> Result<Arc<Known>, Trouble> {
        let is_fresh = |known: &Arc<Known>| known.at.elapsed() < fresh;
        if let Some(known) = self.now().filter(is_fresh) {
            return Ok(known);
        }
        let mut asked = self.asking.lock().await;
        if let Some(known) = self.now().filter(is_fresh) {
            return Ok(known);
        }
        let before = || self.now().ok_or_else(|| Trouble::Away(anyhow!("it did not answer a moment ago")));
        if asked.zip(pause).is_some_and(|(at, pause)| at.elapsed() < pause) {
            return before();
        }
        *asked = Some(Instant::now());
        match self.ask().await {
            Ok(known) => {
                let known = Arc::new(known);
                *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(known.clone());
                Ok(known)
            }
            Err(trouble) => self.now().ok_or(trouble),
        }
    }

    async fn ask(&self) -> Result<Known, Trouble> {
        let metadata = Metadata::discover_async(self.issuer.clone(), &self.http).await.map_err(|e| self.trouble(e))?;
        check_endpoints(&self.issuer, &metadata).map_err(Trouble::Refused)?;
        let secret = self.secret.as_ref().map(|secret| ClientSecret::new(secret.expose_secret().to_owned()));
        let client = Oidc::from_provider_metadata(metadata.clone(), self.id.clone(), secret).set_redirect_uri(self.redirect.clone());
        // Basic is what an issuer supports that does not say.
        let methods = metadata.token_endpoint_auth_methods_supported();
        let posts =
            methods.is_some_and(|m| m.contains(&CoreClientAuthMethod::ClientSecretPost) && !m.contains(&CoreClientAuthMethod::ClientSecretBasic));
        let client = if posts { client.set_auth_type(AuthType::RequestBody) } else { client };
        Ok(Known { metadata, client, at: Instant::now() })
    }

    /// An issuer that does not answer is told from one whose answer is wrong.
    fn trouble(&self, error: DiscoveryError<HttpError>) -> Trouble {
        let what = || format!("its metadata or keys, of {}", self.issuer.as_str());
        match error {
            DiscoveryError::Request(error) => error.trouble().context(what()),
            other => Trouble::Refused(anyhow!(other).context(what())),
        }
    }
}

/// Endpoints under https, where the issuer is: what is sent there are the client's secret, codes and tokens. Their hosts
/// stand in the pages' policy, so they are spelt plainly.
fn check_endpoints(issuer: &IssuerUrl, metadata: &Metadata) -> anyhow::Result<()> {
    let token = metadata.token_endpoint().map(TokenUrl::url).context("its metadata has no token endpoint")?;
    let others =
        [metadata.userinfo_endpoint().map(UserInfoUrl::url), metadata.additional_metadata().end_session_endpoint.as_ref().map(EndSessionUrl::url)];
    let all = [metadata.authorization_endpoint().url(), metadata.jwks_uri().url(), token];
    all.into_iter().chain(others.into_iter().flatten()).try_for_each(|url| check_endpoint(issuer.url(), url))
}

fn check_endpoint(issuer: &Url, url: &Url) -> anyhow::Result<()> {
    let plain = |host: &str| host.chars().all(|c| c.is_ascii_alphanumeric() || "-._:[]".contains(c));
    let schemes: &[&str] = if issuer.scheme() == "https" { &["https"] } else { &["http", "https"] };
    ensure!(schemes.contains(&url.scheme()) && url.host_str().is_some_and(plain), "its metadata names {url:?} as an endpoint");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r001_endpoints_are_no_less_safe_than_the_issuer() {
        let right = |issuer: &str, url: &str| check_endpoint(&Url::parse(issuer).unwrap(), &Url::parse(url).unwrap()).is_ok();
        assert!(right("https://id.example.org", "https://login.example.org:8443/token"));
        assert!(right("http://127.0.0.1:4000", "http://[::1]:4000/token"));
        for url in ["http://id.example.org/token", "javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "https://a;b.example.org/"] {
            assert!(!right("https://id.example.org", url), "{url}");
        }
        assert!(!right("http://127.0.0.1:4000", "ftp://127.0.0.1/token"));
    }
}
