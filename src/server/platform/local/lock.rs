//! One effect at a time on a datastore, and never by a worker whose lease was overtaken.
//!
//! A datastore's lock is a file that holds the greatest token seen. It stays when the datastore is gone, so that a worker
//! that slept through the end cannot make it again; it is swept a week later.
//!
//! The kernel gives the lock back when its holder ends. One that was stopped in the middle of an effect would keep it for
//! ever, so a worker with a later lease ends it: see `docs/decisions/0007-a-stopped-process-loses-its-lock-by-dying.md`.

use super::{dirs::Dirs, proc, processes};
use crate::server::platform::{Lease, Stale};
use anyhow::{Context, bail};
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::Path,
    time::{Duration, Instant},
};
use uuid::Uuid;

/// How long an effect waits for another one.
pub const WAIT: Duration = Duration::from_secs(30);

/// How long the tokens of what is gone are kept: longer than any worker can sleep unnoticed.
const KEPT: Duration = Duration::from_hours(7 * 24);

/// How often the holder is looked at: stopped in two looks, it was not stopped for a moment only.
const LOOK: Duration = Duration::from_secs(1);

/// The right to do one effect, until it is dropped.
#[derive(Debug)]
pub struct Guard {
    _file: File,
}

/// Takes the lock of the lease's datastore.
///
/// # Errors
/// [`Stale`] when a later lease was seen; another error when one effect lasts longer than [`WAIT`].
pub async fn take(dirs: &Dirs, lease: Lease) -> anyhow::Result<Guard> {
    let path = dirs.lock(lease.datastore);
    let file = tokio::select! {
        file = exclusive(&path, WAIT) => file,
        never = end_stopped(&path, lease.token) => never,
    };
    let file = file.with_context(|| format!("other work on datastore {} has not ended", lease.datastore))?;
    let seen = token(&path)?;
    if lease.token < seen {
        return Err(anyhow::Error::from(Stale { token: lease.token, seen }).context("the datastore's lock refused it"));
    }
    // One short write: a process that dies leaves the old text or the new one.
    let pid = std::process::id();
    let started = proc::stat(pid).context("/proc does not tell about this process")?.started;
    file.write_all_at(format!("{:020} {pid:010} {started:020}\n", lease.token).as_bytes(), 0)?;
    Ok(Guard { _file: file })
}

/// Whoever took the lock last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Holder {
    token: i64,
    pid: u32,
    started: u64,
}

impl Holder {
    fn read(path: &Path) -> Option<Self> {
        let text = fs::read_to_string(path).ok()?;
        let mut words = text.split_ascii_whitespace();
        Some(Self { token: words.next()?.parse().ok()?, pid: words.next()?.parse().ok()?, started: words.next()?.parse().ok()? })
    }

    /// Whether that very process has the lock's file open and was stopped by a signal. One that a debugger holds (`t`) or that
    /// waits for a device (`D`) is not meant: it goes on by itself, or somebody looks at it.
    fn is_stopped(self, path: &Path) -> bool {
        let stopped = proc::stat(self.pid).is_some_and(|s| s.started == self.started && s.state == 'T');
        stopped && self.pid != std::process::id() && proc::holds(self.pid, &[path.to_owned()])
    }
}

/// While somebody waits for the lock: ends the holder if its lease was overtaken and it was stopped in the middle of an
/// effect. It may be killed at any moment anyway, and only its death proves that it does nothing more.
async fn end_stopped(path: &Path, token: i64) -> ! {
    let mut before = None;
    loop {
        tokio::time::sleep(LOOK).await;
        let holder = Holder::read(path).filter(|holder| holder.token < token && holder.is_stopped(path));
        if let Some(found) = holder.filter(|_| holder == before) {
            tracing::warn!(pid = found.pid, token = found.token, "a process that was stopped holds the lock of work that was taken over: ending it");
            if let Err(error) = processes::kill(|| Ok(Some(found).filter(|h| h.is_stopped(path)).map(|h| h.pid).into_iter().collect())) {
                tracing::error!(pid = found.pid, %error, "it cannot be ended");
            }
        }
        before = holder;
    }
}

/// Locks a file, making it when it is missing. Asks again and again rather than block a thread.
///
/// # Errors
/// When another holds it for longer than `limit`.
pub async fn exclusive(path: &Path, limit: Duration) -> anyhow::Result<File> {
    const PAUSE: Duration = Duration::from_millis(10);
    let end = Instant::now() + limit;
    loop {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) if is_at(&file, path) => return Ok(file),
            Ok(()) => {}
            Err(Errno::WOULDBLOCK | Errno::INTR) if Instant::now() < end => tokio::time::sleep(PAUSE).await,
            Err(Errno::WOULDBLOCK) => bail!("{} is locked{}", path.display(), holder(path)),
            Err(e) => return Err(e.into()),
        }
    }
}

/// Removes the tokens of datastores that went a week ago or earlier.
pub fn sweep(dirs: &Dirs) {
    for entry in fs::read_dir(dirs.locks()).into_iter().flatten().flatten() {
        let old = entry.metadata().and_then(|m| m.modified()).is_ok_and(|at| at.elapsed().is_ok_and(|age| age > KEPT));
        let name = entry.file_name();
        let Some(datastore) = name.to_str().and_then(|n| n.parse::<Uuid>().ok()).filter(|_| old) else { continue };
        let gone = fs::symlink_metadata(dirs.datastore(datastore).path()).is_err();
        // Held while it is removed: whoever waits for it sees that it went, and makes a new one.
        let held = File::open(entry.path()).is_ok_and(|f| flock(&f, FlockOperation::NonBlockingLockExclusive).is_ok());
        if gone && held {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The greatest token seen; less than any when there was none.
fn token(path: &Path) -> anyhow::Result<i64> {
    let text = fs::read_to_string(path)?;
    match text.split_ascii_whitespace().next() {
        None => Ok(i64::MIN),
        Some(word) => word.parse().with_context(|| format!("{} holds no token: remove it only when no Granary runs", path.display())),
    }
}

fn holder(path: &Path) -> String {
    Holder::read(path).map_or_else(String::new, |holder| {
        let state = proc::stat(holder.pid).filter(|s| s.started == holder.started).map_or("gone", |s| match s.state {
            'T' => "stopped: let it go on with kill -CONT, or end it",
            't' => "held by a debugger",
            'D' => "waiting for a device",
            _ => "running",
        });
        format!(", last by process {} ({state})", holder.pid)
    })
}

/// Whether the file is still the one at its path: a sweep may have removed it before it was locked.
fn is_at(file: &File, path: &Path) -> bool {
    let same = |a: fs::Metadata, b: fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    file.metadata().ok().zip(fs::metadata(path).ok()).is_some_and(|(a, b)| same(a, b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    fn home() -> (tempfile::TempDir, Dirs) {
        let home = tempfile::tempdir().unwrap();
        let dirs = Dirs::open(home.path()).unwrap();
        (home, dirs)
    }

    #[tokio::test]
    async fn an_overtaken_lease_is_refused_for_ever() {
        let (_home, dirs) = home();
        let datastore = Uuid::from_u128(1);
        let lease = |token| Lease { datastore, token };
        drop(take(&dirs, lease(-3)).await.unwrap());
        drop(take(&dirs, lease(10)).await.unwrap());
        drop(take(&dirs, lease(10)).await.unwrap());
        let error = take(&dirs, lease(9)).await.unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Stale { token: 9, seen: 10 }));
        drop(take(&dirs, lease(i64::MAX)).await.unwrap());
        assert!(take(&dirs, lease(10)).await.unwrap_err().is::<Stale>());
        drop(take(&dirs, Lease { datastore: Uuid::from_u128(2), token: 1 }).await.unwrap());
        fs::write(dirs.lock(datastore), "what").unwrap();
        assert!(take(&dirs, lease(i64::MAX)).await.unwrap_err().to_string().contains("holds no token"));
    }

    #[tokio::test]
    async fn a_lock_has_one_holder_and_names_it() {
        let (_home, dirs) = home();
        let datastore = Uuid::from_u128(1);
        let guard = take(&dirs, Lease { datastore, token: 1 }).await.unwrap();
        let error = exclusive(&dirs.lock(datastore), Duration::from_millis(50)).await.unwrap_err();
        assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
        let path = dirs.lock(datastore);
        let waits = tokio::spawn(async move { exclusive(&path, WAIT).await });
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert!(!waits.is_finished());
        drop(guard);
        waits.await.unwrap().unwrap();
    }

    /// A process that holds the lock, and is stopped unless it is to run.
    fn other(path: &Path, token: i64, stopped: bool) -> std::process::Child {
        let act = if stopped { "kill -STOP $$" } else { "echo held" };
        let script = format!(r#"exec 9<>"$1"; flock 9; {act}; exec sleep 60"#);
        let child = std::process::Command::new("/bin/sh").args(["-c", &script, "sh"]).arg(path).stdout(std::process::Stdio::null()).spawn().unwrap();
        let wanted = if stopped { 'T' } else { 'S' };
        while proc::stat(child.id()).is_none_or(|s| s.state != wanted) || exclusive_now(path) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let started = proc::stat(child.id()).unwrap().started;
        fs::write(path, format!("{token:020} {:010} {started:020}\n", child.id())).unwrap();
        child
    }

    fn exclusive_now(path: &Path) -> bool {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .is_ok_and(|f| flock(&f, FlockOperation::NonBlockingLockExclusive).is_ok())
    }

    #[tokio::test]
    async fn a_stopped_holder_is_ended_by_a_later_lease_and_by_no_other() {
        let (_home, dirs) = home();
        let datastore = Uuid::from_u128(1);
        let path = dirs.lock(datastore);
        let mut stopped = other(&path, 5, true);
        // The same lease, or an earlier one, waits in vain and harms nobody.
        let same = tokio::time::timeout(LOOK * 4, take(&dirs, Lease { datastore, token: 5 })).await;
        assert!(same.is_err() && stopped.try_wait().unwrap().is_none());
        assert!(holder(&path).contains("stopped"), "{}", holder(&path));
        drop(take(&dirs, Lease { datastore, token: 6 }).await.unwrap());
        assert!(!stopped.wait().unwrap().success());
        assert!(take(&dirs, Lease { datastore, token: 5 }).await.unwrap_err().is::<Stale>());
    }

    #[tokio::test]
    async fn a_holder_that_runs_is_waited_for() {
        let (_home, dirs) = home();
        let datastore = Uuid::from_u128(1);
        let mut running = other(&dirs.lock(datastore), 5, false);
        let later = tokio::time::timeout(LOOK * 4, take(&dirs, Lease { datastore, token: 6 })).await;
        assert!(later.is_err() && running.try_wait().unwrap().is_none());
        running.kill().unwrap();
        running.wait().unwrap();
        drop(take(&dirs, Lease { datastore, token: 6 }).await.unwrap());
    }

    #[tokio::test]
    async fn tokens_are_swept_a_week_after_the_datastore() {
        let (_home, dirs) = home();
        let [old, living, fresh] = [1, 2, 3].map(Uuid::from_u128);
        fs::create_dir(dirs.datastore(living).path()).unwrap();
        for (datastore, age) in [(old, 8), (living, 8), (fresh, 6)] {
            drop(take(&dirs, Lease { datastore, token: 1 }).await.unwrap());
            let file = File::options().write(true).open(dirs.lock(datastore)).unwrap();
            #[expect(clippy::disallowed_methods, reason = "the sweep compares with the machine's clock")]
            file.set_modified(SystemTime::now() - Duration::from_hours(age * 24)).unwrap();
        }
        sweep(&dirs);
        assert_eq!([old, living, fresh].map(|d| dirs.lock(d).exists()), [false, true, true]);
    }
}
