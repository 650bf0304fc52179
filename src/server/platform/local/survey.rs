//! This machine as one may look at it without being its Granary: nothing is made, nothing is changed.

use super::{
    Inner, Local, capacity,
    cgroup::Cgroups,
    dirs::Dirs,
    limits::Limits,
    proc,
    users::{Account, is_root},
    volume::Volumes,
};
use anyhow::Context;
use rustix::fs::{Access, access};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};
use uuid::Uuid;

/// A home, looked at.
#[derive(Debug)]
pub struct Survey {
    dirs: Dirs,
    platform: Local,
}

/// A directory in which groups for nodes may be made.
#[derive(Debug)]
pub struct ControlGroups {
    /// Where.
    pub path: PathBuf,
    /// Of the kernel's interface: 1 or 2.
    pub version: u8,
    /// Whether we may.
    pub writable: bool,
    controllers: Vec<String>,
}

impl ControlGroups {
    /// Whether it can control `what`: `memory`, `cpu` or `pids`.
    #[must_use]
    pub fn can(&self, what: &str) -> bool {
        self.controllers.iter().any(|c| c == what)
    }
}

/// Something of a datastore, a node or a volume that is on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Remain {
    /// The id it is named after.
    pub of: Uuid,
    /// What it is, for a sentence.
    pub what: String,
    /// What to do when nobody knows that id.
    pub advice: &'static str,
}

impl Survey {
    /// Of this home.
    ///
    /// # Errors
    /// When there is none, or the machine's capacity cannot be read.
    pub fn of(home: &Path) -> anyhow::Result<Self> {
        let dirs = Dirs::at(home)?;
        let capacity = capacity(dirs.home())?;
        let (limits, volumes) = (Limits::default(), Volumes::watched(&dirs));
        Ok(Self { platform: Local(Arc::new(Inner { dirs: dirs.clone(), cgroups: None, limits, volumes, capacity })), dirs })
    }

    /// The platform, to ask it for what changes nothing.
    #[must_use]
    pub fn platform(&self) -> Local {
        self.platform.clone()
    }

    /// Where groups may be made, best first, and those that control what nodes use.
    #[must_use]
    pub fn control_groups(&self) -> Vec<ControlGroups> {
        Cgroups::parents()
            .into_iter()
            .map(|(path, controllers)| {
                let of_two = fs::read_to_string(path.join("cgroup.controllers")).ok();
                ControlGroups {
                    version: if of_two.is_some() { 2 } else { 1 },
                    writable: access(&path, Access::WRITE_OK | Access::EXEC_OK).is_ok(),
                    controllers: of_two.map_or(controllers, |text| text.split_whitespace().map(str::to_owned).collect()),
                    path,
                }
            })
            .collect()
    }

    /// All that is here of any datastore, node or volume.
    #[must_use]
    pub fn remains(&self) -> Vec<Remain> {
        let mut remains = self.directories();
        remains.extend(self.processes());
        remains.extend(self.groups());
        remains.extend(self.users());
        remains
    }

    fn directories(&self) -> Vec<Remain> {
        let advice = "See whether you need what is in it; move it away or remove it, after its processes have ended.";
        ["datastores", "volumes"]
            .into_iter()
            .flat_map(|kind| ids(&self.dirs.home().join(kind)))
            .map(|(of, path)| Remain { of, what: format!("The directory {}", path.display()), advice })
            .collect()
    }

    /// By their working directory, which a removed one is too.
    fn processes(&self) -> Vec<Remain> {
        let advice = "End it by its process id, after you saw what it is.";
        let home = self.dirs.home();
        let of = |pid: u32| {
            let at = fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
            let below = ["datastores", "volumes"].into_iter().find_map(|kind| at.strip_prefix(home.join(kind)).ok().map(Path::to_owned))?;
            let name = below.components().next()?.as_os_str().to_str()?.trim_end_matches(" (deleted)").to_owned();
            Some(Remain { of: name.parse().ok()?, what: format!("The process {pid} ({})", proc::stat(pid)?.name), advice })
        };
        proc::all().unwrap_or_default().into_iter().filter_map(of).collect()
    }

    fn groups(&self) -> Vec<Remain> {
        let advice = "End the processes that its file cgroup.procs names, if any; then rmdir it and what is below it.";
        let bases = Cgroups::parents().into_iter().map(|(parent, _)| parent.join(format!("granary-{}", self.dirs.hash())));
        let found = bases.flat_map(|base| fs::read_dir(base).into_iter().flatten().flatten());
        let named = found.filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let of = name.strip_prefix("edge-").unwrap_or(&name).parse().ok()?;
            Some(Remain { of, what: format!("The control group {}", entry.path().display()), advice })
        });
        named.collect()
    }

    /// Other homes of this machine have users too: ours are those whose lock is here.
    fn users(&self) -> Vec<Remain> {
        let advice = "See that nothing runs as this user and no file is its own, then userdel it.";
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let of = |line: &str| {
            let mut fields = line.split(':');
            let (name, comment) = (fields.next()?, fields.nth(3)?);
            let of: Uuid = comment.strip_prefix("Granary datastore ")?.parse().ok()?;
            self.dirs.lock(of).is_file().then(|| Remain { of, what: format!("The system user {name}"), advice })
        };
        if is_root() { passwd.lines().filter_map(of).collect() } else { Vec::new() }
    }
}

/// Whether a datastore that was made has its system user, where it should.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_user(datastore: Uuid) -> anyhow::Result<()> {
    if is_root() {
        Account::of(datastore).find()?.context("it is gone")?;
    }
    Ok(())
}

/// Entries that are named by an id.
fn ids(directory: &Path) -> Vec<(Uuid, PathBuf)> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path()))).collect()
}
