//! The probe of a failover drill: a user without rights but on one key, a list in the last of the server's databases.

use super::{PROBE, Redis, admin, client::Client};
use crate::server::{
    engine::{
        Site,
        probing::{Access, Probe, Probing},
        tls::Verified,
    },
    platform::Stream,
};
use anyhow::Context;
use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;

/// Its rights. No user of Redis can be kept to one database; this one has no other key in any.
const RIGHTS: &str = "reset on sanitize-payload resetchannels -@all +select +rpush +lrange ~granary_probe";
/// The key, which tenants see in this database while a drill runs.
const KEY: &str = PROBE;
/// The last: people use the first ones.
const DATABASE: &str = "15";

/// Removes what was written.
async fn empty(client: &mut Client) -> anyhow::Result<()> {
    client.act(&["SELECT", DATABASE]).await?;
    client.ask(&["DEL", KEY]).await.context("the probe's list cannot be removed").map(drop)
}

#[async_trait]
impl Probing for Redis {
    async fn make_probe(&self, site: Site<'_>, password: &SecretString) -> anyhow::Result<()> {
        let mut client = self.sign_in(site.platform, site.node).await?;
        empty(&mut client).await?;
        let verifier = admin::verifier(password);
        let words = ["ACL", "SETUSER", PROBE].into_iter().chain(RIGHTS.split(' ')).chain([verifier.expose_secret()]);
        client.act(&words.collect::<Vec<_>>()).await.context("the probe's user cannot be made")?;
        client.act(&["ACL", "SAVE"]).await
    }

    async fn remove_probe(&self, site: Site<'_>) -> anyhow::Result<()> {
        let mut client = self.sign_in(site.platform, site.node).await?;
        // Its sessions end with it.
        client.ask(&["ACL", "DELUSER", PROBE]).await.context("the probe's user cannot be removed")?;
        client.act(&["ACL", "SAVE"]).await?;
        empty(&mut client).await
    }

    async fn open_probe(&self, stream: Box<dyn Stream>, access: &Access) -> anyhow::Result<Box<dyn Probe>> {
        let stream = Verified::new(&access.ca_pem, access.server)?.connect(stream).await?;
        let mut client = Client::over(Box::new(stream)).signed_in(PROBE, &access.password).await?;
        client.act(&["SELECT", DATABASE]).await?;
        Ok(Box::new(Writer(Mutex::new(client))))
    }
}

struct Writer(Mutex<Client>);

#[async_trait]
impl Probe for Writer {
    async fn write(&self, number: i64) -> anyhow::Result<bool> {
        self.0.lock().await.ask(&["RPUSH", KEY, &number.to_string()]).await?;
        Ok(true)
    }

    async fn read(&self) -> anyhow::Result<Vec<i64>> {
        let said = self.0.lock().await.list(&["LRANGE", KEY, "0", "-1"]).await?;
        said.iter().map(|number| Ok(number.parse()?)).collect()
    }
}
