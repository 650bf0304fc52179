//! The probe of a failover drill: a role without rights but on one table, in the server's own database, where no tenant may enter.

use super::{
    PROBE, PostgreSql,
    session::{MAINTENANCE, Session},
};
use crate::server::{
    crypto::scram,
    engine::{
        Site,
        probing::{Access, Probe, Probing},
        tls::{Secured, Verified},
    },
    platform::Stream,
};
use anyhow::Context;
use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio_postgres::{AsyncMessage, Client, Config, Connection, config::SslMode, error::Severity};
use tokio_util::task::AbortOnDropHandle;

/// The last session may not have been noticed to be gone when the next ones come.
const RIGHTS: &str =
    "ALTER ROLE %I WITH LOGIN NOINHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 20 PASSWORD %L";
const ROLE: &str = "SELECT 1 FROM pg_roles WHERE rolname = $1";
/// Of Granary's own superuser: the probe owns nothing.
const PLACE: &str = "
    DROP SCHEMA IF EXISTS granary_probe CASCADE;
    CREATE SCHEMA granary_probe;
    CREATE TABLE granary_probe.written (number bigint NOT NULL);
    GRANT USAGE ON SCHEMA granary_probe TO granary_probe;
    GRANT INSERT, SELECT ON granary_probe.written TO granary_probe;
    GRANT CONNECT ON DATABASE postgres TO granary_probe;";
const WRITE: &str = "INSERT INTO granary_probe.written (number) VALUES ($1)";
const READ: &str = "SELECT number FROM granary_probe.written";
const END_SESSIONS: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = $1";
const NO_PLACE: &str = "DROP SCHEMA IF EXISTS granary_probe CASCADE";
/// The right to connect goes with it.
const NO_ROLE: &str = "DROP OWNED BY granary_probe; DROP ROLE granary_probe";

async fn open(site: Site<'_>) -> anyhow::Result<Session> {
    let session = Session::open(site.platform, site.node, MAINTENANCE).await?;
    // Also while the storage is nearly full.
    session.act("SET default_transaction_read_only = off").await?;
    Ok(session)
}

#[async_trait]
impl Probing for PostgreSql {
    async fn make_probe(&self, site: Site<'_>, password: &SecretString) -> anyhow::Result<()> {
        let session = open(site).await?;
        if !session.has(ROLE, &[&PROBE]).await? {
            session.act_on("CREATE ROLE %I", &[PROBE]).await?;
        }
        session.act_on(RIGHTS, &[PROBE, scram::verifier(password).expose_secret()]).await?;
        session.act(PLACE).await.context("the probe's table cannot be made")
    }

    async fn remove_probe(&self, site: Site<'_>) -> anyhow::Result<()> {
        let session = open(site).await?;
        session.row(END_SESSIONS, &[&PROBE]).await?;
        session.act(NO_PLACE).await.context("the probe's table cannot be removed")?;
        if session.has(ROLE, &[&PROBE]).await? {
            session.act(NO_ROLE).await.context("the probe's role cannot be removed")?;
        }
        Ok(())
    }

    async fn open_probe(&self, stream: Box<dyn Stream>, access: &Access) -> anyhow::Result<Box<dyn Probe>> {
        let mut config = Config::new();
        config.user(PROBE).dbname(MAINTENANCE).password(access.password.expose_secret()).application_name("granary drill").ssl_mode(SslMode::Require);
        let (client, connection) = config.connect_raw(stream, Verified::new(&access.ca_pem, access.server)?).await?;
        let warned = Arc::new(AtomicBool::new(false));
        let connection = AbortOnDropHandle::new(tokio::spawn(listen(connection, warned.clone())));
        Ok(Box::new(Writer { client, warned, _connection: connection }))
    }
}

/// Moves the connection on. A warning is noted before the answer that follows it is passed on.
async fn listen(mut connection: Connection<Box<dyn Stream>, Secured<'static>>, warned: Arc<AtomicBool>) {
    while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
        if let AsyncMessage::Notice(notice) = message
            && notice.parsed_severity().is_none_or(|severity| severity == Severity::Warning)
        {
            tracing::debug!("a probe was warned: {}", notice.message());
            warned.store(true, Ordering::Release);
        }
    }
}

struct Writer {
    client: Client,
    warned: Arc<AtomicBool>,
    _connection: AbortOnDropHandle<()>,
}

#[async_trait]
impl Probe for Writer {
    async fn write(&self, number: i64) -> anyhow::Result<bool> {
        self.client.execute(WRITE, &[&number]).await?;
        // “committed locally, but might not have been replicated” comes with a warning, not as an error.
        Ok(!self.warned.swap(false, Ordering::AcqRel))
    }

    async fn read(&self) -> anyhow::Result<Vec<i64>> {
        self.client.query(READ, &[]).await?.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }
}
