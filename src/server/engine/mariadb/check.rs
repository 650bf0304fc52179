//! How a server is.

use super::{
    promotion::Standing,
    session::{Session, is_said, text},
    sizing::Sizing,
};
use crate::server::{
    engine::{Answered, Follower, Health},
    platform::{NodeSpec, Platform},
};
use anyhow::Context;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use time::OffsetDateTime;
use tokio::time::timeout;
use uuid::Uuid;

const LIMIT: Duration = Duration::from_secs(5);
/// Builds say more than the number after a dash. Both times are of the same moment, so the difference is the same each time.
const STATE: &str = "SELECT substring_index(@@version, '-', 1) AS version, @@global.read_only AS closed, @@global.tx_read_only AS full,
    unix_timestamp() - cast(variable_value AS unsigned) AS started FROM information_schema.global_status WHERE variable_name = 'UPTIME'";
const SYNCHRONOUS: &str =
    "SELECT variable_value AS number FROM information_schema.global_status WHERE variable_name = 'RPL_SEMI_SYNC_MASTER_CLIENTS'";
/// How often the log for replicas is looked at, and cut.
const CUT_EVERY: Duration = Duration::from_secs(30);

/// What was seen of servers, by node.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen(Arc<Mutex<HashMap<Uuid, About>>>);

#[derive(Debug, Clone, Copy, Default)]
struct About {
    /// What a replica had not applied at the last look. Its primary does not know it.
    lag_bytes: u64,
    cut: Option<Instant>,
}

impl Seen {
    fn with<T>(&self, node: Uuid, act: impl FnOnce(&mut About) -> T) -> T {
        act(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(node).or_default())
    }
}

/// See [`crate::server::engine::Engine::check`].
pub(super) async fn check(seen: &Seen, platform: &dyn Platform, node: &NodeSpec) -> anyhow::Result<Health> {
    let ask = async {
        let mut session = Session::open(platform, node).await?;
        let health = health(&mut session, seen, node).await?;
        if seen.with(node.id, |about| about.cut.is_none_or(|at| at.elapsed() > CUT_EVERY)) {
            cut_log(&mut session, node).await?;
            seen.with(node.id, |about| about.cut = Some(Instant::now()));
        }
        Ok(health)
    };
    let asked = timeout(LIMIT, ask).await.with_context(|| format!("the server did not answer within {} s", LIMIT.as_secs()))?;
    asked.map_err(|why: anyhow::Error| if is_said(&why) { why.context(Answered) } else { why })
}

async fn health(session: &mut Session, seen: &Seen, node: &NodeSpec) -> anyhow::Result<Health> {
    let state = session.ask(STATE).await?;
    let standing = Standing::of(session).await?;
    let writable = state.get("closed")? == "0" && standing.is_none();
    if let Some(standing) = &standing {
        seen.with(node.id, |about| about.lag_bytes = standing.lag_bytes);
    }
    Ok(Health {
        deaf: Duration::ZERO,
        version: state.get("version")?.to_owned(),
        writable,
        receives: standing.is_some_and(|standing| standing.receives && standing.applies),
        followers: if writable { followers(session, seen).await? } else { Vec::new() },
        read_only: state.get("full")? == "1",
        started_at: OffsetDateTime::from_unix_timestamp(state.get("started")?.parse()?)?,
    })
}

/// A replica's name is its node's id. Commits wait for one of those that confirm, so it is enough that there is one.
async fn followers(session: &mut Session, seen: &Seen) -> anyhow::Result<Vec<Follower>> {
    let hosts = session.ask("SHOW SLAVE HOSTS").await?;
    let synchronous = session.ask(SYNCHRONOUS).await?.get("number")? != "0";
    let nodes = hosts.column("Host")?.into_iter().filter_map(|host| host.parse().ok());
    Ok(nodes.map(|node| Follower { node, lag_bytes: seen.with(node, |about| about.lag_bytes), synchronous }).collect())
}

/// The server keeps its log for replicas for ever, or for a time; here it keeps a part of the storage of it, always the newest. What
/// a replica is reading stays.
async fn cut_log(session: &mut Session, node: &NodeSpec) -> anyhow::Result<()> {
    let files = session.ask("SHOW BINARY LOGS").await?;
    let (mut left, limit) = (0, Sizing::of(node).binlog_mb << 20);
    let sizes = files.column("File_size")?.into_iter().map(str::parse::<u64>).collect::<Result<Vec<_>, _>>()?;
    let fits = sizes.iter().rev().take_while(|size| {
        left += **size;
        left <= limit
    });
    let kept = fits.count().max(1);
    match files.column("Log_name")?.get(sizes.len().saturating_sub(kept)) {
        Some(first) if kept < sizes.len() => session.act(&format!("PURGE BINARY LOGS TO {}", text(first))).await,
        _ => Ok(()),
    }
}
