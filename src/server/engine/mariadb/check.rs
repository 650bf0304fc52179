//! How a server is.

use super::session::{Session, is_said};
use crate::server::{
    engine::{Answered, Health},
    platform::{NodeSpec, Platform},
};
use anyhow::Context;
use std::time::Duration;
use time::OffsetDateTime;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(5);
/// Builds say more than the number after a dash. Both times are of the same moment, so the difference is the same each time.
const STATE: &str = "SELECT substring_index(@@version, '-', 1) AS version, @@global.read_only AS closed, @@global.tx_read_only AS full,
    unix_timestamp() - variable_value AS started FROM information_schema.global_status WHERE variable_name = 'UPTIME'";

/// See [`crate::server::engine::Engine::check`].
pub(super) async fn check(platform: &dyn Platform, node: &NodeSpec) -> anyhow::Result<Health> {
    let ask = async { health(&mut Session::open(platform, node).await?).await };
    let asked = timeout(LIMIT, ask).await.with_context(|| format!("the server did not answer within {} s", LIMIT.as_secs()))?;
    asked.map_err(|why: anyhow::Error| if is_said(&why) { why.context(Answered) } else { why })
}

async fn health(session: &mut Session) -> anyhow::Result<Health> {
    let state = session.ask(STATE).await?;
    Ok(Health {
        version: state.get("version")?.to_owned(),
        writable: state.get("closed")? == "0",
        receives: false,
        followers: Vec::new(),
        read_only: state.get("full")? == "1",
        started_at: OffsetDateTime::from_unix_timestamp(state.get("started")?.parse::<f64>()?.round() as i64)?,
    })
}
