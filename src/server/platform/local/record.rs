//! Which process was started: a pid alone may be another's by now, with its start and the boot it is one for ever.

use super::{files, proc};
use anyhow::Context;
use std::{fs, path::Path};

/// One process of one boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Process id.
    pub pid: u32,
    started: u64,
    boot: String,
}

impl Record {
    /// Takes it of a process that is there.
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let stat = proc::stat(pid).context("the process is gone")?;
        Ok(Self { pid, started: stat.started, boot: proc::boot()? })
    }

    /// Reads one; `None` when there is none.
    pub fn read(path: &Path) -> Option<Self> {
        let text = fs::read_to_string(path).ok()?;
        let mut words = text.split_ascii_whitespace();
        Some(Self { pid: words.next()?.parse().ok()?, started: words.next()?.parse().ok()?, boot: words.next()?.to_owned() })
    }

    /// Writes it, whole or not at all.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        files::replace(path, format!("{} {} {}\n", self.pid, self.started, self.boot).as_bytes())
            .with_context(|| format!("{} cannot be written", path.display()))
    }

    /// Whether that very process lives.
    pub fn lives(&self) -> bool {
        let same = |s: proc::Stat| s.started == self.started && !s.is_over();
        proc::stat(self.pid).is_some_and(same) && proc::boot().is_ok_and(|b| b == self.boot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_that_went_to_another_process_is_not_taken_for_the_first() {
        let mut child = std::process::Command::new("/bin/sleep").arg("60").spawn().unwrap();
        let record = Record::of(child.id()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("service");
        record.write(&path).unwrap();
        assert_eq!(Record::read(&path), Some(record.clone()));
        assert!(record.lives());
        let earlier = Record { started: record.started - 1, ..record.clone() };
        let before_reboot = Record { boot: "another".to_owned(), ..record.clone() };
        assert!(!earlier.lives() && !before_reboot.lives());
        child.kill().unwrap();
        while proc::stat(child.id()).unwrap().state != 'Z' {
            std::thread::yield_now();
        }
        assert!(!record.lives(), "a zombie does not live");
        child.wait().unwrap();
        assert!(!record.lives());
        fs::write(&path, "12 x").unwrap();
        assert_eq!(Record::read(&path), None);
    }
}
