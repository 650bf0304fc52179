//! Everything that runs for one node or one edge, as one set: started into it, counted, signalled, killed to the last.
//!
//! A process belongs to the set when it is in the set's control group, or runs as the set's user with its working
//! directory or an open file in the set's directories, or is the recorded first process. Where no control group can be
//! written only the last two hold, so a process that leaves its directory and closes its files there is not seen.
//!
//! Signals go through a pidfd that was opened before the membership was read again: a pid that went to another
//! process in between is never signalled.

use super::{cgroup::Cgroup, launch::Launch, limits::Limited, proc, record::Record, shared_memory, users::User};
use crate::server::platform::{Activity, Presence, Program, Signal, Vitals};
use anyhow::{Context, bail};
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};
use std::{
    fs, io,
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    task::spawn_blocking,
};

/// How long what a dead service left may take to be killed before the next start.
pub(super) const FENCE: Duration = Duration::from_secs(10);

/// See the module's documentation.
#[derive(Debug, Clone)]
pub struct ProcessSet {
    /// Its control group, where there is one.
    pub(super) cgroup: Option<Cgroup>,
    /// What it may take of the machine; nothing holds it to anything when there is none.
    pub(super) limits: Option<Limited>,
    /// Directory of its records; only Granary writes there.
    pub(super) records: PathBuf,
    /// What only its processes have a reason to hold.
    pub(super) directories: Vec<PathBuf>,
    /// Whom its processes run as; `None` when that user is gone.
    pub(super) user: Option<User>,
    /// Whether what is started for it gives way to everything else.
    pub(super) in_background: bool,
}

impl ProcessSet {
    /// Starts the first process unless it runs. What an earlier one left is killed before. It outlives Granary.
    ///
    /// # Errors
    /// When the program cannot be started, or leftovers cannot be killed.
    pub async fn start(&self, program: &Program, directory: &Path, log: &Path) -> anyhow::Result<()> {
        if self.first().is_some() {
            return Ok(());
        }
        self.kill_all(FENCE).await.context("what the last service left could not be ended")?;
        let log = fs::OpenOptions::new().append(true).create(true).mode(0o600).open(log)?;
        let launch = Launch {
            program,
            directory,
            user: self.user.context("its system user is gone")?,
            groups: self.groups("service")?,
            in_background: self.in_background,
            record: &self.records.join("service"),
            stdout: log.try_clone()?.into(),
            stderr: log.into(),
        };
        let mut child = launch.start().await?;
        // Asked for its exit code, so that no zombie stays while Granary lives.
        tokio::spawn(async move { child.wait().await });
        Ok(())
    }

    /// The first process: the one that was recorded, and no other that has its pid now.
    #[must_use]
    pub fn first(&self) -> Option<u32> {
        Record::read(&self.records.join("service")).filter(Record::lives).map(|r| r.pid)
    }

    /// `Running` when the first process is there. When it is not, but others of the set are, that is `Leaderless`: they
    /// may still write.
    pub async fn presence(&self) -> Presence {
        let set = self.clone();
        let look = move || match set.first() {
            Some(pid) => Presence::Running { pid: Some(pid) },
            None => match set.pids() {
                Ok(left) if left.is_empty() => Presence::Dead,
                Ok(left) => Presence::Leaderless(format!("the service is gone but left processes behind: {}", names(&left))),
                Err(e) => Presence::Unknown(format!("the machine's processes cannot be read: {e}")),
            },
        };
        spawn_blocking(look).await.unwrap_or_else(|e| Presence::Unknown(e.to_string()))
    }

    /// Every process of the set.
    ///
    /// # Errors
    /// When the kernel's lists cannot be read.
    pub fn pids(&self) -> io::Result<Vec<u32>> {
        let mut pids = self.cgroup.as_ref().map_or(Ok(Vec::new()), Cgroup::pids)?;
        if let Some(user) = self.user {
            pids.extend(proc::all()?.into_iter().filter(|pid| proc::is_of(*pid, user.uid) && proc::holds(*pid, &self.directories)));
        }
        pids.extend(self.first());
        pids.sort_unstable();
        pids.dedup();
        pids.retain(|pid| proc::lives(*pid));
        Ok(pids)
    }

    /// What its processes do.
    ///
    /// # Errors
    /// When there is none, or the kernel's lists cannot be read.
    pub fn vitals(&self) -> anyhow::Result<Vitals> {
        let first = self.first().and_then(proc::stat).context("the service is gone")?;
        let all: Vec<proc::Stat> = self.pids()?.into_iter().filter_map(proc::stat).collect();
        let activity = match first.state {
            'T' => Activity::Stopped,
            _ if all.iter().any(|stat| matches!(stat.state, 'R' | 'D')) => Activity::Busy,
            _ => Activity::Waiting,
        };
        // What has ended since is in its parent's sum.
        let ticks: u64 = all.iter().map(|stat| stat.ticks).sum();
        Ok(Vitals { activity, cpu: Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second().max(1)) })
    }

    /// Returns when the first process has ended: the kernel tells at once.
    pub async fn until_first_ends(&self) {
        while let Some(fd) = self.first().and_then(open) {
            #[expect(deprecated, reason = "its successor is unsafe; an owned descriptor stays the one that was registered")]
            let registered = AsyncFd::with_interest(fd, Interest::READABLE);
            match registered {
                Ok(fd) => drop(fd.readable().await),
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
            // Over, but its parent has not asked for its exit code yet: a moment later it is gone.
            tokio::task::yield_now().await;
        }
    }

    /// Signals the first process; nothing happens when there is none.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn signal_first(&self, signal: Signal) -> anyhow::Result<()> {
        let Some((pid, fd)) = self.first().and_then(|pid| Some((pid, open(pid)?))) else { return Ok(()) };
        if self.first() == Some(pid) {
            send(
                &fd,
                match signal {
                    Signal::Hangup => rustix::process::Signal::HUP,
                    Signal::Terminate => rustix::process::Signal::TERM,
                    Signal::Interrupt => rustix::process::Signal::INT,
                },
            )?;
        }
        Ok(())
    }

    /// Kills until the set is empty, and returns after seeing that it is.
    ///
    /// # Errors
    /// When something is left after `limit`, or it cannot be known: names what is left. It may still write.
    pub async fn kill_all(&self, limit: Duration) -> anyhow::Result<()> {
        let set = self.clone();
        spawn_blocking(move || until_empty(limit, || set.kill_once())).await?
    }

    /// Frees the shared memory that the last service of an empty set left: what it ran on will never be served again.
    pub fn free_shared_memory(&self) {
        let last = Record::read(&self.records.join("service")).filter(|record| !record.lives());
        // A segment that stays does no harm, but one of very many that did.
        if let (Some(last), Some(user)) = (last, self.user)
            && let Err(why) = shared_memory::free(last.pid, user.uid)
        {
            tracing::warn!("{why:#}");
        }
    }

    /// Removes the control groups of an empty set.
    ///
    /// # Errors
    /// When something lives in it.
    pub fn remove_group(&self) -> io::Result<()> {
        const LIMIT: Duration = Duration::from_secs(2);
        self.cgroup.as_ref().map_or(Ok(()), |group| group.remove(LIMIT))?;
        self.limits.as_ref().map_or(Ok(()), |limits| limits.remove(LIMIT))
    }

    /// Makes a part of the control group and sets the limits: the groups that its processes must be in.
    pub(super) fn groups(&self, part: &str) -> anyhow::Result<Vec<PathBuf>> {
        let made = self.cgroup.as_ref().map(|group| group.ensure(part)).transpose().context("its control group cannot be made")?;
        let limits = self.limits.as_ref().map(Limited::ensure).transpose().context("its limits cannot be set")?;
        Ok(made.into_iter().chain(limits.unwrap_or_default()).collect())
    }

    fn kill_once(&self) -> io::Result<Vec<u32>> {
        if let Some(group) = &self.cgroup {
            group.kill();
        }
        kill(|| self.pids())
    }
}

/// Kills everything a system user of ours runs, when all of its nodes are gone.
///
/// # Errors
/// As [`ProcessSet::kill_all`].
pub(super) fn kill_user(user: User, limit: Duration) -> anyhow::Result<()> {
    let lives = |pid: &u32| proc::is_of(*pid, user.uid) && proc::lives(*pid);
    until_empty(limit, || kill(|| Ok(proc::all()?.into_iter().filter(lives).collect())))
}

/// Kills what `members` names, twice asked; returns what it named.
pub(super) fn kill(members: impl Fn() -> io::Result<Vec<u32>>) -> io::Result<Vec<u32>> {
    let first = members()?;
    if first.is_empty() {
        return Ok(first);
    }
    let held: Vec<(u32, OwnedFd)> = first.into_iter().filter_map(|pid| Some((pid, open(pid)?))).collect();
    let still = members()?;
    for (_, fd) in held.iter().filter(|(pid, _)| still.contains(pid)) {
        send(fd, rustix::process::Signal::KILL)?;
    }
    Ok(still)
}

/// Repeats `act`, which returns what is left, until that was nothing twice: a process that forked and ended while the
/// list was read can hide its child from one reading, not from the next.
pub(super) fn until_empty(limit: Duration, act: impl Fn() -> io::Result<Vec<u32>>) -> anyhow::Result<()> {
    let end = Instant::now() + limit;
    let mut pause = Duration::from_millis(1);
    let mut empty = 0;
    loop {
        let left = act().context("processes cannot be listed or killed, so some may be left")?;
        empty = if left.is_empty() { empty + 1 } else { 0 };
        if empty == 2 {
            return Ok(());
        }
        if !left.is_empty() {
            if Instant::now() >= end {
                bail!("processes are left after {limit:?}, and may still write: {}", names(&left));
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }
}

/// `12 (postgres, D)`: state D waits for a device, T is stopped; both, and a frozen group, can hold back a kill.
fn names(pids: &[u32]) -> String {
    let name = |pid: &u32| proc::stat(*pid).map(|s| format!("{pid} ({}, {})", s.name, s.state));
    pids.iter().filter_map(name).take(10).collect::<Vec<_>>().join(", ")
}

fn open(pid: u32) -> Option<OwnedFd> {
    let pid = Pid::from_raw(pid.try_into().ok()?)?;
    pidfd_open(pid, PidfdFlags::empty()).ok()
}

fn send(fd: &OwnedFd, signal: rustix::process::Signal) -> io::Result<()> {
    match pidfd_send_signal(fd, signal) {
        // It ended by itself.
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::platform::local::cgroup::Cgroups;

    /// A set in a directory of its own. As root its processes run as `nobody`, so that strays are told apart by user.
    fn set(home: &Path, cgroups: Option<&Cgroups>) -> ProcessSet {
        let user = if rustix::process::geteuid().is_root() { User { uid: 65534, gid: 65534 } } else { User::me() };
        let home = home.canonicalize().unwrap();
        let data = home.join("data");
        fs::create_dir(&data).unwrap();
        std::os::unix::fs::chown(&data, Some(user.uid), Some(user.gid)).unwrap();
        fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
        ProcessSet {
            cgroup: cgroups.map(|c| c.group("set")),
            limits: None,
            records: home,
            directories: vec![data],
            user: Some(user),
            in_background: false,
        }
    }

    /// Ends what a failed test leaves.
    struct End(ProcessSet);

    impl Drop for End {
        fn drop(&mut self) {
            let _ = until_empty(FENCE, || self.0.kill_once());
            let _ = self.0.remove_group();
        }
    }

    /// A server, a child in a session of its own, and an orphan in yet another: all hold the data directory.
    fn family() -> Program {
        let script = "setsid sleep 1000 & (setsid sleep 1000 &) ; sleep 1000";
        Program { path: "/bin/sh".into(), args: vec!["-c".to_owned(), script.to_owned()], env: Vec::new() }
    }

    async fn lives_and_dies(set: ProcessSet) {
        let _end = End(set.clone());
        let data = set.directories[0].clone();
        let log = set.records.join("log");
        assert_eq!(set.presence().await, Presence::Dead);
        set.start(&family(), &data, &log).await.unwrap();
        let first = set.first().expect("on record");
        set.start(&family(), &data, &log).await.unwrap();
        assert_eq!(set.presence().await, Presence::Running { pid: Some(first) }, "started once");
        let until = Instant::now() + Duration::from_secs(5);
        while set.pids().unwrap().len() < 4 && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(set.pids().unwrap().len(), 4, "shell, child, orphan, sleep: {}", names(&set.pids().unwrap()));

        set.signal_first(Signal::Terminate).unwrap();
        let left = until_empty(Duration::from_millis(200), || set.pids()).unwrap_err().to_string();
        assert!(left.contains("(sleep, S)") && !left.contains(&format!("{first} (")), "{left}");
        assert!(matches!(set.presence().await, Presence::Leaderless(why) if why.contains("left processes behind")));

        set.start(&family(), &data, &log).await.unwrap();
        assert_ne!(set.first(), Some(first));
        set.kill_all(FENCE).await.unwrap();
        assert_eq!(set.presence().await, Presence::Dead);
        assert!(set.pids().unwrap().is_empty());
        set.kill_all(FENCE).await.unwrap();
        set.remove_group().unwrap();
    }

    #[tokio::test]
    async fn a_set_is_one_without_a_control_group() {
        let home = tempfile::tempdir().unwrap();
        lives_and_dies(set(home.path(), None)).await;
    }

    #[tokio::test]
    async fn a_set_is_one_with_a_control_group_of_either_version() {
        for cgroups in Cgroups::all(&format!("granary-test-{}", std::process::id())) {
            let home = tempfile::tempdir().unwrap();
            lives_and_dies(set(home.path(), Some(&cgroups))).await;
            cgroups.tidy();
            assert!(!cgroups.base().exists(), "{}", cgroups.base().display());
        }
    }

    #[tokio::test]
    async fn a_program_that_is_missing_is_named() {
        let home = tempfile::tempdir().unwrap();
        let set = set(home.path(), None);
        let program = Program { path: "/nonexistent/server".into(), args: Vec::new(), env: Vec::new() };
        let error = set.start(&program, &set.directories[0], &home.path().join("log")).await.unwrap_err();
        assert!(error.to_string().contains("/nonexistent/server is not there"), "{error}");
    }
}
