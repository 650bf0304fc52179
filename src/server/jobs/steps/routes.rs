//! The edge: who may come in, and where the endpoints lead.

use super::{Context, node};
use crate::server::db;
use anyhow::{bail, ensure};

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

/// Checks that the primary is one, then opens the endpoints to it: never the other way round.
pub(super) async fn verify(cx: &Context<'_>) -> anyhow::Result<()> {
    let primary = node::primary(cx)?;
    let health = cx.engine()?.check(cx.platform()?, &primary).await?;
    ensure!(health.writable, "the server answers, but it is not a writable primary");
    let edge = cx.plan.edge_spec()?;
    let wanted = cx.plan.routes();
    cx.platform()?.route(cx.lease, &edge, cx.plan.epoch, &wanted).await?;
    let open = cx.platform()?.routes_open(cx.plan.id).await?;
    if wanted.iter().any(|r| !open.contains(r)) {
        bail!("the edge does not lead to the server yet");
    }
    let seen = db::observed::Observation {
        state: "healthy",
        detail: "answers as primary".to_owned(),
        health: Some(health),
        storage: cx.platform()?.space(&primary).await.ok().map(|space| space.used),
    };
    db::observed::node(&cx.app.db, primary.id, &seen).await?;
    let mut tx = cx.transaction().await?;
    db::lifecycle::active(&mut tx, cx.plan.id, &seen.detail).await?;
    tx.commit().await?;
    Ok(())
}

/// Ends the edge.
pub(super) async fn close(cx: &Context<'_>) -> anyhow::Result<()> {
    cx.platform()?.destroy_edge(cx.lease, cx.plan.id).await
}
