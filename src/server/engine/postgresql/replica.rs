//! Replicas: physical copies that follow the primary's log.

use super::{
    cluster, config, control, control_file, discover,
    session::{MAINTENANCE, Session},
};
use crate::server::{
    engine::Site,
    platform::{NodeSpec, Platform, Program, Signal},
};
use anyhow::{Context, ensure};
use std::time::Duration;

/// A copy is as long as the data is large: this is for some hundred GB.
const COPY_LIMIT: Duration = Duration::from_hours(4);

/// How long a replica that was killed may take to answer, unless it says that it recovers: one that is damaged never will.
const COMES: Duration = Duration::from_secs(5);

/// What makes a cluster a replica's, in the node's data directory.
const STANDBY: &str = "pgdata/standby.signal";

/// The first major whose `pg_rewind` can be told where the configuration lies.
const REWIND_SINCE: u32 = 15;

/// The first major that takes another primary by a reload.
const FOLLOW_BY_RELOAD_SINCE: u32 = 13;

const HAS_SLOT: &str = "SELECT 1 FROM pg_replication_slots WHERE slot_name = $1";
const DROP_SLOT: &str = "SELECT 1 FROM pg_replication_slots, pg_drop_replication_slot(slot_name) WHERE slot_name = $1";
/// Keeps the log from now on, not from the replica's first visit on.
const MAKE_SLOT: &str = "SELECT slot_name::text FROM pg_create_physical_replication_slot($1, true)";

/// See [`crate::server::engine::Replication::copy`].
pub(super) async fn copy(site: Site<'_>, primary: &NodeSpec) -> anyhow::Result<()> {
    let Site { platform, lease, node, programs } = site;
    if platform.has_file(node, control::MARK).await? {
        return Ok(());
    }
    // Whatever of an earlier attempt still runs would write into the new one.
    platform.fence(lease, node).await?;
    platform.wipe_data(lease, node).await?;
    keep_log(platform, primary, node).await.context("the primary cannot be asked to keep its log for the replica")?;
    let (paths, major) = (platform.paths(node), discover::major(programs)?);
    let mut args = vec![
        "--pgdata".to_owned(),
        control::text(&cluster(&paths)),
        "--dbname".to_owned(),
        config::conninfo(node, &paths, primary.address),
        "--wal-method=stream".to_owned(),
        "--checkpoint=fast".to_owned(),
        format!("--slot={}", config::slot(node)),
        "--no-sync".to_owned(),
    ];
    if major >= 13 {
        args.push("--no-manifest".to_owned());
    }
    let copy = Program { path: programs.programs.join("pg_basebackup"), args, env: Vec::new() };
    platform.run(lease, node, &copy, COPY_LIMIT).await.context("the primary's data could not be copied")?;
    platform.put_files(lease, node, &[config::follow(node, &paths, major, primary.address)]).await?;
    control::finish(site).await
}

/// See [`crate::server::engine::Replication::rejoin`].
pub(super) async fn rejoin(site: Site<'_>, primary: &NodeSpec, anew: bool) -> anyhow::Result<()> {
    let Site { platform, lease, node, .. } = site;
    if !platform.has_file(node, control::MARK).await? {
        return copy(site, primary).await;
    }
    // Without a primary to copy from, what this node has may be all that is left.
    prepare_primary(site, primary).await?;
    control::stop(site).await?;
    if !anew {
        match rewind(site, primary).await {
            Ok(()) => return Ok(()),
            Err(why) => tracing::warn!(node = %node.id, "its data cannot be rewound, so it is copied anew: {why:#}"),
        }
    }
    prepare_primary(site, primary).await?;
    platform.fence(lease, node).await?;
    platform.wipe_data(lease, node).await?;
    copy(site, primary).await
}

/// Makes sure that the primary is one, keeps its log for the replica, and has written down what it is compared by: a promotion of
/// a moment ago is not.
async fn prepare_primary(site: Site<'_>, primary: &NodeSpec) -> anyhow::Result<()> {
    let session = Session::open(site.platform, primary, MAINTENANCE).await.context("the primary does not answer: nothing was changed")?;
    ensure!(session.has("SELECT 1 WHERE NOT pg_is_in_recovery()", &[]).await?, "the primary is none: nothing was changed");
    keep_log(site.platform, primary, site.node).await?;
    session.act("CHECKPOINT").await
}

/// Takes back what the primary does not have. Where nothing is to be taken back this is quick, and changes nothing.
async fn rewind(site: Site<'_>, primary: &NodeSpec) -> anyhow::Result<()> {
    let Site { platform, lease, node, programs } = site;
    let (paths, major) = (platform.paths(node), discover::major(programs)?);
    // Before, it cannot be told of a configuration that lies outside the cluster, and needs one.
    ensure!(major >= REWIND_SINCE, "only from {REWIND_SINCE} on it can be");
    // One that was killed must come to a clean end first. Of a former primary pg_rewind sees to that, in a single-user server; that
    // refuses a replica, which never takes writes of its own when it is started as what it is.
    if platform.has_file(node, STANDBY).await? && !control_file::was_stopped_cleanly(site).await? {
        control::start_within(site, COMES).await.context("it does not recover")?;
        control::stop(site).await?;
    }
    let args = vec![
        "--target-pgdata".to_owned(),
        control::text(&cluster(&paths)),
        "--source-server".to_owned(),
        format!("{} dbname={MAINTENANCE}", config::conninfo(node, &paths, primary.address)),
        "--config-file".to_owned(),
        control::text(&paths.config.join(config::MAIN)),
        "--no-sync".to_owned(),
    ];
    let rewind = Program { path: programs.programs.join("pg_rewind"), args, env: Vec::new() };
    platform.run(lease, node, &rewind, COPY_LIMIT).await.context("pg_rewind failed")?;
    // What it kept for those that followed it when it was a primary, it would keep for ever.
    let args = ["-c", r#"rm -rf -- "$1"/pg_replslot/granary_*"#, "sh", &control::text(&cluster(&paths))].map(str::to_owned).to_vec();
    let forget = Program { path: "/bin/sh".into(), args, env: Vec::new() };
    platform.run(lease, node, &forget, Duration::from_secs(10)).await.context("its old slots cannot be removed")?;
    platform.put_files(lease, node, &[config::follow(node, &paths, major, primary.address)]).await
}

/// See [`crate::server::engine::Replication::forget`].
pub(super) async fn forget(site: Site<'_>, follower: &NodeSpec) -> anyhow::Result<()> {
    let session = Session::open(site.platform, site.node, MAINTENANCE).await?;
    // One that is in use cannot be dropped: its follower may have died only now.
    session.row(DROP_SLOT, &[&config::slot(follower)]).await?;
    Ok(())
}

/// See [`crate::server::engine::Replication::follow`].
pub(super) async fn follow(site: Site<'_>, primary: &NodeSpec) -> anyhow::Result<()> {
    let Site { platform, lease, node, programs } = site;
    let major = discover::major(programs)?;
    if major >= FOLLOW_BY_RELOAD_SINCE {
        return platform.signal(lease, node, Signal::Hangup).await;
    }
    control::stop(site).await?;
    platform.put_files(lease, node, &[config::follow(node, &platform.paths(node), major, primary.address)]).await?;
    control::start(site).await
}

/// Has a server keep what a replica has not received yet, within `max_slot_wal_keep_size`. A replica can do so too, before it becomes
/// the primary.
pub(super) async fn keep_log(platform: &dyn Platform, primary: &NodeSpec, replica: &NodeSpec) -> anyhow::Result<()> {
    let (session, slot) = (Session::open(platform, primary, MAINTENANCE).await?, config::slot(replica));
    if !session.has(HAS_SLOT, &[&slot]).await? {
        session.row(MAKE_SLOT, &[&slot]).await?;
    }
    Ok(())
}
