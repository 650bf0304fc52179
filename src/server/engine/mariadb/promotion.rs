//! How far a server is, and how a replica becomes a primary.

use super::{config::FOREVER_MS, control, session::Session, tables};
use crate::server::{
    engine::{Position, Site, quorum::SyncSet},
    platform::{Presence, Program},
};
use anyhow::{Context, bail, ensure};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// A promotion applies what was received and not yet applied: that may be some minutes' worth of writes.
const PROMOTION: Duration = Duration::from_mins(5);
/// How often a change is looked for.
const POLL: Duration = Duration::from_millis(3);
/// How long a server may take to write what it has in memory.
const SETTLE: Duration = Duration::from_secs(5);

/// How a replica stands to its primary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standing {
    /// Whether it is connected to it.
    pub(super) receives: bool,
    /// Whether it applies what it receives.
    pub(super) applies: bool,
    /// Number of the last transaction that it received whole.
    pub(super) received: u64,
    /// Bytes of the primary's log that it received and has not applied.
    pub(super) lag_bytes: u64,
    /// Why it will not receive or apply any more, in the server's words.
    pub(super) refused: Option<String>,
    /// Where in which file of its copy of the primary's log it is.
    file: String,
    place: u64,
}

/// The primary does not have what it was asked for, or has no more of its log.
const NO_SUCH_LOG: &str = "1236";

impl Standing {
    /// `None` for a server that follows nobody.
    pub(super) async fn of(session: &mut Session) -> anyhow::Result<Option<Self>> {
        let status = session.ask("SHOW SLAVE STATUS").await?;
        if status.is_empty() {
            return Ok(None);
        }
        let number = |name: &str| anyhow::Ok(status.get(name)?.parse::<u64>().unwrap_or_default());
        let error = |thread: &str| anyhow::Ok((status.get(&format!("Last_{thread}_Errno"))?, status.get(&format!("Last_{thread}_Error"))?));
        let (from, apply) = (error("IO")?, error("SQL")?);
        let refused = if from.0 == NO_SUCH_LOG { Some(from.1) } else { Some(apply.1).filter(|_| apply.0 != "0") };
        // In another file of the primary's log the difference is not known: it is at least all of what is read of that one.
        let same = status.get("Master_Log_File")? == status.get("Relay_Master_Log_File")?;
        let (read, done) = (number("Read_Master_Log_Pos")?, number("Exec_Master_Log_Pos")?);
        Ok(Some(Self {
            receives: status.get("Slave_IO_Running")? == "Yes",
            applies: status.get("Slave_SQL_Running")? == "Yes",
            received: last(status.get("Gtid_IO_Pos")?),
            lag_bytes: if same { read.saturating_sub(done) } else { read },
            refused: refused.map(str::to_owned),
            file: status.get("Relay_Log_File")?.to_owned(),
            place: number("Relay_Log_Pos")?,
        }))
    }
}

/// The greatest number in a list of GTIDs, such as `0-1-17`: there is one domain, and what comes later has a greater number.
fn last(gtids: &str) -> u64 {
    gtids.split(',').filter_map(|gtid| gtid.trim().strip_prefix("0-")?.split_once('-')?.1.parse().ok()).max().unwrap_or(0)
}

/// Number of the last transaction that a server has applied.
async fn applied(session: &mut Session) -> anyhow::Result<u64> {
    Ok(last(session.ask(APPLIED).await?.get("gtids")?))
}

const APPLIED: &str = "SELECT concat_ws(',', @@gtid_slave_pos, @@gtid_binlog_pos) AS gtids";
/// Of each server whose transactions are in the log, the last.
const LOGGED: &str = "SELECT concat_ws(',', @@gtid_binlog_state, @@gtid_slave_pos) AS gtids";

/// Whether a primary has all that a node has. The server itself refuses only whom it can tell to have more.
pub(super) async fn has_all(primary: &mut Session, node: &mut Session) -> anyhow::Result<bool> {
    let (logged, applied) = (primary.ask(LOGGED).await?, node.ask(APPLIED).await?);
    Ok(is_within(applied.get("gtids")?, logged.get("gtids")?))
}

/// Whether the last of these GTIDs is in a log that ends, for each server that wrote to it, with those. What one server wrote comes
/// in its order, so whoever has a later transaction of it has this one.
fn is_within(gtids: &str, logged: &str) -> bool {
    let number = last(gtids);
    let parts = |gtid: &str| {
        let (server, number) = gtid.trim().strip_prefix("0-")?.split_once('-')?;
        Some((server.parse::<u32>().ok()?, number.parse::<u64>().ok()?))
    };
    let own = gtids.split(',').filter_map(parts).find(|(_, n)| *n == number);
    own.is_none_or(|(server, number)| logged.split(',').filter_map(parts).any(|(s, n)| s == server && n >= number))
}

/// See [`crate::server::engine::Replication::position`].
pub(super) async fn position(site: Site<'_>) -> anyhow::Result<Position> {
    if site.platform.presence(site.node).await == Presence::Dead {
        return end_of_log(site).await;
    }
    let ask = async { said_position(&mut Session::open(site.platform, site.node).await?).await };
    timeout(ANSWER, ask).await.with_context(|| format!("the server did not answer within {} s", ANSWER.as_secs()))?
}

async fn said_position(session: &mut Session) -> anyhow::Result<Position> {
    let received = Standing::of(session).await?.map_or(0, |standing| standing.received);
    Ok(Position { timeline: 0, log: applied(session).await?.max(received) })
}

/// Of a server that was stopped: it writes down where its log ends, and takes that away at its start.
async fn end_of_log(site: Site<'_>) -> anyhow::Result<Position> {
    let file = control::text(&tables(&site.platform.paths(site.node)).join("binlog.state"));
    let read = Program { path: "/bin/cat".into(), args: vec![file], env: Vec::new() };
    let read = site.platform.run(site.lease, site.node, &read, ANSWER).await;
    let said = read.context("the server was not stopped cleanly: how far its log goes is not known")?.stdout;
    Ok(Position { timeline: 0, log: said.lines().map(last).max().unwrap_or(0) })
}

/// See [`crate::server::engine::Replication::last_word`].
pub(super) async fn last_word(site: Site<'_>) -> anyhow::Result<Position> {
    let ask = async {
        let mut session = Session::open(site.platform, site.node).await?;
        while Standing::of(&mut session).await?.context("it is no replica")?.receives {
            sleep(POLL).await;
        }
        said_position(&mut session).await
    };
    timeout(ANSWER, ask).await.with_context(|| format!("the server still receives after {} s", ANSWER.as_secs()))?
}

/// See [`crate::server::engine::Replication::waits_for`]. A commit waits for one replica, whichever of those that are told to confirm:
/// more cannot be asked of this server. A replica has the wish alone, in the limit: one that waited itself would apply nothing.
pub(super) async fn waits_for(site: Site<'_>, set: &SyncSet) -> anyhow::Result<bool> {
    let ask = async {
        let mut session = Session::open(site.platform, site.node).await?;
        let row = session.ask(WAITS).await?;
        let wished = row.get("patience")? == FOREVER_MS.to_string() && row.get("point")? == "AFTER_SYNC" && row.get("alone")? == "1";
        let waits = wished && (row.get("waits")? == "1" || Standing::of(&mut session).await?.is_some());
        let never = !wished && row.get("waits")? == "0";
        Ok(if set.acks == 0 { never } else { waits && set.acks == 1 })
    };
    timeout(ANSWER, ask).await.with_context(|| format!("the server did not answer within {} s", ANSWER.as_secs()))?
}

const WAITS: &str = "SELECT @@global.rpl_semi_sync_master_enabled AS waits, @@global.rpl_semi_sync_master_timeout AS patience,
    @@global.rpl_semi_sync_master_wait_point AS point, @@global.rpl_semi_sync_master_wait_no_slave AS alone";

/// Has the commits of a primary wait, or not, as its limit says.
pub(super) async fn wait_as_wished(session: &mut Session) -> anyhow::Result<()> {
    let row = session.ask(WAITS).await?;
    let wanted = if row.get("patience")? == FOREVER_MS.to_string() { "1" } else { "0" };
    if row.get("waits")? == wanted { Ok(()) } else { session.act(&format!("SET GLOBAL rpl_semi_sync_master_enabled = {wanted}")).await }
}

/// See [`crate::server::engine::Replication::settle`].
pub(super) async fn settle(site: Site<'_>) -> anyhow::Result<()> {
    let mut session = Session::open(site.platform, site.node).await?;
    session.act("SET GLOBAL innodb_max_dirty_pages_pct = 0").await?;
    let begun = Instant::now();
    while begun.elapsed() < SETTLE && session.ask(DIRTY).await?.get("pages")?.parse::<u64>()? > FEW {
        sleep(POLL * 10).await;
    }
    session.act("SET GLOBAL innodb_max_dirty_pages_pct = DEFAULT").await
}

const DIRTY: &str = "SELECT variable_value AS pages FROM information_schema.global_status WHERE variable_name = 'INNODB_BUFFER_POOL_PAGES_DIRTY'";
/// So many are written at the stop within milliseconds.
const FEW: u64 = 200;

/// See [`crate::server::engine::Replication::promote`].
pub(super) async fn promote(site: Site<'_>) -> anyhow::Result<()> {
    let mut session = Session::open(site.platform, site.node).await?;
    if Standing::of(&mut session).await?.is_some() {
        until_applied(&mut session).await?;
        session.act("STOP SLAVE").await?;
        session.act("RESET SLAVE ALL").await?;
    }
    // In this order: what its commits wait for is known before there can be any.
    wait_as_wished(&mut session).await?;
    session.act("SET GLOBAL read_only = OFF").await?;
    let row = session.ask("SELECT @@global.read_only AS closed").await?;
    ensure!(row.get("closed")? == "0" && Standing::of(&mut session).await?.is_none(), "the replica did not become a primary");
    Ok(())
}

/// Returns once everything that was received is applied.
async fn until_applied(session: &mut Session) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let standing = Standing::of(session).await?.context("it follows nobody")?;
        if applied(session).await? >= standing.received {
            return Ok(());
        }
        if let Some(why) = standing.refused.filter(|_| !standing.applies) {
            bail!("the replica does not apply what it received: {why}");
        }
        ensure!(standing.applies, "the replica does not apply what it received");
        ensure!(begun.elapsed() < PROMOTION, "what the replica received is not applied after {} s", PROMOTION.as_secs());
        sleep(POLL).await;
    }
}

/// Applies what a replica had received before its server ended. A server that begins to follow throws that away and asks its
/// primary again; but that may be gone, and a commit have been acknowledged because it was in this very file.
pub(super) async fn apply_leftover(session: &mut Session, standing: &Standing) -> anyhow::Result<()> {
    let Some((file, place, until)) = leftover(session, standing).await? else { return Ok(()) };
    tracing::info!(file, place, until, "applying what was received before the server ended");
    session.act(&format!("CHANGE MASTER TO MASTER_USE_GTID = no, RELAY_LOG_FILE = {}, RELAY_LOG_POS = {place}", super::session::text(&file))).await?;
    session.act("START SLAVE SQL_THREAD").await?;
    let begun = Instant::now();
    while applied(session).await? < until {
        let standing = Standing::of(session).await?.context("it follows nobody")?;
        ensure!(standing.applies, "what was received cannot be applied: {}", standing.refused.unwrap_or_default());
        ensure!(begun.elapsed() < PROMOTION, "what was received is not applied after {} s", PROMOTION.as_secs());
        sleep(POLL).await;
    }
    session.act("STOP SLAVE SQL_THREAD").await?;
    session.act("CHANGE MASTER TO MASTER_USE_GTID = slave_pos").await
}

/// Where the first transaction begins that was received and not applied, and the number of the last that was received whole.
async fn leftover(session: &mut Session, standing: &Standing) -> anyhow::Result<Option<(String, u64, u64)>> {
    let applied = applied(session).await?;
    let (mut file, mut place, mut first, mut whole) = (standing.file.clone(), standing.place.max(4), None, applied);
    // Where nothing was ever received, there is no such file.
    while let Ok(events) = session.ask_within(&format!("SHOW RELAYLOG EVENTS IN {} FROM {place}", super::session::text(&file)), PROMOTION).await {
        let (mut open, mut begun) = (0, false);
        let columns = (events.column("Pos")?, events.column("Event_type")?, events.column("Info")?);
        for ((at, kind), info) in columns.0.iter().zip(columns.1).zip(columns.2) {
            match kind {
                "Gtid" => {
                    begun = info.starts_with("BEGIN");
                    open = last(info.rsplit_once("GTID ").map_or("", |(_, gtid)| gtid.split(' ').next().unwrap_or_default()));
                    if open > applied && first.is_none() {
                        first = Some((file.clone(), at.parse::<u64>()?));
                    }
                }
                // What is no transaction is one statement.
                "Xid" => whole = whole.max(open),
                "Query" if !begun || info.ends_with("COMMIT") => whole = whole.max(open),
                _ => {}
            }
        }
        let Some((name, number)) = file.rsplit_once('.') else { break };
        (file, place) = (format!("{name}.{:06}", number.parse::<u64>()? + 1), 4);
    }
    Ok(first.filter(|_| whole > applied).map(|(file, place)| (file, place, whole)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_a_list_of_gtids_is_found() {
        for (gtids, number) in [("0-1-17", 17), ("0-1-17,0-2-19", 19), ("", 0), ("1-1-99,0-3-4", 4), (",0-1-5", 5)] {
            assert_eq!(last(gtids), number, "{gtids}");
        }
    }

    #[test]
    fn what_one_server_wrote_and_another_does_not_have_is_found() {
        for (gtids, logged) in [("0-1-17", "0-1-17"), ("0-1-15,0-1-17", "0-1-17,0-2-20"), ("", "0-1-3"), ("", ""), ("0-2-5,", "0-1-4,0-2-9")] {
            assert!(is_within(gtids, logged), "{gtids} in {logged}");
        }
        for (gtids, logged) in [("0-1-18", "0-1-17"), ("0-1-18", "0-1-17,0-2-20"), ("0-2-4", "0-1-4,0-2-3"), ("0-1-1", "")] {
            assert!(!is_within(gtids, logged), "{gtids} in {logged}");
        }
    }
}
