//! The metadata database: where it is, how it is reached, and its schema.

mod account;
pub mod process;
pub mod programs;
pub mod server;

use super::super::config::Config;
use anyhow::Context;
use secrecy::ExposeSecret;
use server::{Server, Sizing};
use sqlx::{
    ConnectOptions, Connection, PgPool,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use std::{str::FromStr, time::Duration};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// All migrations, in the program.
pub static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// Most connections of a Granary process, the one that listens for changes aside.
pub const POOL: u32 = 10;

/// How long a request waits for a connection before it is told that metadata is away.
const ACQUIRE: Duration = Duration::from_secs(3);

/// How long a start waits for a metadata database that is run by others.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often the own server is looked after.
const WATCH: Duration = Duration::from_secs(2);

/// How to reach the metadata database of these settings; starts Granary's own server when it is the one.
///
/// # Errors
/// Says what is missing; a password in `DATABASE_URL` is not repeated.
pub async fn reach(config: &Config) -> anyhow::Result<PgConnectOptions> {
    let options = match &config.database_url {
        Some(url) => PgConnectOptions::from_str(url.expose_secret()).context("DATABASE_URL cannot be understood")?,
        None => own_server(config).ensure().await.context("Granary's own metadata database could not be started")?,
    };
    Ok(options.application_name("granary"))
}

/// Granary's own server of these settings, whether it is used or not.
#[must_use]
pub fn own_server(config: &Config) -> Server {
    Server::of(&config.home, Sizing::default())
}

/// Brings the schema up to date, under a lock that `PostgreSQL` keeps: of two processes one waits for the other.
///
/// # Errors
/// When the database cannot be reached, or belongs to a newer Granary.
pub async fn migrate(options: &PgConnectOptions) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut connection = loop {
        match options.connect().await {
            Ok(connection) => break connection,
            Err(sqlx::Error::Io(error)) if Instant::now() < deadline => {
                tracing::warn!(%error, "the metadata database does not answer yet");
                sleep(Duration::from_secs(1)).await;
            }
            Err(error) => return Err(error).context("the metadata database cannot be reached"),
        }
    };
    MIGRATIONS.run(&mut connection).await.context("the metadata database could not be brought up to date")?;
    Ok(connection.close().await?)
}

/// Whether every migration of this program is in the database.
///
/// # Errors
/// When it does not answer.
pub async fn is_ready(db: &PgPool) -> sqlx::Result<bool> {
    // sqlx's own table, which is none of the migrations'.
    let done: i64 = sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM _sqlx_migrations WHERE success").fetch_one(db).await?;
    Ok(MIGRATIONS.iter().map(|migration| migration.version).max().is_none_or(|newest| done >= newest))
}

/// A pool of connections, each opened when it is needed first.
#[must_use]
pub fn pool(options: PgConnectOptions) -> PgPool {
    PgPoolOptions::new().max_connections(POOL).acquire_timeout(ACQUIRE).connect_lazy_with(options)
}

/// Starts Granary's own server again whenever it is gone, until told to end.
pub async fn watch(server: Server, shutdown: CancellationToken) {
    while shutdown.run_until_cancelled(sleep(WATCH)).await.is_some() {
        if server.is_running() {
            continue;
        }
        tracing::warn!("the metadata server is gone; starting it again");
        match shutdown.run_until_cancelled(server.ensure()).await {
            Some(Err(error)) => tracing::error!(error = format!("{error:#}"), "the metadata server could not be started again"),
            Some(Ok(_)) => tracing::info!("the metadata server is back"),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests;
