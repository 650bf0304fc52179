//! Nodes for the tests of engines: real servers in a temporary directory, as the user `postgres` when the tests run
//! as root. The least that an engine needs of a platform; edges cannot be had here.

use crate::{
    model::storage::{Enforcement, Storage},
    server::platform::{
        Capacity, Dial, EdgeSpec, File, Lease, NodePaths, NodeSpec, Output, Platform, Presence, Program, Refused, Route, Signal, Space, Stream,
        Vitals,
    },
};
use anyhow::{Context, bail, ensure};
use async_trait::async_trait;
use ipnet::IpNet;
use rustix::process::{self, Pid};
use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Stdio,
    sync::Mutex,
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    net::{TcpStream, UnixStream},
    process::{Child, Command},
    time::{sleep, timeout},
};
use uuid::Uuid;

/// The smallest node, at a loopback address of its own.
pub(super) fn node() -> NodeSpec {
    let id = Uuid::new_v4();
    let [a, b, c, ..] = *id.as_bytes();
    NodeSpec {
        id,
        datastore: Uuid::new_v4(),
        slot: 0,
        address: SocketAddr::from(([127, 64 + a % 64, b, 2 + c % 250], 5432)),
        ram_mb: 512,
        vcpus: 1,
        storage: Storage::Ephemeral { gb: 5 },
        volume: None,
        in_background: false,
    }
}

/// The platform; kills all it started when it is dropped.
pub(super) struct Direct {
    home: TempDir,
    services: Mutex<BTreeMap<Uuid, Child>>,
}

impl Direct {
    pub(super) fn new() -> Self {
        let home = tempfile::Builder::new().prefix("gr").tempdir().unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o711)).unwrap();
        Self { home, services: Mutex::default() }
    }

    fn root(&self, node: &NodeSpec) -> PathBuf {
        self.home.path().join(&node.id.simple().to_string()[..8])
    }

    /// A program as the nodes' user.
    pub(super) fn command(program: &Program) -> Command {
        let mut command = if process::getuid().is_root() {
            let mut setpriv = Command::new("setpriv");
            setpriv.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--no-new-privs"]).arg(&program.path);
            setpriv
        } else {
            Command::new(&program.path)
        };
        command.args(&program.args).env_clear().envs([("PATH", "/usr/bin:/bin"), ("LANG", "C.UTF-8"), ("LC_ALL", "C.UTF-8")]);
        command.envs(program.env.iter().cloned()).current_dir("/").stdin(Stdio::null()).process_group(0);
        command
    }

    /// Processes whose arguments, environment or working directory lie in a directory: some children of initdb know it
    /// from `PGDATA` alone.
    fn processes(within: &Path) -> Vec<Pid> {
        let name = within.display().to_string();
        let ours = |pid: &Pid| {
            let proc = PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()));
            let said = ["cmdline", "environ"].map(|file| fs::read(proc.join(file)).unwrap_or_default()).concat();
            let at = fs::read_link(proc.join("cwd")).unwrap_or_default();
            // One that has been killed has none of them.
            at.starts_with(within) || String::from_utf8_lossy(&said).contains(&name)
        };
        let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
        pids.filter_map(Pid::from_raw).filter(ours).collect()
    }

    fn kill(within: &Path) -> bool {
        let found = Self::processes(within);
        for pid in &found {
            let _ = process::kill_process(*pid, process::Signal::KILL);
        }
        !found.is_empty()
    }
}

impl Drop for Direct {
    fn drop(&mut self) {
        while Self::kill(self.home.path()) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Gives a path to the user that nodes run as.
fn give(path: &Path, mode: u32) -> anyhow::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    if process::getuid().is_root() {
        let passwd = fs::read_to_string("/etc/passwd")?;
        let mut fields = passwd.lines().find(|line| line.starts_with("postgres:")).context("no user postgres")?.split(':').skip(2);
        let mut id = || anyhow::Ok(fields.next().context("an id")?.parse()?);
        chown(path, Some(id()?), Some(id()?))?;
    }
    Ok(())
}

/// Files that match a pattern with `*`.
fn matches(pattern: &str) -> Vec<PathBuf> {
    pattern.split('/').skip(1).fold(vec![PathBuf::from("/")], |found, segment| {
        let Some((head, end)) = segment.split_once('*') else { return found.iter().map(|at| at.join(segment)).filter(|p| p.exists()).collect() };
        let names = |at: &PathBuf| fs::read_dir(at).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path()).collect::<Vec<_>>();
        let fits = |path: &PathBuf| path.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with(head) && n.ends_with(end));
        found.iter().flat_map(names).filter(fits).collect()
    })
}

#[async_trait]
impl Platform for Direct {
    async fn capacity(&self) -> anyhow::Result<Capacity> {
        Ok(Capacity { ram_mb: 4096, disk_gb: 40 })
    }

    async fn find(&self, patterns: &[String]) -> Vec<PathBuf> {
        patterns.iter().flat_map(|pattern| matches(pattern)).collect()
    }

    async fn ask(&self, program: &Program) -> anyhow::Result<Output> {
        let output = Self::command(program).output().await?;
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Ok(Output { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) })
    }

    async fn is_free(&self, address: SocketAddr) -> anyhow::Result<bool> {
        Ok(std::net::TcpListener::bind(address).is_ok())
    }

    async fn ensure_node(&self, _: Lease, node: &NodeSpec) -> anyhow::Result<NodePaths> {
        let paths = self.paths(node);
        for path in [&self.root(node), &paths.data, &paths.config, &paths.run, &paths.log] {
            fs::create_dir_all(path)?;
            give(path, 0o700)?;
        }
        Ok(paths)
    }

    fn paths(&self, node: &NodeSpec) -> NodePaths {
        let under = |name| self.root(node).join(name);
        NodePaths { data: under("data"), config: under("config"), run: under("run"), log: under("log") }
    }

    async fn put_files(&self, _: Lease, node: &NodeSpec, files: &[File]) -> anyhow::Result<()> {
        for file in files {
            let at = if file.name.starts_with("data/") { self.root(node) } else { self.paths(node).config }.join(&file.name);
            let draft = at.with_extension("draft");
            fs::write(&draft, &file.content)?;
            give(&draft, if file.secret { 0o600 } else { 0o640 })?;
            fs::rename(draft, at)?;
        }
        Ok(())
    }

    async fn has_file(&self, node: &NodeSpec, name: &str) -> anyhow::Result<bool> {
        Ok(self.paths(node).data.join(name).exists())
    }

    async fn wipe_data(&self, lease: Lease, node: &NodeSpec) -> anyhow::Result<()> {
        ensure!(Self::processes(&self.root(node)).is_empty(), "something of the node still runs");
        fs::remove_dir_all(self.paths(node).data)?;
        self.ensure_node(lease, node).await.map(drop)
    }

    async fn run(&self, lease: Lease, node: &NodeSpec, program: &Program, limit: Duration) -> anyhow::Result<Output> {
        // Goes on when the caller is gone, as it does when Granary is killed.
        let child = Self::command(program).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let Ok(output) = timeout(limit, child.wait_with_output()).await else {
            self.fence(lease, node).await?;
            bail!("{} did not end in time", program.path.display());
        };
        let output = output?;
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let output = Output { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) };
        ensure!(output.code == Some(0), "{} failed: {}", program.path.display(), output.stderr);
        Ok(output)
    }

    async fn start(&self, _: Lease, node: &NodeSpec, service: &str, program: &Program) -> anyhow::Result<()> {
        if self.presence(node).await == Presence::Dead {
            let log = fs::File::options().create(true).append(true).open(self.paths(node).log.join(format!("{service}.log")))?;
            let child = Self::command(program).stdout(log.try_clone()?).stderr(log).spawn()?;
            self.services.lock().unwrap().insert(node.id, child);
        }
        Ok(())
    }

    async fn presence(&self, node: &NodeSpec) -> Presence {
        let mut services = self.services.lock().unwrap();
        let child = services.get_mut(&node.id).and_then(|child| matches!(child.try_wait(), Ok(None)).then_some(child));
        let pid = child.and_then(|child| child.id());
        if pid.is_none() && Self::processes(&self.root(node)).is_empty() { Presence::Dead } else { Presence::Running { pid } }
    }

    async fn vitals(&self, _: &NodeSpec) -> anyhow::Result<Vitals> {
        bail!("nobody is watched here")
    }

    async fn tail(&self, node: &NodeSpec, service: &str, bytes: u64) -> String {
        let log = fs::read(self.paths(node).log.join(format!("{service}.log"))).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(usize::try_from(bytes).unwrap())..]).into_owned()
    }

    async fn signal(&self, _: Lease, node: &NodeSpec, signal: Signal) -> anyhow::Result<()> {
        if let Presence::Running { pid: Some(pid) } = self.presence(node).await {
            let signal = match signal {
                Signal::Hangup => process::Signal::HUP,
                Signal::Terminate => process::Signal::TERM,
                Signal::Interrupt => process::Signal::INT,
            };
            process::kill_process(Pid::from_raw(pid.try_into()?).context("a pid")?, signal)?;
        }
        Ok(())
    }

    async fn fence(&self, _: Lease, node: &NodeSpec) -> anyhow::Result<()> {
        while Self::kill(&self.root(node)) {
            sleep(Duration::from_millis(5)).await;
        }
        // A killed process shows nothing of itself while it still ends.
        let service = self.services.lock().unwrap().remove(&node.id);
        if let Some(mut service) = service {
            service.wait().await?;
        }
        Ok(())
    }

    async fn destroy_node(&self, lease: Lease, node: &NodeSpec) -> anyhow::Result<()> {
        self.fence(lease, node).await?;
        Ok(fs::remove_dir_all(self.root(node))?)
    }

    async fn detach(&self, lease: Lease, node: &NodeSpec) -> anyhow::Result<()> {
        self.fence(lease, node).await
    }

    async fn space(&self, _: &NodeSpec) -> anyhow::Result<Space> {
        bail!("not measured here")
    }

    async fn bound_logs(&self, _: Uuid, _: &[NodeSpec]) {}

    fn enforcement(&self) -> Enforcement {
        Enforcement::default()
    }

    fn administrator(&self) -> anyhow::Result<String> {
        let me = process::getuid().as_raw().to_string();
        let passwd = fs::read_to_string("/etc/passwd")?;
        let line = passwd.lines().find(|line| line.split(':').nth(2) == Some(&me)).context("this user has no name")?;
        Ok(line.split(':').next().unwrap_or_default().to_owned())
    }

    async fn dial(&self, node: &NodeSpec, to: Dial<'_>) -> anyhow::Result<Box<dyn Stream>> {
        Ok(match to {
            Dial::Socket(name) => Box::new(UnixStream::connect(self.paths(node).run.join(name)).await?),
            Dial::Port(port) => Box::new(TcpStream::connect((node.address.ip(), port)).await?),
        })
    }

    async fn ensure_edge(&self, _: Lease, _: &EdgeSpec, _: &[IpNet]) -> anyhow::Result<()> {
        bail!("no edges here")
    }

    async fn route(&self, _: Lease, _: &EdgeSpec, _: i64, _: &[Route]) -> anyhow::Result<()> {
        bail!("no edges here")
    }

    async fn trust(&self, _: Lease, _: &EdgeSpec, _: &[IpNet]) -> anyhow::Result<()> {
        bail!("no edges here")
    }

    async fn edge_presence(&self, _: Uuid) -> Presence {
        Presence::Dead
    }

    async fn routes_open(&self, _: Uuid) -> anyhow::Result<Vec<Route>> {
        bail!("no edges here")
    }

    async fn refused(&self, _: Uuid) -> anyhow::Result<Vec<Refused>> {
        bail!("no edges here")
    }

    async fn destroy_edge(&self, _: Lease, _: Uuid) -> anyhow::Result<()> {
        bail!("no edges here")
    }

    async fn destroy_datastore(&self, _: Lease) -> anyhow::Result<()> {
        bail!("no edges here")
    }
}
