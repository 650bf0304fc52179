//! What a failover drill asks of an engine: something to write to, and sessions that write as an application would.

use super::Site;
use crate::server::platform::Stream;
use async_trait::async_trait;
use secrecy::SecretString;
use std::net::IpAddr;

/// How an application reaches the primary endpoint.
#[derive(Debug, Clone)]
pub struct Access {
    /// The endpoint's address: the server's certificate must carry it.
    pub server: IpAddr,
    /// The datastore's CA, the only one that is trusted.
    pub ca_pem: String,
    /// Password of the probe's role.
    pub password: SecretString,
}

/// An engine whose datastores can be drilled.
#[async_trait]
pub trait Probing: Send + Sync {
    /// Makes a role that signs in with this password and a place of its own where it may write numbers, empty, apart from people's
    /// data, on the primary. Done again, it begins anew.
    async fn make_probe(&self, site: Site<'_>, password: &SecretString) -> anyhow::Result<()>;

    /// Removes all of that from the primary, its sessions too.
    async fn remove_probe(&self, site: Site<'_>) -> anyhow::Result<()>;

    /// Signs in over a stream to the primary endpoint, over TLS, once the server has proved who it is.
    async fn open_probe(&self, stream: Box<dyn Stream>, access: &Access) -> anyhow::Result<Box<dyn Probe>>;
}

/// A session of the probe. Dropped, its connection closes.
#[async_trait]
pub trait Probe: Send + Sync {
    /// Writes a number; `true` when the server acknowledged that it is there to stay, `false` when it did so with a warning.
    async fn write(&self, number: i64) -> anyhow::Result<bool>;

    /// All numbers that are there.
    async fn read(&self) -> anyhow::Result<Vec<i64>>;
}
