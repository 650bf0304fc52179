//! One primary after another, never two: the old one is fenced before the new one takes writes, and the edge leads to the new
//! one only with a later epoch.

use super::{Context, Moot, sync};
use crate::server::{
    db::{self, plan::Membership},
    engine::{Answered, Position, quorum},
    jobs::kind::{JobKind, Step},
    platform::{Activity, ListenerKind, NodeSpec, Presence, Route},
};
use anyhow::{Context as _, bail, ensure};
use futures::future::join_all;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

/// How long the last words of a primary may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(10);
/// How often they are looked for.
const POLL: Duration = Duration::from_millis(5);
/// How long a primary that was given up has to show that it serves after all.
const SECOND_LOOK: Duration = Duration::from_millis(300);
/// How long a replica has to say what it has, while others might do without it.
const SAY: Duration = Duration::from_secs(1);

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

/// Whether a planned change cannot come to its end any more: the replica is gone, before or after it became the primary, or, with its
/// last words unread, the primary.
pub(super) async fn is_past_help(cx: &Context<'_>, step: Step) -> bool {
    let Ok(platform) = cx.platform() else { return false };
    let next_is_gone = match wanted(cx) {
        Some(next) => platform.presence(&next).await.is_gone(),
        None => cx.primary_is_gone().await,
    };
    next_is_gone || step == Step::StepDown && cx.primary_is_gone().await
}

/// Nothing of the old primary can write any more, and nobody is led to it. Unless it serves again: then all stays as it is.
pub(super) async fn fence_primary(cx: &Context<'_>) -> anyhow::Result<()> {
    if cx.job.kind == JobKind::Failover.id() && cx.plan.wanted_primary.is_some() {
        // What a promotion wished that failed earlier is not what is elected now.
        let mut tx = cx.transaction().await?;
        db::lifecycle::want_primary(&mut tx, cx.plan.id, None).await?;
        tx.commit().await?;
    }
    let (primary, platform) = (cx.primary()?, cx.platform()?);
    let stopped = platform.vitals(&primary).await.is_ok_and(|vitals| vitals.activity == Activity::Stopped);
    let look = async { timeout(SECOND_LOOK, cx.engine()?.check(platform, &primary)).await? };
    if !stopped && look.await.is_ok_and(|health| health.writable) {
        return Err(Moot("the primary serves again".to_owned()).into());
    }
    platform.fence(cx.lease, &primary).await?;
    // Without an edge nobody is led anywhere.
    if let Err(error) = close_primary(cx).await
        && platform.edge_presence(cx.plan.id).await != Presence::Dead
    {
        return Err(error);
    }
    Ok(())
}

/// The replica that has most, once enough were heard that one of them has everything that was acknowledged. What is dead is started
/// first.
pub(super) async fn elect(cx: &Context<'_>) -> anyhow::Result<()> {
    // Whoever leaves may still have what commits waited for.
    let heard_of: Vec<NodeSpec> = [cx.replicas(), cx.nodes_that_are(Membership::Leaving)].concat();
    let (replicas, sets) = (heard_of, cx.plan.promises());
    let mut said = hear(cx, &replicas).await;
    let enough = if cx.plan.engine.keeps_acknowledged() {
        sets.iter().any(|set| set.acks > 0) && quorum::may_promote(sets, &names(&said))
    } else {
        // One that must be started first has less than one that ran on.
        !said.is_empty()
    };
    if said.len() < replicas.len() && !enough {
        let silent: Vec<NodeSpec> = replicas.iter().filter(|node| said.iter().all(|(id, _)| *id != node.id)).cloned().collect();
        join_all(silent.iter().map(|node| wake(cx, node))).await;
        said = hear(cx, &replicas).await;
    }
    let heard = names(&said);
    if let Some(set) = sets.iter().find(|set| !set.is_satisfied_by(&heard)) {
        bail!(
            "{} of {} replicas that commits waited for were heard, {} are needed to be sure that no acknowledged write is lost: somebody must decide",
            set.heard(&heard),
            set.members.len(),
            set.needed()
        );
    }
    let Some((node, position)) = said.into_iter().max_by_key(|(_, position)| *position) else { bail!("no replica answers, so none can take over") };
    tracing::warn!(%node, ?position, "elected");
    let mut tx = cx.transaction().await?;
    db::lifecycle::want_primary(&mut tx, cx.plan.id, Some(node)).await?;
    tx.commit().await?;
    Ok(())
}

fn names(said: &[(Uuid, Position)]) -> Vec<Uuid> {
    said.iter().map(|(id, _)| *id).collect()
}

/// What those who answer have.
async fn hear(cx: &Context<'_>, nodes: &[NodeSpec]) -> Vec<(Uuid, Position)> {
    let words = join_all(nodes.iter().map(|node| async {
        let word = async { cx.replicating()?.last_word(cx.site(node)?).await };
        match timeout(SAY, word).await.map_err(anyhow::Error::from) {
            Ok(Ok(position)) => Some((node.id, position)),
            Ok(Err(why)) | Err(why) => {
                tracing::warn!(node = %node.id, "not heard: {why:#}");
                None
            }
        }
    }));
    words.await.into_iter().flatten().collect()
}

/// Starts a replica's server anew, as it is: it has what it has.
async fn wake(cx: &Context<'_>, node: &NodeSpec) {
    let start = async {
        cx.platform()?.fence(cx.lease, node).await?;
        cx.platform()?.ensure_node(cx.lease, node).await?;
        cx.engine()?.start(cx.site(node)?).await
    };
    if let Err(why) = start.await {
        tracing::warn!(node = %node.id, "it cannot be started: {why:#}");
    }
}

/// Makes the wanted node the primary, and writes down that it is. Other replicas follow it at once; those that cannot are brought
/// back later.
pub(super) async fn promote(cx: &Context<'_>) -> anyhow::Result<()> {
    let Some(next) = wanted(cx) else { return Ok(()) };
    let primary = cx.primary()?;
    // Recorded before the server is told of it.
    let (fenced, set) = tokio::join!(cx.platform()?.fence(cx.lease, &primary), sync::record_for(cx, next.id));
    fenced?;
    let set = set?;
    if is_lost(cx, &next).await? {
        wake(cx, &next).await;
    }
    let (site, replicating) = (cx.site(&next)?, cx.replicating()?);
    // Nobody is led to it before its commits wait for these.
    let waits = async {
        if !replicating.waits_for(site, &set).await? {
            cx.engine()?.configure(site, &cx.settings_under(&next, &next).await?).await?;
            cx.engine()?.reload(site).await?;
            ensure!(replicating.waits_for(site, &set).await?, "the replica did not take up what its commits should wait for");
        }
        Ok(())
    };
    let others: Vec<NodeSpec> = cx.replicas().into_iter().filter(|node| node.id != next.id).collect();
    let follow = join_all(others.iter().map(|node| async {
        if let Err(why) = turn(cx, node, &next).await {
            tracing::warn!(node = %node.id, "it does not follow the new primary yet: {why:#}");
        }
    }));
    let (promoted, waits, _) = tokio::join!(replicating.promote(site), waits, follow);
    promoted.and(waits)?;
    let mut tx = cx.transaction().await?;
    db::lifecycle::promoted(&mut tx, cx.plan.id, next.id).await?;
    db::sync_sets::forget_older(&mut tx, cx.plan.id).await?;
    tx.commit().await?;
    Ok(())
}

/// Whether the next primary died or hangs since it was chosen. It alone may be promoted then, as it may be already; so it is started again.
async fn is_lost(cx: &Context<'_>, next: &NodeSpec) -> anyhow::Result<bool> {
    let platform = cx.platform()?;
    if platform.presence(next).await.is_gone() {
        return Ok(true);
    }
    // At the first attempt it has answered a moment ago.
    Ok(cx.job.attempt > 0 && cx.engine()?.check(platform, next).await.is_err_and(|why| !why.is::<Answered>()))
}

/// Has a running replica follow another node.
async fn turn(cx: &Context<'_>, node: &NodeSpec, next: &NodeSpec) -> anyhow::Result<()> {
    if !matches!(cx.platform()?.presence(node).await, Presence::Running { .. }) {
        return Ok(());
    }
    cx.replicating()?.keep_log(cx.site(next)?, node).await?;
    cx.engine()?.configure(cx.site(node)?, &cx.settings_under(node, next).await?).await?;
    cx.replicating()?.follow(cx.site(node)?, next).await
}

/// Cuts writers and lets no new one in; readers of replicas stay.
async fn close_primary(cx: &Context<'_>) -> anyhow::Result<()> {
    let primary = cx.primary()?;
    let open = cx.platform()?.routes_open(cx.plan.id).await?;
    let stay: Vec<Route> = open.into_iter().filter(|route| route.listener != ListenerKind::Primary && route.slot != primary.slot).collect();
    cx.platform()?.route(cx.lease, &cx.plan.edge_spec()?, cx.plan.epoch, &stay).await
}
