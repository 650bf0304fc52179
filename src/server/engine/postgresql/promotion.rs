//! How far a server is, and how a replica becomes a primary.

use super::{
    check::Sessions,
    cluster, config, control, control_file, discover,
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

/// The first major that has `pg_promote`.
const PROMOTED_BY_QUERY_SINCE: u32 = 12;

/// What was received since the last checkpoint may be of a newer timeline; the names of its files begin with it.
const POSITION: &str = "SELECT greatest((SELECT timeline_id FROM pg_control_checkpoint()),
        (SELECT ('x' || max(substr(name, 1, 8)))::bit(32)::integer FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'))::bigint,
    greatest(pg_wal_lsn_diff(coalesce(pg_last_wal_receive_lsn(), '0/0'), '0/0'), pg_wal_lsn_diff(coalesce(pg_last_wal_replay_lsn(), '0/0'), '0/0'))::bigint";

/// See [`crate::server::engine::Replication::position`].
pub(super) async fn position(sessions: &Sessions, site: Site<'_>) -> anyhow::Result<Position> {
    if site.platform.presence(site.node).await == Presence::Dead {
        return control_file::end_of_log(site).await;
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
        ask_to_lead(site, &session).await.context("the replica cannot be asked to become a primary")?;
    }
    while session.has(FOLLOWS, &[]).await? {
        ensure!(begun.elapsed() < PROMOTION, "the replica did not become a primary within {} min", PROMOTION.as_secs() / 60);
        sleep(POLL).await;
    }
    sessions.keep(site.node, session);
    Ok(())
}

async fn ask_to_lead(site: Site<'_>, session: &Session) -> anyhow::Result<()> {
    let Site { platform, lease, node, programs } = site;
    if discover::major(programs)? >= PROMOTED_BY_QUERY_SINCE {
        return session.row("SELECT pg_promote(false)", &[]).await.map(drop);
    }
    let args = ["promote", "--no-wait", "--pgdata", &control::text(&cluster(&platform.paths(node)))].map(str::to_owned).to_vec();
    let ask = Program { path: programs.programs.join("pg_ctl"), args, env: Vec::new() };
    platform.run(lease, node, &ask, ANSWER).await.map(drop)
}

const FOLLOWS: &str = "SELECT 1 WHERE pg_is_in_recovery()";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_timeline_counts_before_more_log() {
        assert!(Position { timeline: 2, log: 1 } > Position { timeline: 1, log: 9 });
        assert!(Position { timeline: 2, log: 2 } > Position { timeline: 2, log: 1 });
    }
}
