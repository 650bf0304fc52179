//! How far a server is, and how a replica becomes a primary.

use super::{
    Redis,
    check::info,
    config::{self, MIN_REPLICAS},
    control::{MARK, STOPPED_AT},
    info::Info,
};
use crate::server::{
    engine::{Position, Site, quorum::SyncSet},
    platform::{Presence, Program},
};
use anyhow::{Context, ensure};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(3);

/// See [`crate::server::engine::Replication::position`].
pub(super) async fn position(redis: &Redis, site: Site<'_>) -> anyhow::Result<Position> {
    if site.platform.presence(site.node).await == Presence::Dead {
        return end(site).await.context("the server was not stopped cleanly as a primary, so how far it was is not known");
    }
    let look = async { redis.look(site).await?.position() };
    timeout(ANSWER, look).await.with_context(|| format!("the server did not answer within {} s", ANSWER.as_secs()))?
}

/// How far a primary was when it was stopped.
async fn end(site: Site<'_>) -> anyhow::Result<Position> {
    let at = site.platform.paths(site.node).data.join(STOPPED_AT).display().to_string();
    let read = Program { path: "/bin/cat".into(), args: vec![at], env: Vec::new() };
    let said = site.platform.run(site.lease, site.node, &read, ANSWER).await?.stdout;
    Ok(Info::stopped_at(said.trim().parse()?))
}

/// See [`crate::server::engine::Replication::last_word`]. When its connection has ended, the server has applied all that came over it.
pub(super) async fn last_word(redis: &Redis, site: Site<'_>) -> anyhow::Result<Position> {
    ensure!(site.platform.has_file(site.node, MARK).await?, "it has never had a whole copy");
    let ask = async {
        let mut client = redis.sign_in(site.platform, site.node).await?;
        loop {
            let info = info(&mut client).await?;
            if !info.receives() {
                return info.position();
            }
            sleep(POLL).await;
        }
    };
    timeout(ANSWER, ask).await.with_context(|| format!("the server still receives after {} s", ANSWER.as_secs()))?
}

/// See [`crate::server::engine::Replication::waits_for`]. Writes do not wait: they are refused while too few replicas are in step.
pub(super) async fn waits_for(redis: &Redis, site: Site<'_>, set: &SyncSet) -> anyhow::Result<bool> {
    let mut client = redis.sign_in(site.platform, site.node).await?;
    let said = client.list(&["CONFIG", "GET", MIN_REPLICAS]).await?;
    Ok(said.last() == Some(&config::min_replicas(set)))
}

/// See [`crate::server::engine::Replication::promote`].
pub(super) async fn promote(redis: &Redis, site: Site<'_>) -> anyhow::Result<()> {
    let mut client = redis.sign_in(site.platform, site.node).await?;
    client.act(&["REPLICAOF", "NO", "ONE"]).await.context("the replica cannot be made a primary")?;
    ensure!(info(&mut client).await?.is_primary()?, "the server did not become a primary");
    Ok(())
}
