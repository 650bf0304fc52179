//! The metadata database: whether it answers, and whether its schema is the one this program knows.

use super::finding::Report;
use crate::server::{
    config::Config,
    db::metadata::{MIGRATIONS, own_server, programs::Programs},
};
use secrecy::ExposeSecret;
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use std::{collections::BTreeMap, str::FromStr, time::Duration};

const AREA: &str = "metadata";
const LIMIT: Duration = Duration::from_secs(5);
/// The oldest major that Granary's statements are written for.
const OLDEST: i32 = 14;

/// Returns a pool that can only read, when its schema is at least this program's.
pub(super) async fn look(report: &mut Report, config: &Config, serving: bool) -> Option<PgPool> {
    let options = match &config.database_url {
        Some(url) => {
            let Ok(options) = PgConnectOptions::from_str(url.expose_secret()) else {
                report.problem(AREA, "DATABASE_URL cannot be understood.", "It is postgres://user:password@host:port/database.");
                return None;
            };
            options
        }
        None => own(report, config, serving)?,
    };
    let options = options.application_name("granary doctor").options([("default_transaction_read_only", "on"), ("statement_timeout", "10s")]);
    let db = PgPoolOptions::new().max_connections(1).acquire_timeout(LIMIT).connect_lazy_with(options);
    match answers(report, &db).await {
        Ok(true) => Some(db),
        Ok(false) => None,
        Err(error) => {
            let advice = match config.database_url {
                Some(_) => "See that its server runs, can be reached from here and knows this user; DATABASE_URL says where it is.".to_owned(),
                None => format!("See {}.", config.home.join("metadata/server.log").display()),
            };
            report.problem(AREA, format!("The metadata database does not answer: {error}."), advice);
            None
        }
    }
}

/// Granary's own server; how to reach it when it runs.
fn own(report: &mut Report, config: &Config, serving: bool) -> Option<PgConnectOptions> {
    let seen = match own_server(config).look() {
        Ok(seen) => seen,
        Err(error) => {
            report.problem(AREA, format!("Granary's own metadata server cannot be looked at: {error:#}."), "Run this as the user who runs Granary.");
            return None;
        }
    };
    let Some(major) = seen.major else {
        match Programs::newest() {
            Ok(programs) => report.ok(AREA, format!("It is not made yet; “granary serve” makes it with PostgreSQL {}.", programs.major)),
            Err(error) => report.problem(AREA, "Nothing is there to make the metadata database with.", format!("{error:#}.")),
        }
        return None;
    };
    if let Err(error) = Programs::of(major) {
        report.problem(AREA, format!("{error:#}."), format!("Install the programs of PostgreSQL {major} again."));
    }
    match (seen.pid, serving) {
        (Some(pid), _) => {
            report.ok(AREA, format!("Granary's own server (PostgreSQL {major}) runs as process {pid}."));
            return Some(seen.connect);
        }
        (None, true) => {
            let advice =
                format!("“granary serve” starts it every two seconds; if it stays down, see {}.", config.home.join("metadata/server.log").display());
            report.problem(AREA, "Granary runs, but its own metadata server does not.", advice);
        }
        (None, false) if seen.left > 0 => {
            let what = format!("{} processes of a former metadata server still work in its directory.", seen.left);
            report.problem(AREA, what, "Wait until they have ended; end them if they do not.");
        }
        (None, false) => report.warning(AREA, "Granary's own metadata server is stopped.", "“granary serve” starts it."),
    }
    None
}

async fn answers(report: &mut Report, db: &PgPool) -> sqlx::Result<bool> {
    let version: String = sqlx::query_scalar("SHOW server_version").fetch_one(db).await?;
    let number: i32 = sqlx::query_scalar("SELECT current_setting('server_version_num')::integer / 10000").fetch_one(db).await?;
    if number < OLDEST {
        report.problem(AREA, format!("It is PostgreSQL {version}, but Granary needs {OLDEST} or newer."), "Move it to a newer server.");
    }
    let exists: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL").fetch_one(db).await?;
    let rows: Vec<(i64, bool, Vec<u8>)> =
        if exists { sqlx::query_as("SELECT version, success, checksum FROM _sqlx_migrations").fetch_all(db).await? } else { Vec::new() };
    let done: BTreeMap<i64, (bool, Vec<u8>)> = rows.into_iter().map(|(version, success, sum)| (version, (success, sum))).collect();
    Ok(schema(report, &version, &done))
}

/// Whether what this program asks can be answered.
fn schema(report: &mut Report, version: &str, done: &BTreeMap<i64, (bool, Vec<u8>)>) -> bool {
    let known: BTreeMap<i64, _> = MIGRATIONS.iter().map(|m| (m.version, &*m.checksum)).collect();
    let newer: Vec<_> = done.keys().filter(|version| !known.contains_key(version)).collect();
    let missing: Vec<_> = known.keys().filter(|version| !done.get(version).is_some_and(|(success, _)| *success)).collect();
    let changed: Vec<_> = known.iter().filter(|(version, sum)| done.get(version).is_some_and(|(_, was)| was != **sum)).map(|(v, _)| v).collect();
    if !newer.is_empty() {
        let what = format!("It was brought up to date by a newer Granary: this one does not know the migrations {newer:?}.");
        report.problem(AREA, what, format!("Install the newer Granary again; this one is {}.", env!("CARGO_PKG_VERSION")));
    }
    if !changed.is_empty() {
        let what = format!("The migrations {changed:?} are others than this program's.");
        report.problem(AREA, what, "This is a database of another build of Granary: use that one, or another database.");
    }
    if !missing.is_empty() {
        let what = format!("Its schema is older than this program: the migrations {missing:?} are missing.");
        report.problem(AREA, what, "“granary serve” or “granary migrate” brings it up to date.");
        return false;
    }
    if newer.is_empty() && changed.is_empty() {
        report.ok(AREA, format!("PostgreSQL {version} answers; all {} migrations are there.", known.len()));
    }
    true
}
