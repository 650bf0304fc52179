//! The suite every platform passes. What only a platform with real processes can show is beside that platform.

use super::{EdgeSpec, File, Lease, ListenerKind, MAX_NODES, NodeSpec, OldEpoch, Platform, Presence, Program, Route, Signal, Stale};
use crate::model::storage::Storage;
use ipnet::IpNet;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};
use uuid::Uuid;

/// All of it, each part on a datastore of its own that it leaves nothing of.
pub async fn suite(platform: &dyn Platform) {
    a_node_is_made_used_and_destroyed(platform).await;
    a_service_is_started_once_and_fenced(platform).await;
    nodes_of_one_datastore_are_apart(platform).await;
    files_are_placed_and_data_is_wiped_only_at_rest(platform).await;
    an_overtaken_lease_does_nothing(platform).await;
    a_lease_is_for_one_datastore(platform).await;
    an_edge_opens_only_what_it_is_told(platform).await;
    a_datastore_goes_last(platform).await;
}

/// A node on an address of this suite's own.
pub fn node(datastore: Uuid, slot: u8) -> NodeSpec {
    let address = SocketAddr::new(own_ip(), 5432);
    let storage = Storage::Ephemeral { gb: 5 };
    NodeSpec { id: Uuid::new_v4(), datastore, slot, address, ram_mb: 512, vcpus: 1, storage, volume: None, in_background: false }
}

/// A loopback address that no other test of this process uses.
fn own_ip() -> IpAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 + high % 64, low, NEXT.fetch_add(1, Ordering::Relaxed)).into()
}

/// A service that does nothing.
pub fn service() -> Program {
    Program { path: "/bin/sleep".into(), args: vec!["1000".to_owned()], env: Vec::new() }
}

fn file(name: &str) -> File {
    File { name: name.to_owned(), content: b"content".to_vec(), secret: true }
}

fn edge(datastore: Uuid, nodes: &[NodeSpec]) -> EdgeSpec {
    let address = || SocketAddr::new(own_ip(), 15432);
    let ends = [ListenerKind::Primary, ListenerKind::Replica].into_iter();
    let listeners = ends.chain((0..MAX_NODES).map(ListenerKind::Node)).map(|kind| (kind, address())).collect();
    EdgeSpec { datastore, source: own_ip(), listeners, nodes: nodes.iter().map(|n| (n.slot, n.address)).collect(), tells_clients: false }
}

fn everyone() -> Vec<IpNet> {
    vec!["0.0.0.0/0".parse().unwrap()]
}

async fn destroy(platform: &dyn Platform, lease: Lease, nodes: &[NodeSpec]) {
    for node in nodes {
        platform.destroy_node(lease, node).await.unwrap();
    }
    platform.destroy_datastore(lease).await.unwrap();
}

async fn a_node_is_made_used_and_destroyed(platform: &dyn Platform) {
    let mut node = node(Uuid::new_v4(), 0);
    node.volume = Some(Uuid::new_v4());
    node.storage = Storage::Volume { volume_type: "dynamic".to_owned(), gb: 1 };
    let lease = Lease { datastore: node.datastore, token: 1 };
    assert_eq!(platform.presence(&node).await, Presence::Dead);
    assert!(platform.start(lease, &node, "server", &service()).await.is_err(), "it is not there yet");
    let paths = platform.ensure_node(lease, &node).await.unwrap();
    assert_eq!(platform.ensure_node(lease, &node).await.unwrap(), paths);
    assert_eq!(platform.paths(&node), paths);
    assert_eq!(platform.presence(&node).await, Presence::Dead);
    platform.put_files(lease, &node, &[file("data/kept")]).await.unwrap();
    platform.ensure_node(lease, &node).await.unwrap();
    assert!(platform.has_file(&node, "kept").await.unwrap(), "making it again takes nothing away");
    let space = platform.space(&node).await.unwrap();
    assert!(space.used > 0 && space.free > 0 && space.free <= 1 << 30, "{space:?}");
    platform.bound_logs(node.datastore, std::slice::from_ref(&node)).await;
    for _ in 0..2 {
        platform.start(lease, &node, "server", &service()).await.unwrap();
        platform.detach(lease, &node).await.unwrap();
        platform.detach(lease, &node).await.unwrap();
        assert_eq!(platform.presence(&node).await, Presence::Dead);
        platform.ensure_node(lease, &node).await.unwrap();
        assert!(platform.has_file(&node, "kept").await.unwrap(), "what was taken off comes back whole");
    }
    platform.start(lease, &node, "server", &service()).await.unwrap();
    for _ in 0..2 {
        destroy(platform, lease, std::slice::from_ref(&node)).await;
        assert_eq!(platform.presence(&node).await, Presence::Dead);
        assert!(platform.put_files(lease, &node, &[file("x")]).await.is_err(), "it is gone");
        assert!(!platform.has_file(&node, "kept").await.unwrap());
    }
    platform.ensure_node(lease, &node).await.unwrap();
    assert!(!platform.has_file(&node, "kept").await.unwrap(), "a node made anew is empty");
    destroy(platform, lease, &[node]).await;
}

async fn a_service_is_started_once_and_fenced(platform: &dyn Platform) {
    let node = node(Uuid::new_v4(), 0);
    let lease = Lease { datastore: node.datastore, token: 1 };
    platform.ensure_node(lease, &node).await.unwrap();
    platform.fence(lease, &node).await.unwrap();
    platform.signal(lease, &node, Signal::Terminate).await.unwrap();
    let service = service();
    let start = || platform.start(lease, &node, "server", &service);
    start().await.unwrap();
    let first = platform.presence(&node).await;
    assert!(matches!(first, Presence::Running { .. }), "{first:?}");
    start().await.unwrap();
    assert_eq!(platform.presence(&node).await, first, "started again it is the same");
    for _ in 0..2 {
        platform.fence(lease, &node).await.unwrap();
        assert_eq!(platform.presence(&node).await, Presence::Dead);
    }
    start().await.unwrap();
    platform.signal(lease, &node, Signal::Terminate).await.unwrap();
    for _ in 0..500 {
        if platform.presence(&node).await == Presence::Dead {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(platform.presence(&node).await, Presence::Dead);
    destroy(platform, lease, &[node]).await;
}

async fn nodes_of_one_datastore_are_apart(platform: &dyn Platform) {
    let datastore = Uuid::new_v4();
    let lease = Lease { datastore, token: 1 };
    let nodes = [node(datastore, 0), node(datastore, 1)];
    for node in &nodes {
        platform.ensure_node(lease, node).await.unwrap();
        platform.start(lease, node, "server", &service()).await.unwrap();
    }
    platform.put_files(lease, &nodes[0], &[file("data/own")]).await.unwrap();
    assert!(!platform.has_file(&nodes[1], "own").await.unwrap());
    let second = platform.presence(&nodes[1]).await;
    platform.fence(lease, &nodes[0]).await.unwrap();
    platform.destroy_node(lease, &nodes[0]).await.unwrap();
    assert_eq!(platform.presence(&nodes[1]).await, second);
    destroy(platform, lease, &nodes).await;
}

async fn files_are_placed_and_data_is_wiped_only_at_rest(platform: &dyn Platform) {
    let node = node(Uuid::new_v4(), 0);
    let lease = Lease { datastore: node.datastore, token: 1 };
    platform.ensure_node(lease, &node).await.unwrap();
    platform.put_files(lease, &node, &[file("server.conf"), file("certificates/server.pem"), file("data/a"), file("data/b/c")]).await.unwrap();
    platform.put_files(lease, &node, &[file("server.conf")]).await.unwrap();
    for climbs in ["../x", "/x", "", "data/../x"] {
        assert!(platform.put_files(lease, &node, &[file(climbs)]).await.is_err(), "{climbs}");
    }
    for (name, there) in [("a", true), ("b/c", true), ("server.conf", false), ("a/below", false)] {
        assert_eq!(platform.has_file(&node, name).await.unwrap(), there, "{name}");
    }
    platform.start(lease, &node, "server", &service()).await.unwrap();
    assert!(platform.wipe_data(lease, &node).await.is_err());
    assert!(platform.has_file(&node, "a").await.unwrap());
    platform.fence(lease, &node).await.unwrap();
    for _ in 0..2 {
        platform.wipe_data(lease, &node).await.unwrap();
        assert!(!platform.has_file(&node, "a").await.unwrap() && !platform.has_file(&node, "b/c").await.unwrap());
    }
    destroy(platform, lease, &[node]).await;
}

async fn an_overtaken_lease_does_nothing(platform: &dyn Platform) {
    let node = node(Uuid::new_v4(), 0);
    let edge = edge(node.datastore, std::slice::from_ref(&node));
    let lease = |token| Lease { datastore: node.datastore, token };
    platform.ensure_node(lease(1), &node).await.unwrap();
    platform.start(lease(2), &node, "server", &service()).await.unwrap();
    platform.ensure_edge(lease(3), &edge, &[]).await.unwrap();
    let before = (platform.presence(&node).await, platform.edge_presence(node.datastore).await);
    refuses_everything(platform, lease(2), Stale { token: 2, seen: 3 }, &node, &edge).await;
    assert_eq!((platform.presence(&node).await, platform.edge_presence(node.datastore).await), before);
    assert!(!platform.has_file(&node, "late").await.unwrap());

    platform.destroy_edge(lease(3), node.datastore).await.unwrap();
    destroy(platform, lease(4), std::slice::from_ref(&node)).await;
    // A worker that slept through the end cannot make it again.
    refuses_everything(platform, lease(3), Stale { token: 3, seen: 4 }, &node, &edge).await;
    assert!(platform.put_files(lease(4), &node, &[file("x")]).await.is_err());
}

async fn refuses_everything(platform: &dyn Platform, lease: Lease, stale: Stale, node: &NodeSpec, edge: &EdgeSpec) {
    let limit = Duration::from_secs(1);
    let results = [
        ("ensure_node", platform.ensure_node(lease, node).await.map(drop)),
        ("put_files", platform.put_files(lease, node, &[file("data/late")]).await),
        ("wipe_data", platform.wipe_data(lease, node).await),
        ("run", platform.run(lease, node, &service(), limit).await.map(drop)),
        ("start", platform.start(lease, node, "server", &service()).await),
        ("signal", platform.signal(lease, node, Signal::Terminate).await),
        ("fence", platform.fence(lease, node).await),
        ("detach", platform.detach(lease, node).await),
        ("destroy_node", platform.destroy_node(lease, node).await),
        ("ensure_edge", platform.ensure_edge(lease, edge, &everyone()).await),
        ("route", platform.route(lease, edge, 1, &[]).await),
        ("trust", platform.trust(lease, edge, &everyone()).await),
        ("destroy_edge", platform.destroy_edge(lease, node.datastore).await),
        ("destroy_datastore", platform.destroy_datastore(lease).await),
    ];
    for (effect, result) in results {
        assert_eq!(result.unwrap_err().downcast_ref(), Some(&stale), "{effect}");
    }
}

async fn a_lease_is_for_one_datastore(platform: &dyn Platform) {
    let node = node(Uuid::new_v4(), 0);
    let other = Lease { datastore: Uuid::new_v4(), token: i64::MAX };
    assert!(platform.ensure_node(other, &node).await.is_err());
    assert!(platform.fence(other, &node).await.is_err());
    assert!(platform.destroy_edge(other, node.datastore).await.is_err());
}

async fn an_edge_opens_only_what_it_is_told(platform: &dyn Platform) {
    let nodes = [0, 1].map(|slot| node(Uuid::nil(), slot));
    let edge = edge(Uuid::new_v4(), &nodes);
    let lease = Lease { datastore: edge.datastore, token: 1 };
    assert_eq!(platform.edge_presence(edge.datastore).await, Presence::Dead);
    assert!(platform.route(lease, &edge, 1, &[]).await.is_err(), "it does not run");
    assert!(platform.is_free(edge.listeners[0].1).await.unwrap());
    platform.ensure_edge(lease, &edge, &[]).await.unwrap();
    let first = platform.edge_presence(edge.datastore).await;
    assert!(matches!(first, Presence::Running { .. }), "{first:?}");
    assert!(!platform.is_free(edge.listeners[0].1).await.unwrap());
    assert_eq!(platform.routes_open(edge.datastore).await.unwrap(), []);

    let to = |slot| Route { listener: ListenerKind::Primary, slot };
    platform.route(lease, &edge, 5, &[to(0)]).await.unwrap();
    platform.ensure_edge(lease, &edge, &everyone()).await.unwrap();
    assert_eq!(platform.edge_presence(edge.datastore).await, first, "made again it is the same");
    assert_eq!(platform.routes_open(edge.datastore).await.unwrap(), [to(0)]);
    let error = platform.route(lease, &edge, 4, &[to(1)]).await.unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&OldEpoch { epoch: 4, seen: 5 }));
    assert_eq!(platform.routes_open(edge.datastore).await.unwrap(), [to(0)]);
    assert!(platform.route(lease, &edge, 5, &[to(3)]).await.is_err(), "nothing is known of that node");
    platform.route(lease, &edge, 5, &[to(1)]).await.unwrap();
    assert_eq!(platform.routes_open(edge.datastore).await.unwrap(), [to(1)]);
    platform.trust(lease, &edge, &everyone()).await.unwrap();
    assert!(platform.refused(edge.datastore).await.unwrap().is_empty());

    for _ in 0..2 {
        platform.destroy_edge(lease, edge.datastore).await.unwrap();
        assert_eq!(platform.edge_presence(edge.datastore).await, Presence::Dead);
        assert_eq!(platform.routes_open(edge.datastore).await.unwrap(), []);
    }
    assert!(platform.is_free(edge.listeners[0].1).await.unwrap());
    platform.destroy_datastore(lease).await.unwrap();
}

async fn a_datastore_goes_last(platform: &dyn Platform) {
    let node = node(Uuid::new_v4(), 0);
    let edge = edge(node.datastore, &[]);
    let lease = Lease { datastore: node.datastore, token: 1 };
    platform.ensure_node(lease, &node).await.unwrap();
    platform.ensure_edge(lease, &edge, &[]).await.unwrap();
    assert!(platform.destroy_datastore(lease).await.is_err());
    platform.destroy_node(lease, &node).await.unwrap();
    assert!(platform.destroy_datastore(lease).await.is_err());
    platform.destroy_edge(lease, node.datastore).await.unwrap();
    platform.destroy_datastore(lease).await.unwrap();
    platform.destroy_datastore(lease).await.unwrap();
}
