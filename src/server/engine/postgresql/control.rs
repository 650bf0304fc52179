//! A server's life: made, started, reloaded, stopped.

use super::{
    ADMIN, SERVICE, cluster, config, discover,
    session::{MAINTENANCE, Session, is_starting},
};
use crate::server::{
    engine::{
        Site,
        service::{self, POLL},
    },
    platform::{File, Program, Signal},
};
use anyhow::{Context, bail, ensure};
use std::{path::Path, time::Duration};
use time::OffsetDateTime;
use tokio::time::{Instant, sleep};

/// Lies beside the cluster once it is whole and on disk; holds the version that made it.
pub(super) const MARK: &str = "initialised";
/// initdb takes half a second; a machine that needs this long has other troubles.
const INITDB_LIMIT: Duration = Duration::from_mins(2);
/// From the start to the first answer, when there is nothing to recover.
const START_LIMIT: Duration = Duration::from_mins(1);
/// The same, while the server says that it replays its log.
const RECOVERY_LIMIT: Duration = Duration::from_mins(10);
/// A fast shutdown ends with a checkpoint.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// From the signal to the first session under the new configuration.
const RELOAD_LIMIT: Duration = Duration::from_secs(10);

/// Size of a segment of the log in MB, for the cluster's whole life. A promotion copies one and every replica makes one before it
/// confirms anything: 16 MB, the server's own choice, kept writers waiting for 80 ms each (docs/decisions/0016).
const SEGMENT_MB: u32 = 4;

/// See [`crate::server::engine::Engine::initialise`].
pub(super) async fn initialise(site: Site<'_>) -> anyhow::Result<()> {
    let Site { platform, node, .. } = site;
    if platform.has_file(node, MARK).await? {
        ensure!(
            platform.has_file(node, "pgdata/global/pg_control").await?,
            "the data directory was initialised, but its cluster is damaged or gone: it is left as it is; restore a backup to a new datastore"
        );
        return Ok(());
    }
    let locales = locales(discover::major(site.programs)?);
    make_cluster(site, &locales).await?;
    finish(site).await
}

/// Notes that the cluster is whole, once it is on disk.
pub(super) async fn finish(site: Site<'_>) -> anyhow::Result<()> {
    let Site { platform, lease, node, .. } = site;
    // The mark must not reach the disk before what it speaks of.
    let sync = Program { path: "/bin/sync".into(), args: vec!["--file-system".to_owned(), text(&cluster(&platform.paths(node)))], env: Vec::new() };
    platform.run(lease, node, &sync, INITDB_LIMIT).await.context("the new cluster cannot be written to disk")?;
    let mark = File { name: format!("data/{MARK}"), content: format!("{}\n", site.programs.full).into_bytes(), secret: false };
    platform.put_files(lease, node, &[mark]).await
}

/// How text is sorted and compared, best first. UTF-8 by code point: fast, and the same on every machine, so that an
/// index outlives a move to another operating system. The server's own provider (17) needs no locale of the system.
fn locales(major: u32) -> Vec<Vec<&'static str>> {
    if major >= 17 {
        vec![vec!["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]]
    } else {
        vec![vec!["--locale=C.UTF-8"], vec!["--locale=C"]]
    }
}

/// Makes a cluster with the first locale that the node's system has.
pub(super) async fn make_cluster(site: Site<'_>, locales: &[Vec<&str>]) -> anyhow::Result<()> {
    let Site { platform, lease, node, programs } = site;
    let fixed = [
        "--pgdata",
        &text(&cluster(&platform.paths(node))),
        "--username",
        ADMIN,
        "--auth=reject",
        "--encoding=UTF8",
        "--data-checksums",
        &format!("--wal-segsize={SEGMENT_MB}"),
        "--no-sync",
    ];
    for (position, locale) in locales.iter().enumerate() {
        // Whatever of an earlier attempt still runs would write into the new one.
        platform.fence(lease, node).await?;
        platform.wipe_data(lease, node).await?;
        let args = fixed.iter().chain(locale).map(|arg| (*arg).to_owned()).collect();
        let initdb = Program { path: programs.programs.join("initdb"), args, env: Vec::new() };
        match platform.run(lease, node, &initdb, INITDB_LIMIT).await {
            Err(error) if position + 1 < locales.len() && format!("{error:#}").contains("invalid locale") => {
                tracing::warn!(node = %node.id, "this system lacks {locale:?}; falling back to {:?}", locales[position + 1]);
            }
            result => return result.map(drop).context("the new cluster could not be made"),
        }
    }
    Ok(())
}

/// Removes what follows up to `--`, then becomes the program after it. Lock files name a process by its number: after a reboot
/// or a kill that number may belong to any other process, and the server would refuse to start. A platform starts a service
/// only when nothing of the node is left, so the locks guard nothing.
const UNLOCK_THEN_EXEC: &str = r#"while [ "$1" != -- ]; do rm -f -- "$1"; shift; done; shift; exec "$@""#;

/// See [`crate::server::engine::Engine::start`].
pub(super) async fn start(site: Site<'_>) -> anyhow::Result<()> {
    start_within(site, START_LIMIT).await
}

/// The same with another limit for a server that does not say that it recovers.
pub(super) async fn start_within(site: Site<'_>, limit: Duration) -> anyhow::Result<()> {
    let Site { platform, lease, node, programs } = site;
    let (paths, postgres) = (platform.paths(node), text(&programs.programs.join("postgres")));
    ensure!(!platform.find(std::slice::from_ref(&postgres)).await.is_empty(), "{postgres} is not there: is PostgreSQL still installed?");
    let cluster = cluster(&paths);
    let args = [
        "-c",
        UNLOCK_THEN_EXEC,
        SERVICE,
        &text(&cluster.join("postmaster.pid")),
        &text(&paths.run.join(format!(".s.PGSQL.{}.lock", node.address.port()))),
        "--",
        &postgres,
        "-D",
        &text(&cluster),
        "-c",
        &format!("config_file={}", paths.config.join(config::MAIN).display()),
    ];
    let server = Program { path: "/bin/sh".into(), args: args.map(str::to_owned).to_vec(), env: Vec::new() };
    platform.start(lease, node, SERVICE, &server).await?;
    wait_until_it_answers(site, limit).await
}

/// Waits for `start_limit`, or for [`RECOVERY_LIMIT`] while the server says that it is on its way.
pub(super) async fn wait_until_it_answers(site: Site<'_>, start_limit: Duration) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        // In this order: a server that is gone after the question cannot have answered it.
        let presence = site.platform.presence(site.node).await;
        let Err(error) = answers(site).await else { return Ok(()) };
        if presence.is_gone() {
            bail!("the server ended while it started. Its log ends with:\n{}", tail(site).await);
        }
        let limit = if is_starting(&error) { RECOVERY_LIMIT } else { start_limit };
        if started.elapsed() > limit {
            return Err(error.context(format!("the server did not answer within {} s. Its log ends with:\n{}", limit.as_secs(), tail(site).await)));
        }
        sleep(POLL).await;
    }
}

async fn answers(site: Site<'_>) -> anyhow::Result<()> {
    Session::open(site.platform, site.node, MAINTENANCE).await?.act("SELECT 1").await
}

/// See [`crate::server::engine::Engine::stop`].
pub(super) async fn stop(site: Site<'_>) -> anyhow::Result<()> {
    stop_within(site, STOP_LIMIT).await
}

/// Stops the server cleanly within `limit`, else by fencing.
pub(super) async fn stop_within(site: Site<'_>, limit: Duration) -> anyhow::Result<()> {
    service::stop(site, Signal::Interrupt, limit).await
}

/// Returns once new sessions run under the new files. Files with an error are not taken up at all: on its own the server
/// would take those lines that it understands.
pub(super) async fn reload(site: Site<'_>) -> anyhow::Result<()> {
    let session = Session::open(site.platform, site.node, MAINTENANCE).await?;
    if let Some(row) = session.row(FIRST_ERROR, &[]).await? {
        bail!("the server keeps its configuration, the new one has an error: {}", row.try_get::<_, String>(0)?);
    }
    let before = loaded_at(site).await?;
    site.platform.signal(site.lease, site.node, Signal::Hangup).await?;
    let asked = Instant::now();
    while loaded_at(site).await? <= before {
        ensure!(asked.elapsed() < RELOAD_LIMIT, "the server did not take up its configuration. Its log ends with:\n{}", tail(site).await);
        sleep(POLL).await;
    }
    // No view tells of certificates; the log does, before the first new session.
    let log = tail(site).await;
    let since = log.rsplit_once("received SIGHUP").map_or("", |(_, since)| since);
    ensure!(!since.contains("SSL configuration was not reloaded"), "the server keeps its certificate, it refused the new one: {since}");
    Ok(())
}

/// See [`crate::server::engine::Engine::set_read_only`].
pub(super) async fn set_read_only(site: Site<'_>, on: bool) -> anyhow::Result<()> {
    site.platform.put_files(site.lease, site.node, &[config::storage(on)]).await?;
    reload(site).await?;
    let session = Session::open(site.platform, site.node, MAINTENANCE).await?;
    ensure!(session.has(IS_READ_ONLY, &[&on]).await?, "the server did not take it up: its configuration is of an older Granary, so restart it");
    if on {
        session.row(CUT_CLIENTS, &[&ADMIN]).await?;
    }
    Ok(())
}

const IS_READ_ONLY: &str = "SELECT 1 WHERE current_setting('default_transaction_read_only')::boolean = $1";
/// Sessions that were there before keep what they began with.
const CUT_CLIENTS: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE backend_type = 'client backend' AND usename <> $1";

/// What the files hold now, not what the server has. A changed setting that waits for a restart is shown as an error too.
const FIRST_ERROR: &str = "SELECT format('%s, line %s: %s', file, line, error) FROM (
        SELECT 'postgresql.conf' AS file, f.sourceline AS line, concat_ws(': ', f.name, f.error) AS error FROM pg_file_settings f
        LEFT JOIN pg_settings s ON s.name = f.name WHERE f.error IS NOT NULL AND s.context IS DISTINCT FROM 'postmaster'
        UNION ALL SELECT 'pg_hba.conf', line_number, error FROM pg_hba_file_rules WHERE error IS NOT NULL
    ) wrong LIMIT 1";

/// A new session each time: it is born with the configuration that the server has then.
async fn loaded_at(site: Site<'_>) -> anyhow::Result<OffsetDateTime> {
    let session = Session::open(site.platform, site.node, MAINTENANCE).await?;
    let row = session.row("SELECT pg_conf_load_time()", &[]).await?.context("the server does not say when it read its configuration")?;
    Ok(row.try_get(0)?)
}

async fn tail(site: Site<'_>) -> String {
    service::tail(site, SERVICE).await
}

pub(super) fn text(path: &Path) -> String {
    path.display().to_string()
}
