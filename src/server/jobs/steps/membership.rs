//! Nodes that come and go. One that is being added is no member until it follows; one that is being removed is none before
//! its data is.

use super::Context;
use crate::server::{
    db::{self, plan::Membership},
    jobs::steps::replicas,
};
use anyhow::ensure;
use std::time::Duration;

/// How long a new node may take until it follows: it has been seen to before.
const FOLLOWS: Duration = Duration::from_secs(30);

/// Those that were being added and follow now are members.
pub(super) async fn admit(cx: &Context<'_>) -> anyhow::Result<()> {
    for node in cx.nodes_that_are(Membership::Joining) {
        replicas::until_it_follows(cx, &node, FOLLOWS).await?;
    }
    let mut tx = cx.transaction().await?;
    db::membership::admit(&mut tx, cx.plan.id).await?;
    tx.commit().await?;
    Ok(())
}

/// Those that were being added leave, those that they were to replace stay.
pub(super) async fn withdraw(cx: &Context<'_>) -> anyhow::Result<()> {
    let mut tx = cx.transaction().await?;
    db::membership::withdraw(&mut tx, cx.plan.id).await?;
    tx.commit().await?;
    Ok(())
}

/// Removes those that leave. The primary keeps no log for them any more.
pub(super) async fn remove(cx: &Context<'_>) -> anyhow::Result<()> {
    let primary = cx.primary()?;
    for node in cx.nodes_that_are(Membership::Leaving) {
        ensure!(cx.plan.sync_sets.iter().all(|set| !set.members.contains(&node.id)), "commits may still wait for the node: it is kept");
        cx.platform()?.destroy_node(cx.lease, &node).await?;
        cx.replicating()?.forget(cx.site(&primary)?, &node).await?;
        let mut tx = cx.transaction().await?;
        db::membership::removed(&mut tx, cx.plan.id, node.id, node.slot).await?;
        tx.commit().await?;
    }
    Ok(())
}
