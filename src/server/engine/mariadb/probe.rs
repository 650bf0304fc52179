//! The probe of a failover drill: a user without rights but on one table, in a database of its own, which no tenant sees.

use super::{
    MariaDb, PROBE,
    admin::verifier,
    client::Client,
    session::{Session, name, only, text},
};
use crate::server::{
    engine::{
        Site,
        probing::{Access, Probe, Probing},
        tls,
    },
    platform::Stream,
};
use anyhow::Context;
use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

/// A drill itself gives up earlier.
const LIMIT: Duration = Duration::from_mins(5);

#[async_trait]
impl Probing for MariaDb {
    async fn make_probe(&self, site: Site<'_>, password: &SecretString) -> anyhow::Result<()> {
        let (database, account) = (name(PROBE), format!("{}@'%'", name(PROBE)));
        let by = format!("IDENTIFIED VIA mysql_native_password USING {} REQUIRE SSL", text(verifier(password).expose_secret()));
        let acts = [
            format!("DROP DATABASE IF EXISTS {database}"),
            format!("CREATE DATABASE {database}"),
            format!("CREATE TABLE {database}.written (number BIGINT NOT NULL)"),
            // The last session may not have been noticed to be gone when the next ones come.
            format!("CREATE OR REPLACE USER {account} {by} WITH MAX_USER_CONNECTIONS 20"),
            format!("GRANT SELECT, INSERT ON {}.* TO {account}", only(PROBE)),
        ];
        let mut session = Session::open(site.platform, site.node).await?;
        for act in acts {
            session.act(&act).await.context("the probe's table cannot be made")?;
        }
        Ok(())
    }

    async fn remove_probe(&self, site: Site<'_>) -> anyhow::Result<()> {
        let mut session = Session::open(site.platform, site.node).await?;
        let account = format!("{}@'%'", name(PROBE));
        session.act(&format!("KILL USER {account}")).await?;
        session.act(&format!("DROP DATABASE IF EXISTS {}", name(PROBE))).await.context("the probe's table cannot be removed")?;
        session.act(&format!("DROP USER IF EXISTS {account}")).await.context("the probe's user cannot be removed")
    }

    async fn open_probe(&self, stream: Box<dyn Stream>, access: &Access) -> anyhow::Result<Box<dyn Probe>> {
        let (connector, server) = (TlsConnector::from(tls::trusting(&access.ca_pem)?), ServerName::from(access.server));
        let secure = |stream| async move { Ok(Box::new(connector.connect(server, stream).await?) as Box<dyn Stream>) };
        let client = Client::by_password(stream, secure, PROBE, &access.password).await?;
        Ok(Box::new(Writer(Mutex::new(client))))
    }
}

struct Writer(Mutex<Client>);

#[async_trait]
impl Probe for Writer {
    async fn write(&self, number: i64) -> anyhow::Result<bool> {
        self.0.lock().await.ask(&format!("INSERT INTO {}.written VALUES ({number})", name(PROBE)), LIMIT).await?;
        // A commit waits for its replica for ever, so there is nothing to warn of.
        Ok(true)
    }

    async fn read(&self) -> anyhow::Result<Vec<i64>> {
        let rows = self.0.lock().await.ask(&format!("SELECT number FROM {}.written", name(PROBE)), LIMIT).await?;
        Ok(rows.column("number")?.into_iter().map(str::parse).collect::<Result<_, _>>()?)
    }
}
