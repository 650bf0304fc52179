//! The node and its server.

use super::{Context, routes};
use crate::server::{db, monitor};
use anyhow::Context as _;

/// Makes the nodes' places.
pub(super) async fn make(cx: &Context<'_>) -> anyhow::Result<()> {
    for node in cx.nodes() {
        cx.platform()?.ensure_node(cx.lease, &node).await?;
    }
    Ok(())
}

/// Makes the primary's data directory; replicas get a copy of it.
pub(super) async fn initialise(cx: &Context<'_>) -> anyhow::Result<()> {
    let node = cx.primary()?;
    // After a reboot since the last step its volume must be attached again: without it the data would look empty.
    cx.platform()?.ensure_node(cx.lease, &node).await?;
    cx.engine()?.initialise(cx.site(&node)?).await
}

/// Writes configurations and certificates.
pub(super) async fn configure(cx: &Context<'_>) -> anyhow::Result<()> {
    for node in cx.nodes() {
        let settings = cx.settings(&node).await?;
        cx.engine()?.configure(cx.site(&node)?, &settings).await?;
    }
    Ok(())
}

/// Starts the servers. The edge's process starts meanwhile: with every route closed it leads nobody anywhere.
pub(super) async fn start(cx: &Context<'_>) -> anyhow::Result<()> {
    let servers = async {
        for node in cx.nodes() {
            cx.engine()?.start(cx.site(&node)?).await?;
        }
        Ok(())
    };
    tokio::try_join!(servers, routes::start_edge(cx))?;
    Ok(())
}

/// Starts the primary's server, and the edge's process.
pub(super) async fn start_primary(cx: &Context<'_>) -> anyhow::Result<()> {
    let node = cx.primary()?;
    tokio::try_join!(cx.engine()?.start(cx.site(&node)?), routes::start_edge(cx))?;
    Ok(())
}

/// Stops the servers: the primary first, so that replicas still receive its last words.
pub(super) async fn stop(cx: &Context<'_>) -> anyhow::Result<()> {
    for node in cx.nodes() {
        cx.engine()?.stop(cx.site(&node)?).await?;
    }
    Ok(())
}

/// Has the servers read their files again.
pub(super) async fn reload(cx: &Context<'_>) -> anyhow::Result<()> {
    for node in cx.nodes() {
        cx.engine()?.reload(cx.site(&node)?).await?;
    }
    Ok(())
}

/// Stops writing before the storage is full, and lets it go on once there is room: whichever is right now.
pub(super) async fn guard_storage(cx: &Context<'_>) -> anyhow::Result<()> {
    for node in cx.nodes() {
        let site = cx.site(&node)?;
        let space = cx.platform()?.space(&node).await?;
        let is = cx.engine()?.check(site.platform, &node).await?.read_only;
        cx.engine()?.set_read_only(site, monitor::decide::must_be_read_only(&space, &node.storage, is)).await?;
    }
    Ok(())
}

/// Sets up roles and rights on the primary; replicas receive them.
pub(super) async fn harden(cx: &Context<'_>) -> anyhow::Result<()> {
    let node = cx.primary()?;
    cx.engine()?.harden(cx.site(&node)?).await
}

/// Makes the first user and its database on the primary.
pub(super) async fn create_database(cx: &Context<'_>) -> anyhow::Result<()> {
    let node = cx.primary()?;
    let engine = cx.engine()?;
    let password = cx.secret(db::secrets::ADMIN_PASSWORD).await?.context("the first password is missing")?;
    engine.ensure_user(cx.site(&node)?, &cx.plan.user, &engine.verifier(&password)).await?;
    engine.ensure_database(cx.site(&node)?, &cx.plan.database, &cx.plan.user).await
}

/// Makes a user and a database on the primary that only need a name.
pub(super) async fn prepare_database(cx: &Context<'_>) -> anyhow::Result<()> {
    let node = cx.primary()?;
    cx.engine()?.prepare_database(cx.site(&node)?).await
}

/// Removes the nodes and their data.
pub(super) async fn destroy(cx: &Context<'_>) -> anyhow::Result<()> {
    for node in cx.nodes() {
        cx.platform()?.destroy_node(cx.lease, &node).await?;
    }
    Ok(())
}
