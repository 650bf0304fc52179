//! One primary after another, never two: the old one is fenced before the new one takes writes, and the edge leads to the new
//! one only with a later epoch.

use super::Context;
use crate::server::{
    db,
    platform::{ListenerKind, NodeSpec, Presence, Route},
};
use anyhow::{Context as _, bail, ensure};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long the last words of a primary may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(10);
/// How often they are looked for.
const POLL: Duration = Duration::from_millis(5);

/// The node that should become the primary; `None` when it is already, so nothing is left to do.
fn wanted(cx: &Context<'_>) -> Option<NodeSpec> {
    let wanted = cx.plan.nodes.iter().find(|node| Some(node.id) == cx.plan.wanted_primary && !node.primary)?;
    Some(cx.plan.node_spec(wanted))
}

/// A planned change: nothing that was acknowledged is lost. Should it fail, the old primary is started again.
pub(super) async fn step_down(cx: &Context<'_>) -> anyhow::Result<()> {
    let Some(next) = wanted(cx) else { return Ok(()) };
    let old = cx.primary()?;
    if matches!(cx.platform()?.presence(&old).await, Presence::Running { .. }) {
        let health = cx.engine()?.check(cx.platform()?, &next).await.context("the replica does not answer")?;
        ensure!(health.receives, "the replica does not follow the primary now, so it does not have everything");
        // While clients still write: what is left to write at the stop is little then.
        cx.replicating()?.settle(cx.site(&old)?).await?;
        close_primary(cx).await?;
        cx.engine()?.stop(cx.site(&old)?).await?;
    }
    let last = cx.replicating()?.position(cx.site(&old)?).await?;
    let begun = Instant::now();
    while cx.replicating()?.position(cx.site(&next)?).await? < last {
        ensure!(begun.elapsed() < ARRIVAL, "the last words of the primary did not arrive at the replica within {} s", ARRIVAL.as_secs());
        sleep(POLL).await;
    }
    Ok(())
}

/// Nothing of the old primary can write any more, and nobody is led to it. Unless it serves again: then all stays as it is.
pub(super) async fn fence_primary(cx: &Context<'_>) -> anyhow::Result<()> {
    // What a promotion wished that failed earlier is not what is elected now.
    let mut tx = cx.transaction().await?;
    db::lifecycle::want_primary(&mut tx, cx.plan.id, None).await?;
    tx.commit().await?;
    if serves(cx, &cx.primary()?).await {
        return Ok(());
    }
    cx.platform()?.fence(cx.lease, &cx.primary()?).await?;
    // Without an edge nobody is led anywhere.
    if let Err(error) = close_primary(cx).await
        && cx.platform()?.edge_presence(cx.plan.id).await != Presence::Dead
    {
        return Err(error);
    }
    Ok(())
}

/// The replica that has most, of those that answer.
pub(super) async fn elect(cx: &Context<'_>) -> anyhow::Result<()> {
    if serves(cx, &cx.primary()?).await {
        return Ok(());
    }
    let mut best = None;
    for node in cx.replicas() {
        match cx.replicating()?.position(cx.site(&node)?).await {
            Ok(position) if best.as_ref().is_none_or(|(most, _)| position > *most) => best = Some((position, node.id)),
            Ok(_) => {}
            Err(error) => tracing::warn!(node = %node.id, "it has no say in the election: {error:#}"),
        }
    }
    let Some((position, node)) = best else { bail!("no replica answers, so none can take over") };
    tracing::warn!(%node, ?position, "elected");
    let mut tx = cx.transaction().await?;
    db::lifecycle::want_primary(&mut tx, cx.plan.id, Some(node)).await?;
    tx.commit().await?;
    Ok(())
}

/// Makes the wanted node the primary, and writes down that it is.
pub(super) async fn promote(cx: &Context<'_>) -> anyhow::Result<()> {
    let Some(next) = wanted(cx) else { return Ok(()) };
    let old = cx.primary()?;
    cx.platform()?.fence(cx.lease, &old).await?;
    cx.replicating()?.promote(cx.site(&next)?).await?;
    let mut tx = cx.transaction().await?;
    db::lifecycle::promoted(&mut tx, cx.plan.id, next.id).await?;
    tx.commit().await?;
    Ok(())
}

async fn serves(cx: &Context<'_>, node: &NodeSpec) -> bool {
    let (Ok(engine), Ok(platform)) = (cx.engine(), cx.platform()) else { return false };
    engine.check(platform, node).await.is_ok_and(|health| health.writable)
}

/// Cuts writers and lets no new one in; readers of replicas stay.
async fn close_primary(cx: &Context<'_>) -> anyhow::Result<()> {
    let primary = cx.primary()?;
    let open = cx.platform()?.routes_open(cx.plan.id).await?;
    let stay: Vec<Route> = open.into_iter().filter(|route| route.listener != ListenerKind::Primary && route.slot != primary.slot).collect();
    cx.platform()?.route(cx.lease, &cx.plan.edge_spec()?, cx.plan.epoch, &stay).await
}
