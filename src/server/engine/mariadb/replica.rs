//! Replicas: copies of a primary's data that follow it by GTID.

use super::{
    COPIED, REPLICATION, config, control, discover,
    promotion::{self, Standing},
    session::{Session, text as quoted},
    tables, temporary,
};
use crate::server::{
    engine::Site,
    platform::{File, NodePaths, NodeSpec, Platform, Program},
};
use anyhow::{Context, bail, ensure};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a copy of everything may take.
const COPY_LIMIT: Duration = Duration::from_hours(4);
/// How long a node that was away may take until it follows again, before its data are copied anew.
const RESUME_LIMIT: Duration = Duration::from_secs(20);
/// How often it is looked at meanwhile, and how often it must be well in a row: a connection stands before the primary has said
/// whether it has what it is asked for.
const POLL: Duration = Duration::from_millis(50);
const WELL: u32 = 3;
/// How often commits are looked for that hold up a copy.
const HELD_UP: Duration = Duration::from_millis(250);

/// Copies the tables (`$2`) of the primary's server into a directory (`$1`) with the program and arguments after them, makes them
/// whole, and tells where in the primary's log they end. Both nodes are of one datastore, so of one user of the system.
const COPY: &str = r#"set -e
to=$1 from=$2 temporary=$3 backup=$4; shift 4
mkdir -p -m 700 -- "$temporary"
"$backup" --no-defaults --backup --datadir="$from" --target-dir="$to" --tmpdir="$temporary" "$@"
"$backup" --no-defaults --prepare --target-dir="$to" --tmpdir="$temporary"
for name in mariadb_backup_binlog_info xtrabackup_binlog_info; do
    if [ -e "$to/$name" ]; then cat "$to/$name"; exit; fi
done
exit 1"#;

/// See [`crate::server::engine::Replication::copy`].
pub(super) async fn copy(site: Site<'_>, primary: &NodeSpec) -> anyhow::Result<()> {
    let Site { platform, lease, node, programs } = site;
    if platform.has_file(node, control::MARK).await? {
        return Ok(());
    }
    prepare_primary(site, primary).await?;
    // Whatever of an earlier attempt still runs would write into the new one.
    platform.fence(lease, node).await?;
    platform.wipe_data(lease, node).await?;
    let (paths, from) = (platform.paths(node), platform.paths(primary));
    let backup = control::text(&discover::tool(&programs.programs, "mariadb-backup"));
    let mut args = vec!["-c".to_owned(), COPY.to_owned(), "copy".to_owned()];
    args.extend([control::text(&tables(&paths)), control::text(&tables(&from)), control::text(&temporary(&paths)), backup]);
    args.extend([format!("--host={}", primary.address.ip()), format!("--port={}", primary.address.port()), format!("--user={REPLICATION}")]);
    args.extend(config::replication_files(&paths).map(|(name, path)| format!("--ssl-{name}={}", control::text(&path))));
    args.push("--ssl-verify-server-cert".to_owned());
    let program = Program { path: "/bin/sh".into(), args, env: vec![("TZ".to_owned(), "UTC".to_owned())] };
    let copied = platform.run(lease, node, &program, COPY_LIMIT);
    let said = tokio::select! {
        said = copied => said.context("the primary's data could not be copied")?.stdout,
        never = end_held_up(platform, primary) => match never {},
    };
    platform.put_files(lease, node, &[copied_mark()]).await?;
    let mut session = control::launch(site).await?;
    session.act(&format!("SET GLOBAL gtid_slave_pos = {}", quoted(position(&said)?))).await?;
    session.act(&change_master(&paths, primary)).await?;
    control::finish(site).await
}

/// The GTID among what a copy told: a file of the log, a place in it, and the GTID, which is not there before the first.
fn position(said: &str) -> anyhow::Result<&str> {
    let line = said.lines().rfind(|line| line.starts_with("binlog.")).context("the copy does not tell where it ends")?;
    Ok(line.split('\t').nth(2).unwrap_or_default().trim())
}

fn copied_mark() -> File {
    File { name: format!("data/{COPIED}"), content: Vec::new(), secret: false }
}

/// Makes sure that the primary is one, and tells others from now on what is set up in it.
async fn prepare_primary(site: Site<'_>, primary: &NodeSpec) -> anyhow::Result<()> {
    let mut session = Session::open(site.platform, primary).await.context("the primary does not answer: nothing was changed")?;
    ensure!(Standing::of(&mut session).await?.is_none(), "the primary is none: nothing was changed");
    site.platform.put_files(site.lease, primary, &[copied_mark()]).await
}

/// A commit that waits for a replica, while there is none, would have the copy wait that is to become one. So those sessions are
/// ended: they are told nothing, least of all that they are done.
async fn end_held_up(platform: &dyn Platform, primary: &NodeSpec) -> std::convert::Infallible {
    loop {
        sleep(HELD_UP).await;
        let end = async {
            let mut session = Session::open(platform, primary).await?;
            for id in session.ask(HOLD_UP).await?.column("id")? {
                session.act(&format!("KILL CONNECTION {}", id.parse::<u64>()?)).await?;
            }
            anyhow::Ok(())
        };
        if let Err(why) = end.await {
            tracing::debug!("commits that hold up a copy were not ended: {why:#}");
        }
    }
}

const HOLD_UP: &str = "SELECT id AS id FROM information_schema.processlist WHERE state = 'Waiting for semi-sync ACK from slave'
    AND 0 = (SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'RPL_SEMI_SYNC_MASTER_CLIENTS')";

/// How a node comes to its primary: known by its certificate, and the primary by its own.
fn change_master(paths: &NodePaths, primary: &NodeSpec) -> String {
    let files = config::replication_files(paths).map(|(name, path)| format!("MASTER_SSL_{name} = {}, ", quoted(&control::text(&path)))).concat();
    format!(
        "CHANGE MASTER TO MASTER_HOST = '{}', MASTER_PORT = {}, MASTER_USER = '{REPLICATION}', MASTER_SSL = 1, MASTER_SSL_VERIFY_SERVER_CERT = 1, \
         {files}MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = 1, MASTER_HEARTBEAT_PERIOD = 2",
        primary.address.ip(),
        primary.address.port()
    )
}

/// See [`crate::server::engine::Replication::rejoin`].
pub(super) async fn rejoin(site: Site<'_>, primary: &NodeSpec, anew: bool) -> anyhow::Result<()> {
    let Site { platform, lease, node, .. } = site;
    if !platform.has_file(node, control::MARK).await? {
        return copy(site, primary).await;
    }
    // Without a primary to copy from, what this node has may be all that is left.
    prepare_primary(site, primary).await?;
    if !anew {
        match resume(site, primary).await {
            Ok(()) => return Ok(()),
            Err(why) => tracing::warn!(node = %node.id, "it cannot go on with its data, so they are copied anew: {why:#}"),
        }
    }
    prepare_primary(site, primary).await?;
    platform.fence(lease, node).await?;
    platform.wipe_data(lease, node).await?;
    copy(site, primary).await
}

/// Has a node go on from where its own log ends. A primary that does not have what is there refuses.
async fn resume(site: Site<'_>, primary: &NodeSpec) -> anyhow::Result<()> {
    let mut session = control::launch(site).await?;
    control::close(&mut session).await?;
    let mut of_primary = Session::open(site.platform, primary).await?;
    ensure!(promotion::has_all(&mut of_primary, &mut session).await?, "it has what its primary does not have");
    if Standing::of(&mut session).await?.is_some() {
        session.act("STOP SLAVE").await?;
    } else {
        session.act("SET GLOBAL gtid_slave_pos = @@gtid_binlog_pos").await?;
    }
    session.act(&change_master(&site.platform.paths(site.node), primary)).await?;
    session.act("START SLAVE").await?;
    let (begun, mut well) = (Instant::now(), 0);
    while well < WELL {
        let standing = Standing::of(&mut session).await?.context("it follows nobody")?;
        if let Some(error) = standing.refused {
            bail!("{error}");
        }
        ensure!(begun.elapsed() < RESUME_LIMIT, "it does not follow within {} s", RESUME_LIMIT.as_secs());
        well = if standing.receives && standing.applies { well + 1 } else { 0 };
        sleep(POLL).await;
    }
    Ok(())
}

/// See [`crate::server::engine::Replication::follow`].
pub(super) async fn follow(site: Site<'_>, primary: &NodeSpec) -> anyhow::Result<()> {
    let mut session = Session::open(site.platform, site.node).await?;
    session.act("STOP SLAVE").await?;
    session.act(&change_master(&site.platform.paths(site.node), primary)).await?;
    session.act("START SLAVE").await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_copy_ends_is_read() {
        assert_eq!(position("completed OK!\nbinlog.000003\t691\t0-1-13\n").unwrap(), "0-1-13");
        assert_eq!(position("binlog.000001\t330\t\n").unwrap(), "");
        assert_eq!(position("binlog.000001\t330\n").unwrap(), "");
        assert!(position("completed OK!").is_err());
    }
}
