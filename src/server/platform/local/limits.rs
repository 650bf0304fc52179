//! What a node may take of the machine: memory, processor time, processes. The kernel holds it to that where control
//! groups let us write it, whichever version each controller is in; where they do not, nothing does, and pages say so.
//!
//! | limit | from the flavor | why |
//! |---|---|---|
//! | memory | RAM and an eighth, at least 128 MB more | A server sizes itself to its RAM: buffers and working memory are planned, but not its own code, its sessions' caches (some 6 MB each) and page tables. The kernel counts files that are cached too, and takes those back before it kills: what a node is given beyond its plan is its cache. |
//! | processor time | its vCPUs | in periods of 100 ms |
//! | processes | one for each 4 MB of RAM, at least 512 | more than sessions and workers of any size (one for each 20 MB), and an end to what only forks |
//!
//! Over its memory a node loses the one process that takes most, not all of them: what remains is the server's to tidy.

use super::{
    cgroup::{Cgroup, Cgroups, mounted},
    users::is_root,
};
use crate::server::platform::NodeSpec;
use anyhow::Context;
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Memory.
    Memory,
    /// Processor time.
    Cpus,
    /// Processes.
    Processes,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Memory, Self::Cpus, Self::Processes];

    /// The kernel's controller.
    fn controller(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpus => "cpu",
            Self::Processes => "pids",
        }
    }
}

/// The limits of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Bytes of memory.
    pub memory: u64,
    /// Processors.
    pub cpus: u32,
    /// Processes and threads.
    pub processes: u64,
}

impl Size {
    /// Those of a node. See the module's documentation.
    pub fn of(node: &NodeSpec) -> Self {
        let ram = node.ram_mb;
        Self { memory: (ram + (ram / 8).max(128)) << 20, cpus: node.vcpus, processes: (ram / 4).max(512) }
    }
}

/// A controller that can be written.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Controller {
    kind: Kind,
    /// The home's group in its hierarchy.
    base: PathBuf,
    /// Whether that is of version 2.
    unified: bool,
    /// Whether processes are in its groups already, because they are known by them.
    shared: bool,
}

impl Controller {
    /// Where it can be written, best first.
    fn candidates(kind: Kind, name: &str, cgroups: Option<&Cgroups>) -> Vec<Self> {
        let tracked = cgroups.map(Cgroups::base);
        // In version 2 a process is in one group only: the one that it is known by.
        let unified = cgroups.filter(|groups| groups.is_unified()).map(|groups| groups.base().to_owned());
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let of_version_1 = |fs: &str, options: &str| fs == "cgroup" && options.split(',').any(|o| o == kind.controller());
        let version_1 = is_root().then(|| mounted(&mounts, &of_version_1)).flatten().map(|at| at.join(name));
        let of = |base: PathBuf, unified| Self { kind, shared: tracked == Some(&base), base, unified };
        unified.map(|base| of(base, true)).into_iter().chain(version_1.map(|base| of(base, false))).collect()
    }

    fn works(&self) -> bool {
        const PROBE: Size = Size { memory: 64 << 20, cpus: 1, processes: 64 };
        let probe = Cgroup::at(self.base.join(format!("limits-{}", std::process::id())));
        let written = self.write(probe.path(), PROBE).is_ok();
        let _ = probe.remove(Duration::from_secs(1));
        self.tidy();
        written
    }

    /// Makes a group of this size.
    fn write(&self, group: &Path, size: Size) -> anyhow::Result<()> {
        // Another node's end may remove the home's group as empty between two steps of this.
        if (0..10).any(|_| self.write_once(group, size).is_ok()) { Ok(()) } else { self.write_once(group, size) }
    }

    fn write_once(&self, group: &Path, size: Size) -> anyhow::Result<()> {
        fs::create_dir_all(&self.base)?;
        if self.unified {
            // From above to below: a group has the controllers that the one above passes on.
            for above in [self.base.parent().unwrap_or(&self.base), &self.base] {
                pass_on(above, self.kind.controller())?;
            }
        }
        fs::create_dir_all(group)?;
        for (file, value) in self.files(size) {
            fs::write(group.join(file), &value).with_context(|| format!("{file} of {} cannot be set to {value}", group.display()))?;
        }
        Ok(())
    }

    fn files(&self, size: Size) -> Vec<(&'static str, String)> {
        /// Microseconds.
        const PERIOD: u64 = 100_000;
        let quota = u64::from(size.cpus) * PERIOD;
        match (self.kind, self.unified) {
            (Kind::Memory, true) => vec![("memory.max", size.memory.to_string())],
            (Kind::Memory, false) => vec![("memory.limit_in_bytes", size.memory.to_string())],
            (Kind::Cpus, true) => vec![("cpu.max", format!("{quota} {PERIOD}"))],
            (Kind::Cpus, false) => vec![("cpu.cfs_period_us", PERIOD.to_string()), ("cpu.cfs_quota_us", quota.to_string())],
            (Kind::Processes, _) => vec![("pids.max", size.processes.to_string())],
        }
    }

    fn tidy(&self) {
        // Refused by the kernel while there is any group in it, which is what we want.
        let _ = fs::remove_dir(&self.base);
    }
}

/// Has a group of version 2 pass a controller on to those below it.
fn pass_on(group: &Path, controller: &str) -> anyhow::Result<()> {
    let file = group.join("cgroup.subtree_control");
    let passed = fs::read_to_string(&file)?;
    if !passed.split_ascii_whitespace().any(|c| c == controller) {
        fs::write(&file, format!("+{controller}")).with_context(|| format!("{} does not take {controller}", file.display()))?;
    }
    Ok(())
}

/// The limits of one home's nodes.
#[derive(Debug, Clone, Default)]
pub struct Limits(Vec<Controller>);

impl Limits {
    /// Finds out, by setting them, which can be set. `name` is this home's own.
    pub fn find(name: &str, cgroups: Option<&Cgroups>) -> Self {
        let working = |kind| Controller::candidates(kind, name, cgroups).into_iter().find(Controller::works);
        let found: Vec<Controller> = Kind::ALL.into_iter().filter_map(working).collect();
        for kind in Kind::ALL.into_iter().filter(|kind| found.iter().all(|c| c.kind != *kind)) {
            tracing::warn!("{} of nodes is not limited here: its control group cannot be written", kind.controller());
        }
        Self(found)
    }

    /// Whether this is enforced.
    pub fn has(&self, kind: Kind) -> bool {
        self.0.iter().any(|controller| controller.kind == kind)
    }

    /// The limits of a node; not written yet.
    pub fn group(&self, name: &str, size: Size) -> Limited {
        Limited { groups: self.0.iter().map(|controller| (controller.clone(), controller.base.join(name))).collect(), size }
    }

    /// Removes the home's groups that are empty.
    pub fn tidy(&self) {
        self.0.iter().for_each(Controller::tidy);
    }

    /// Removes every group of the home, after all that was in them.
    #[cfg(test)]
    pub fn clear(&self) {
        for controller in &self.0 {
            let _ = Cgroup::at(controller.base.clone()).remove(Duration::from_secs(1));
        }
    }
}

/// The limits of one node.
#[derive(Debug, Clone)]
pub struct Limited {
    groups: Vec<(Controller, PathBuf)>,
    size: Size,
}

impl Limited {
    /// Sets them and says which groups a process must enter to be held to them.
    ///
    /// # Errors
    /// When the kernel does not take them: when more is in use than may be from now on, for one.
    pub fn ensure(&self) -> anyhow::Result<Vec<PathBuf>> {
        for (controller, group) in &self.groups {
            controller.write(group, self.size)?;
        }
        let mut enter: Vec<PathBuf> = self.groups.iter().filter(|(c, _)| !c.shared).map(|(_, group)| group.clone()).collect();
        // Controllers of version 1 may share a hierarchy.
        enter.dedup();
        Ok(enter)
    }

    /// Removes the groups of a node of which nothing runs.
    ///
    /// # Errors
    /// When something runs in one.
    pub fn remove(&self, limit: Duration) -> std::io::Result<()> {
        self.groups.iter().try_for_each(|(_, group)| Cgroup::at(group.clone()).remove(limit))
    }

    /// Where a limit is written.
    #[cfg(test)]
    pub fn directory(&self, kind: Kind) -> Option<(&Path, bool)> {
        self.groups.iter().find(|(c, _)| c.kind == kind).map(|(c, group)| (group.as_path(), c.unified))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::platform::contract;
    use uuid::Uuid;

    fn size(ram_mb: u64, vcpus: u32) -> Size {
        Size::of(&NodeSpec { ram_mb, vcpus, ..contract::node(Uuid::nil(), 0) })
    }

    #[test]
    fn r081_limits_follow_the_flavor() {
        for (ram, vcpus, memory_mb, processes) in [(512, 1, 640, 512), (1024, 1, 1152, 512), (4096, 2, 4608, 1024), (16384, 8, 18432, 4096)] {
            assert_eq!(size(ram, vcpus), Size { memory: memory_mb << 20, cpus: vcpus, processes }, "{ram} MB");
        }
    }

    #[test]
    fn each_version_is_told_in_its_own_words() {
        let told = |kind, unified| {
            let controller = Controller { kind, base: PathBuf::new(), unified, shared: false };
            controller.files(size(512, 2)).into_iter().map(|(file, value)| format!("{file}={value}")).collect::<Vec<_>>()
        };
        assert_eq!(told(Kind::Memory, true), ["memory.max=671088640"]);
        assert_eq!(told(Kind::Memory, false), ["memory.limit_in_bytes=671088640"]);
        assert_eq!(told(Kind::Cpus, true), ["cpu.max=200000 100000"]);
        assert_eq!(told(Kind::Cpus, false), ["cpu.cfs_period_us=100000", "cpu.cfs_quota_us=200000"]);
        assert_eq!(told(Kind::Processes, true), told(Kind::Processes, false));
    }

    #[test]
    fn a_controller_of_version_2_is_passed_on_from_above() {
        let home = tempfile::tempdir().unwrap();
        let base = home.path().join("granary-x");
        fs::create_dir(&base).unwrap();
        for (group, passed) in [(home.path(), "cpu memory"), (&base, "")] {
            fs::write(group.join("cgroup.subtree_control"), passed).unwrap();
        }
        let controller = Controller { kind: Kind::Memory, base: base.clone(), unified: true, shared: true };
        controller.write(&base.join("node"), size(512, 1)).unwrap();
        assert_eq!(fs::read_to_string(base.join("node/memory.max")).unwrap(), "671088640");
        assert_eq!(fs::read_to_string(base.join("cgroup.subtree_control")).unwrap(), "+memory");
        assert_eq!(fs::read_to_string(home.path().join("cgroup.subtree_control")).unwrap(), "cpu memory", "what is there is not written again");
        let limited = Limited { groups: vec![(controller, base.join("node"))], size: size(512, 1) };
        assert!(limited.ensure().unwrap().is_empty(), "processes are in that group already");
    }
}
