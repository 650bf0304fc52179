//! Replicas: the server copies by itself; Granary sees that it is there whole before anything rests on it, and that each knows the
//! users of its primary, which are not replicated.

use super::{
    Redis, admin,
    check::info,
    client::{Client, Refusal},
    control::{self, MARK},
};
use crate::server::{
    engine::Site,
    platform::{NodeSpec, Presence},
};
use anyhow::{Context, bail, ensure};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A copy is as long as the data is large; memory holds no more than this is for.
const COPY_LIMIT: Duration = Duration::from_hours(4);
/// How long a replica may take until it receives anything of its primary: it asks for it once a second.
const BEGINS: Duration = Duration::from_secs(20);
/// How often it is looked for.
const POLL: Duration = Duration::from_millis(10);
/// How long a primary that is about to be one may take before a replica turns to it all the same. One that is none yet refuses it, and
/// is asked again only after a second.
const ABOUT_TO_LEAD: Duration = Duration::from_millis(300);

/// See [`crate::server::engine::Replication::copy`].
pub(super) async fn copy(redis: &Redis, site: Site<'_>, primary: &NodeSpec) -> anyhow::Result<()> {
    let Site { platform, lease, node, .. } = site;
    if platform.has_file(node, MARK).await? {
        return Ok(());
    }
    let users = users_of(redis, site, primary).await?;
    // Whatever of an earlier attempt still runs would write into the new one.
    platform.fence(lease, node).await?;
    platform.wipe_data(lease, node).await?;
    platform.put_files(lease, node, &[control::users(&users)]).await?;
    control::start(site, redis.product, &redis.password(node)?).await?;
    until_copied(redis, site, primary, COPY_LIMIT).await?;
    control::finish(site).await
}

/// See [`crate::server::engine::Replication::rejoin`].
pub(super) async fn rejoin(redis: &Redis, site: Site<'_>, primary: &NodeSpec, anew: bool) -> anyhow::Result<()> {
    let Site { platform, lease, node, .. } = site;
    if !platform.has_file(node, MARK).await? {
        return copy(redis, site, primary).await;
    }
    // Without a primary to copy from, what this node has may be all that is left.
    let users = users_of(redis, site, primary).await.context("the primary does not answer as one: nothing was changed")?;
    if !anew && let Ok(health) = redis.look(site).await {
        tracing::debug!(node = %node.id, primary = health.is_primary().unwrap_or_default(), "it answers, and is turned to the primary");
        follow(redis, site, primary).await?;
        return until_copied(redis, site, primary, COPY_LIMIT).await;
    }
    platform.fence(lease, node).await?;
    if anew {
        platform.wipe_data(lease, node).await?;
    }
    platform.put_files(lease, node, &[control::users(&users)]).await?;
    control::start(site, redis.product, &redis.password(node)?).await?;
    until_copied(redis, site, primary, COPY_LIMIT).await?;
    control::finish(site).await
}

/// See [`crate::server::engine::Replication::follow`]. What the server has is replaced only once there is something to replace it with.
pub(super) async fn follow(redis: &Redis, site: Site<'_>, primary: &NodeSpec) -> anyhow::Result<()> {
    until_it_leads(redis, site, primary).await;
    let mut client = redis.sign_in(site.platform, site.node).await?;
    if !info(&mut client).await?.follows(primary) {
        control::set_primary_user(&mut client, &redis.own(site.node)?).await?;
        let (host, port) = (primary.address.ip().to_string(), primary.address.port().to_string());
        client.act(&["REPLICAOF", &host, &port]).await.context("the server does not take another primary")?;
    }
    ensure!(info(&mut client).await?.follows(primary), "the server did not take up its primary");
    Ok(())
}

async fn until_it_leads(redis: &Redis, site: Site<'_>, primary: &NodeSpec) {
    let begun = Instant::now();
    while begun.elapsed() < ABOUT_TO_LEAD {
        match redis.look(Site { node: primary, ..site }).await.and_then(|info| info.is_primary()) {
            Ok(true) | Err(_) => return,
            Ok(false) => sleep(POLL).await,
        }
    }
}

/// See [`crate::server::engine::Replication::share_users`].
pub(super) async fn share_users(redis: &Redis, site: Site<'_>, primary: &NodeSpec) -> anyhow::Result<()> {
    let users = users_of(redis, site, primary).await?;
    admin::take_users(&mut redis.sign_in(site.platform, site.node).await?, &users).await
}

/// The users of a primary that answers as one.
async fn users_of(redis: &Redis, site: Site<'_>, primary: &NodeSpec) -> anyhow::Result<Vec<String>> {
    let mut client = redis.sign_in(site.platform, primary).await?;
    ensure!(info(&mut client).await?.is_primary()?, "it follows another itself");
    admin::users(&mut client).await
}

/// Waits until a replica has everything, on its storage too, and receives what follows; then it knows the primary's users.
async fn until_copied(redis: &Redis, site: Site<'_>, primary: &NodeSpec, limit: Duration) -> anyhow::Result<()> {
    let (begun, mut moved) = (Instant::now(), Instant::now());
    loop {
        match redis.look(site).await {
            Ok(info) if info.receives() && info.is_written_down() => return share_users(redis, site, primary).await,
            Ok(info) if info.receives() || info.is_being_copied() => moved = Instant::now(),
            // It reads what it has received.
            Err(why) if why.downcast_ref::<Refusal>().is_some() => moved = Instant::now(),
            Err(why) if site.platform.presence(site.node).await.is_gone() => return Err(why.context("the replica ended meanwhile")),
            Ok(_) | Err(_) => {}
        }
        if !matches!(site.platform.presence(primary).await, Presence::Running { .. }) {
            bail!("the primary stopped");
        }
        ensure!(moved.elapsed() < BEGINS, "the replica did not receive from the primary within {} s", BEGINS.as_secs());
        ensure!(begun.elapsed() < limit, "the copy did not end within {} h", limit.as_secs() / 3600);
        sleep(POLL).await;
    }
}

impl Redis {
    /// What a running server tells of itself, once it answers others, too.
    pub(super) async fn look(&self, site: Site<'_>) -> anyhow::Result<super::info::Info> {
        let mut client: Client = self.sign_in(site.platform, site.node).await?;
        client.ask(&["PING"]).await?;
        info(&mut client).await
    }
}
