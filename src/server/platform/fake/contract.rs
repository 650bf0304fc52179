//! How the platform in memory keeps the contract.

use super::{Edge, Effect, Fake, Node, State, matches, must_fit};
use crate::{
    model::storage::Enforcement,
    server::platform::{
        Activity, Capacity, Dial, EdgeSpec, File, Lease, NodePaths, NodeSpec, OldEpoch, Output, Platform, Presence, Program, Refused, Route, Signal,
        Space, Stream, Vitals,
    },
};
use anyhow::ensure;
use async_trait::async_trait;
use ipnet::IpNet;
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};
use uuid::Uuid;

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

    async fn vitals(&self, _: &NodeSpec) -> anyhow::Result<Vitals> {
        Ok(Vitals { activity: Activity::Waiting, cpu: Duration::ZERO })
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
    use super::{super::Fault, *};
    use crate::server::platform::contract;

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
