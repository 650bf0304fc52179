//! How far a server is, and how a replica becomes a primary.

use super::{
    check::Sessions,
    cluster, config, control,
    session::{MAINTENANCE, Session},
};
use crate::server::{
    engine::{Position, Site, quorum::SyncSet},
    platform::{Presence, Program},
};
use anyhow::{Context, ensure};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// A promotion replays what was received and not yet applied: that may be some minutes' worth of writes.
const PROMOTION: Duration = Duration::from_mins(5);
/// `pg_promote` itself looks only ten times a second.
const POLL: Duration = Duration::from_millis(3);

/// What was received since the last checkpoint may be of a newer timeline; the names of its files begin with it.
const POSITION: &str = "SELECT greatest((SELECT timeline_id FROM pg_control_checkpoint()),
        (SELECT ('x' || max(substr(name, 1, 8)))::bit(32)::integer FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'))::bigint,
    greatest(pg_wal_lsn_diff(coalesce(pg_last_wal_receive_lsn(), '0/0'), '0/0'), pg_wal_lsn_diff(coalesce(pg_last_wal_replay_lsn(), '0/0'), '0/0'))::bigint";

/// See [`crate::server::engine::Replication::position`].
pub(super) async fn position(sessions: &Sessions, site: Site<'_>) -> anyhow::Result<Position> {
    if site.platform.presence(site.node).await == Presence::Dead {
        return end_of_log(site).await;
    }
    let ask = async {
        let session = sessions.lend(site.platform, site.node).await?;
        let position = said_position(&session).await?;
        sessions.keep(site.node, session);
        Ok(position)
    };
    timeout(ANSWER, ask).await.with_context(|| format!("the server did not answer within {} s", ANSWER.as_secs()))?
}

/// Not before it has tried to stream: until then it may still find log of its own to apply. A name stays what it has received when
/// the receiver is gone.
const RECEIVES_NO_MORE: &str = "SELECT 1 WHERE pg_last_wal_receive_lsn() IS NOT NULL AND NOT EXISTS (SELECT FROM pg_stat_wal_receiver)";

/// See [`crate::server::engine::Replication::last_word`].
pub(super) async fn last_word(sessions: &Sessions, site: Site<'_>) -> anyhow::Result<Position> {
    let ask = async {
        let session = sessions.lend(site.platform, site.node).await?;
        ensure!(session.has(FOLLOWS, &[]).await?, "it is no replica");
        while !session.has(RECEIVES_NO_MORE, &[]).await? {
            sleep(POLL).await;
        }
        let position = said_position(&session).await?;
        sessions.keep(site.node, session);
        Ok(position)
    };
    timeout(ANSWER, ask).await.with_context(|| format!("the server still receives, or applies what it has, after {} s", ANSWER.as_secs()))?
}

async fn said_position(session: &Session) -> anyhow::Result<Position> {
    let row = session.row(POSITION, &[]).await?.context("the server gave no answer")?;
    Ok(Position { timeline: u32::try_from(row.try_get::<_, i64>(0)?)?, log: u64::try_from(row.try_get::<_, i64>(1)?)? })
}

/// Settings that are there from the start are known to all processes.
const LOADED_JUST_NOW: &str =
    "SELECT 1 WHERE pg_conf_load_time() > pg_postmaster_start_time() AND abs(extract(epoch FROM now() - pg_conf_load_time())) < 10";

/// See [`crate::server::engine::Replication::waits_for`].
pub(super) async fn waits_for(sessions: &Sessions, site: Site<'_>, set: &SyncSet) -> anyhow::Result<bool> {
    let names = config::standby_names(set);
    let session = sessions.lend(site.platform, site.node).await?;
    let (waits, just_now) = (session.has(WAITS_FOR, &[&names]).await?, session.has(LOADED_JUST_NOW, &[]).await?);
    sessions.keep(site.node, session);
    // A session has it from the server's first process, commits wait by the word of the checkpointer: it reads its settings
    // before it does what it is asked.
    if waits && just_now {
        settle(site).await?;
    }
    Ok(waits)
}

const WAITS_FOR: &str = "SELECT 1 WHERE current_setting('synchronous_standby_names') = $1";

/// Of a server that was stopped: its log ends with the record of its last checkpoint.
async fn end_of_log(site: Site<'_>) -> anyhow::Result<Position> {
    let says = control_data(site).await?;
    ensure!(is_stopped(&says), "the server was not stopped cleanly: how far its log goes is not known");
    let timeline = field(&says, "Latest checkpoint's TimeLineID").and_then(|t| t.parse().ok()).context("no timeline is told")?;
    let log = field(&says, "Latest checkpoint location").and_then(lsn).context("no end of the log is told")?;
    Ok(Position { timeline, log })
}

/// Whether a server that does not run was stopped, not killed.
pub(super) async fn was_stopped_cleanly(site: Site<'_>) -> anyhow::Result<bool> {
    Ok(is_stopped(&control_data(site).await?))
}

/// What a cluster's control file says.
async fn control_data(site: Site<'_>) -> anyhow::Result<String> {
    let Site { platform, lease, node, programs } = site;
    let args = vec!["--pgdata".to_owned(), control::text(&cluster(&platform.paths(node)))];
    let program = Program { path: programs.programs.join("pg_controldata"), args, env: Vec::new() };
    Ok(platform.run(lease, node, &program, Duration::from_secs(10)).await.context("its control file cannot be read")?.stdout)
}

fn is_stopped(says: &str) -> bool {
    field(says, "Database cluster state").is_some_and(|state| state == "shut down" || state == "shut down in recovery")
}

fn field<'a>(says: &'a str, name: &str) -> Option<&'a str> {
    says.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
}

/// Reads `16/B374D848`.
fn lsn(text: &str) -> Option<u64> {
    let (high, low) = text.split_once('/')?;
    Some(u64::from_str_radix(high, 16).ok()? << 32 | u64::from_str_radix(low, 16).ok()?)
}

/// See [`crate::server::engine::Replication::settle`].
pub(super) async fn settle(site: Site<'_>) -> anyhow::Result<()> {
    let session = Session::open(site.platform, site.node, MAINTENANCE).await?;
    // It may take longer than any statement of ours does otherwise.
    session.act("SET statement_timeout = 0").await?;
    session.act("CHECKPOINT").await
}

/// See [`crate::server::engine::Replication::promote`].
pub(super) async fn promote(sessions: &Sessions, site: Site<'_>) -> anyhow::Result<()> {
    let begun = Instant::now();
    let session = sessions.lend(site.platform, site.node).await?;
    if session.has(FOLLOWS, &[]).await? {
        session.row("SELECT pg_promote(false)", &[]).await?;
    }
    while session.has(FOLLOWS, &[]).await? {
        ensure!(begun.elapsed() < PROMOTION, "the replica did not become a primary within {} min", PROMOTION.as_secs() / 60);
        sleep(POLL).await;
    }
    sessions.keep(site.node, session);
    Ok(())
}

const FOLLOWS: &str = "SELECT 1 WHERE pg_is_in_recovery()";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_read() {
        let says = "pg_control version number:            1300
Database cluster state:               shut down
Latest checkpoint location:           16/B374D848
Latest checkpoint's REDO location:    16/B374D848
Latest checkpoint's TimeLineID:       3
Latest checkpoint's PrevTimeLineID:   3
";
        assert_eq!(field(says, "Database cluster state"), Some("shut down"));
        assert_eq!(field(says, "Latest checkpoint's TimeLineID"), Some("3"));
        assert_eq!(field(says, "Latest checkpoint location").and_then(lsn), Some(0x16_b374_d848));
        assert_eq!((field(says, "Latest"), lsn("x"), lsn("1/")), (None, None, None));
    }

    #[test]
    fn a_newer_timeline_counts_before_more_log() {
        assert!(Position { timeline: 2, log: 1 } > Position { timeline: 1, log: 9 });
        assert!(Position { timeline: 2, log: 2 } > Position { timeline: 2, log: 1 });
    }
}
