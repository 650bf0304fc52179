//! What tests stand on: a real metadata database for each.
//!
//! ```ignore
//! let db = support::database().await; // fresh, migrated, alone
//! sqlx::query!("…").execute(&db.pool).await?;
//! let options = db.options.clone();   // for another pool or a listener
//! ```
//!
//! The first call of a test process starts Granary's own metadata server in a temporary home, by the code that `serve`
//! uses. Each call copies a migrated template, which takes some 50 ms. When the test process ends, in whatever way, a
//! helper stops the server and removes the home.

use crate::server::{
    config::Config,
    db::metadata::{
        self,
        server::{Server, Sizing},
    },
};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use std::{
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{ChildStdin, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};
use tokio::sync::OnceCell;

/// A database of one test.
pub(crate) struct TestDb {
    /// At most 5 connections, each opened when it is needed.
    pub(crate) pool: PgPool,
    /// How to open more.
    pub(crate) options: PgConnectOptions,
}

/// Makes a fresh, migrated database.
pub(crate) async fn database() -> TestDb {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let options = shared().await.options.clone();
    let mut connection = options.clone().database("postgres").connect().await.expect("the test server answers");
    let statement = format!("CREATE DATABASE {name} TEMPLATE granary");
    sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.expect("a copy of the template");
    connection.close().await.expect("the connection ends");
    let options = options.database(&name);
    TestDb { pool: PgPoolOptions::new().max_connections(5).connect_lazy_with(options.clone()), options }
}

/// Settings as read from nothing but these; a public URL under https comes with an issuer.
pub(crate) fn config(home: &Path, public_url: &str) -> Config {
    let mut settings = vec![("GRANARY_HOME", home.to_str().expect("UTF-8")), ("GRANARY_PUBLIC_URL", public_url)];
    if let Some(listen) = public_url.strip_prefix("http://") {
        settings.push(("GRANARY_LISTEN", listen));
    } else {
        let issuer = [("GRANARY_OIDC_ISSUER", "https://id.example.org"), ("GRANARY_OIDC_CLIENT_ID", "granary"), ("GRANARY_OIDC_ALLOW", "sub:1")];
        settings.extend(issuer);
    }
    Config::from_values(&settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()).expect("right settings")
}

/// A temporary directory through which system users may pass.
pub(crate) fn home() -> tempfile::TempDir {
    let home = tempfile::Builder::new().prefix("granary-test-").tempdir().expect("a temporary directory");
    std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o711)).expect("its mode");
    home
}

struct Shared {
    options: PgConnectOptions,
    /// Open as long as this process lives.
    _lifeline: ChildStdin,
}

async fn shared() -> &'static Shared {
    static SHARED: OnceCell<Shared> = OnceCell::const_new();
    SHARED
        .get_or_init(|| async {
            let home = home().keep();
            let lifeline = end_with_us(&home);
            let server = Server::of(&home, Sizing { max_connections: 200, durable: false });
            let options = server.ensure().await.expect("PostgreSQL is installed");
            metadata::migrate(&options).await.expect("the migrations run");
            Shared { options, _lifeline: lifeline }
        })
        .await
}

/// Starts a helper that waits until its standard input closes, which happens when this process ends, then ends the server
/// whose data directory lies in `home`, and removes `home`.
#[expect(clippy::zombie_processes, reason = "it outlives this process")]
pub(crate) fn end_with_us(home: &Path) -> ChildStdin {
    const SCRIPT: &str = r#"
        cat >/dev/null
        pid=$(head -n 1 "$1/metadata/data/postmaster.pid") &&
            [ "$(readlink "/proc/$pid/cwd")" = "$1/metadata/data" ] && kill -QUIT "$pid"
        while [ -n "$pid" ] && [ -e "/proc/$pid" ]; do sleep 0.1; done
        rm -rf "$1"
    "#;
    let home: PathBuf = home.canonicalize().expect("the home exists");
    let child = Command::new("sh")
        .args(["-c", SCRIPT, "sh"])
        .arg(home)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sh runs");
    child.stdin.expect("it was piped")
}

mod tests {
    #[tokio::test]
    async fn each_test_has_a_migrated_database_of_its_own() {
        let (one, two) = tokio::join!(super::database(), super::database());
        let insert = "INSERT INTO projects VALUES (gen_random_uuid(), 'one', 0, 0, 0)";
        sqlx::query(insert).execute(&one.pool).await.unwrap();
        let count = |pool: sqlx::PgPool| async move {
            sqlx::query_scalar::<_, i64>("SELECT count(*) FROM projects WHERE name = 'one'").fetch_one(&pool).await.unwrap()
        };
        assert_eq!((count(one.pool).await, count(two.pool).await), (1, 0));
    }
}
