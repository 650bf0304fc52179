//! A platform in memory, for tests of jobs: it keeps the contract, and does what a test wants to go wrong.

use super::{
    Capacity, Dial, EdgeSpec, File, Lease, ListenerKind, NodePaths, NodeSpec, OldEpoch, Output, Platform, Presence, Program, Refused, Route, Signal,
    Space, Stale, Stream,
};
use crate::model::datastore::Enforcement;
use anyhow::{Context, bail, ensure};
use async_trait::async_trait;
use ipnet::IpNet;
use std::{
    collections::{BTreeMap, BTreeSet},
    future::pending,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use uuid::Uuid;

/// The calls that change something, by the name of their method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// [`Platform::ensure_node`].
    EnsureNode,
    /// [`Platform::put_files`].
    PutFiles,
    /// [`Platform::wipe_data`].
    WipeData,
    /// [`Platform::run`].
    Run,
    /// [`Platform::start`].
    Start,
    /// [`Platform::signal`].
    Signal,
    /// [`Platform::fence`].
    Fence,
    /// [`Platform::detach`].
    Detach,
    /// [`Platform::destroy_node`].
    DestroyNode,
    /// [`Platform::ensure_edge`].
    EnsureEdge,
    /// [`Platform::route`].
    Route,
    /// [`Platform::trust`].
    Trust,
    /// [`Platform::destroy_edge`].
    DestroyEdge,
    /// [`Platform::destroy_datastore`].
    DestroyDatastore,
}

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails and has done nothing.
    Before,
    /// It is done, but fails: its caller cannot know.
    After,
    /// It does nothing and never returns.
    Hang,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Fake(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    tokens: BTreeMap<Uuid, i64>,
    datastores: BTreeSet<Uuid>,
    nodes: BTreeMap<Uuid, Node>,
    edges: BTreeMap<Uuid, Edge>,
    refused: BTreeMap<Uuid, Vec<Refused>>,
    faults: BTreeMap<Effect, Vec<Fault>>,
    done: BTreeMap<Effect, u32>,
    installed: BTreeSet<PathBuf>,
    taken: BTreeSet<SocketAddr>,
    answers: BTreeMap<String, Output>,
    pids: u32,
}

#[derive(Debug)]
struct Node {
    datastore: Uuid,
    files: BTreeMap<String, Vec<u8>>,
    log: String,
    runs: Presence,
    free: Option<u64>,
}

#[derive(Debug)]
struct Edge {
    listeners: BTreeMap<ListenerKind, SocketAddr>,
    pid: Option<u32>,
    epoch: i64,
    open: Vec<Route>,
    sources: Vec<IpNet>,
}

/// What a test sees and sets.
impl Fake {
    /// The next calls of an effect go wrong in this way, then in those named before.
    pub fn fail(&self, effect: Effect, fault: Fault, times: usize) {
        let mut state = self.state();
        let faults = state.faults.entry(effect).or_default();
        faults.extend(std::iter::repeat_n(fault, times));
    }

    /// How often an effect was done.
    pub fn done(&self, effect: Effect) -> u32 {
        self.state().done.get(&effect).copied().unwrap_or_default()
    }

    /// Makes a program be found.
    pub fn install(&self, path: impl Into<PathBuf>) {
        self.state().installed.insert(path.into());
    }

    /// What a program answers that has this file name, when it is run or asked. Others end well and say nothing.
    pub fn answer(&self, program: &str, output: Output) {
        self.state().answers.insert(program.to_owned(), output);
    }

    /// Somebody else holds an address.
    pub fn take(&self, address: SocketAddr) {
        self.state().taken.insert(address);
    }

    /// A node's service is as a test wants it: `Dead` as after a kill from outside, `Unknown` as after one that left
    /// processes behind.
    pub fn set_presence(&self, node: Uuid, presence: Presence) {
        if let Some(node) = self.state().nodes.get_mut(&node) {
            node.runs = presence;
        }
    }

    /// So much of a node's storage is free, whatever it holds.
    pub fn set_free(&self, node: Uuid, free: u64) {
        if let Some(node) = self.state().nodes.get_mut(&node) {
            node.free = Some(free);
        }
    }

    /// An edge dies by itself.
    pub fn kill_edge(&self, datastore: Uuid) {
        if let Some(edge) = self.state().edges.get_mut(&datastore) {
            edge.pid = None;
            edge.open.clear();
        }
    }

    /// What the edge refused.
    pub fn set_refused(&self, datastore: Uuid, refused: Vec<Refused>) {
        self.state().refused.insert(datastore, refused);
    }

    /// Content of a node's file.
    pub fn file(&self, node: Uuid, name: &str) -> Option<Vec<u8>> {
        self.state().nodes.get(&node)?.files.get(name).cloned()
    }

    /// Sources an edge trusts.
    pub fn sources(&self, datastore: Uuid) -> Vec<IpNet> {
        self.state().edges.get(&datastore).map(|e| e.sources.clone()).unwrap_or_default()
    }

    /// Whether nothing is left of any datastore.
    pub fn is_empty(&self) -> bool {
        let state = self.state();
        state.datastores.is_empty() && state.nodes.is_empty() && state.edges.is_empty()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn effect<T: Send>(&self, lease: Lease, effect: Effect, act: impl FnOnce(&mut State) -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
        let fault = self.state().faults.get_mut(&effect).and_then(Vec::pop);
        match fault {
            Some(Fault::Hang) => pending().await,
            Some(Fault::Before) => bail!("{effect:?} failed, as the test wants it, before it did anything"),
            Some(Fault::After) | None => {}
        }
        let mut state = self.state();
        let seen = *state.tokens.entry(lease.datastore).or_insert(lease.token);
        if lease.token < seen {
            return Err(Stale { token: lease.token, seen }.into());
        }
        state.tokens.insert(lease.datastore, lease.token);
        let done = act(&mut state)?;
        *state.done.entry(effect).or_default() += 1;
        ensure!(fault.is_none(), "{effect:?} failed, as the test wants it, after it was done");
        Ok(done)
    }
}

impl State {
    fn node(&mut self, node: &NodeSpec) -> anyhow::Result<&mut Node> {
        let made = self.nodes.get_mut(&node.id).with_context(|| format!("node {} is not there", node.id))?;
        ensure!(made.datastore == node.datastore, "node {} is another datastore's", node.id);
        Ok(made)
    }

    fn running_edge(&mut self, spec: &EdgeSpec) -> anyhow::Result<&mut Edge> {
        let edge = self.edges.get_mut(&spec.datastore).filter(|e| e.pid.is_some());
        edge.with_context(|| format!("the edge of datastore {} does not run", spec.datastore))
    }

    fn pid(&mut self) -> u32 {
        self.pids += 1;
        self.pids
    }

    fn answer(&self, program: &Program) -> Output {
        let name = program.path.file_name().unwrap_or_default().to_string_lossy();
        let silent = Output { code: Some(0), stdout: String::new(), stderr: String::new() };
        self.answers.get(name.as_ref()).cloned().unwrap_or(silent)
    }
}

fn must_fit(lease: Lease, datastore: Uuid) -> anyhow::Result<()> {
    ensure!(lease.datastore == datastore, "the lease is for datastore {}, not {datastore}", lease.datastore);
    Ok(())
}

/// Whether a pattern with `*` within segments matches: here only whole segments and their ends are tried.
fn matches(pattern: &str, path: &Path) -> bool {
    let path = path.to_string_lossy();
    let (pattern, path): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), path.split('/').collect());
    let fits = |(p, s): (&&str, &&str)| p.split_once('*').map_or(p == s, |(before, after)| s.starts_with(before) && s.ends_with(after));
    pattern.len() == path.len() && pattern.iter().zip(&path).all(fits)
}

#[async_trait]
impl Platform for Fake {
    fn administrator(&self) -> anyhow::Result<String> {
        Ok("root".to_owned())
    }

    async fn capacity(&self) -> anyhow::Result<Capacity> {
        Ok(Capacity { ram_mb: 64 << 10, disk_gb: 1000 })
    }

    fn enforcement(&self) -> Enforcement {
        Enforcement { ram: true, cpus: true, processes: true, volumes: true }
    }

    async fn find(&self, patterns: &[String]) -> Vec<PathBuf> {
        let state = self.state();
        patterns.iter().flat_map(|pattern| state.installed.iter().filter(|path| matches(pattern, path))).cloned().collect()
    }

    async fn ask(&self, program: &Program) -> anyhow::Result<Output> {
        let state = self.state();
        ensure!(state.installed.contains(&program.path), "{} is not there", program.path.display());
        Ok(state.answer(program))
    }

    async fn is_free(&self, address: SocketAddr) -> anyhow::Result<bool> {
        let state = self.state();
        let mut listeners = state.edges.values().filter(|e| e.pid.is_some()).flat_map(|e| e.listeners.values());
        Ok(!state.taken.contains(&address) && !listeners.any(|l| *l == address))
    }

    async fn ensure_node(&self, lease: Lease, node: &NodeSpec) -> anyhow::Result<NodePaths> {
        must_fit(lease, node.datastore)?;
        let make = |state: &mut State| {
            state.datastores.insert(node.datastore);
            let new = Node { datastore: node.datastore, files: BTreeMap::new(), log: String::new(), runs: Presence::Dead, free: None };
            state.nodes.entry(node.id).or_insert(new);
            state.node(node).map(|_| ())
        };
        self.effect(lease, Effect::EnsureNode, make).await?;
        Ok(self.paths(node))
    }

    fn paths(&self, node: &NodeSpec) -> NodePaths {
        let at = |name: &str| PathBuf::from(format!("/fake/{}/{name}", node.id));
        NodePaths { data: at("data"), config: at("config"), run: at("run"), log: at("log") }
    }

    async fn put_files(&self, lease: Lease, node: &NodeSpec, files: &[File]) -> anyhow::Result<()> {
        must_fit(lease, node.datastore)?;
        let climbs = files.iter().find(|f| f.name.is_empty() || f.name.split('/').any(|s| s.is_empty() || s == ".." || s == "."));
        ensure!(climbs.is_none(), "{climbs:?} is not below the node's directory");
        let named = files.iter().map(|f| (f.name.clone(), f.content.clone()));
        self.effect(lease, Effect::PutFiles, |state| {
            state.node(node)?.files.extend(named);
            Ok(())
        })
        .await
    }

    async fn has_file(&self, node: &NodeSpec, name: &str) -> anyhow::Result<bool> {
        Ok(self.file(node.id, &format!("data/{name}")).is_some())
    }

    async fn wipe_data(&self, lease: Lease, node: &NodeSpec) -> anyhow::Result<()> {
        must_fit(lease, node.datastore)?;
        self.effect(lease, Effect::WipeData, |state| {
            let node = state.node(node)?;
            ensure!(node.runs == Presence::Dead, "the data is kept: processes of the node run. Fence it first");
            node.files.retain(|name, _| !name.starts_with("data/"));
            Ok(())
        })
        .await
    }

    async fn run(&self, lease: Lease, node: &NodeSpec, program: &Program, _limit: Duration) -> anyhow::Result<Output> {
        must_fit(lease, node.datastore)?;
        let output = self.effect(lease, Effect::Run, |state| {
            let answer = state.answer(program);
            let node = state.node(node)?;
            if !matches!(node.runs, Presence::Running { .. }) {
                node.runs = Presence::Dead;
            }
            Ok(answer)
        });
        let output = output.await?;
        ensure!(output.code == Some(0), "{} ended with code {:?}: {}", program.path.display(), output.code, output.stderr);
        Ok(output)
    }

    async fn start(&self, lease: Lease, node: &NodeSpec, service: &str, program: &Program) -> anyhow::Result<()> {
        must_fit(lease, node.datastore)?;
        self.effect(lease, Effect::Start, |state| {
            let pid = Some(state.pid());
            let node = state.node(node)?;
            if !matches!(node.runs, Presence::Running { .. }) {
                node.runs = Presence::Running { pid };
                node.log.extend([service, ": ", &program.path.to_string_lossy(), " started\n"]);
            }
            Ok(())
        })
        .await
    }

    async fn presence(&self, node: &NodeSpec) -> Presence {
        self.state().nodes.get(&node.id).map_or(Presence::Dead, |n| n.runs.clone())
    }

    async fn tail(&self, node: &NodeSpec, _service: &str, bytes: u64) -> String {
        let log = self.state().nodes.get(&node.id).map(|n| n.log.clone()).unwrap_or_default();
        let skip = log.len().saturating_sub(usize::try_from(bytes).unwrap_or(usize::MAX));
        String::from_utf8_lossy(&log.as_bytes()[skip..]).into_owned()
    }

    async fn signal(&self, lease: Lease, node: &NodeSpec, signal: Signal) -> anyhow::Result<()> {
        must_fit(lease, node.datastore)?;
        self.effect(lease, Effect::Signal, |state| {
            let node = state.nodes.get_mut(&node.id).filter(|n| matches!(n.runs, Presence::Running { .. }));
            if let Some(node) = node.filter(|_| signal != Signal::Hangup) {
                node.runs = Presence::Dead;
            }
            Ok(())
        })
        .await
    }

    async fn fence(&self, lease: Lease, node: &NodeSpec) -> anyhow::Result<()> {
        must_fit(lease, node.datastore)?;
        self.effect(lease, Effect::Fence, |state| {
            if let Some(node) = state.nodes.get_mut(&node.id) {
                node.runs = Presence::Dead;
            }
            Ok(())
        })
        .await
    }

    async fn detach(&self, lease: Lease, node: &NodeSpec) -> anyhow::Result<()> {
        must_fit(lease, node.datastore)?;
        self.effect(lease, Effect::Detach, |state| {
            if let Some(node) = state.nodes.get_mut(&node.id) {
                node.runs = Presence::Dead;
            }
            Ok(())
        })
        .await
    }

    async fn destroy_node(&self, lease: Lease, node: &NodeSpec) -> anyhow::Result<()> {
        must_fit(lease, node.datastore)?;
        self.effect(lease, Effect::DestroyNode, |state| {
            state.nodes.remove(&node.id);
            Ok(())
        })
        .await
    }

    async fn space(&self, node: &NodeSpec) -> anyhow::Result<Space> {
        let mut state = self.state();
        let made = state.node(node)?;
        let data = made.files.iter().filter(|(name, _)| name.starts_with("data/"));
        let used = data.map(|(_, content)| content.len() as u64).sum();
        let size = u64::from(node.storage.gb()) << 30;
        Ok(Space { used, free: made.free.unwrap_or(size.saturating_sub(used)) })
    }

    async fn bound_logs(&self, _datastore: Uuid, _nodes: &[NodeSpec]) {}

    async fn dial(&self, node: &NodeSpec, _to: Dial<'_>) -> anyhow::Result<Box<dyn Stream>> {
        ensure!(matches!(self.presence(node).await, Presence::Running { .. }), "node {} cannot be reached", node.id);
        // It answers, but there is no server behind it: the other end is closed at once.
        Ok(Box::new(tokio::io::duplex(64).0))
    }

    async fn ensure_edge(&self, lease: Lease, edge: &EdgeSpec, sources: &[IpNet]) -> anyhow::Result<()> {
        must_fit(lease, edge.datastore)?;
        self.effect(lease, Effect::EnsureEdge, |state| {
            let held = edge.listeners.iter().find(|(_, address)| state.taken.contains(address));
            ensure!(held.is_none(), "{held:?} is held by somebody else");
            state.datastores.insert(edge.datastore);
            let pid = Some(state.pid());
            let listeners = edge.listeners.iter().copied().collect();
            let new = Edge { listeners, pid: None, epoch: i64::MIN, open: Vec::new(), sources: Vec::new() };
            let made = state.edges.entry(edge.datastore).or_insert(new);
            made.pid = made.pid.or(pid);
            made.sources = sources.to_vec();
            Ok(())
        })
        .await
    }

    async fn route(&self, lease: Lease, edge: &EdgeSpec, epoch: i64, routes: &[Route]) -> anyhow::Result<()> {
        must_fit(lease, edge.datastore)?;
        self.effect(lease, Effect::Route, |state| {
            let running = state.running_edge(edge)?;
            if epoch < running.epoch {
                return Err(OldEpoch { epoch, seen: running.epoch }.into());
            }
            let known = |route: &Route| running.listeners.contains_key(&route.listener) && edge.nodes.iter().any(|(slot, _)| *slot == route.slot);
            let unknown = routes.iter().find(|route| !known(route));
            ensure!(unknown.is_none(), "{unknown:?} is no route of this edge");
            running.epoch = epoch;
            running.open = routes.to_vec();
            Ok(())
        })
        .await
    }

    async fn trust(&self, lease: Lease, edge: &EdgeSpec, sources: &[IpNet]) -> anyhow::Result<()> {
        must_fit(lease, edge.datastore)?;
        self.effect(lease, Effect::Trust, |state| {
            state.running_edge(edge)?.sources = sources.to_vec();
            Ok(())
        })
        .await
    }

    async fn edge_presence(&self, datastore: Uuid) -> Presence {
        let pid = self.state().edges.get(&datastore).and_then(|e| e.pid);
        pid.map_or(Presence::Dead, |pid| Presence::Running { pid: Some(pid) })
    }

    async fn routes_open(&self, datastore: Uuid) -> anyhow::Result<Vec<Route>> {
        Ok(self.state().edges.get(&datastore).map(|e| e.open.clone()).unwrap_or_default())
    }

    async fn refused(&self, datastore: Uuid) -> anyhow::Result<Vec<Refused>> {
        Ok(self.state().refused.get(&datastore).cloned().unwrap_or_default())
    }

    async fn destroy_edge(&self, lease: Lease, datastore: Uuid) -> anyhow::Result<()> {
        must_fit(lease, datastore)?;
        self.effect(lease, Effect::DestroyEdge, |state| {
            state.edges.remove(&datastore);
            state.refused.remove(&datastore);
            Ok(())
        })
        .await
    }

    async fn destroy_datastore(&self, lease: Lease) -> anyhow::Result<()> {
        self.effect(lease, Effect::DestroyDatastore, |state| {
            let rest = state.nodes.values().any(|n| n.datastore == lease.datastore) || state.edges.contains_key(&lease.datastore);
            ensure!(!rest, "datastore {} still has nodes or an edge: destroy them first", lease.datastore);
            state.datastores.remove(&lease.datastore);
            Ok(())
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::{super::contract, *};

    #[tokio::test]
    async fn the_fake_keeps_the_contract() {
        let fake = Fake::default();
        contract::suite(&fake).await;
        assert!(fake.is_empty());
    }

    #[tokio::test]
    async fn faults_happen_as_often_as_asked() {
        let fake = Fake::default();
        let node = contract::node(Uuid::new_v4(), 0);
        let lease = Lease { datastore: node.datastore, token: 1 };
        fake.fail(Effect::EnsureNode, Fault::After, 1);
        fake.fail(Effect::EnsureNode, Fault::Before, 1);
        assert!(fake.ensure_node(lease, &node).await.is_err() && fake.is_empty());
        assert!(fake.ensure_node(lease, &node).await.is_err() && !fake.is_empty());
        fake.ensure_node(lease, &node).await.unwrap();
        assert_eq!(fake.done(Effect::EnsureNode), 2);
        fake.fail(Effect::Fence, Fault::Hang, 1);
        assert!(tokio::time::timeout(Duration::from_millis(10), fake.fence(lease, &node)).await.is_err());
        fake.fence(lease, &node).await.unwrap();
    }
}
