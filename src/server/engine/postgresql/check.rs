//! How a server is.

use super::session::{MAINTENANCE, Session};
use crate::server::{
    engine::{Answered, Follower, Health},
    platform::{NodeSpec, Platform},
};
use anyhow::Context;
use std::{
    collections::HashMap,
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::time::timeout;
use uuid::Uuid;

const LIMIT: Duration = Duration::from_secs(5);
/// Debian's builds say more than the number after a space. A replica's name is its node's id.
const STATE: &str = "SELECT split_part(current_setting('server_version'), ' ', 1), NOT pg_is_in_recovery(),
    current_setting('default_transaction_read_only')::boolean, pg_postmaster_start_time(),
    EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming')";
const FOLLOWERS: &str = "SELECT application_name, coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn), 0)::bigint,
        sync_state IN ('quorum', 'sync')
    FROM pg_stat_replication WHERE state = 'streaming'";

/// A session is asked for so long; then a new one shows that the server still takes some.
const RENEW: Duration = Duration::from_secs(10);

/// Sessions by node, and when each was opened.
type ByNode = HashMap<Uuid, (Arc<Session>, Instant)>;

/// Sessions of the last looks, by node: opening one costs the server a process.
#[derive(Clone, Default)]
pub(super) struct Sessions(Arc<Mutex<ByNode>>);

impl Sessions {
    fn with<T>(&self, act: impl FnOnce(&mut ByNode) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The last one, if it is young. It is taken: who cannot go on with it leaves none.
    fn take(&self, node: Uuid) -> Option<(Arc<Session>, Instant)> {
        self.with(|all| {
            all.retain(|_, (session, opened)| opened.elapsed() < RENEW && !session.has_ended());
            all.remove(&node)
        })
    }

    /// The last session, or a new one where there is none.
    pub(super) async fn lend(&self, platform: &dyn Platform, node: &NodeSpec) -> anyhow::Result<Lent> {
        match self.take(node.id) {
            Some((session, opened)) => Ok(Lent { session, opened, is_new: false }),
            None => Ok(Lent { session: Arc::new(Session::open(platform, node, MAINTENANCE).await?), opened: Instant::now(), is_new: true }),
        }
    }

    /// Takes one back that is well.
    pub(super) fn keep(&self, node: &NodeSpec, lent: Lent) {
        self.with(|all| all.insert(node.id, (lent.session, lent.opened)));
    }
}

/// A session that others go on with.
pub(super) struct Lent {
    session: Arc<Session>,
    opened: Instant,
    is_new: bool,
}

impl Deref for Lent {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

/// See [`crate::server::engine::Engine::check`].
pub(super) async fn check(sessions: &Sessions, platform: &dyn Platform, node: &NodeSpec) -> anyhow::Result<Health> {
    let ask = async {
        loop {
            let session = sessions.lend(platform, node).await?;
            match health(&session).await {
                Ok(health) => {
                    sessions.keep(node, session);
                    return Ok(health);
                }
                // The server it was of may have ended since.
                Err(_) if !session.is_new => {}
                Err(why) => return Err(why),
            }
        }
    };
    let asked = timeout(LIMIT, ask).await.with_context(|| format!("the server did not answer within {} s", LIMIT.as_secs()))?;
    asked.map_err(|why: anyhow::Error| if is_said(&why) { why.context(Answered) } else { why })
}

/// Whether the server itself gave this error.
fn is_said(error: &anyhow::Error) -> bool {
    error.downcast_ref::<tokio_postgres::Error>().is_some_and(|error| error.code().is_some())
}

async fn health(session: &Session) -> anyhow::Result<Health> {
    let row = session.row(STATE, &[]).await?.context("the server gave no answer")?;
    let writable = row.try_get(1)?;
    let followers = if writable { followers(session).await? } else { Vec::new() };
    let (version, read_only, started_at, receives) = (row.try_get(0)?, row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
    Ok(Health { version, writable, receives, deaf: Duration::ZERO, followers, read_only, started_at })
}

async fn followers(session: &Session) -> anyhow::Result<Vec<Follower>> {
    let rows = session.rows(FOLLOWERS).await?;
    let follower = |row: &tokio_postgres::Row| {
        // Others than nodes may come to copy the data: a backup has no id for a name.
        let node = row.try_get::<_, &str>(0).ok()?.parse().ok()?;
        let lag_bytes = u64::try_from(row.try_get::<_, i64>(1).ok()?).unwrap_or_default();
        Some(Follower { node, lag_bytes, synchronous: row.try_get(2).ok()? })
    };
    Ok(rows.iter().filter_map(follower).collect())
}
