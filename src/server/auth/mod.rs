//! Who somebody is. There is one way in, `OpenID` Connect; a built-in provider speaks it where no issuer is set.

pub mod allow;
pub mod client;
pub mod current;
pub mod dev_provider;
pub mod http;
mod known;
pub mod logout;
pub mod routes;
pub mod session;
pub mod trouble;

use super::config::Config;
use client::Client;
use std::sync::Arc;

/// What signing in stands on; cheap to clone.
#[derive(Clone)]
pub struct Auth {
    /// Speaks to the issuer.
    pub client: Arc<Client>,
    /// The built-in provider, where no issuer is set.
    pub dev_provider: Option<Arc<dev_provider::DevProvider>>,
}

impl Auth {
    /// That of these settings; speaks to nobody yet.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let dev_provider = config.oidc.is_none().then(|| dev_provider::DevProvider::new(config)).transpose()?.map(Arc::new);
        Ok(Self { client: Arc::new(Client::new(config)?), dev_provider })
    }
}
