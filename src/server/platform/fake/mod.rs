//! A platform in memory, for tests of jobs: it keeps the contract, and does what a test wants to go wrong.

mod contract;

use super::{EdgeSpec, Lease, ListenerKind, NodeSpec, Output, Presence, Program, Refused, Route, Stale};
use anyhow::{Context, bail, ensure};
use ipnet::IpNet;
use std::{
    collections::{BTreeMap, BTreeSet},
    future::pending,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};
use uuid::Uuid;

/// The calls that change something, by the name of their method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// [`super::Platform::ensure_node`].
    EnsureNode,
    /// [`super::Platform::put_files`].
    PutFiles,
    /// [`super::Platform::wipe_data`].
    WipeData,
    /// [`super::Platform::run`].
    Run,
    /// [`super::Platform::start`].
    Start,
    /// [`super::Platform::signal`].
    Signal,
    /// [`super::Platform::fence`].
    Fence,
    /// [`super::Platform::detach`].
    Detach,
    /// [`super::Platform::destroy_node`].
    DestroyNode,
    /// [`super::Platform::ensure_edge`].
    EnsureEdge,
    /// [`super::Platform::route`].
    Route,
    /// [`super::Platform::trust`].
    Trust,
    /// [`super::Platform::destroy_edge`].
    DestroyEdge,
    /// [`super::Platform::destroy_datastore`].
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
