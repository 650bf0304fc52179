//! Settings: every `GRANARY_*` variable, read once, checked, and said in full when wrong.

use secrecy::SecretString;
use std::{net::SocketAddr, path::PathBuf, time::Duration};
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
    /// `GRANARY_TRUSTED_PROXIES`: whose `X-Forwarded-For` counts.
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// `GRANARY_CATALOGUE`: a TOML file instead of the built-in catalogue.
    pub catalogue: Option<PathBuf>,
    /// `GRANARY_KEY_FILE`: the key that wraps all secrets; `<home>/keys/master.key` otherwise.
    pub key_file: Option<PathBuf>,
    /// `GRANARY_LOG_FORMAT`: `text` or `json`.
    pub log_json: bool,
    /// `GRANARY_METRICS_TOKEN`: lets others than loopback read `/metrics`.
    pub metrics_token: Option<SecretString>,
    /// `GRANARY_SESSION_IDLE_MINUTES`: a session unused for so long ends; 8 hours.
    pub session_idle: Duration,
    /// `GRANARY_SESSION_HOURS`: a session ends after so long in any case; 7 days.
    pub session_absolute: Duration,
    /// `GRANARY_SITE`: a folder of browser files instead of those in the program.
    pub site: Option<PathBuf>,
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
    /// `GRANARY_OIDC_ALLOW`: who is a customer, required.
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
