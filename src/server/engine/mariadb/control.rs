//! A server's life: made, started, reloaded, stopped.

use super::{
    SERVICE, config, discover,
    promotion::{self, Standing},
    session::Session,
    sizing::Sizing,
    tables, temporary,
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
use tokio::time::{Instant, sleep};

/// Lies beside the tables once they are whole and on disk; holds the version that made them.
pub(super) const MARK: &str = "initialised";
/// It takes a second; a machine that needs this long has other troubles.
const INSTALL_LIMIT: Duration = Duration::from_mins(2);
/// From the last word in its log to the first answer: after a crash the server answers nobody until it has recovered, and tells
/// how far it is.
const SILENCE_LIMIT: Duration = Duration::from_mins(1);
/// From the start to the first answer in any case.
const RECOVERY_LIMIT: Duration = Duration::from_mins(10);
/// A stop writes what is in memory alone.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// Reading a file is immediate.
const READ_LIMIT: Duration = Duration::from_secs(10);

/// See [`crate::server::engine::Engine::initialise`].
pub(super) async fn initialise(site: Site<'_>) -> anyhow::Result<()> {
    let Site { platform, lease, node, programs } = site;
    if platform.has_file(node, MARK).await? {
        ensure!(
            platform.has_file(node, "mariadb/ibdata1").await?,
            "the data directory was initialised, but its tables are damaged or gone: it is left as it is; restore a backup to a new datastore"
        );
        return Ok(());
    }
    // Whatever of an earlier attempt still runs would write into the new one.
    platform.fence(lease, node).await?;
    platform.wipe_data(lease, node).await?;
    let (paths, install) = (platform.paths(node), discover::tool(&programs.programs, "mariadb-install-db"));
    let args = ["-c", TIDY_THEN_EXEC, SERVICE, &text(&temporary(&paths)), &text(&install)].map(str::to_owned);
    let settings = [
        // The machine's own MariaDB has settings that are none of ours.
        "--no-defaults".to_owned(),
        format!("--datadir={}", text(&tables(&paths))),
        // In a directory for all, servers take each other's temporary tables for what is left of their own.
        format!("--tmpdir={}", text(&temporary(&paths))),
        "--auth-root-authentication-method=socket".to_owned(),
        format!("--auth-root-socket-user={}", platform.administrator()?),
        "--skip-test-db".to_owned(),
        "--skip-name-resolve".to_owned(),
        "--skip-log-bin".to_owned(),
        "--character-set-server=utf8mb4".to_owned(),
        format!("--innodb-log-file-size={}M", Sizing::of(node).redo_log_mb),
    ];
    let install = Program { path: "/bin/sh".into(), args: args.into_iter().chain(settings).collect(), env: Vec::new() };
    platform.run(lease, node, &install, INSTALL_LIMIT).await.context("the server's own tables could not be made")?;
    finish(site).await
}

/// Notes that the tables are whole, once they are on disk.
pub(super) async fn finish(site: Site<'_>) -> anyhow::Result<()> {
    let Site { platform, lease, node, .. } = site;
    // The mark must not reach the disk before what it speaks of.
    let sync = Program { path: "/bin/sync".into(), args: vec!["--file-system".to_owned(), text(&tables(&platform.paths(node)))], env: Vec::new() };
    platform.run(lease, node, &sync, INSTALL_LIMIT).await.context("the new tables cannot be written to disk")?;
    let mark = File { name: format!("data/{MARK}"), content: format!("{}\n", site.programs.full).into_bytes(), secret: false };
    platform.put_files(lease, node, &[mark]).await
}

/// Empties the directory for temporary tables (`$1`), which lies on the node's own storage, then becomes the program after it.
const TIDY_THEN_EXEC: &str = r#"rm -rf -- "$1" && mkdir -m 700 -- "$1" && shift && exec "$@""#;

/// See [`crate::server::engine::Engine::start`]. One that follows goes on to, and takes no writes, whatever its configuration says: its
/// data know best.
pub(super) async fn start(site: Site<'_>) -> anyhow::Result<()> {
    let finished = site.platform.has_file(site.node, MARK).await?;
    ensure!(finished, "the data directory is not whole: neither initialised nor copied");
    let mut session = launch(site).await?;
    let Some(standing) = Standing::of(&mut session).await? else { return Ok(()) };
    close(&mut session).await?;
    if !standing.receives && !standing.applies {
        promotion::apply_leftover(&mut session, &standing).await?;
    }
    session.act("START SLAVE").await
}

/// Has the server take no writes but those of its primary.
pub(super) async fn close(session: &mut Session) -> anyhow::Result<()> {
    session.act("SET GLOBAL read_only = ON").await?;
    session.act("SET GLOBAL rpl_semi_sync_master_enabled = OFF").await
}

/// Starts the server as its configuration says, and returns a session once it answers.
pub(super) async fn launch(site: Site<'_>) -> anyhow::Result<Session> {
    let Site { platform, lease, node, programs } = site;
    let (paths, server) = (platform.paths(node), text(&programs.programs.join("mariadbd")));
    ensure!(!platform.find(std::slice::from_ref(&server)).await.is_empty(), "{server} is not there: is MariaDB still installed?");
    let defaults = format!("--defaults-file={}", text(&paths.config.join(config::MAIN)));
    let args = ["-c", TIDY_THEN_EXEC, SERVICE, &text(&temporary(&paths)), &server, &defaults].map(str::to_owned).to_vec();
    // The log's times are local ones, and tell no zone.
    let program = Program { path: "/bin/sh".into(), args, env: vec![("TZ".to_owned(), "UTC".to_owned())] };
    platform.start(lease, node, SERVICE, &program).await?;
    wait_until_it_answers(site).await
}

/// Waits for as long as the server tells what it does.
async fn wait_until_it_answers(site: Site<'_>) -> anyhow::Result<Session> {
    let (started, mut said, mut last) = (Instant::now(), String::new(), Instant::now());
    loop {
        // In this order: a server that is gone after the question cannot have answered it.
        let presence = site.platform.presence(site.node).await;
        let error = match Session::open(site.platform, site.node).await {
            Ok(session) => return Ok(session),
            Err(error) => error,
        };
        if presence.is_gone() {
            bail!("the server ended while it started. Its log ends with:\n{}", service::tail(site, SERVICE).await);
        }
        if last.elapsed() > SILENCE_LIMIT || started.elapsed() > RECOVERY_LIMIT {
            let says = service::tail(site, SERVICE).await;
            if says == said || started.elapsed() > RECOVERY_LIMIT {
                return Err(error.context(format!("the server did not answer within {} s. Its log ends with:\n{says}", started.elapsed().as_secs())));
            }
            (said, last) = (says, Instant::now());
        }
        sleep(POLL).await;
    }
}

/// See [`crate::server::engine::Engine::stop`].
pub(super) async fn stop(site: Site<'_>) -> anyhow::Result<()> {
    service::stop(site, Signal::Terminate, STOP_LIMIT).await
}

/// The server takes up certificates, and what commits wait for; what follows from a node's size waits for its next start, as its
/// limits do.
pub(super) async fn reload(site: Site<'_>) -> anyhow::Result<()> {
    let mut session = Session::open(site.platform, site.node).await?;
    session.act("FLUSH LOCAL SSL").await.context("the server keeps its certificate, it refused the new one")?;
    let confirms = "SELECT @@global.rpl_semi_sync_slave_enabled AS confirms";
    let before = session.ask(confirms).await?.get("confirms")?.to_owned();
    let file = text(&site.platform.paths(site.node).config.join(config::CHANGEABLE));
    let read = Program { path: "/bin/cat".into(), args: vec![file], env: Vec::new() };
    for statement in site.platform.run(site.lease, site.node, &read, READ_LIMIT).await?.stdout.lines() {
        session.act(statement).await?;
    }
    // In this order, see `promotion::promote`, which may be under way.
    match Standing::of(&mut session).await? {
        None => promotion::wait_as_wished(&mut session).await,
        // The primary is told at the beginning of a connection.
        Some(_) if session.ask(confirms).await?.get("confirms")? != before => {
            session.act("STOP SLAVE IO_THREAD").await?;
            session.act("START SLAVE IO_THREAD").await
        }
        Some(_) => Ok(()),
    }
}

/// See [`crate::server::engine::Engine::set_read_only`].
///
/// Transactions of tenants are read-only unless they say otherwise: so whoever wants to free space still can, which `read_only` would
/// not let them, and which a replica has on in any case.
pub(super) async fn set_read_only(site: Site<'_>, on: bool) -> anyhow::Result<()> {
    site.platform.put_files(site.lease, site.node, &[config::storage(on)]).await?;
    let mut session = Session::open(site.platform, site.node).await?;
    session.act(if on { "SET GLOBAL tx_read_only = ON" } else { "SET GLOBAL tx_read_only = OFF" }).await?;
    if on {
        cut_clients(&mut session).await?;
    }
    Ok(())
}

/// Sessions that were there before keep what they began with.
async fn cut_clients(session: &mut Session) -> anyhow::Result<()> {
    let found = session.ask(CLIENTS).await?;
    for id in found.column("id")? {
        // It may have ended meanwhile.
        if let Err(why) = session.act(&format!("KILL CONNECTION {}", id.parse::<u64>()?)).await {
            tracing::debug!("a session was not cut: {why:#}");
        }
    }
    Ok(())
}

/// Neither Granary's nor those of replicas, nor the server's own threads.
const CLIENTS: &str = "SELECT id AS id FROM information_schema.processlist WHERE id <> connection_id() AND host <> 'localhost'
    AND user NOT IN ('system user', 'event_scheduler', 'granary_replication')";

pub(super) fn text(path: &Path) -> String {
    path.display().to_string()
}
