//! What commits wait for: recorded before a server is told, forgotten after it has confirmed another. Whoever fails over in between
//! satisfies both.

use super::Context;
use crate::server::{db, engine::quorum::SyncSet, platform::Presence};
use anyhow::{Context as _, ensure};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

/// How long replicas may take until commits find enough of them.
const FOUND: Duration = Duration::from_secs(30);
/// How often they are counted meanwhile.
const POLL: Duration = Duration::from_millis(20);

/// Records what the primary's commits should wait for from now on.
pub(super) async fn record(cx: &Context<'_>) -> anyhow::Result<()> {
    record_for(cx, cx.primary()?.id).await.map(drop)
}

/// Records what this node's commits should wait for as a primary, unless that is what was recorded last. Returns it.
pub(super) async fn record_for(cx: &Context<'_>, primary: Uuid) -> anyhow::Result<SyncSet> {
    let wanted = cx.plan.wanted_sync_set(primary);
    if cx.plan.sync_sets.last() != Some(&wanted) {
        let mut tx = cx.transaction().await?;
        db::sync_sets::record(&mut tx, cx.plan.project, cx.plan.id, &wanted).await?;
        tx.commit().await?;
    }
    Ok(wanted)
}

/// Tells the servers: the primary, and replicas for when they become one. Returns when the primary's commits wait for what was
/// recorded last, and find it.
pub(super) async fn apply(cx: &Context<'_>) -> anyhow::Result<()> {
    let (primary, set) = (cx.primary()?, cx.plan.sync_set(cx.primary()?.id));
    for replica in cx.replicas() {
        // One that is away is told when it comes back.
        if let Err(why) = tell(cx, &replica.id).await {
            tracing::warn!(node = %replica.id, "it was not told what commits wait for: {why:#}");
        }
    }
    tell(cx, &primary.id).await?;
    ensure!(cx.replicating()?.waits_for(cx.site(&primary)?, &set).await?, "the server did not take up what commits wait for");
    let begun = Instant::now();
    loop {
        let health = cx.engine()?.check(cx.platform()?, &primary).await?;
        let found = health.followers.iter().filter(|f| f.synchronous && set.members.contains(&f.node)).count();
        if found >= set.acks {
            return Ok(());
        }
        ensure!(begun.elapsed() < FOUND, "commits wait for {} of the replicas, of which {found} follow", set.acks);
        sleep(POLL).await;
    }
}

/// Forgets what was wanted earlier.
pub(super) async fn forget_older(cx: &Context<'_>) -> anyhow::Result<()> {
    let mut tx = cx.transaction().await?;
    db::sync_sets::forget_older(&mut tx, cx.plan.id).await?;
    tx.commit().await?;
    Ok(())
}

/// Writes a node's configuration, and has it read again where the server runs.
async fn tell(cx: &Context<'_>, node: &Uuid) -> anyhow::Result<()> {
    let node = cx.plan.nodes.iter().find(|n| n.id == *node).map(|n| cx.plan.node_spec(n)).context("the node is gone")?;
    cx.engine()?.configure(cx.site(&node)?, &cx.settings(&node).await?).await?;
    if matches!(cx.platform()?.presence(&node).await, Presence::Running { .. }) {
        cx.engine()?.reload(cx.site(&node)?).await?;
    }
    Ok(())
}
