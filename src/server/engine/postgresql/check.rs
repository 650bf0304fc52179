//! How a server is.

use super::session::{MAINTENANCE, Session};
use crate::server::{
    engine::{Follower, Health},
    platform::{NodeSpec, Platform},
};
use anyhow::Context;
use std::time::Duration;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(5);
/// Debian's builds say more than the number after a space. A replica's name is its node's id.
const STATE: &str = "SELECT split_part(current_setting('server_version'), ' ', 1), NOT pg_is_in_recovery(),
    current_setting('default_transaction_read_only')::boolean, pg_postmaster_start_time(),
    EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming')";
const FOLLOWERS: &str = "SELECT application_name, coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn), 0)::bigint
    FROM pg_stat_replication WHERE state = 'streaming'";

/// See [`crate::server::engine::Engine::check`].
pub(super) async fn check(platform: &dyn Platform, node: &NodeSpec) -> anyhow::Result<Health> {
    let ask = async {
        let session = Session::open(platform, node, MAINTENANCE).await?;
        let row = session.row(STATE, &[]).await?.context("the server gave no answer")?;
        let writable = row.try_get(1)?;
        let followers = if writable { followers(&session).await? } else { Vec::new() };
        let (version, read_only, started_at, receives) = (row.try_get(0)?, row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
        Ok(Health { version, writable, receives, followers, read_only, started_at })
    };
    timeout(LIMIT, ask).await.with_context(|| format!("the server did not answer within {} s", LIMIT.as_secs()))?
}

async fn followers(session: &Session) -> anyhow::Result<Vec<Follower>> {
    let rows = session.rows(FOLLOWERS).await?;
    let follower = |row: &tokio_postgres::Row| {
        // Others than nodes may come to copy the data: a backup has no id for a name.
        let node = row.try_get::<_, &str>(0).ok()?.parse().ok()?;
        Some(Follower { node, lag_bytes: u64::try_from(row.try_get::<_, i64>(1).ok()?).unwrap_or_default() })
    };
    Ok(rows.iter().filter_map(follower).collect())
}
