//! What others use for failover, set up as its documentation says, with detection as fast as that allows. All of it runs as an
//! unprivileged user, in a directory and on loopback addresses of its own, and is gone afterwards.

pub(crate) mod auto_failover;
pub(crate) mod patroni;

use crate::{bare, processes};
use std::{
    fs::{self, File, Permissions},
    net::Ipv4Addr,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// Nodes of each.
const NODES: u8 = 3;
/// Longest that anything of theirs may take.
const PATIENCE: Duration = Duration::from_mins(2);

/// An address that no home of Granary has (they begin at 127.2 and end at 127.253), and no other benchmark that runs now.
pub(crate) fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 254, u8::try_from(std::process::id() % 250).unwrap() + 1, last)
}

/// A program of the system.
fn program(name: &str) -> Result<PathBuf, String> {
    let places = ["/usr/bin", "/usr/sbin", "/usr/local/bin"].map(|place| Path::new(place).join(name));
    places.into_iter().find(|place| place.exists()).ok_or_else(|| format!("{name} is not installed: scripts/peers.sh says why"))
}

/// Where a peer runs. Everything that runs there ends with this, and the directory goes.
struct Room {
    directory: tempfile::TempDir,
    children: Vec<Child>,
}

impl Room {
    fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("granary-peer-").tempdir().unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o711)).unwrap();
        Self { directory, children: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A directory for one of its programs, theirs alone.
    fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir(&path).unwrap();
        give(&path, 0o700);
        path
    }

    /// Starts a program in its folder, with its output beside. `tini` takes leave of its dead at once, as the first process of a
    /// machine does: where that one is slow, a dead server would count as running.
    fn start(&mut self, program: &Path, args: &[&str], folder: &str, env: &[(&str, String)]) -> Result<(), String> {
        let log = File::create(self.path(&format!("{folder}.log"))).unwrap();
        let mut command = bare::as_somebody(&self::program("tini")?);
        command.args(["-s", "--"]).arg(program).args(args).current_dir(self.path(folder)).envs(env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.children.push(command.spawn().unwrap());
        Ok(())
    }

    /// For somebody who wonders why: the ends of its logs.
    fn logs(&self) -> String {
        let logs = fs::read_dir(self.directory.path()).unwrap().flatten().map(|entry| entry.path()).filter(|path| path.is_file());
        let end = |text: String| text.lines().rev().take(15).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n");
        logs.map(|log| [log.display().to_string(), end(fs::read_to_string(&log).unwrap_or_default())].join("\n")).collect::<Vec<_>>().join("\n")
    }

    /// Waits until it is so.
    async fn until(&self, what: &str, mut is: impl AsyncFnMut() -> bool) {
        let begun = Instant::now();
        while !is().await {
            assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}\n{}", self.logs());
            sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        processes::end(self.directory.path());
        for child in &mut self.children {
            let _ = child.wait();
        }
    }
}

/// Writes a file that its programs alone can read.
fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    give(path, 0o600);
}

fn give(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    if rustix::process::geteuid().is_root() {
        chown(path, Some(bare::NOBODY), Some(bare::NOBODY)).unwrap();
    }
}
