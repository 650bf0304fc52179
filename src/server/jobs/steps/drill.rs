//! Failover drills: what the probe needs, the blow, and nothing left afterwards.

use super::{Context, replicas};
use crate::server::{db, engine::probing::Probing};
use anyhow::Context as _;

fn probing<'a>(cx: &'a Context<'_>) -> anyhow::Result<&'a dyn Probing> {
    cx.engine()?.probing().with_context(|| format!("Granary has no failover drill for {}", cx.plan.engine))
}

/// Makes the probe's role and an empty table, while a drill wants them.
pub(super) async fn make_probe(cx: &Context<'_>) -> anyhow::Result<()> {
    if !cx.plan.drilled {
        return Ok(());
    }
    let password = cx.secret(db::secrets::PROBE_PASSWORD).await?.context("the probe has no password")?;
    let primary = cx.primary()?;
    probing(cx)?.make_probe(cx.site(&primary)?, &password).await?;
    // Whoever takes over must know it.
    replicas::share_users(cx).await
}

/// Kills everything of the primary's node, as its death would, once: only the node that the drill names, only while somebody drives
/// that drill. Nothing else is told or closed: from here on it is the monitor's to notice.
pub(super) async fn strike_primary(cx: &Context<'_>) -> anyhow::Result<()> {
    let Some(slot) = db::drills::to_strike(&cx.app.db, cx.plan.id).await? else { return Ok(()) };
    let primary = cx.primary()?;
    if i16::from(primary.slot) != slot {
        return Ok(());
    }
    tracing::warn!(node = %primary.id, "killing the primary, as the failover drill asks");
    cx.platform()?.fence(cx.lease, &primary).await
}

/// Removes the probe's role and table, and its password, unless another drill has begun that needs them.
pub(super) async fn remove_probe(cx: &Context<'_>) -> anyhow::Result<()> {
    if cx.plan.drilled {
        return Ok(());
    }
    let primary = cx.primary()?;
    probing(cx)?.remove_probe(cx.site(&primary)?).await?;
    replicas::share_users(cx).await?;
    let mut tx = cx.transaction().await?;
    db::secrets::remove(&mut tx, cx.plan.id, db::secrets::PROBE_PASSWORD).await?;
    db::drills::cleaned(&mut tx, cx.plan.id).await?;
    tx.commit().await?;
    Ok(())
}
