//! Control groups: the kernel's own list of what belongs to a node. Version 2 where there is one we may write, else a
//! hierarchy of version 1, else none. The freezer of version 1 is never used: it holds back SIGKILL.

use super::users::is_root;
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

/// Hierarchies of version 1 that do nothing to their members unless told to.
const VERSION_1: [&str; 3] = ["pids", "cpuacct", "blkio"];

/// Where the groups of one home lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroups {
    base: PathBuf,
    unified: bool,
}

impl Cgroups {
    /// Finds a hierarchy where a child of ours can be placed, by placing one. `name` is this home's own.
    pub fn find(name: &str) -> Option<Self> {
        Self::all(name).next()
    }

    /// Every hierarchy that would do, best first.
    pub fn all(name: &str) -> impl Iterator<Item = Self> {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let parents = candidates(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"), is_root());
        parents.into_iter().map(move |(parent, unified)| Self { base: parent.join(name), unified }).filter(Self::works)
    }

    /// Where a group for a home might be made, best first, with what that hierarchy controls; nothing is tried. Other
    /// hierarchies of version 1, which hold no nodes but could control them, follow.
    pub fn parents() -> Vec<(PathBuf, Vec<String>)> {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let mounts = read("/proc/self/mountinfo");
        let mut found: Vec<_> = candidates(&mounts, &read("/proc/self/cgroup"), is_root()).into_iter().map(|(path, _)| (path, Vec::new())).collect();
        if is_root() {
            found.extend(hierarchies_of_version_1(&mounts));
        }
        found
    }

    /// The group of a node or an edge; not made yet.
    pub fn group(&self, name: &str) -> Cgroup {
        Cgroup { path: self.base.join(name) }
    }

    /// Whether it is of version 2, where all controllers share one hierarchy.
    pub fn is_unified(&self) -> bool {
        self.unified
    }

    /// The home's group.
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// Removes the home's group when it is empty.
    pub fn tidy(&self) {
        // Refused by the kernel while there is any group in it, which is what we want.
        let _ = fs::remove_dir(&self.base);
    }

    fn works(&self) -> bool {
        let probe = self.group(&format!("probe-{}", std::process::id()));
        let placed = probe.ensure("child").is_ok_and(|dir| {
            let mut shell = Command::new("/bin/sh");
            shell.args(["-c", "echo $$ >\"$1\"/cgroup.procs", "sh"]).arg(dir);
            let quiet = shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            quiet.status().is_ok_and(|s| s.success())
        });
        let removed = probe.remove(Duration::from_secs(1)).is_ok();
        self.tidy();
        placed && removed
    }
}

fn hierarchies_of_version_1(mounts: &str) -> impl Iterator<Item = (PathBuf, Vec<String>)> {
    mounts.lines().filter_map(|line| {
        let (left, right) = line.split_once(" - cgroup ")?;
        let controllers = right.split(' ').nth(1)?.split(',').map(str::to_owned).collect();
        Some((PathBuf::from(left.split(' ').nth(4)?), controllers))
    })
}

/// Directories in which a group for the home may be made, best first. As root a place that is the same whatever
/// started Granary; otherwise only our own group can be ours to divide. Each with whether it is of version 2.
fn candidates(mounts: &str, own: &str, root: bool) -> Vec<(PathBuf, bool)> {
    let version_2 = mounted(mounts, &|kind, _| kind == "cgroup2");
    if !root {
        let own = own.lines().find_map(|l| l.strip_prefix("0::/"));
        return version_2.zip(own).map(|(at, own)| (at.join(own), true)).into_iter().collect();
    }
    let version_1 = VERSION_1.iter().filter_map(|name| mounted(mounts, &|kind, options| kind == "cgroup" && options.split(',').any(|o| o == *name)));
    version_2.map(|at| (at, true)).into_iter().chain(version_1.map(|at| (at, false))).collect()
}

/// Where the first file system is mounted that has the wanted kind and options.
pub fn mounted(mounts: &str, wanted: &dyn Fn(&str, &str) -> bool) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut right = right.split(' ');
        let (kind, options) = (right.next()?, right.nth(1)?);
        wanted(kind, options).then(|| PathBuf::from(left.split(' ').nth(4).unwrap_or_default()))
    })
}

/// A group with its parts below it. Processes lie in the parts only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// One that is named by its directory.
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a part and says where it is.
    ///
    /// # Errors
    /// When the hierarchy cannot be written.
    pub fn ensure(&self, part: &str) -> io::Result<PathBuf> {
        let path = self.path.join(part);
        // Another node's end may remove the home's group as empty between two steps of this.
        let made = (0..10).any(|_| fs::create_dir_all(&path).is_ok());
        if made { Ok(path) } else { fs::create_dir_all(&path).map(|()| path) }
    }

    /// A part as a group of its own.
    pub fn part(&self, part: &str) -> Self {
        Self { path: self.path.join(part) }
    }

    /// Processes in it and below it; none when it does not exist.
    ///
    /// # Errors
    /// When the hierarchy cannot be read.
    pub fn pids(&self) -> io::Result<Vec<u32>> {
        let Some(list) = or_none(fs::read_to_string(self.path.join("cgroup.procs")))? else { return Ok(Vec::new()) };
        // 0 stands for a process of another pid namespace: it is not ours.
        let mut pids: Vec<u32> = list.lines().filter_map(|l| l.parse().ok()).filter(|p| *p != 0).collect();
        for below in self.below()? {
            pids.extend(below.pids()?);
        }
        Ok(pids)
    }

    /// Has the kernel kill all of it at once, where it can (version 2, Linux 5.14).
    pub fn kill(&self) {
        // Where it cannot, the caller's own signals do it.
        let _ = fs::write(self.path.join("cgroup.kill"), "1");
    }

    /// Removes it with its parts. The dead stay in it for a moment, hence the limit.
    ///
    /// # Errors
    /// When something lives in it.
    pub fn remove(&self, limit: Duration) -> io::Result<()> {
        const PAUSE: Duration = Duration::from_millis(10);
        let mut left = limit;
        loop {
            match self.remove_once() {
                Err(_) if left > PAUSE => left -= PAUSE,
                done => return done,
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn remove_once(&self) -> io::Result<()> {
        for below in self.below()? {
            below.remove_once()?;
        }
        or_none(fs::remove_dir(&self.path)).map(|_| ())
    }

    fn below(&self) -> io::Result<Vec<Self>> {
        let Some(entries) = or_none(fs::read_dir(&self.path))? else { return Ok(Vec::new()) };
        let dirs = entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
        Ok(dirs.map(|e| Self { path: e.path() }).collect())
    }
}

/// A group that was removed meanwhile is no error: it has no members.
fn or_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    const ENODEV: i32 = 19;
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.kind() == io::ErrorKind::NotFound || e.raw_os_error() == Some(ENODEV) => Ok(None),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "30 23 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct
36 31 0:33 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime shared:9 - cgroup cgroup rw,pids
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw";

    #[test]
    fn version_2_comes_first_and_the_freezer_never() {
        let root = candidates(HYBRID, "", true);
        let names: Vec<(&str, bool)> = root.iter().map(|(p, unified)| (p.to_str().unwrap(), *unified)).collect();
        assert_eq!(names, [("/sys/fs/cgroup/unified", true), ("/sys/fs/cgroup/pids", false), ("/sys/fs/cgroup/cpuacct", false)]);
    }

    #[test]
    fn a_plain_user_has_only_its_own_group() {
        let own = "8:pids:/x\n0::/user.slice/user-1000.slice";
        assert_eq!(candidates(HYBRID, own, false), [(PathBuf::from("/sys/fs/cgroup/unified/user.slice/user-1000.slice"), true)]);
        assert!(candidates("", own, false).is_empty());
    }

    #[test]
    fn a_group_that_is_gone_has_no_members() {
        let group = Cgroups { base: PathBuf::from("/nonexistent"), unified: true }.group("x");
        assert!(group.pids().unwrap().is_empty());
        group.remove(Duration::ZERO).unwrap();
    }
}
