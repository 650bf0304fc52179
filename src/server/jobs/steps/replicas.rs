//! Replicas: copies of the primary that follow it.

use super::Context;
use crate::server::{
    engine::Health,
    platform::{NodeSpec, Presence},
};
use anyhow::{bail, ensure};
use futures::future::try_join_all;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a replica that has just started may take until it receives from the primary.
const FOLLOWS: Duration = Duration::from_secs(30);
/// After so long a replica is not waited for without a look at its primary.
const PRIMARY_AWAY: Duration = Duration::from_millis(200);
/// How often it is asked meanwhile.
const POLL: Duration = Duration::from_millis(20);

/// Makes each replica of a copy of the primary's data, and returns when all of them follow.
pub(super) async fn copy(cx: &Context<'_>) -> anyhow::Result<()> {
    let primary = cx.primary()?;
    let all = cx.replicas();
    // Their copies are read from one server, but the time goes into writing them.
    try_join_all(all.iter().map(|node| async {
        cx.platform()?.ensure_node(cx.lease, node).await?;
        cx.replicating()?.copy(cx.site(node)?, &primary).await?;
        cx.engine()?.start(cx.site(node)?).await?;
        until_it_follows(cx, node, FOLLOWS).await.map(drop)
    }))
    .await?;
    Ok(())
}

/// Has the replicas that run know the users that the primary knows. One that is away learns of them when it is brought back.
pub(super) async fn share_users(cx: &Context<'_>) -> anyhow::Result<()> {
    let Some(replicating) = cx.engine()?.replication() else { return Ok(()) };
    let primary = cx.primary()?;
    for node in cx.replicas() {
        if matches!(cx.platform()?.presence(&node).await, Presence::Running { .. }) {
            replicating.share_users(cx.site(&node)?, &primary).await?;
        }
    }
    Ok(())
}

/// Has every replica that does not follow the primary follow it.
pub(super) async fn rejoin(cx: &Context<'_>) -> anyhow::Result<()> {
    let primary = cx.primary()?;
    let all = cx.replicas();
    try_join_all(all.iter().map(|node| async {
        if cx.engine()?.check(cx.platform()?, node).await.is_ok_and(|health| health.receives) {
            return Ok(());
        }
        cx.platform()?.ensure_node(cx.lease, node).await?;
        // What does not answer is not asked to end.
        if cx.engine()?.check(cx.platform()?, node).await.is_err() {
            cx.platform()?.fence(cx.lease, node).await?;
        }
        // What does not help twice does not help.
        cx.replicating()?.rejoin(cx.site(node)?, &primary, cx.job.attempt >= 2).await?;
        cx.engine()?.start(cx.site(node)?).await?;
        until_it_follows(cx, node, FOLLOWS).await.map(drop)
    }))
    .await?;
    Ok(())
}

/// Waits until a replica receives from the primary, for as long as `limit`.
pub(super) async fn until_it_follows(cx: &Context<'_>, node: &NodeSpec, limit: Duration) -> anyhow::Result<Health> {
    let begun = Instant::now();
    loop {
        let health = cx.engine()?.check(cx.platform()?, node).await?;
        ensure!(!health.writable, "the replica takes writes of its own: it follows nobody");
        if health.receives {
            return Ok(health);
        }
        if begun.elapsed() > PRIMARY_AWAY && cx.primary_is_gone().await {
            bail!("the primary stopped");
        }
        ensure!(begun.elapsed() < limit, "the replica runs, but did not receive from the primary within {} s", limit.as_secs());
        sleep(POLL).await;
    }
}
