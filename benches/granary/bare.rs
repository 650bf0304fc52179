//! What a person does without Granary: initdb, start, role, database, row.

use sqlx::{ConnectOptions, Connection, postgres::PgConnectOptions};
use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// The newest installed major's programs, as Granary finds them.
pub(crate) fn programs() -> PathBuf {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .unwrap()
        .flatten()
        .filter_map(|e| Some((e.file_name().to_str()?.parse().ok()?, e.path().join("bin"))))
        .collect();
    found.sort_unstable();
    found.pop().expect("PostgreSQL is installed").1
}

/// A server that ends with this.
struct Bare(Child);

impl Drop for Bare {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        let _ = self.0.wait();
    }
}

/// Once, from nothing to the row.
pub(crate) async fn create() -> Duration {
    let home = tempfile::Builder::new().prefix("granary-bare-").tempdir().unwrap();
    std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let data = home.path().join("data");
    let begun = Instant::now();
    let initdb =
        as_somebody(&programs().join("initdb")).arg("-D").arg(&data).args(["-U", "postgres", "--auth=trust", "--data-checksums"]).output().unwrap();
    assert!(initdb.status.success(), "{}", String::from_utf8_lossy(&initdb.stderr));
    let _server = Bare(start(&data, home.path()));
    let admin = PgConnectOptions::new_without_pgpass().socket(home.path()).username("postgres").database("postgres");
    let mut session = loop {
        match admin.clone().connect().await {
            Ok(session) => break session,
            Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "the bare server does not answer");
    };
    sqlx::query("CREATE ROLE app LOGIN PASSWORD 'a long password'").execute(&mut session).await.unwrap();
    sqlx::query("CREATE DATABASE app OWNER app").execute(&mut session).await.unwrap();
    session.close().await.unwrap();
    row(&admin.username("app").database("app")).await.unwrap();
    begun.elapsed()
}

/// The first row, and it is read.
pub(crate) const ROW: &str = "CREATE TABLE first (n int); INSERT INTO first VALUES (7); SELECT n FROM first";

async fn row(options: &PgConnectOptions) -> sqlx::Result<()> {
    let mut session = options.clone().disable_statement_logging().connect().await?;
    sqlx::raw_sql(ROW).execute(&mut session).await?;
    session.close().await
}

fn start(data: &Path, sockets: &Path) -> Child {
    as_somebody(&programs().join("postgres"))
        .arg("-D")
        .arg(data)
        .args(["-c", "listen_addresses=", "-k"])
        .arg(sockets)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Who runs it as root: `nobody`.
pub(crate) const NOBODY: u32 = 65534;

/// PostgreSQL does not run as root.
pub(crate) fn as_somebody(program: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".to_owned()]).arg(program);
    command
}
