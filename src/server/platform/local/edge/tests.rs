//! Edges with the real HAProxy, nodes that greet and echo, and clients from several addresses of this machine.

use super::*;
use crate::server::platform::{ListenerKind, MAX_NODES, OldEpoch};
use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinHandle,
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(5);
const PRIMARY: ListenerKind = ListenerKind::Primary;
const REPLICA: ListenerKind = ListenerKind::Replica;

/// A home with one datastore's edge, on addresses of its own.
struct World {
    _home: tempfile::TempDir,
    edges: Edges,
    spec: EdgeSpec,
    nodes: Vec<JoinHandle<()>>,
}

impl World {
    /// With all listeners, and nodes 0 and 1 serving.
    async fn new() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let home = tempfile::Builder::new().prefix("it's \"a\" \\ ").tempdir().unwrap();
        let (net, port) = (NEXT.fetch_add(1, Ordering::Relaxed), 20_000 + u16::try_from(std::process::id() % 20_000).unwrap());
        let address = |host: u8| SocketAddr::new(Ipv4Addr::new(127, 23, net, host).into(), port);
        let user = if rustix::process::geteuid().is_root() { User { uid: 65534, gid: 65534 } } else { User::me() };
        let dirs = Dirs::open(home.path()).unwrap();
        let cgroups = Cgroups::find(&format!("granary-test-{}", dirs.hash()));
        let datastore = Uuid::new_v4();
        dirs.datastore(datastore).ensure().unwrap();
        let edges = Edges::new(dirs, cgroups, user);
        let nodes = (0..MAX_NODES).map(|slot| (ListenerKind::Node(slot), address(10 + slot)));
        let listeners = [(PRIMARY, address(1)), (REPLICA, address(2))].into_iter().chain(nodes).collect();
        let spec = EdgeSpec { datastore, source: address(9).ip(), listeners, nodes: vec![(0, address(20)), (1, address(21))] };
        let nodes = vec![node(0, address(20)).await, node(1, address(21)).await];
        Self { _home: home, edges, spec, nodes }
    }

    async fn ensure(&self, sources: &[&str]) -> anyhow::Result<()> {
        self.edges.ensure(&self.spec, &nets(sources)).await
    }

    async fn trust(&self, sources: &[&str]) {
        self.edges.trust(&self.spec, &nets(sources)).await.unwrap();
    }

    async fn route(&self, epoch: i64, routes: &[(ListenerKind, u8)]) -> anyhow::Result<()> {
        self.edges.route(&self.spec, epoch, &routes_of(routes)).await
    }

    async fn open(&self) -> Vec<Route> {
        self.edges.routes_open(self.spec.datastore).await.unwrap()
    }

    async fn pid(&self) -> u32 {
        match self.edges.presence(self.spec.datastore).await {
            Presence::Running { pid: Some(pid) } => pid,
            other => panic!("{other:?}"),
        }
    }

    fn listener(&self, kind: ListenerKind) -> SocketAddr {
        self.spec.listeners.iter().find(|(k, _)| *k == kind).unwrap().1
    }

    /// A client from an address of this machine.
    async fn visit(&self, from: &str, kind: ListenerKind) -> Option<Client> {
        visit(from, self.listener(kind)).await
    }

    async fn end(self) {
        self.edges.destroy(self.spec.datastore).await.unwrap();
        assert_eq!(self.edges.presence(self.spec.datastore).await, Presence::Dead);
    }
}

/// Nothing of a test outlives it, failed or not.
impl Drop for World {
    fn drop(&mut self) {
        let set = self.edges.edge(self.spec.datastore).set;
        if let Some(pid) = set.first() {
            kill(pid);
            let _ = set.remove_group();
        }
        self.edges.cgroups.iter().for_each(Cgroups::tidy);
        self.nodes.iter().for_each(JoinHandle::abort);
    }
}

fn nets(sources: &[&str]) -> Vec<IpNet> {
    sources.iter().map(|net| net.parse().unwrap()).collect()
}

fn routes_of(routes: &[(ListenerKind, u8)]) -> Vec<Route> {
    routes.iter().map(|(listener, slot)| Route { listener: *listener, slot: *slot }).collect()
}

/// Tells each client its slot and whence it sees it come, then echoes.
async fn node(slot: u8, at: SocketAddr) -> JoinHandle<()> {
    let listener = TcpListener::bind(at).await.unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, peer) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let greeting = format!("{slot} {:>32}", peer.ip());
                if stream.write_all(greeting.as_bytes()).await.is_ok() {
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                }
            });
        }
    })
}

/// A client that a node has greeted.
struct Client {
    stream: TcpStream,
    slot: u8,
    seen_as: IpAddr,
}

impl Client {
    /// Whether its session still carries both ways.
    async fn lives(&mut self) -> bool {
        let echo = async {
            self.stream.write_all(b"?").await?;
            self.stream.read_u8().await
        };
        matches!(timeout(PATIENCE, echo).await.expect("neither an answer nor an end"), Ok(b'?'))
    }
}

/// `None` when the connection was closed before a node's greeting; waiting for either too long is a failure.
async fn visit(from: &str, to: SocketAddr) -> Option<Client> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.unwrap();
    socket.bind(SocketAddr::new(from.parse().unwrap(), 0)).unwrap();
    let mut greeting = [0; 34];
    let meet = async {
        let mut stream = socket.connect(to).await?;
        stream.read_exact(&mut greeting).await?;
        Ok::<_, std::io::Error>(stream)
    };
    match timeout(PATIENCE, meet).await.expect("a client was left waiting") {
        Ok(stream) => {
            let (slot, seen_as) = std::str::from_utf8(&greeting).unwrap().split_once(' ').unwrap();
            Some(Client { stream, slot: slot.parse().unwrap(), seen_as: seen_as.trim().parse().unwrap() })
        }
        Err(e) if [ErrorKind::ConnectionReset, ErrorKind::UnexpectedEof].contains(&e.kind()) => None,
        Err(e) => panic!("{to} does not listen: {e}"),
    }
}

#[tokio::test]
async fn r026_no_source_no_access() {
    let world = World::new().await;
    world.ensure(&[]).await.unwrap();
    let all: Vec<_> = world.spec.listeners.iter().map(|(kind, _)| (*kind, 0)).collect();
    world.route(1, &all).await.unwrap();
    for (kind, _) in &all {
        assert!(world.visit("127.0.0.1", *kind).await.is_none(), "{kind:?}");
    }
    world.trust(&["127.0.0.1/32"]).await;
    for (kind, _) in &all {
        assert_eq!(world.visit("127.0.0.1", *kind).await.unwrap().seen_as, world.spec.source, "{kind:?}");
        assert!(world.visit("127.0.0.2", *kind).await.is_none(), "{kind:?}");
    }
    world.end().await;
}

#[tokio::test]
async fn r026_a_source_that_is_removed_is_refused_and_cut() {
    let world = World::new().await;
    world.ensure(&["127.50.0.0/16", "127.51.0.1/32"]).await.unwrap();
    world.route(1, &[(PRIMARY, 0)]).await.unwrap();
    let mut stays = world.visit("127.51.0.1", PRIMARY).await.unwrap();
    let mut goes = Vec::new();
    for host in 1..=150 {
        goes.push(world.visit(&format!("127.50.0.{host}"), PRIMARY).await.unwrap());
    }
    world.trust(&["127.51.0.1/32"]).await;
    for client in &mut goes {
        assert!(!client.lives().await);
    }
    assert!(stays.lives().await);
    assert!(world.visit("127.50.0.1", PRIMARY).await.is_none());
    world.ensure(&[]).await.unwrap();
    assert!(!stays.lives().await, "ensure keeps to the sources too");
    world.end().await;
}

#[tokio::test]
async fn r026_many_sources_are_taken_over_whole() {
    let world = World::new().await;
    let sources: Vec<_> = (0..=255).flat_map(|a| [format!("10.{a}.0.0/16"), format!("127.60.{a}.0/24")]).collect();
    let sources: Vec<_> = sources.iter().map(String::as_str).collect();
    world.ensure(&[]).await.unwrap();
    world.route(1, &[(PRIMARY, 0)]).await.unwrap();
    world.trust(&sources).await;
    assert!(world.visit("127.60.0.1", PRIMARY).await.is_some() && world.visit("127.60.255.1", PRIMARY).await.is_some());
    assert!(world.visit("127.61.0.1", PRIMARY).await.is_none());
    world.end().await;
}

#[tokio::test]
async fn r026_refused_addresses_are_told_with_their_counts() {
    let world = World::new().await;
    world.ensure(&["127.0.0.1/32"]).await.unwrap();
    world.route(1, &[(PRIMARY, 0)]).await.unwrap();
    for (from, kind) in [("127.70.0.1", PRIMARY), ("127.70.0.1", REPLICA), ("127.0.0.1", PRIMARY)] {
        world.visit(from, kind).await;
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    world.visit("127.70.0.2", PRIMARY).await;
    let refused = world.edges.refused(world.spec.datastore).await.unwrap();
    let told: Vec<_> = refused.iter().map(|r| (r.address.to_string(), r.count)).collect();
    assert_eq!(told, [("127.70.0.2".to_owned(), 1), ("127.70.0.1".to_owned(), 2)]);
    assert!(refused[0].ago < refused[1].ago && refused[1].ago < Duration::from_secs(30), "{refused:?}");
    world.end().await;
}

#[tokio::test]
async fn r026_a_full_edge_still_obeys() {
    let world = World::new().await;
    world.ensure(&["127.0.0.0/8"]).await.unwrap();
    world.route(1, &[(PRIMARY, 0)]).await.unwrap();
    let mut clients = Vec::new();
    for _ in 0..config::MAX_CLIENTS {
        clients.push(world.visit("127.50.0.1", PRIMARY).await.unwrap());
    }
    world.trust(&["127.0.0.1/32"]).await;
    for client in &mut clients {
        assert!(!client.lives().await);
    }
    assert!(world.visit("127.0.0.1", PRIMARY).await.is_some());
    world.end().await;
}

/// HAProxy matches an IPv4 client against IPv6 networks as well, if it is let.
#[tokio::test]
async fn r026_a_source_of_one_family_lets_in_none_of_the_other() {
    let mut world = World::new().await;
    let port = world.listener(REPLICA).port();
    world.spec.listeners[1].1 = SocketAddr::new("::1".parse().unwrap(), port);
    world.ensure(&["::/0"]).await.unwrap();
    world.route(1, &[(PRIMARY, 0), (REPLICA, 1)]).await.unwrap();
    assert!(world.visit("127.0.0.1", PRIMARY).await.is_none());
    let mut v6 = world.visit("::1", REPLICA).await.unwrap();
    assert_eq!((v6.slot, v6.seen_as), (1, world.spec.source));
    world.trust(&["::1/128", "127.0.0.1/32"]).await;
    assert!(v6.lives().await && world.visit("127.0.0.1", PRIMARY).await.is_some());
    world.trust(&["0.0.0.0/0"]).await;
    assert!(!v6.lives().await);
    assert!(world.visit("::1", REPLICA).await.is_none() && world.visit("127.0.0.1", PRIMARY).await.is_some());
    let refused = world.edges.refused(world.spec.datastore).await.unwrap();
    assert_eq!(refused[0].address, "::1".parse::<IpAddr>().unwrap());
    world.end().await;
}

#[tokio::test]
async fn a_closed_route_ends_a_client_at_once() {
    let world = World::new().await;
    world.ensure(&["127.0.0.0/8"]).await.unwrap();
    assert!(world.open().await.is_empty());
    for (kind, _) in &world.spec.listeners {
        let begun = std::time::Instant::now();
        assert!(world.visit("127.0.0.1", *kind).await.is_none());
        assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    }
    world.end().await;
}

#[tokio::test]
async fn a_new_route_cuts_the_sessions_of_the_old_one_alone() {
    let world = World::new().await;
    world.ensure(&["127.0.0.0/8"]).await.unwrap();
    world.route(1, &[(PRIMARY, 0), (REPLICA, 0), (REPLICA, 1)]).await.unwrap();
    let mut old = world.visit("127.0.0.1", PRIMARY).await.unwrap();
    assert_eq!(old.slot, 0);
    let mut reads = Vec::new();
    for _ in 0..4 {
        reads.push(world.visit("127.0.0.1", REPLICA).await.unwrap());
    }
    assert!(reads.iter().any(|c| c.slot == 0) && reads.iter().any(|c| c.slot == 1), "spread over the replicas");

    world.route(2, &[(PRIMARY, 1), (REPLICA, 1)]).await.unwrap();
    assert!(!old.lives().await);
    for client in &mut reads {
        assert_eq!(client.lives().await, client.slot == 1, "slot {}", client.slot);
    }
    assert_eq!(world.visit("127.0.0.1", PRIMARY).await.unwrap().slot, 1);
    assert_eq!(world.open().await, routes_of(&[(PRIMARY, 1), (REPLICA, 1)]));

    world.route(2, &[]).await.unwrap();
    assert!(world.open().await.is_empty() && world.visit("127.0.0.1", PRIMARY).await.is_none());
    world.end().await;
}

#[tokio::test]
async fn an_older_epoch_is_refused_and_changes_nothing() {
    let world = World::new().await;
    world.ensure(&["127.0.0.0/8"]).await.unwrap();
    world.route(7, &[(PRIMARY, 1)]).await.unwrap();
    let mut client = world.visit("127.0.0.1", PRIMARY).await.unwrap();
    let error = world.route(6, &[(PRIMARY, 0)]).await.unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&OldEpoch { epoch: 6, seen: 7 }));
    assert!(client.lives().await && world.open().await == routes_of(&[(PRIMARY, 1)]));
    world.route(7, &[(PRIMARY, 1)]).await.unwrap();
    assert!(client.lives().await, "the same routes again cut nobody");
    world.end().await;
}

#[tokio::test]
async fn a_slot_that_gets_another_address_leaves_the_old_node() {
    let mut world = World::new().await;
    world.ensure(&["127.0.0.0/8"]).await.unwrap();
    world.route(1, &[(PRIMARY, 0)]).await.unwrap();
    let mut old = world.visit("127.0.0.1", PRIMARY).await.unwrap();
    world.spec.nodes[0].1 = world.spec.nodes[1].1;
    world.route(2, &[(PRIMARY, 0)]).await.unwrap();
    assert!(!old.lives().await);
    assert_eq!(world.visit("127.0.0.1", PRIMARY).await.unwrap().slot, 1);
    world.end().await;
}

#[tokio::test]
async fn nodes_may_have_ipv6_addresses() {
    let mut world = World::new().await;
    world.spec.source = "::1".parse().unwrap();
    world.spec.nodes.clear();
    world.ensure(&["127.0.0.1/32"]).await.unwrap();
    let listener = TcpListener::bind("[::1]:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    world.nodes.push(node(3, address).await);
    world.spec.nodes.push((3, address));
    world.route(1, &[(PRIMARY, 3)]).await.unwrap();
    let client = world.visit("127.0.0.1", PRIMARY).await.unwrap();
    assert_eq!((client.slot, client.seen_as), (3, world.spec.source));
    world.end().await;
}

#[tokio::test]
async fn routes_that_cannot_be_are_refused_before_anything_closes() {
    let mut world = World::new().await;
    world.ensure(&["127.0.0.0/8"]).await.unwrap();
    world.route(1, &[(PRIMARY, 0)]).await.unwrap();
    let error = world.route(2, &[(PRIMARY, 3)]).await.unwrap_err().to_string();
    assert!(error.contains("primary/n3 is no route"), "{error}");
    let listeners = world.spec.listeners.clone();
    world.spec.listeners.retain(|(kind, _)| *kind != REPLICA);
    assert!(world.route(2, &[(REPLICA, 0)]).await.is_err());
    let error = world.route(2, &[(PRIMARY, 1)]).await.unwrap_err().to_string();
    assert!(error.contains("runs with other addresses"), "{error}");
    assert!(world.ensure(&[]).await.is_err(), "nor does ensure reload it");
    world.spec.listeners = listeners;
    assert_eq!(world.open().await, routes_of(&[(PRIMARY, 0)]));
    assert!(world.visit("127.0.0.1", PRIMARY).await.is_some());
    world.end().await;
}

#[tokio::test]
async fn a_killed_edge_comes_back_with_every_route_closed() {
    let world = World::new().await;
    world.ensure(&["127.0.0.0/8"]).await.unwrap();
    world.route(5, &[(PRIMARY, 0)]).await.unwrap();
    let first = world.pid().await;
    kill(first);
    assert!(world.route(6, &[(PRIMARY, 1)]).await.unwrap_err().to_string().contains("does not run"));
    assert!(world.open().await.is_empty() && world.edges.refused(world.spec.datastore).await.unwrap().is_empty());

    world.ensure(&["127.0.0.1/32"]).await.unwrap();
    assert_ne!(world.pid().await, first);
    assert!(world.open().await.is_empty() && world.visit("127.0.0.1", PRIMARY).await.is_none());
    assert!(world.route(4, &[(PRIMARY, 0)]).await.is_err(), "the epoch is remembered");
    world.route(5, &[(PRIMARY, 0)]).await.unwrap();
    assert!(world.visit("127.0.0.1", PRIMARY).await.is_some() && world.visit("127.0.0.2", PRIMARY).await.is_none());
    world.end().await;
}

#[tokio::test]
async fn ensured_twice_it_is_one_process_and_keeps_its_sessions() {
    let world = World::new().await;
    world.ensure(&["127.0.0.0/8"]).await.unwrap();
    let pid = world.pid().await;
    world.route(1, &[(PRIMARY, 0)]).await.unwrap();
    let mut client = world.visit("127.0.0.1", PRIMARY).await.unwrap();
    world.ensure(&["127.0.0.0/8"]).await.unwrap();
    assert_eq!((world.pid().await, world.open().await), (pid, routes_of(&[(PRIMARY, 0)])));
    assert!(client.lives().await);
    world.end().await;
}

#[tokio::test]
async fn an_edge_that_lost_its_socket_is_replaced() {
    let world = World::new().await;
    world.ensure(&[]).await.unwrap();
    let pid = world.pid().await;
    std::fs::remove_file(world.edges.edge(world.spec.datastore).room.socket()).unwrap();
    world.ensure(&[]).await.unwrap();
    assert_ne!(world.pid().await, pid);
    world.end().await;
}

#[tokio::test]
async fn an_edge_that_hangs_is_an_error_in_time_and_is_left_alone() {
    let world = World::new().await;
    world.ensure(&[]).await.unwrap();
    let pid = world.pid().await;
    let signal = |signal| rustix::process::kill_process(rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap(), signal).unwrap();
    signal(rustix::process::Signal::STOP);
    let begun = std::time::Instant::now();
    assert!(world.edges.routes_open(world.spec.datastore).await.is_err());
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert!(world.ensure(&[]).await.is_err());
    signal(rustix::process::Signal::CONT);
    world.ensure(&[]).await.unwrap();
    assert_eq!(world.pid().await, pid);
    world.end().await;
}

#[tokio::test]
async fn a_taken_address_is_named_and_nothing_stays() {
    let world = World::new().await;
    let taken = world.listener(REPLICA);
    let other = TcpListener::bind(taken).await.unwrap();
    let error = world.ensure(&[]).await.unwrap_err().to_string();
    assert!(error.contains(&format!("cannot listen on {taken} (Address already in use)")), "{error}");
    assert_eq!(world.edges.presence(world.spec.datastore).await, Presence::Dead);
    drop(other);
    world.ensure(&[]).await.unwrap();

    let mut second = world.spec.clone();
    second.datastore = Uuid::new_v4();
    world.edges.dirs.datastore(second.datastore).ensure().unwrap();
    let error = world.edges.ensure(&second, &[]).await.unwrap_err().to_string();
    assert!(error.contains(&taken.to_string()), "two edges never share an address: {error}");
    world.edges.destroy(second.datastore).await.unwrap();
    world.end().await;
}

#[tokio::test]
async fn a_missing_program_is_said() {
    let mut world = World::new().await;
    world.edges.programs = vec!["/nonexistent/haproxy".into()];
    let error = world.ensure(&[]).await.unwrap_err().to_string();
    assert!(error.starts_with("HAProxy is not installed: there is no haproxy in /nonexistent."), "{error}");
    world.end().await;
}

#[tokio::test]
async fn destroyed_nothing_of_it_is_left() {
    let world = World::new().await;
    world.ensure(&["127.0.0.1/32"]).await.unwrap();
    let pid = world.pid().await;
    let room = world.edges.edge(world.spec.datastore).room;
    assert!(room.own.path().exists() && room.socket().exists());
    world.edges.destroy(world.spec.datastore).await.unwrap();
    assert!(!super::super::proc::lives(pid));
    assert!(!room.own.path().exists() && !room.sockets.path().exists());
    let free = TcpListener::bind(world.listener(PRIMARY)).await.unwrap();
    drop(free);
    world.edges.destroy(world.spec.datastore).await.unwrap();
    world.end().await;
}

/// Kills an edge as a crash would, and waits until it is gone.
fn kill(pid: u32) {
    let process = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
    while super::super::proc::lives(pid) {
        std::thread::yield_now();
    }
}
