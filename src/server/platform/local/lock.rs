//! One effect at a time on a datastore, and never by a worker whose lease was overtaken.
//!
//! A datastore's lock is a file that holds the greatest token seen. It stays when the datastore is gone, so that a worker
//! that slept through the end cannot make it again; it is swept a week later.

use super::dirs::Dirs;
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
    let file = exclusive(&path, WAIT).await.with_context(|| format!("other work on datastore {} has not ended", lease.datastore))?;
    let seen = token(&path)?;
    if lease.token < seen {
        return Err(Stale { token: lease.token, seen }.into());
    }
    // One short write: a process that dies leaves the old text or the new one.
    file.write_all_at(format!("{:020} {:010}\n", lease.token, std::process::id()).as_bytes(), 0)?;
    Ok(Guard { _file: file })
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
    let pid = fs::read_to_string(path).ok().and_then(|t| t.split_ascii_whitespace().nth(1)?.parse::<u32>().ok());
    pid.map_or_else(String::new, |pid| format!(", last by process {pid}"))
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
