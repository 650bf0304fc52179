//! What every engine does with its server's process.

use super::Site;
use crate::server::platform::{Presence, Signal};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often a change is looked for: a start takes about 50 ms.
pub(super) const POLL: Duration = Duration::from_millis(10);
/// How much of the log an error carries.
const TAIL_BYTES: u64 = 3000;

/// Asks the server to end by a signal, and kills it when it has not within `limit`; nothing of it is left afterwards.
pub(super) async fn stop(site: Site<'_>, signal: Signal, limit: Duration) -> anyhow::Result<()> {
    let Site { platform, lease, node, .. } = site;
    platform.signal(lease, node, signal).await?;
    let asked = Instant::now();
    while platform.presence(node).await != Presence::Dead {
        if asked.elapsed() > limit {
            tracing::warn!(node = %node.id, "the server did not stop within {} s: killing it", limit.as_secs());
            return platform.fence(lease, node).await;
        }
        sleep(POLL).await;
    }
    Ok(())
}

/// The end of a service's log, for an error's words.
pub(super) async fn tail(site: Site<'_>, service: &str) -> String {
    site.platform.tail(site.node, service, TAIL_BYTES).await
}
