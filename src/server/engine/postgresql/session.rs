//! Granary's own session: a superuser, over the node's socket, known by its OS user.
//!
//! It reads catalogues only. Tenants' objects cannot come in its way: nothing but the system's own schema is searched.
//! What it sends is neither logged nor shown in `pg_stat_activity`: verifiers stand in it. It waits for nobody long, and for
//! no replica: what Granary sets up must be possible while commits are blocked.

use super::ADMIN;
use crate::server::platform::{Dial, NodeSpec, Platform};
use anyhow::Context;
use std::time::Duration;
use tokio::time::timeout;
use tokio_postgres::{Client, Config, NoTls, Row, error::SqlState, types::ToSql};
use tokio_util::task::AbortOnDropHandle;

/// The server's own database.
pub(super) const MAINTENANCE: &str = "postgres";

/// A tenant can give its own database settings (`ALTER DATABASE … SET`) that meet every session there. Options of the
/// session stand above them: none of those that load, run or change whom a session acts as is left to a tenant.
const OPTIONS: &str = "-c search_path=pg_catalog,pg_temp -c role=none -c local_preload_libraries= -c session_preload_libraries= -c statement_timeout=30s -c lock_timeout=5s \
    -c log_statement=none -c log_min_duration_statement=-1 -c log_duration=off -c log_min_error_statement=panic -c track_activities=off -c synchronous_commit=local";
/// From the first byte to a session that answers.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// What a statement is given.
pub(super) type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A session; its end closes the connection.
pub(super) struct Session {
    client: Client,
    _connection: AbortOnDropHandle<()>,
}

impl Session {
    /// Opens one on a database. At most 10 s.
    pub(super) async fn open(platform: &dyn Platform, node: &NodeSpec, database: &str) -> anyhow::Result<Self> {
        let socket = format!(".s.PGSQL.{}", node.address.port());
        let stream = platform.dial(node, Dial::Socket(&socket)).await.context("the server's socket cannot be reached")?;
        let mut config = Config::new();
        config.user(ADMIN).dbname(database).application_name("granary").options(OPTIONS);
        let (client, connection) = timeout(CONNECT_LIMIT, config.connect_raw(stream, NoTls)).await.context("the server does not answer")??;
        let connection = AbortOnDropHandle::new(tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!("an administrator's session ended: {error}");
            }
        }));
        Ok(Self { client, _connection: connection })
    }

    /// Whether the connection is closed.
    pub(super) fn has_ended(&self) -> bool {
        self.client.is_closed()
    }

    /// Runs a query that gives at most one row.
    pub(super) async fn row(&self, query: &'static str, values: Values<'_>) -> anyhow::Result<Option<Row>> {
        Ok(self.client.query_opt(query, values).await?)
    }

    /// Runs a query.
    pub(super) async fn rows(&self, query: &'static str) -> anyhow::Result<Vec<Row>> {
        Ok(self.client.query(query, &[]).await?)
    }

    /// Whether a query gives a row.
    pub(super) async fn has(&self, query: &'static str, values: Values<'_>) -> anyhow::Result<bool> {
        Ok(self.row(query, values).await?.is_some())
    }

    /// Runs statements without values.
    pub(super) async fn act(&self, statements: &'static str) -> anyhow::Result<()> {
        Ok(self.client.batch_execute(statements).await?)
    }

    /// Has the server write a statement that takes no parameters itself, and runs it. The template is an argument of
    /// `format`: identifiers are `%I`, texts `%L`, so the server quotes them by its own rules.
    pub(super) async fn act_on(&self, template: &'static str, names: &[&str]) -> anyhow::Result<()> {
        let row = self.client.query_one("SELECT format($1::text, VARIADIC $2::text[])", &[&template, &names]).await?;
        Ok(self.client.batch_execute(row.try_get(0)?).await?)
    }

    /// The running server's major.
    pub(super) async fn major(&self) -> anyhow::Result<u32> {
        let row = self.client.query_one("SELECT current_setting('server_version_num')::integer / 10000", &[]).await?;
        Ok(u32::try_from(row.try_get::<_, i32>(0)?)?)
    }
}

/// Whether the server is there but not ready: it starts, or replays its log after a crash.
pub(super) fn is_starting(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<tokio_postgres::Error>();
    error.and_then(tokio_postgres::Error::code) == Some(&SqlState::CANNOT_CONNECT_NOW)
}
