//! The `serve` processes of a home, so that `down` finds them: a file for each, in `<home>/serve`.

use crate::server::{db::metadata::process::Process, jobs::owner::Owner};
use anyhow::{Context, ensure};
use rustix::process::Signal;
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// Longer than `serve` takes to end: it lets requests and steps of jobs end first.
const PATIENCE: Duration = Duration::from_secs(45);
const POLL: Duration = Duration::from_millis(50);

/// This process's entry; it ends with this.
pub(super) struct Instance(PathBuf);

impl Instance {
    /// Enters this process.
    ///
    /// # Errors
    /// When the home cannot be written.
    pub(super) fn enter(home: &Path) -> anyhow::Result<Self> {
        let folder = folder(home);
        fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        let me = Owner::me()?;
        let file = folder.join(me.pid.to_string());
        fs::write(&file, format!("{} {}\n", me.boot_id, me.start_ticks)).with_context(|| format!("{} cannot be written", file.display()))?;
        Ok(Self(file))
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // What stays tells of a process that is proved dead, and is removed by the next `down`.
        let _ = fs::remove_file(&self.0);
    }
}

fn folder(home: &Path) -> PathBuf {
    home.join("serve")
}

/// Asks all of them to end, and waits until they have. Returns how many there were.
///
/// # Errors
/// When one does not end; it is not killed, as it may be in the middle of a step.
pub(super) async fn stop_all(home: &Path) -> anyhow::Result<usize> {
    let Ok(entries) = fs::read_dir(folder(home)) else { return Ok(0) };
    let mut running = Vec::new();
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        match read(&path).filter(|owner| !owner.is_proved_dead()) {
            Some(owner) => running.push(owner),
            None => fs::remove_file(&path)?,
        }
    }
    for owner in &running {
        let process = Process { pid: owner.pid, start_ticks: u64::try_from(owner.start_ticks)?, name: "granary".to_owned() };
        process.signal(Signal::TERM)?;
    }
    let deadline = Instant::now() + PATIENCE;
    for owner in &running {
        while !owner.is_proved_dead() {
            ensure!(Instant::now() < deadline, "granary serve (process {}) was asked to end and still runs after {PATIENCE:?}", owner.pid);
            sleep(POLL).await;
        }
    }
    Ok(running.len())
}

/// Those that run; touches nothing.
pub(super) fn running(home: &Path) -> Vec<Owner> {
    let entries = fs::read_dir(folder(home)).into_iter().flatten().flatten();
    entries.filter_map(|entry| read(&entry.path())).filter(|owner| !owner.is_proved_dead()).collect()
}

fn read(path: &Path) -> Option<Owner> {
    let text = fs::read_to_string(path).ok()?;
    let (boot_id, start_ticks) = text.trim().split_once(' ')?;
    Some(Owner { boot_id: boot_id.to_owned(), pid: path.file_name()?.to_str()?.parse().ok()?, start_ticks: start_ticks.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_process_that_is_proved_to_be_it_is_asked_to_end() {
        let home = tempfile::tempdir().unwrap();
        let mut children = [(); 2].map(|()| std::process::Command::new("sleep").arg("60").spawn().unwrap());
        let me = Owner::me().unwrap();
        let enter = |pid: u32, boot: &str, earlier: u64| {
            let ticks = Process::find(i32::try_from(pid).unwrap()).unwrap().start_ticks - earlier;
            fs::create_dir_all(folder(home.path())).unwrap();
            fs::write(folder(home.path()).join(pid.to_string()), format!("{boot} {ticks}\n")).unwrap();
        };
        // One is it, the other has got the pid of one that was.
        enter(children[0].id(), &me.boot_id, 0);
        enter(children[1].id(), &me.boot_id, 1);
        assert_eq!(stop_all(home.path()).await.unwrap(), 1);
        children[0].wait().unwrap();
        assert!(children[1].try_wait().unwrap().is_none(), "a stranger was ended");
        // Of another boot.
        enter(children[1].id(), "another", 0);
        assert_eq!(stop_all(home.path()).await.unwrap(), 0);
        assert!(children[1].try_wait().unwrap().is_none(), "a stranger was ended");
        children[1].kill().unwrap();
        children[1].wait().unwrap();
        assert_eq!(fs::read_dir(folder(home.path())).unwrap().count(), 0, "entries of the dead are left");
    }
}
