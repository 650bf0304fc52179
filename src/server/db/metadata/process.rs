//! A process that is known for sure: a pid alone may have passed to another one since.

use anyhow::Context;
use rustix::process::{Pid, PidfdFlags, Signal};
use std::{fs, os::unix::fs::MetadataExt, path::Path};

/// A process, by its pid and the time it was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Process id.
    pub pid: i32,
    /// When it was started, in clock ticks since boot (`/proc/<pid>/stat`, field 22): a later holder of the pid has another.
    pub start_ticks: u64,
    /// Name of its program, cut to 15 bytes by the kernel.
    pub name: String,
}

impl Process {
    /// The living process with this pid. One that only waits to be reaped is not living.
    #[must_use]
    pub fn find(pid: i32) -> Option<Self> {
        // "<pid> (<name>) <state> <ppid> …": the name may hold anything, parentheses included.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (head, tail) = stat.rsplit_once(") ")?;
        let (_, name) = head.split_once(" (")?;
        let mut fields = tail.split(' ');
        let state = fields.next()?;
        let start_ticks = fields.nth(18)?.parse().ok()?;
        (!matches!(state, "Z" | "X")).then(|| Self { pid, start_ticks, name: name.to_owned() })
    }

    /// This process.
    ///
    /// # Errors
    /// When `/proc` is not there.
    pub fn current() -> anyhow::Result<Self> {
        let pid = i32::try_from(std::process::id())?;
        Self::find(pid).context("/proc is not mounted; Granary needs it to know its processes")
    }

    /// Whether it still lives.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        Self::find(self.pid).is_some_and(|now| now.start_ticks == self.start_ticks)
    }

    /// Whether `directory` is its working directory.
    #[must_use]
    pub fn works_in(&self, directory: &Path) -> bool {
        let identity = |path: &Path| fs::metadata(path).map(|m| (m.dev(), m.ino())).ok();
        let wanted = identity(directory);
        wanted.is_some() && identity(Path::new(&format!("/proc/{}/cwd", self.pid))) == wanted
    }

    /// Sends a signal to this very process; `false` when it has ended.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<bool> {
        let pid = Pid::from_raw(self.pid).context("0 is not a process")?;
        let Ok(held) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) else { return Ok(false) };
        // From here on the pid cannot pass to another process unnoticed.
        if !self.is_alive() {
            return Ok(false);
        }
        match rustix::process::pidfd_send_signal(&held, signal) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::SRCH) => Ok(false),
            Err(error) => Err(error).with_context(|| format!("process {} ({}) cannot be signalled", self.pid, self.name)),
        }
    }
}

/// All living processes whose working directory this is. `PostgreSQL`'s all stay in their data directory.
#[must_use]
pub fn working_in(directory: &Path) -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(Process::find)
        .filter(|process| process.works_in(directory))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_found_proved_and_signalled_only_as_itself() {
        let home = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").current_dir(home.path()).spawn().unwrap();
        let found = working_in(home.path());
        assert_eq!(found.len(), 1);
        let process = &found[0];
        assert_eq!((process.pid, process.name.as_str()), (i32::try_from(child.id()).unwrap(), "sleep"));
        assert!(process.is_alive() && !process.works_in(Path::new("/")));

        let earlier = Process { start_ticks: process.start_ticks - 1, ..process.clone() };
        assert!(!earlier.is_alive() && !earlier.signal(Signal::TERM).unwrap(), "a former holder of the pid was taken for this one");
        assert!(child.try_wait().unwrap().is_none());

        assert!(process.signal(Signal::TERM).unwrap());
        // Not reaped yet, but no longer living.
        while process.is_alive() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        child.wait().unwrap();
        assert!(!process.signal(Signal::TERM).unwrap());
    }
}
