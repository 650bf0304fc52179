//! How a server is.

use super::session::{MAINTENANCE, Session};
use crate::server::{
    engine::Health,
    platform::{NodeSpec, Platform},
};
use anyhow::Context;
use std::time::Duration;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(5);
/// Debian's builds say more than the number after a space.
const STATE: &str = "SELECT split_part(current_setting('server_version'), ' ', 1), NOT pg_is_in_recovery(),
    current_setting('default_transaction_read_only')::boolean, pg_postmaster_start_time()";

/// See [`crate::server::engine::Engine::check`].
pub(super) async fn check(platform: &dyn Platform, node: &NodeSpec) -> anyhow::Result<Health> {
    let ask = async {
        let session = Session::open(platform, node, MAINTENANCE).await?;
        let row = session.row(STATE, &[]).await?.context("the server gave no answer")?;
        Ok(Health { version: row.try_get(0)?, writable: row.try_get(1)?, read_only: row.try_get(2)?, started_at: row.try_get(3)? })
    };
    timeout(LIMIT, ask).await.with_context(|| format!("the server did not answer within {} s", LIMIT.as_secs()))?
}
