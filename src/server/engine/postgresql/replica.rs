//! Replicas: physical copies that follow the primary's log.

use super::{
    cluster, config, control, discover,
    session::{MAINTENANCE, Session},
};
use crate::server::{
    engine::Site,
    platform::{NodeSpec, Program},
};
use anyhow::Context;
use std::time::Duration;

/// A copy is as long as the data is large: this is for some hundred GB.
const COPY_LIMIT: Duration = Duration::from_hours(4);

const HAS_SLOT: &str = "SELECT 1 FROM pg_replication_slots WHERE slot_name = $1";
/// Keeps the log from now on, not from the replica's first visit on.
const MAKE_SLOT: &str = "SELECT slot_name::text FROM pg_create_physical_replication_slot($1, true)";

/// See [`crate::server::engine::Engine::copy`].
pub(super) async fn copy(site: Site<'_>, primary: &NodeSpec) -> anyhow::Result<()> {
    let Site { platform, lease, node, programs } = site;
    if platform.has_file(node, control::MARK).await? {
        return Ok(());
    }
    // Whatever of an earlier attempt still runs would write into the new one.
    platform.fence(lease, node).await?;
    platform.wipe_data(lease, node).await?;
    keep_log(site, primary).await.context("the primary cannot be asked to keep its log for the replica")?;
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

/// Has the primary keep what the replica has not received yet, within `max_slot_wal_keep_size`.
async fn keep_log(site: Site<'_>, primary: &NodeSpec) -> anyhow::Result<()> {
    let (session, slot) = (Session::open(site.platform, primary, MAINTENANCE).await?, config::slot(site.node));
    if !session.has(HAS_SLOT, &[&slot]).await? {
        session.row(MAKE_SLOT, &[&slot]).await?;
    }
    Ok(())
}
