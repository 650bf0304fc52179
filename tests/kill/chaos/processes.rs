//! Blows against processes: only those that a node's platform has proved to be the node's, through descriptors that cannot pass to others.

use super::arena::Arena;
use granary::server::{
    db::metadata::process::{Process, working_in},
    platform::{NodeSpec, Presence},
};
use rustix::process::Signal;
use std::path::PathBuf;

/// The process that has this one for a parent, by its pid.
fn parent(process: &Process) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.pid)).ok()?;
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// What a process calls itself.
fn title(process: &Process) -> String {
    String::from_utf8_lossy(&std::fs::read(format!("/proc/{}/cmdline", process.pid)).unwrap_or_default()).into_owned()
}

impl Arena<'_> {
    /// The directory of a node's database cluster.
    pub(super) fn cluster(&self, node: &NodeSpec) -> PathBuf {
        self.platform().paths(node).data.join("pgdata")
    }

    /// The first process of a node's server, if it runs.
    pub(super) async fn first(&self, node: &NodeSpec) -> Option<Process> {
        let Presence::Running { pid } = self.platform().presence(node).await else { return None };
        Process::find(i32::try_from(pid?).ok()?).filter(|first| first.works_in(&self.cluster(node)))
    }

    /// The others of it.
    fn children(&self, node: &NodeSpec, first: &Process) -> Vec<Process> {
        let of = |process: &Process| parent(process) == u32::try_from(first.pid).ok();
        working_in(&self.cluster(node)).into_iter().filter(of).collect()
    }

    /// Signals everything of a node at once; nothing when it does not run.
    pub(super) async fn strike(&self, node: &NodeSpec, signal: Signal) {
        let Some(first) = self.first(node).await else { return };
        // From here on it starts no more.
        first.signal(Signal::STOP).unwrap();
        for child in self.children(node, &first) {
            child.signal(signal).unwrap();
        }
        first.signal(signal).unwrap();
    }

    /// The process by which a replica receives.
    pub(super) async fn receiver(&self, node: &NodeSpec) -> Option<Process> {
        let first = self.first(node).await?;
        self.children(node, &first).into_iter().find(|child| title(child).contains("walreceiver"))
    }

    /// Kills the edge.
    pub(super) async fn kill_edge(&self) {
        let Presence::Running { pid: Some(pid) } = self.platform().edge_presence(self.id).await else { return };
        if let Some(edge) = Process::find(i32::try_from(pid).unwrap()) {
            edge.signal(Signal::KILL).unwrap();
        }
    }
}
