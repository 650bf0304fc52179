//! Nodes as processes of this machine.
//!
//! As root each datastore has a system user of its own and edges have another; as a plain user everything runs as that
//! user, so one datastore's server could read another's files. Nodes outlive Granary: what runs is found again by the
//! records in the node's directory, its control group and what processes hold open, see [`processes`].

mod cgroup;
mod dirs;
mod edge;
mod files;
mod launch;
mod limits;
mod lock;
mod logs;
mod node;
mod owned;
mod proc;
mod processes;
mod record;
mod run;
mod shared_memory;
pub mod survey;
#[cfg(test)]
mod tests;
mod users;
mod volume;

use super::{
    Capacity, Dial, EdgeSpec, File, Lease, NodePaths, NodeSpec, Output, Platform, Presence, Program, Refused, Route, Signal, Space, Stream, Vitals,
};
use crate::model::{catalogue::Region, storage::Enforcement};
use anyhow::{Context, ensure};
use async_trait::async_trait;
use cgroup::Cgroups;
use dirs::Dirs;
use edge::Edges;
use ipnet::IpNet;
use limits::{Kind, Limits};
use processes::FENCE;
use std::{
    fs, io,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{task::spawn_blocking, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use users::{Account, User, is_root};
use uuid::Uuid;
use volume::Volumes;

/// How long opening a stream to a node may take.
const DIAL: Duration = Duration::from_secs(5);

/// This machine, or that part of it that one home is. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Local(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dirs: Dirs,
    cgroups: Option<Cgroups>,
    limits: Limits,
    volumes: Volumes,
    capacity: Capacity,
}

impl Local {
    /// Opens a home, making it when it is missing. Blocks for some milliseconds; as root for some 100, since it tries
    /// what this machine lets it do.
    ///
    /// # Errors
    /// When the region is of another platform, the home cannot be used, or a program of the system is missing.
    pub fn new(home: impl AsRef<Path>, region: &Region) -> anyhow::Result<Self> {
        ensure!(region.platform == "local", "the region {} is of the platform “{}”, not “local”", region.id, region.platform);
        for (program, package) in [("setpriv", "util-linux"), ("setsid", "util-linux"), ("sh", "dash")] {
            ensure!(launch::tool(program).is_file(), "{program} is missing: install the package {package}");
        }
        let dirs = Dirs::open(home.as_ref())?;
        lock::sweep(&dirs);
        let name = format!("granary-{}", dirs.hash());
        let cgroups = Cgroups::find(&name);
        if cgroups.is_none() {
            tracing::warn!("no control group can be written: what runs for a node is known by its open files alone");
        }
        let limits = Limits::find(&name, cgroups.as_ref());
        let volumes = Volumes::open(&dirs);
        let capacity = capacity(dirs.home()).context("the machine's capacity cannot be read")?;
        Ok(Self(Arc::new(Inner { dirs, cgroups, limits, volumes, capacity })))
    }

    /// Does an effect under its datastore's lock. Once begun it goes on to its end, even when nobody waits for it any
    /// more: half of an effect must never meet the next one.
    async fn effect<T, F>(&self, lease: Lease, act: impl FnOnce(Arc<Inner>) -> F) -> anyhow::Result<T>
    where
        F: Future<Output = anyhow::Result<T>> + Send + 'static,
        T: Send + 'static,
    {
        let guard = lock::take(&self.0.dirs, lease).await?;
        let act = act(Arc::clone(&self.0));
        let done = tokio::spawn(
            async move {
                let _until_the_end = guard;
                act.await
            }
            .in_current_span(),
        );
        done.await?
    }

    /// An effect on a node that only touches files.
    async fn on_disk<T: Send + 'static>(
        &self,
        lease: Lease,
        node: &NodeSpec,
        act: impl FnOnce(&Inner, &NodeSpec) -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        must_fit(lease, node)?;
        let node = node.clone();
        self.effect(lease, |local| async move { spawn_blocking(move || act(&local, &node)).await? }).await
    }

    /// Looks at the disk where waiting for it holds up nobody.
    async fn look<T: Send + 'static>(&self, act: impl FnOnce(&Inner) -> T + Send + 'static) -> anyhow::Result<T> {
        let local = Arc::clone(&self.0);
        Ok(spawn_blocking(move || act(&local)).await?)
    }
}

impl Inner {
    /// The edges, as far as they were ever made: without their user there are none.
    fn edges(&self) -> anyhow::Result<Edges> {
        let user = if is_root() { Account::of_edges().find()?.unwrap_or_else(User::nobody) } else { User::me() };
        Ok(Edges::new(self.dirs.clone(), self.cgroups.clone(), user))
    }

    /// Removes what belongs to a datastore as a whole.
    async fn destroy_datastore(self: Arc<Self>, datastore: Uuid) -> anyhow::Result<()> {
        let own = self.dirs.datastore(datastore);
        let nodes = fs::read_dir(self.dirs.nodes(datastore)).into_iter().flatten().count();
        ensure!(nodes == 0, "datastore {datastore} still has nodes: destroy them first");
        ensure!(!self.dirs.edge(datastore).is_there()?, "datastore {datastore} still has its edge: destroy it first");
        if is_root() {
            let account = Account::of(datastore);
            if let Some(user) = account.find()? {
                spawn_blocking(move || processes::kill_user(user, FENCE)).await??;
            }
            account.remove(&self.dirs.locks()).await?;
        }
        spawn_blocking(move || {
            own.remove()?;
            self.tidy();
            Ok(())
        })
        .await?
    }

    /// Removes the home's control group when nothing is left in it.
    fn tidy(&self) {
        if let Some(groups) = &self.cgroups {
            groups.tidy();
        }
        self.limits.tidy();
    }
}

#[async_trait]
impl Platform for Local {
    async fn capacity(&self) -> anyhow::Result<Capacity> {
        Ok(self.0.capacity)
    }

    fn enforcement(&self) -> Enforcement {
        let limits = |kind| self.0.limits.has(kind);
        Enforcement { ram: limits(Kind::Memory), cpus: limits(Kind::Cpus), processes: limits(Kind::Processes), volumes: self.0.volumes.are_real() }
    }

    async fn find(&self, patterns: &[String]) -> Vec<PathBuf> {
        let patterns = patterns.to_vec();
        let find = move |_: &Inner| patterns.iter().flat_map(|pattern| files::find(pattern)).collect();
        self.look(find).await.unwrap_or_default()
    }

    fn administrator(&self) -> anyhow::Result<String> {
        users::my_name()
    }

    async fn ask(&self, program: &Program) -> anyhow::Result<Output> {
        run::ask(program).await
    }

    async fn is_free(&self, address: SocketAddr) -> anyhow::Result<bool> {
        match TcpListener::bind(address) {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::AddrInUse => Ok(false),
            Err(e) => Err(e).with_context(|| format!("{address} cannot be tried")),
        }
    }

    async fn ensure_node(&self, lease: Lease, node: &NodeSpec) -> anyhow::Result<NodePaths> {
        must_fit(lease, node)?;
        let node = node.clone();
        self.effect(lease, |local| async move {
            let user = local.user(node.datastore).await?;
            spawn_blocking(move || local.make(&node, user)).await?
        })
        .await
    }

    fn paths(&self, node: &NodeSpec) -> NodePaths {
        self.0.dirs.paths(node)
    }

    async fn put_files(&self, lease: Lease, node: &NodeSpec, files: &[File]) -> anyhow::Result<()> {
        let files = files.to_vec();
        self.on_disk(lease, node, move |local, node| local.place(node, &files)).await
    }

    async fn has_file(&self, node: &NodeSpec, name: &str) -> anyhow::Result<bool> {
        let (node, name) = (node.clone(), name.to_owned());
        self.look(move |local| local.has_file(&node, &name)).await?
    }

    async fn wipe_data(&self, lease: Lease, node: &NodeSpec) -> anyhow::Result<()> {
        self.on_disk(lease, node, Inner::wipe).await
    }

    async fn run(&self, lease: Lease, node: &NodeSpec, program: &Program, limit: Duration) -> anyhow::Result<Output> {
        must_fit(lease, node)?;
        let (node, program) = (node.clone(), program.clone());
        let unwanted = CancellationToken::new();
        let _when_dropped = unwanted.clone().drop_guard();
        self.effect(lease, |local| async move {
            let (set, user) = local.attached(&node)?;
            local.make_sockets(&node, user)?;
            set.run(&program, &local.dirs.paths(&node).data, limit, unwanted).await
        })
        .await
    }

    async fn start(&self, lease: Lease, node: &NodeSpec, service: &str, program: &Program) -> anyhow::Result<()> {
        must_fit(lease, node)?;
        let log = self.log(node, service)?;
        let (node, program) = (node.clone(), program.clone());
        self.effect(lease, |local| async move {
            let (set, user) = local.attached(&node)?;
            local.make_sockets(&node, user)?;
            set.start(&program, &local.dirs.paths(&node).data, &log).await
        })
        .await
    }

    async fn presence(&self, node: &NodeSpec) -> Presence {
        match self.0.set(node) {
            Ok(set) => set.presence().await,
            Err(e) => Presence::Unknown(format!("{e:#}")),
        }
    }

    async fn vitals(&self, node: &NodeSpec) -> anyhow::Result<Vitals> {
        let node = node.clone();
        self.look(move |local| local.set(&node)?.vitals()).await?
    }

    async fn until_gone(&self, node: &NodeSpec) {
        if let Ok(set) = self.0.set(node) {
            set.until_first_ends().await;
        }
    }

    async fn tail(&self, node: &NodeSpec, service: &str, bytes: u64) -> String {
        let Ok(log) = self.log(node, service) else { return String::new() };
        self.look(move |_| logs::tail(&log, bytes)).await.unwrap_or_default()
    }

    async fn signal(&self, lease: Lease, node: &NodeSpec, signal: Signal) -> anyhow::Result<()> {
        self.on_disk(lease, node, move |local, node| local.set(node)?.signal_first(signal)).await
    }

    async fn fence(&self, lease: Lease, node: &NodeSpec) -> anyhow::Result<()> {
        must_fit(lease, node)?;
        let node = node.clone();
        self.effect(lease, |local| async move { local.set(&node)?.kill_all(FENCE).await }).await
    }

    async fn detach(&self, lease: Lease, node: &NodeSpec) -> anyhow::Result<()> {
        must_fit(lease, node)?;
        let node = node.clone();
        self.effect(lease, |local| async move {
            local.set(&node)?.kill_all(FENCE).await?;
            spawn_blocking(move || local.volumes.detach(&node)).await?
        })
        .await
    }

    async fn destroy_node(&self, lease: Lease, node: &NodeSpec) -> anyhow::Result<()> {
        must_fit(lease, node)?;
        let node = node.clone();
        self.effect(lease, |local| local.destroy(node)).await
    }

    async fn space(&self, node: &NodeSpec) -> anyhow::Result<Space> {
        let node = node.clone();
        self.look(move |local| local.volumes.space(&node)).await?
    }

    async fn bound_logs(&self, datastore: Uuid, nodes: &[NodeSpec]) {
        let nodes = nodes.to_vec();
        // A log that cannot be bounded now is bounded the next time.
        let _ = self.look(move |local| local.bound_logs(datastore, &nodes)).await;
    }

    async fn dial(&self, node: &NodeSpec, to: Dial<'_>) -> anyhow::Result<Box<dyn Stream>> {
        let dial = timeout(DIAL, self.0.dial(node, to)).await;
        dial.with_context(|| format!("no answer within {DIAL:?}"))?.with_context(|| format!("node {} cannot be reached", node.id))
    }

    async fn ensure_edge(&self, lease: Lease, edge: &EdgeSpec, sources: &[IpNet]) -> anyhow::Result<()> {
        must_be_of(lease, edge.datastore)?;
        let (edge, sources) = (edge.clone(), sources.to_vec());
        self.effect(lease, |local| async move {
            if is_root() {
                Account::of_edges().ensure(&local.dirs.locks()).await?;
            }
            local.dirs.datastore(edge.datastore).ensure()?;
            local.edges()?.ensure(&edge, &sources).await
        })
        .await
    }

    async fn route(&self, lease: Lease, edge: &EdgeSpec, epoch: i64, routes: &[Route]) -> anyhow::Result<()> {
        must_be_of(lease, edge.datastore)?;
        let (edge, routes) = (edge.clone(), routes.to_vec());
        self.effect(lease, |local| async move { local.edges()?.route(&edge, epoch, &routes).await }).await
    }

    async fn trust(&self, lease: Lease, edge: &EdgeSpec, sources: &[IpNet]) -> anyhow::Result<()> {
        must_be_of(lease, edge.datastore)?;
        let (edge, sources) = (edge.clone(), sources.to_vec());
        self.effect(lease, |local| async move { local.edges()?.trust(&edge, &sources).await }).await
    }

    async fn edge_presence(&self, datastore: Uuid) -> Presence {
        match self.0.edges() {
            Ok(edges) => edges.presence(datastore).await,
            Err(e) => Presence::Unknown(format!("{e:#}")),
        }
    }

    async fn routes_open(&self, datastore: Uuid) -> anyhow::Result<Vec<Route>> {
        self.0.edges()?.routes_open(datastore).await
    }

    async fn refused(&self, datastore: Uuid) -> anyhow::Result<Vec<Refused>> {
        self.0.edges()?.refused(datastore).await
    }

    async fn destroy_edge(&self, lease: Lease, datastore: Uuid) -> anyhow::Result<()> {
        must_be_of(lease, datastore)?;
        self.effect(lease, |local| async move {
            local.edges()?.destroy(datastore).await?;
            local.tidy();
            Ok(())
        })
        .await
    }

    async fn destroy_datastore(&self, lease: Lease) -> anyhow::Result<()> {
        self.effect(lease, |local| local.destroy_datastore(lease.datastore)).await
    }
}

impl Local {
    fn log(&self, node: &NodeSpec, service: &str) -> anyhow::Result<PathBuf> {
        Ok(self.paths(node).log.join(format!("{}.log", files::relative(service)?.display())))
    }
}

/// A lease gives the right to act on one datastore.
fn must_fit(lease: Lease, node: &NodeSpec) -> anyhow::Result<()> {
    must_be_of(lease, node.datastore)
}

fn must_be_of(lease: Lease, datastore: Uuid) -> anyhow::Result<()> {
    ensure!(lease.datastore == datastore, "the lease is for datastore {}, not {datastore}: nothing was done", lease.datastore);
    Ok(())
}

/// All RAM, and the disk that was free when Granary started: what nodes of this home took before is not in it.
fn capacity(home: &Path) -> anyhow::Result<Capacity> {
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    let total = meminfo.lines().find_map(|l| l.strip_prefix("MemTotal:")?.split_ascii_whitespace().next()?.parse::<u64>().ok());
    let disk = rustix::fs::statvfs(home)?;
    Ok(Capacity { ram_mb: total.context("/proc/meminfo has no MemTotal")? / 1024, disk_gb: disk.f_bavail * disk.f_frsize / (1 << 30) })
}
