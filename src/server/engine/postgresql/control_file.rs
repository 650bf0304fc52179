//! How far the log of a server goes that was stopped: its control file says it. `pg_controldata` reads that, where it is there:
//! the majors 11 to 13 come without it from npm, and another major's refuses their files.

use super::{cluster, control};
use crate::server::{
    engine::{Position, Site},
    platform::Program,
};
use anyhow::{Context, ensure};
use std::time::Duration;

/// Reading is immediate.
const LIMIT: Duration = Duration::from_secs(10);

/// The control files that are read here, `PG_CONTROL_VERSION`: those of 11, 12, and 13 to 17. All begin alike, `ControlFileData` in
/// `src/include/catalog/pg_control.h` of these majors; the offsets are of machines with eight-byte alignment, which are all that
/// PostgreSQL's packages are built for.
const VERSIONS: [u32; 3] = [1100, 1201, 1300];
/// `pg_control_version`: 4 bytes, after the eight of the system's identifier.
const VERSION: usize = 8;
/// `state`: an `enum DBState` of 4 bytes, after the four of the catalogue's version.
const STATE: usize = 16;
/// `checkPoint`: the place in the log of the last checkpoint's record, 8 bytes, after the eight of the file's time.
const CHECKPOINT: usize = 32;
/// `checkPointCopy.ThisTimeLineID`: 4 bytes, after the copy's `redo`.
const TIMELINE: usize = 48;
/// All of them.
const LENGTH: usize = 52;
/// `DB_SHUTDOWNED` and `DB_SHUTDOWNED_IN_RECOVERY`.
const STOPPED: [u32; 2] = [1, 2];

/// What a control file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Said {
    stopped: bool,
    checkpoint: Position,
}

/// Of a server that was stopped: its log ends with the record of its last checkpoint.
pub(super) async fn end_of_log(site: Site<'_>) -> anyhow::Result<Position> {
    let said = said(site).await?;
    ensure!(said.stopped, "the server was not stopped cleanly: how far its log goes is not known");
    Ok(said.checkpoint)
}

/// Whether a server that does not run was stopped, not killed.
pub(super) async fn was_stopped_cleanly(site: Site<'_>) -> anyhow::Result<bool> {
    Ok(said(site).await?.stopped)
}

async fn said(site: Site<'_>) -> anyhow::Result<Said> {
    let reader = control::text(&site.programs.programs.join("pg_controldata"));
    if site.platform.find(&[reader]).await.is_empty() { of_bytes(&read(site).await?) } else { of_words(&ask(site).await?) }
}

async fn ask(site: Site<'_>) -> anyhow::Result<String> {
    let args = vec!["--pgdata".to_owned(), control::text(&cluster(&site.platform.paths(site.node)))];
    run(site, Program { path: site.programs.programs.join("pg_controldata"), args, env: Vec::new() }).await
}

async fn read(site: Site<'_>) -> anyhow::Result<Vec<u8>> {
    let file = cluster(&site.platform.paths(site.node)).join("global/pg_control");
    let args = ["-A", "n", "-v", "-t", "u1", "-N", &LENGTH.to_string(), &control::text(&file)].map(str::to_owned).to_vec();
    let says = run(site, Program { path: "/usr/bin/od".into(), args, env: Vec::new() }).await?;
    says.split_whitespace().map(|byte| byte.parse().with_context(|| format!("“{byte}” is no byte"))).collect()
}

async fn run(site: Site<'_>, program: Program) -> anyhow::Result<String> {
    let output = site.platform.run(site.lease, site.node, &program, LIMIT).await;
    Ok(output.context("its control file cannot be read")?.stdout)
}

/// The beginning of a control file.
fn of_bytes(bytes: &[u8]) -> anyhow::Result<Said> {
    let number = |at: usize| anyhow::Ok(u32::from_le_bytes(*bytes.get(at..).and_then(<[u8]>::first_chunk).context("the control file is cut")?));
    let version = number(VERSION)?;
    ensure!(VERSIONS.contains(&version), "the control file is of version {version}: only pg_controldata of its major can read it");
    let stopped = STOPPED.contains(&number(STATE)?);
    let log = u64::from(number(CHECKPOINT + 4)?) << 32 | u64::from(number(CHECKPOINT)?);
    Ok(Said { stopped, checkpoint: Position { timeline: number(TIMELINE)?, log } })
}

/// What `pg_controldata` says.
fn of_words(says: &str) -> anyhow::Result<Said> {
    let stopped = field(says, "Database cluster state").is_some_and(|state| state == "shut down" || state == "shut down in recovery");
    let timeline = field(says, "Latest checkpoint's TimeLineID").and_then(|t| t.parse().ok()).context("no timeline is told")?;
    let log = field(says, "Latest checkpoint location").and_then(lsn).context("no end of the log is told")?;
    Ok(Said { stopped, checkpoint: Position { timeline, log } })
}

fn field<'a>(says: &'a str, name: &str) -> Option<&'a str> {
    says.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
}

/// Reads `16/B374D848`.
fn lsn(text: &str) -> Option<u64> {
    let (high, low) = text.split_once('/')?;
    Some(u64::from_str_radix(high, 16).ok()? << 32 | u64::from_str_radix(low, 16).ok()?)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What the control file itself says and what `pg_controldata` reads in it, where each of them can.
    pub(in super::super) async fn both_ways(site: Site<'_>) -> (anyhow::Result<Position>, anyhow::Result<Position>) {
        let words = ask(site).await.and_then(|says| of_words(&says));
        let bytes = read(site).await.and_then(|bytes| of_bytes(&bytes));
        (bytes.map(|said| said.checkpoint), words.map(|said| said.checkpoint))
    }

    #[test]
    fn the_end_of_a_log_is_read() {
        let says = "pg_control version number:            1300
Database cluster state:               shut down
Latest checkpoint location:           16/B374D848
Latest checkpoint's REDO location:    16/B374D848
Latest checkpoint's TimeLineID:       3
Latest checkpoint's PrevTimeLineID:   3
";
        let checkpoint = Position { timeline: 3, log: 0x16_b374_d848 };
        assert_eq!(of_words(says).unwrap(), Said { stopped: true, checkpoint });
        assert_eq!(of_words(&says.replace("shut down", "in production")).unwrap(), Said { stopped: false, checkpoint });
        assert_eq!((field(says, "Latest"), lsn("x"), lsn("1/")), (None, None, None));
    }

    #[test]
    fn a_control_file_is_read_and_none_of_another_version() {
        let file = |version: u32, state: u32| {
            let numbers = [7, 7, version, 7, state, 7, 7, 7, 0xb374_d848, 0x16, 7, 7, 3];
            numbers.map(u32::to_le_bytes).concat()
        };
        let checkpoint = Position { timeline: 3, log: 0x16_b374_d848 };
        for (version, state, stopped) in [(1100, 1, true), (1201, 2, true), (1300, 1, true), (1100, 6, false), (1100, 0, false)] {
            assert_eq!(of_bytes(&file(version, state)).unwrap(), Said { stopped, checkpoint });
        }
        for (file, why) in [(file(1800, 1), "of version 1800"), (file(1100, 1)[..50].to_vec(), "is cut"), (Vec::new(), "is cut")] {
            assert!(of_bytes(&file).unwrap_err().to_string().contains(why), "{why}");
        }
    }
}
