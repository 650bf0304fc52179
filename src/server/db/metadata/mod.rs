//! The metadata database: where it is, how it is reached, and its schema.

mod account;
mod configuration;
pub mod process;
pub mod programs;
pub mod server;

use super::{super::config::Config, error::trouble};
use anyhow::Context;
use secrecy::ExposeSecret;
use server::{Server, Sizing};
use sqlx::{
    ConnectOptions, Connection, PgPool,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use std::{str::FromStr, time::Duration};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// All migrations, in the program.
pub static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// Most connections of a Granary process, the one that listens for changes aside.
pub const POOL: u32 = 10;

/// How long a request waits for a connection before it is told that metadata is away.
const ACQUIRE: Duration = Duration::from_secs(3);

/// How long a statement may take, wait for a lock, and leave its transaction idle, in milliseconds: none of ours comes near.
/// The last one ends the locks of a Granary that was stopped in the middle of a transaction.
const LIMITS: [(&str, &str); 3] = [("statement_timeout", "5000"), ("lock_timeout", "4000"), ("idle_in_transaction_session_timeout", "8000")];

/// How long a connection that comes back may take to show that it can be used again.
const RELEASE: Duration = Duration::from_secs(2);

/// How long a start waits for a metadata database that is run by others.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often the own server is looked after.
const WATCH: Duration = Duration::from_secs(2);

/// The longest pause after starts that failed: nothing is started in circles where the disk is full, say.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Looks without the server's socket before it is made again: a server that starts has none for a moment.
const WITHOUT_SOCKET: u32 = 3;

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
            Err(error) if trouble(&error).is_some() && Instant::now() < deadline => {
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

/// A pool of connections, each opened when it is needed. Whatever the database does, nobody waits in it for long: neither
/// for a connection, nor for a statement, nor for one that an abandoned request left behind.
#[must_use]
pub fn pool(options: PgConnectOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(POOL)
        .acquire_timeout(ACQUIRE)
        .after_release(|connection, _| {
            Box::pin(async move { timeout(RELEASE, connection.ping()).await.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map(|()| true) })
        })
        .connect_lazy_with(options.options(LIMITS))
}

/// Starts Granary's own server again whenever it is gone, or can be reached no more, until told to end.
pub async fn watch(server: Server, shutdown: CancellationToken) {
    let (mut pause, mut without_socket) = (WATCH, 0);
    while shutdown.run_until_cancelled(sleep(pause)).await.is_some() {
        let runs = server.is_running();
        without_socket = if runs && !server.has_socket() { without_socket + 1 } else { 0 };
        if runs && without_socket < WITHOUT_SOCKET {
            pause = WATCH;
            continue;
        }
        tracing::warn!(runs, "the metadata server is gone, or its socket is; starting it again");
        match shutdown.run_until_cancelled(again(&server)).await {
            Some(Err(error)) => {
                pause = (pause * 2).min(LONGEST_PAUSE);
                tracing::error!(error = format!("{error:#}"), ?pause, "the metadata server could not be started again");
            }
            Some(Ok(())) => tracing::info!("the metadata server is back"),
            None => {}
        }
    }
}

/// One that runs without its socket is stopped first: it makes a socket at its start only.
async fn again(server: &Server) -> anyhow::Result<()> {
    if !server.has_socket() {
        server.stop().await?;
    }
    server.ensure().await.map(drop)
}

#[cfg(test)]
mod tests;
