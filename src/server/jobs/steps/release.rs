//! The end: everything a datastore held is free again. Its row and its audit events stay. A spare gives back what it was
//! only lent.

use super::Context;
use crate::server::db;

/// Frees the platform's last things, then forgets secrets, addresses, users and names in one transaction.
pub(super) async fn release(cx: &Context<'_>) -> anyhow::Result<()> {
    cx.platform()?.destroy_datastore(cx.lease).await?;
    let mut tx = cx.transaction().await?;
    db::lifecycle::deleted(&mut tx, cx.plan.id, cx.job.id).await?;
    tx.commit().await?;
    Ok(())
}

/// Forgets what a spare had to have to be made ready: whoever gets it gets addresses, a CA and secrets of its own.
pub(super) async fn park(cx: &Context<'_>) -> anyhow::Result<()> {
    let mut tx = cx.transaction().await?;
    db::spares::park(&mut tx, cx.plan.id).await?;
    tx.commit().await?;
    Ok(())
}
