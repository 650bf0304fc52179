//! Where nodes live. A platform makes a node, runs programs and places files on it, stops it, fences it, destroys it,
//! and exposes endpoints. It never knows what a database is.
//!
//! # The contract (one suite, `contract.rs`, runs against every platform)
//! * Every effect is an "ensure": doing it again, or after a kill in its middle, ends in the same state.
//! * Every effect takes a [`Lease`]. A platform stores the greatest token it has seen for a datastore and refuses a
//!   lower one with [`Stale`]; effects on one datastore never overlap. One waits up to 30 s for another, on top of its
//!   own time; once begun it goes on to its end, also when its caller no longer waits.
//! * A platform uses only what it made: a directory, user, process or address it cannot prove to be this datastore's
//!   is an error, never reused and never signalled.
//! * [`Platform::fence`] returns `Ok` only after checking that nothing of the node can write any more. When that cannot
//!   be known, [`Presence::Unknown`] and an error say so: callers must be able to wait or refuse.
//! * Every call ends by itself within its documented time.

#[cfg(test)]
mod contract;
#[cfg(test)]
pub mod fake;
pub mod local;

use crate::model::storage::{Enforcement, Storage};
use async_trait::async_trait;
use ipnet::IpNet;
use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite};
use uuid::Uuid;

/// The right to act on a datastore: a later lease has a greater token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The datastore.
    pub datastore: Uuid,
    /// Fencing token.
    pub token: i64,
}

/// The lease has been overtaken by a later one: stop, do nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("lease {token} was overtaken by {seen}: another worker has this datastore")]
pub struct Stale {
    /// The token that was shown.
    pub token: i64,
    /// The greatest token seen.
    pub seen: i64,
}

/// Routes of an older epoch than one the edge has seen: whoever decided them did not know of a later decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("routes of epoch {epoch} are refused: the edge has seen epoch {seen}, and keeps what that asked for")]
pub struct OldEpoch {
    /// The epoch that was shown.
    pub epoch: i64,
    /// The greatest epoch seen.
    pub seen: i64,
}

/// What a node should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSpec {
    /// Its id: directories, users and groups are named after it.
    pub id: Uuid,
    /// Its datastore.
    pub datastore: Uuid,
    /// Its position in the edge's listeners, from 0.
    pub slot: u8,
    /// Private address its server listens on.
    pub address: SocketAddr,
    /// RAM of its flavor, in MB.
    pub ram_mb: u64,
    /// Virtual CPUs of its flavor.
    pub vcpus: u32,
    /// Where its data lies.
    pub storage: Storage,
    /// The volume's id, when `storage` is one.
    pub volume: Option<Uuid>,
    /// True while nobody waits for it: what is run for it gives way to everything else.
    pub in_background: bool,
}

/// Where things are, as the node's programs see them. All exist after [`Platform::ensure_node`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePaths {
    /// Empty directory for the server's data; on the volume when there is one. Belongs to the node's user, mode 0700.
    pub data: PathBuf,
    /// Configuration and certificates; readable by the node's user, written by [`Platform::put_files`] only.
    pub config: PathBuf,
    /// Sockets: short (a socket's path ends at 107 bytes), mode 0700.
    pub run: PathBuf,
    /// The services' output.
    pub log: PathBuf,
}

/// A file to place under [`NodePaths::config`] (or `data` when the name begins with `data/`).
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    /// Relative path.
    pub name: String,
    /// Whole content. Never logged.
    pub content: Vec<u8>,
    /// True for mode 0600, else 0640; always of the node's user.
    pub secret: bool,
}

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "File({}, {} bytes)", self.name, self.content.len())
    }
}

/// A program to run on a node until it ends, or to keep running as its service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Absolute path.
    pub path: PathBuf,
    /// Arguments: no secret may stand here, process lists show them.
    pub args: Vec<String>,
    /// Environment, in addition to a minimal one (PATH, LANG=C.UTF-8, LC_ALL=C.UTF-8).
    pub env: Vec<(String, String)>,
}

/// What a program that ended left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output, at most 1 MB.
    pub stdout: String,
    /// Standard error, at most 1 MB.
    pub stderr: String,
}

/// Whether a node's (or edge's) service is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// It is.
    Running {
        /// Process id of the service's first process, where the platform has one.
        pid: Option<u32>,
    },
    /// Nothing of it is left.
    Dead,
    /// Its first process is gone but others are left, which may still write: what is left, in words.
    Leaderless(String),
    /// Cannot be known now.
    Unknown(String),
}

impl Presence {
    /// Whether the service is gone, though something of it may be left.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Dead | Self::Leaderless(_))
    }
}

/// What the processes of a node do: how a busy one is told from one that will never answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vitals {
    /// What they are at.
    pub activity: Activity,
    /// CPU time that they have used in all; it grows while they work.
    pub cpu: Duration,
}

/// What the processes of a node are at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// The first of them was stopped, as by a signal: it does nothing until it is told to go on.
    Stopped,
    /// One of them runs, or would if the machine had time for it, or waits for a device.
    Busy,
    /// All of them wait to be given something to do.
    Waiting,
}

/// A signal to a node's service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Read the configuration again.
    Hangup,
    /// End politely.
    Terminate,
    /// End quickly but cleanly.
    Interrupt,
}

/// Where to reach a node's server for administration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dial<'a> {
    /// A socket in [`NodePaths::run`].
    Socket(&'a str),
    /// A port of the node's private address.
    Port(u16),
}

/// A byte stream.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A listener of the edge. All are bound at the edge's first start, for the most nodes a datastore may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListenerKind {
    /// The primary endpoint.
    Primary,
    /// The replica endpoint.
    Replica,
    /// A node's public address.
    Node(u8),
}

/// Most nodes of a datastore: three, and one that replaces another. Slots are 0 to this minus 1.
pub const MAX_NODES: u8 = 4;

/// What the edge of a datastore should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeSpec {
    /// The datastore.
    pub datastore: Uuid,
    /// The edge's own source address: nodes admit clients from it alone.
    pub source: IpAddr,
    /// Public addresses.
    pub listeners: Vec<(ListenerKind, SocketAddr)>,
    /// Private address of each slot's node that is known.
    pub nodes: Vec<(u8, SocketAddr)>,
    /// Whether nodes are told each client's own address, by a header of the PROXY protocol before its first byte: only those that
    /// expect one can be.
    pub tells_clients: bool,
}

/// Opens a listener to a slot's node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The listener.
    pub listener: ListenerKind,
    /// The node's slot.
    pub slot: u8,
}

/// An address the edge refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The address.
    pub address: IpAddr,
    /// How often.
    pub count: u64,
    /// Since the last time.
    pub ago: Duration,
}

/// What a machine has to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// RAM in MB.
    pub ram_mb: u64,
    /// Disk where nodes live, in GB.
    pub disk_gb: u64,
}

/// A node's storage, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// What the data takes.
    pub used: u64,
    /// What can still be written, whatever limits it first: the node's own size or what is under it.
    pub free: u64,
}

/// See the module's documentation for the contract.
#[async_trait]
pub trait Platform: Send + Sync {
    /// What the machine has. Immediate.
    async fn capacity(&self) -> anyhow::Result<Capacity>;

    /// Which limits of a node's size are enforced here by something that the node cannot talk to. Immediate.
    fn enforcement(&self) -> Enforcement;

    /// Existing files that match absolute patterns with `*` for one path segment or a part of it, in order. Immediate.
    async fn find(&self, patterns: &[String]) -> Vec<PathBuf>;

    /// Runs an installed program outside any node, without rights: to ask for its version. Any exit code is an answer.
    /// At most 10 s.
    async fn ask(&self, program: &Program) -> anyhow::Result<Output>;

    /// Whether nobody holds this address: a bind probe. Immediate.
    async fn is_free(&self, address: SocketAddr) -> anyhow::Result<bool>;

    /// Makes user, directories, volume and process group of a node, and applies its limits: also those of a size that
    /// was changed. A volume that is smaller than wanted grows; none ever shrinks. At most 30 s.
    async fn ensure_node(&self, lease: Lease, node: &NodeSpec) -> anyhow::Result<NodePaths>;

    /// Where an existing node's things are; does not touch them.
    fn paths(&self, node: &NodeSpec) -> NodePaths;

    /// Places files, each whole or not at all.
    async fn put_files(&self, lease: Lease, node: &NodeSpec, files: &[File]) -> anyhow::Result<()>;

    /// Whether a file exists under [`NodePaths::data`]; an error when a volume that is there is not attached.
    async fn has_file(&self, node: &NodeSpec, name: &str) -> anyhow::Result<bool>;

    /// Empties [`NodePaths::data`]: the way to repeat a half-done initialisation. Refused while anything of the node runs.
    async fn wipe_data(&self, lease: Lease, node: &NodeSpec) -> anyhow::Result<()>;

    /// Runs a program as the node's user until it ends; it is killed with its children after `limit`, and when nobody waits for it
    /// any more. An exit code other than 0 is an error that carries the end of its standard error. Nothing of it is left afterwards, nor of a
    /// run whose Granary died; when no service runs, nothing at all of the node.
    async fn run(&self, lease: Lease, node: &NodeSpec, program: &Program, limit: Duration) -> anyhow::Result<Output>;

    /// Starts the node's service unless it runs; what a dead one left is killed first. It outlives Granary. Its output
    /// goes to `<log>/<service>.log`.
    async fn start(&self, lease: Lease, node: &NodeSpec, service: &str, program: &Program) -> anyhow::Result<()>;

    /// Whether the node's service is there: the very process that was started. When it is gone but left processes
    /// behind, that is [`Presence::Leaderless`], since they may still write. Immediate.
    async fn presence(&self, node: &NodeSpec) -> Presence;

    /// What the node's processes do. Immediate.
    ///
    /// # Errors
    /// When nothing of it runs, or that cannot be known.
    async fn vitals(&self, node: &NodeSpec) -> anyhow::Result<Vitals>;

    /// Returns as soon as the node's service is gone: within milliseconds where the platform is told, else by asking again and again.
    async fn until_gone(&self, node: &NodeSpec) {
        while !self.presence(node).await.is_gone() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The end of a service's output, at most `bytes`.
    async fn tail(&self, node: &NodeSpec, service: &str, bytes: u64) -> String;

    /// Sends a signal to the first process of the node's service; nothing happens when there is none.
    async fn signal(&self, lease: Lease, node: &NodeSpec, signal: Signal) -> anyhow::Result<()>;

    /// Kills everything of the node and returns after checking that nothing is left. At most 10 s.
    async fn fence(&self, lease: Lease, node: &NodeSpec) -> anyhow::Result<()>;

    /// Fences, then takes the node's volume off the machine; [`Platform::ensure_node`] brings it back, as after a reboot.
    async fn detach(&self, lease: Lease, node: &NodeSpec) -> anyhow::Result<()>;

    /// Fences, then removes all of the node: directories, volume, process group, user.
    async fn destroy_node(&self, lease: Lease, node: &NodeSpec) -> anyhow::Result<()>;

    /// What of the node's storage is used and what is free.
    async fn space(&self, node: &NodeSpec) -> anyhow::Result<Space>;

    /// Keeps the logs of a datastore's nodes and edge from growing without bound. Changes nothing else, so it needs no
    /// lease.
    async fn bound_logs(&self, datastore: Uuid, nodes: &[NodeSpec]);

    /// Name of the OS user as whom [`Platform::dial`] arrives at a node's socket, as the node's system has it: a server
    /// that knows its administrator by peer admits this one. Immediate.
    ///
    /// # Errors
    /// When that user has no name.
    fn administrator(&self) -> anyhow::Result<String>;

    /// Opens a stream to the node's server for administration. At most 5 s.
    async fn dial(&self, node: &NodeSpec, to: Dial<'_>) -> anyhow::Result<Box<dyn Stream>>;

    /// Starts the datastore's edge unless it runs: listeners bound, no route open, the given sources trusted.
    async fn ensure_edge(&self, lease: Lease, edge: &EdgeSpec, sources: &[IpNet]) -> anyhow::Result<()>;

    /// Makes exactly these routes open, closes every other and cuts its sessions. An epoch lower than one seen is refused.
    async fn route(&self, lease: Lease, edge: &EdgeSpec, epoch: i64, routes: &[Route]) -> anyhow::Result<()>;

    /// Makes exactly these sources trusted and cuts every session from elsewhere.
    async fn trust(&self, lease: Lease, edge: &EdgeSpec, sources: &[IpNet]) -> anyhow::Result<()>;

    /// Whether the edge runs. Immediate.
    async fn edge_presence(&self, datastore: Uuid) -> Presence;

    /// Whether exactly these routes are open now, as the running edge says. At most 2 s.
    async fn routes_open(&self, datastore: Uuid) -> anyhow::Result<Vec<Route>>;

    /// Addresses refused lately, newest first, at most 50.
    async fn refused(&self, datastore: Uuid) -> anyhow::Result<Vec<Refused>>;

    /// Ends the edge and removes all of it.
    async fn destroy_edge(&self, lease: Lease, datastore: Uuid) -> anyhow::Result<()>;

    /// Removes what belongs to the datastore as a whole, after its nodes and its edge; refused while one is there.
    async fn destroy_datastore(&self, lease: Lease) -> anyhow::Result<()>;
}
