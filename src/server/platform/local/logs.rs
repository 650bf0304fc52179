//! Logs of nodes and edges: bounded, and read from the end.
//!
//! Who writes a log holds it open for as long as it runs, so a log that is full is copied beside itself and emptied under
//! its writer, who appends: `postgresql.log` and `postgresql.old`, each of at most [`MOST`] and what came between two
//! looks. A line that is written in the moment between copying and emptying is lost.

use super::Inner;
use crate::server::platform::NodeSpec;
use rustix::fs::{FlockOperation, flock};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};
use uuid::Uuid;

/// Bytes after which a log is put aside.
const MOST: u64 = 16 << 20;

impl Inner {
    /// Bounds every log of a datastore's nodes and edge.
    pub fn bound_logs(&self, datastore: Uuid, nodes: &[NodeSpec]) {
        let of_nodes = nodes.iter().flat_map(|node| {
            let entries = fs::read_dir(self.dirs.paths(node).log).into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "log"))
        });
        for log in of_nodes.chain([self.dirs.edge(datastore).path().join("log")]) {
            match bound(&log, MOST) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => tracing::warn!("{} grows: {e}", log.display()),
                _ => {}
            }
        }
    }
}

/// Where the part of a log is that was put aside.
pub fn old(log: &Path) -> PathBuf {
    log.with_extension("old")
}

/// Puts a log aside that has more than `most` bytes: its last `most`. Leaves it alone while another does the same.
fn bound(log: &Path, most: u64) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(log)?;
    if file.metadata()?.len() <= most || flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(());
    }
    // Another may have done it between the look and the lock.
    let length = file.metadata()?.len();
    if length > most {
        file.seek(SeekFrom::Start(length - most))?;
        let new = log.with_extension("new");
        let mut aside = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        io::copy(&mut file, &mut aside)?;
        fs::rename(new, old(log))?;
        file.set_len(0)?;
    }
    Ok(())
}

/// The last bytes of a log, from before it was last put aside too; nothing when it cannot be read.
pub fn tail(log: &Path, bytes: u64) -> String {
    let mut end = last(log, bytes).unwrap_or_default();
    if let Some(lacks @ 1..) = bytes.checked_sub(end.len() as u64)
        && let Ok(before) = last(&old(log), lacks)
    {
        end.splice(..0, before);
    }
    String::from_utf8_lossy(&end).into_owned()
}

fn last(path: &Path, bytes: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(bytes)))?;
    let mut end = Vec::new();
    file.take(bytes).read_to_end(&mut end)?;
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_tail_is_the_end() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("log");
        fs::write(&path, "first\nlast ä").unwrap();
        assert_eq!(tail(&path, 6), "last ä".split_at(1).1.to_owned().as_str());
        assert_eq!(tail(&path, 1000), "first\nlast ä");
        assert_eq!(tail(&path, 1), "\u{fffd}");
        assert_eq!(tail(&home.path().join("none"), 10), "");
    }

    #[test]
    fn a_full_log_is_put_aside_under_its_writer_and_one_old_part_is_kept() {
        let home = tempfile::tempdir().unwrap();
        let log = home.path().join("server.log");
        let mut writer = OpenOptions::new().append(true).create(true).open(&log).unwrap();
        writer.write_all(b"0123456789").unwrap();
        bound(&log, 10).unwrap();
        assert!(!old(&log).exists(), "it is not more than it may be");
        writer.write_all(b"ab").unwrap();
        bound(&log, 10).unwrap();
        assert_eq!((fs::read_to_string(&log).unwrap().as_str(), fs::read_to_string(old(&log)).unwrap().as_str()), ("", "23456789ab"));
        writer.write_all(b"cd").unwrap();
        assert_eq!(fs::read(&log).unwrap(), b"cd", "who appends goes on at the new beginning, without a hole");
        assert_eq!(tail(&log, 4), "abcd");
        writer.write_all(b"efghijklm").unwrap();
        bound(&log, 10).unwrap();
        assert_eq!(fs::read_to_string(old(&log)).unwrap(), "defghijklm");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 2, "one old part, nothing unfinished");
        assert!(bound(&home.path().join("none"), 10).is_err());
    }
}
