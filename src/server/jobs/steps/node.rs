//! The node and its server.

use super::{Context, replicas, routes};
use crate::server::{
    db,
    engine::Answered,
    monitor,
    platform::{Activity, NodeSpec, Presence},
};
use anyhow::Context as _;
use futures::future::try_join_all;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How long a replica that was restarted may take until it follows.
const FOLLOWS: Duration = Duration::from_secs(30);

/// How long a server may take to answer before it is looked at more closely, and how long it is then.
const ANSWER: Duration = Duration::from_secs(1);
const WATCHED: Duration = Duration::from_secs(10);

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

/// Kills servers that were stopped or, for as long as they are watched, neither answer nor do anything: what is started next would find
/// them in its place. Those that are busy are left alone.
pub(super) async fn end_hung(cx: &Context<'_>) -> anyhow::Result<()> {
    let nodes = cx.nodes();
    try_join_all(nodes.iter().map(|node| async {
        if hangs(cx, node).await? {
            tracing::warn!(node = %node.id, "its server will never answer: killing it");
            cx.platform()?.fence(cx.lease, node).await?;
        }
        anyhow::Ok(())
    }))
    .await?;
    Ok(())
}

async fn hangs(cx: &Context<'_>, node: &NodeSpec) -> anyhow::Result<bool> {
    let (platform, engine) = (cx.platform()?, cx.engine()?);
    let (begun, mut before) = (Instant::now(), None);
    while matches!(platform.presence(node).await, Presence::Running { .. }) {
        match timeout(ANSWER, engine.check(platform, node)).await {
            Ok(Ok(_)) => return Ok(false),
            Ok(Err(why)) if why.is::<Answered>() => return Ok(false),
            _ => {}
        }
        let vitals = platform.vitals(node).await?;
        match vitals.activity {
            Activity::Stopped => return Ok(true),
            Activity::Busy => return Ok(false),
            Activity::Waiting if before.replace(vitals.cpu).is_some_and(|cpu| vitals.cpu > cpu) => return Ok(false),
            Activity::Waiting if begun.elapsed() >= WATCHED => return Ok(true),
            Activity::Waiting => sleep(ANSWER / 2).await,
        }
    }
    Ok(false)
}

/// Has the servers that run read their files again. A replica that cannot is brought back later, with its new files.
pub(super) async fn reload(cx: &Context<'_>) -> anyhow::Result<()> {
    let primary = cx.primary()?;
    for node in cx.nodes() {
        if !matches!(cx.platform()?.presence(&node).await, Presence::Running { .. }) {
            continue;
        }
        match cx.engine()?.reload(cx.site(&node)?).await {
            Err(why) if node.id != primary.id => tracing::warn!(node = %node.id, "it has not read its files again: {why:#}"),
            result => result?,
        }
    }
    Ok(())
}

/// Restarts the replicas, one after another: readers always have one.
pub(super) async fn restart_replicas(cx: &Context<'_>) -> anyhow::Result<()> {
    for node in cx.replicas() {
        cx.engine()?.stop(cx.site(&node)?).await?;
        cx.engine()?.start(cx.site(&node)?).await?;
        replicas::until_it_follows(cx, &node, FOLLOWS).await?;
    }
    Ok(())
}

/// Restarts the primary: what is left to write at its stop is little.
pub(super) async fn restart_primary(cx: &Context<'_>) -> anyhow::Result<()> {
    let node = cx.primary()?;
    if let Err(why) = cx.replicating()?.settle(cx.site(&node)?).await {
        tracing::warn!(node = %node.id, "stopped without a word before: {why:#}");
    }
    cx.engine()?.stop(cx.site(&node)?).await?;
    cx.engine()?.start(cx.site(&node)?).await
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

/// Makes the first user and its database on the primary. Replicas that are made later are told of the user, too.
pub(super) async fn create_database(cx: &Context<'_>) -> anyhow::Result<()> {
    let node = cx.primary()?;
    let engine = cx.engine()?;
    let password = cx.secret(db::secrets::ADMIN_PASSWORD).await?.context("the first password is missing")?;
    engine.ensure_user(cx.site(&node)?, &cx.plan.user, &engine.verifier(&password)).await?;
    engine.ensure_database(cx.site(&node)?, &cx.plan.database, &cx.plan.user).await?;
    replicas::share_users(cx).await
}

/// Makes a user and a database on the primary that only need a name.
pub(super) async fn prepare_database(cx: &Context<'_>) -> anyhow::Result<()> {
    let node = cx.primary()?;
    cx.engine()?.prepare_database(cx.site(&node)?).await
}

/// Removes the nodes and their data.
pub(super) async fn destroy(cx: &Context<'_>) -> anyhow::Result<()> {
    for node in &cx.plan.nodes {
        cx.platform()?.destroy_node(cx.lease, &cx.plan.node_spec(node)).await?;
    }
    Ok(())
}
