//! Nodes with real processes, as root and as a plain user, with control groups and without.

mod database;
mod limits;
mod lives;
mod rights;
mod runs;
mod volumes;

use super::{
    Inner, Local,
    limits::Limits,
    proc,
    users::{Account, is_root},
    volume::Volumes,
};
use crate::{
    model::{catalogue::Region, storage::Storage},
    server::platform::{Lease, NodeSpec, Platform, Presence, Program, contract},
};
use std::{
    ffi::OsStr,
    fs,
    ops::Deref,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use uuid::Uuid;

/// A home of its own. Whatever a failed test leaves in it is removed with it.
struct World {
    local: Local,
    home: TempDir,
    datastore: Uuid,
}

impl Deref for World {
    type Target = Local;

    fn deref(&self) -> &Local {
        &self.local
    }
}

impl World {
    /// With control groups where this machine has them.
    fn new() -> Self {
        let home = tempfile::Builder::new().prefix("granary-").permissions(fs::Permissions::from_mode(0o711)).tempdir().unwrap();
        let local = Local::new(home.path(), &region()).unwrap();
        Self { local, home, datastore: Uuid::new_v4() }
    }

    /// Without them, as on a machine that forbids groups and mounts: what runs is known by what it holds, a volume is a
    /// directory.
    fn without_groups() -> Self {
        let mut world = Self::new();
        world.local = world.bare();
        world
    }

    /// The same home seen by a Granary that may neither make groups nor mount.
    fn bare(&self) -> Local {
        let Inner { dirs, capacity, .. } = self.local.0.as_ref();
        let volumes = Volumes::watched(dirs);
        Local(Arc::new(Inner { dirs: dirs.clone(), cgroups: None, limits: Limits::default(), volumes, capacity: *capacity }))
    }

    /// A node on a volume of so many GB.
    fn node_with_volume(&self, gb: u32) -> NodeSpec {
        let storage = Storage::Volume { volume_type: "dynamic".to_owned(), gb };
        NodeSpec { volume: Some(Uuid::new_v4()), storage, ..self.node(0) }
    }

    /// What is mounted under the home, and the files in it that loop devices hold.
    fn mounts(&self) -> Vec<String> {
        let home = self.home.path().canonicalize().unwrap().display().to_string();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mounts = mounts.lines().filter_map(|l| l.split(' ').nth(4)).filter(|at| at.starts_with(&home)).map(str::to_owned).collect::<Vec<_>>();
        let loops = fs::read_dir("/sys/block").into_iter().flatten().flatten();
        let loops = loops.filter_map(|e| fs::read_to_string(e.path().join("loop/backing_file")).ok()).filter(|file| file.starts_with(&home));
        mounts.into_iter().chain(loops.map(|file| file.trim().to_owned())).collect()
    }

    fn node(&self, slot: u8) -> NodeSpec {
        contract::node(self.datastore, slot)
    }

    async fn made(&self) -> NodeSpec {
        let node = self.node(0);
        self.ensure_node(self.lease(), &node).await.unwrap();
        node
    }

    fn lease(&self) -> Lease {
        Lease { datastore: self.datastore, token: 1 }
    }

    /// What runs for the node, once there are so many, each having become `sleep`, or after 5 s.
    async fn pids(&self, node: &NodeSpec, count: usize) -> Vec<u32> {
        let end = Instant::now() + Duration::from_secs(5);
        let sleeps = |pid: &u32| proc::stat(*pid).is_some_and(|s| s.name == "sleep");
        loop {
            let pids = self.local.0.set(node).unwrap().pids().unwrap();
            if pids.len() == count && pids.iter().all(sleeps) || Instant::now() > end {
                return pids;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn first(&self, node: &NodeSpec) -> u32 {
        match self.presence(node).await {
            Presence::Running { pid: Some(pid) } => pid,
            other => panic!("{other:?}"),
        }
    }

    /// Everything under the home but the home's own directories and the locks.
    fn left(&self) -> Vec<PathBuf> {
        let tops = ["datastores", "volumes", "s"].map(|top| self.home.path().join(top));
        tops.iter().flat_map(|top| fs::read_dir(top).into_iter().flatten().flatten()).map(|e| e.path()).collect()
    }

    /// The home's control group, where this world has them.
    fn group(&self) -> Option<PathBuf> {
        self.local.0.cgroups.as_ref().map(|groups| groups.base().to_owned())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let home = [self.home.path().canonicalize().unwrap()];
        let group = self.group().map(|path| path.file_name().unwrap().to_string_lossy().into_owned());
        let grouped = |pid: &u32| {
            let of = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
            group.as_ref().is_some_and(|group| of.contains(group.as_str()))
        };
        for _ in 0..100 {
            let left: Vec<u32> =
                proc::all().unwrap().into_iter().filter(|pid| proc::lives(*pid) && (grouped(pid) || proc::holds(*pid, &home))).collect();
            if left.is_empty() {
                break;
            }
            // Only what was started in this test's own directory or group.
            let _ = Command::new("kill").arg("-KILL").args(left.iter().map(u32::to_string)).status();
            std::thread::sleep(Duration::from_millis(20));
        }
        for at in self.mounts() {
            let _ = Command::new("umount").arg(at).stderr(std::process::Stdio::null()).status();
        }
        if let Some(groups) = &self.local.0.cgroups {
            let below = fs::read_dir(self.group().unwrap()).into_iter().flatten().flatten().filter(|e| e.path().is_dir());
            below.for_each(|e| drop(groups.group(&e.file_name().to_string_lossy()).remove(Duration::from_secs(1))));
            groups.tidy();
        }
        self.local.0.limits.clear();
        let datastores = fs::read_dir(self.home.path().join("datastores")).into_iter().flatten().flatten();
        let datastores = datastores.filter_map(|e| e.file_name().to_str()?.parse().ok()).chain([self.datastore]);
        let left: Vec<Account> = datastores.map(Account::of).filter(|a| is_root() && a.find().is_ok_and(|user| user.is_some())).collect();
        let locks = self.home.path().join("locks");
        let remove = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            for account in left {
                let _ = runtime.block_on(account.remove(&locks));
            }
        };
        let _ = std::thread::spawn(remove).join();
    }
}

fn region() -> Region {
    Region {
        id: "local".to_owned(),
        label: "This machine".to_owned(),
        platform: "local".to_owned(),
        ram_overcommit: 1.0,
        storage_overcommit: 1.0,
        endpoint_address: None,
        ports: [20000, 29999],
    }
}

fn sh(script: &str) -> Program {
    Program { path: "/bin/sh".into(), args: vec!["-c".to_owned(), script.to_owned()], env: Vec::new() }
}

/// Runs tests again, in a process of its own.
fn again(tests: &[&str], wrapper: &[&OsStr], exe: &Path, env: &[(&str, &OsStr)]) -> std::process::Output {
    let (program, args) = wrapper.split_first().map_or((exe.as_os_str(), &[][..]), |(program, args)| (*program, args));
    let mut command = Command::new(program);
    command.args(args);
    if !wrapper.is_empty() {
        command.arg(exe);
    }
    command.args(["--test-threads=2", "--nocapture"]).args(tests).envs(env.iter().copied()).output().unwrap()
}

#[tokio::test]
async fn it_keeps_the_contract() {
    let world = World::new();
    contract::suite(&*world).await;
    assert_eq!(world.left(), Vec::<PathBuf>::new());
    assert_eq!(world.mounts(), Vec::<String>::new());
    assert!(world.group().is_none_or(|group| !group.exists()));
}

#[tokio::test]
async fn it_keeps_the_contract_without_control_groups() {
    let world = World::without_groups();
    contract::suite(&*world).await;
    assert_eq!(world.left(), Vec::<PathBuf>::new());
}

/// Everything here once more without rights. The program is copied to where any user can reach it.
#[test]
fn it_keeps_the_contract_as_a_plain_user() {
    if !is_root() {
        return;
    }
    let room = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o711)).tempdir().unwrap();
    let exe = room.path().join("tests");
    fs::copy(std::env::current_exe().unwrap(), &exe).unwrap();
    fs::set_permissions(&exe, fs::Permissions::from_mode(0o755)).unwrap();
    let wrapper = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"].map(OsStr::new);
    let output = again(&["local::tests::", "local::processes::"], &wrapper, &exe, &[("TMPDIR", OsStr::new("/tmp"))]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("it_keeps_the_contract ... ok"), "{said}");
}
