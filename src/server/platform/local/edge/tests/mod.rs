//! Edges with the real HAProxy, nodes that greet and echo, and clients from several addresses of this machine.

mod process;
mod routes;
mod sources;

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
        let spec = EdgeSpec { datastore, source: address(9).ip(), listeners, nodes: vec![(0, address(20)), (1, address(21))], tells_clients: false };
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

/// Kills an edge as a crash would, and waits until it is gone.
fn kill(pid: u32) {
    let process = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
    while crate::server::platform::local::proc::lives(pid) {
        std::thread::yield_now();
    }
}
