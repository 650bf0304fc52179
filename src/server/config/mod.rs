//! Settings: every `GRANARY_*` variable, read once, checked, and said in full when wrong.

pub mod catalogue;
mod read;

use secrecy::SecretString;
use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};
use url::Url;

/// All settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// `GRANARY_HOME`: everything Granary keeps. `/var/lib/granary` as root, `./var` otherwise.
    pub home: PathBuf,
    /// `GRANARY_LISTEN`: where the dashboard is served, `127.0.0.1:3000`.
    pub listen: SocketAddr,
    /// `GRANARY_PUBLIC_URL`: under which people reach it, `http://127.0.0.1:3000`.
    pub public_url: Url,
    /// `DATABASE_URL`: the metadata database; Granary's own when unset.
    pub database_url: Option<SecretString>,
    /// `GRANARY_OIDC_*`; the built-in development provider when no issuer is set.
    pub oidc: Option<Oidc>,
    /// `GRANARY_TRUSTED_PROXIES`: whose `X-Forwarded-For` counts; addresses or networks, comma-separated.
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// `GRANARY_CATALOGUE`: a TOML file instead of the built-in catalogue.
    pub catalogue: Option<PathBuf>,
    /// `GRANARY_KEY_FILE`: the key that wraps all secrets; `<home>/keys/master.key` otherwise.
    pub key_file: Option<PathBuf>,
    /// `GRANARY_LOG`: what is logged, such as `info,granary=debug`.
    pub log: String,
    /// `GRANARY_LOG_FORMAT`: `text` or `json`.
    pub log_json: bool,
    /// `GRANARY_METRICS_TOKEN`: lets others than loopback read `/metrics`; at least 16 characters.
    pub metrics_token: Option<SecretString>,
    /// `GRANARY_SESSION_IDLE_MINUTES`: a session unused for so long ends; 8 hours.
    pub session_idle: Duration,
    /// `GRANARY_SESSION_HOURS`: a session ends after so long in any case; 7 days.
    pub session_absolute: Duration,
    /// `GRANARY_SPARES`: how many datastores of each kind are kept ready before anybody asks for one; 0 for none.
    pub spares: usize,
    /// `GRANARY_SITE`: a folder of browser files instead of those in the program.
    pub site: Option<PathBuf>,
}

impl Config {
    /// Where the key that wraps all secrets lies.
    #[must_use]
    pub fn key_file(&self) -> PathBuf {
        self.key_file.clone().unwrap_or_else(|| self.home.join("keys/master.key"))
    }

    /// True when people reach Granary under https: cookies are then `Secure`, and browsers are told to stay with https.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.public_url.scheme() == "https"
    }

    /// Scheme, host and port under which people reach Granary, as an `Origin` header spells it.
    #[must_use]
    pub fn origin(&self) -> String {
        self.public_url.origin().ascii_serialization()
    }
}

/// An external OpenID Connect issuer.
#[derive(Debug, Clone)]
pub struct Oidc {
    /// `GRANARY_OIDC_ISSUER`.
    pub issuer: String,
    /// `GRANARY_OIDC_CLIENT_ID`.
    pub client_id: String,
    /// `GRANARY_OIDC_CLIENT_SECRET`.
    pub client_secret: Option<SecretString>,
    /// `GRANARY_OIDC_ALLOW`: who is a customer, required; rules, comma-separated.
    pub allow: Vec<Allow>,
}

/// One rule of `GRANARY_OIDC_ALLOW`: `sub:<subject>`, `domain:<verified mail domain>`, `group:<group>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allow {
    /// This subject.
    Subject(String),
    /// Verified mail addresses of this domain.
    Domain(String),
    /// Members of this group (claim `groups`).
    Group(String),
}

/// Everything that is wrong with the settings or the catalogue, each in words that say what to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<String>);

impl Problems {
    /// Notes one.
    pub fn add(&mut self, problem: impl Into<String>) {
        self.0.push(problem.into());
    }

    /// Keeps the value, or notes what was wrong.
    pub fn check<T>(&mut self, result: Result<T, String>) -> Option<T> {
        result.map_err(|problem| self.add(problem)).ok()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Granary's settings need another look:")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  - {problem}"))
    }
}

impl std::error::Error for Problems {}
