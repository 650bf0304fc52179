//! The edge: who may come in, and where the endpoints lead.

use super::{Context, replicas};
use crate::server::{db, engine::Health, jobs::kind::JobKind, monitor::decide, platform::NodeSpec};
use anyhow::{anyhow, bail, ensure};
use futures::future::join_all;
use std::time::Duration;
use tokio::time::timeout;

/// How long writers wait for replicas.
const AT_ONCE: Duration = Duration::from_millis(500);
/// How long a replica that was just started is waited for.
const SOON: Duration = Duration::from_secs(5);

/// Starts the edge unless it runs. A spare has none.
pub(super) async fn start_edge(cx: &Context<'_>) -> anyhow::Result<()> {
    if cx.plan.lifecycle == "spare" {
        return Ok(());
    }
    cx.platform()?.ensure_edge(cx.lease, &cx.plan.edge_spec()?, &cx.plan.trusted()).await
}

/// Starts the edge unless it runs, and makes exactly the trusted sources trusted.
pub(super) async fn apply_sources(cx: &Context<'_>) -> anyhow::Result<()> {
    let edge = cx.plan.edge_spec()?;
    let sources = cx.plan.trusted();
    cx.platform()?.ensure_edge(cx.lease, &edge, &sources).await?;
    cx.platform()?.trust(cx.lease, &edge, &sources).await?;
    let applied: Vec<uuid::Uuid> = cx.plan.sources.iter().map(|(id, _)| *id).collect();
    let mut tx = cx.transaction().await?;
    db::firewall::applied(&mut tx, &applied).await?;
    tx.commit().await?;
    Ok(())
}

/// Checks that the primary is one and which replicas follow it, then opens the endpoints to them: never the other way round.
pub(super) async fn verify(cx: &Context<'_>) -> anyhow::Result<()> {
    let primary = cx.primary()?;
    let health = cx.engine()?.check(cx.platform()?, &primary).await?;
    ensure!(health.writable, "the server answers, but it is not a writable primary");
    if cx.platform()?.edge_presence(cx.plan.id).await.is_gone() {
        start_edge(cx).await?;
    }
    if let (Some(replicating), true) = (cx.engine()?.replication(), cx.plan.sync_sets.iter().any(|set| set.acks > 0)) {
        let waits = replicating.waits_for(cx.site(&primary)?, &cx.plan.sync_set(primary.id)).await?;
        ensure!(waits, "commits of the primary do not wait for the replicas that were recorded");
    }
    let mut seen = vec![(primary, health)];
    let mut others = Vec::new();
    // All at once: writers do not wait long for replicas, one that hangs included.
    let replicas = cx.replicas();
    let checks = join_all(replicas.iter().map(|replica| timeout(AT_ONCE, replicas::until_it_follows(cx, replica, Duration::ZERO)))).await;
    for (replica, check) in replicas.into_iter().zip(checks) {
        match check {
            Ok(Ok(health)) => seen.push((replica, health)),
            Ok(Err(why)) => others.push((replica, why)),
            Err(_) => others.push((replica, anyhow!("the replica does not answer"))),
        }
    }
    lead(cx, &seen).await?;
    // One that does not follow soon is led to as soon as it does: the monitor sees to that, which looks at nothing meanwhile. So nobody who
    // hangs is waited for long, and by a job of the monitor's nobody at all.
    let soon = if cx.job.kind == JobKind::Lead.id() { Duration::ZERO } else { SOON };
    let alone = others.is_empty();
    let waits = others.iter().map(|(replica, _)| timeout(soon, replicas::until_it_follows(cx, replica, soon)));
    let later: Vec<_> = join_all(waits).await.into_iter().map(|waited| waited.ok().and_then(Result::ok)).collect();
    for ((replica, why), health) in others.into_iter().zip(later) {
        if let Some(health) = health {
            seen.push((replica, health));
        } else {
            tracing::warn!(node = %replica.id, "not led to: {why:#}");
        }
    }
    if !alone {
        lead(cx, &seen).await?;
    }
    let whole = seen.len() == cx.plan.nodes.len();
    for (node, health) in seen {
        let detail = if health.writable { decide::PRIMARY } else { decide::REPLICA };
        let storage = cx.platform()?.space(&node).await.ok().map(|space| space.used);
        let seen = db::observed::Observation { state: "healthy", detail: detail.to_owned(), health: Some(health), lag: None, storage };
        db::observed::node(&cx.app.db, node.id, &seen).await?;
    }
    let mut tx = cx.transaction().await?;
    let detail = if whole { decide::PRIMARY } else { "answers as primary; not all replicas follow" };
    db::lifecycle::active(&mut tx, cx.plan.id, whole, detail).await?;
    tx.commit().await?;
    Ok(())
}

/// Leads the endpoints to these nodes and to no others.
async fn lead(cx: &Context<'_>, to: &[(NodeSpec, Health)]) -> anyhow::Result<()> {
    let slots: Vec<u8> = to.iter().map(|(node, _)| node.slot).collect();
    let wanted = cx.plan.routes(&slots);
    cx.platform()?.route(cx.lease, &cx.plan.edge_spec()?, cx.plan.epoch, &wanted).await?;
    let open = cx.platform()?.routes_open(cx.plan.id).await?;
    if wanted.iter().any(|r| !open.contains(r)) {
        bail!("the edge does not lead to the servers yet");
    }
    Ok(())
}

/// Ends the edge.
pub(super) async fn close(cx: &Context<'_>) -> anyhow::Result<()> {
    cx.platform()?.destroy_edge(cx.lease, cx.plan.id).await
}
