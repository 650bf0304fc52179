//! The text of an edge's HAProxy configuration, and the names HAProxy knows things by.
//!
//! Every value in the text is typed (addresses, numbers, names made here), so nothing in it can be more than a value.
//! Paths are relative to the edge's directory, where HAProxy is started; only the socket's is absolute.

use crate::server::platform::{EdgeSpec, ListenerKind, MAX_NODES, Route};
use anyhow::{Context as _, ensure};
use std::{
    collections::BTreeSet,
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
    path::Path,
    time::Duration,
};

/// Name of the stick table that counts refused addresses.
pub(super) const REFUSED: &str = "refused";

/// How long a refused address is remembered after its last try.
pub(super) const REFUSED_FOR: Duration = Duration::from_hours(1);

/// Most refused addresses remembered, about 100 bytes each: a scan of the whole Internet costs 400 KB.
const REFUSED_MOST: u32 = 4096;

/// Most clients of one datastore at once, endpoints and nodes together. Databases admit some hundreds; two file
/// descriptors for each stay under the old hard limit of 4096.
pub(super) const MAX_CLIENTS: u32 = 2000;

/// An address family. Each has its own list of sources and a listener asks only that of its own: HAProxy would
/// otherwise match an IPv4 client against `::/0`, and `2002:102:304::1` against `1.2.3.4/32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    /// Both.
    pub(super) const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// File of the trusted sources; HAProxy knows the list by the same name.
    pub(super) const fn sources(self) -> &'static str {
        match self {
            Self::V4 => "sources4.acl",
            Self::V6 => "sources6.acl",
        }
    }

    /// The family of an address.
    pub(super) const fn of(ipv4: bool) -> Self {
        if ipv4 { Self::V4 } else { Self::V6 }
    }

    /// Whether the edge listens in this family: HAProxy knows only the lists it uses.
    pub(super) fn is_used(self, spec: &EdgeSpec) -> bool {
        spec.listeners.iter().any(|(_, address)| Self::of(address.is_ipv4()) == self)
    }
}

/// Refuses what no edge can be.
///
/// # Errors
/// Says what is wrong with the specification.
pub(super) fn check(spec: &EdgeSpec) -> anyhow::Result<()> {
    ensure!(!spec.listeners.is_empty(), "an edge without listeners serves nobody");
    let kinds: BTreeSet<_> = spec.listeners.iter().map(|(kind, _)| kind).collect();
    let addresses: BTreeSet<_> = spec.listeners.iter().map(|(_, address)| address).collect();
    ensure!(kinds.len() == spec.listeners.len(), "a listener is named twice");
    ensure!(addresses.len() == spec.listeners.len(), "two listeners have one address");
    ensure!(addresses.iter().all(|a| a.port() != 0), "a listener needs a port");
    let slots: BTreeSet<_> = spec.nodes.iter().map(|(slot, _)| *slot).collect();
    ensure!(slots.len() == spec.nodes.len(), "two nodes have one slot");
    let listener_slots = kinds.iter().filter_map(|kind| if let ListenerKind::Node(slot) = kind { Some(*slot) } else { None });
    ensure!(slots.iter().copied().chain(listener_slots).all(|slot| slot < MAX_NODES), "slots are 0 to {}", MAX_NODES - 1);
    for (slot, address) in &spec.nodes {
        ensure!(address.is_ipv4() == spec.source.is_ipv4(), "node {slot} ({address}) cannot be reached from {}: not the same family", spec.source);
        ensure!(address.port() != 0, "node {slot} needs a port");
    }
    Ok(())
}

/// A listener's name in HAProxy.
pub(super) fn listener_name(listener: ListenerKind) -> String {
    match listener {
        ListenerKind::Primary => "primary".to_owned(),
        ListenerKind::Replica => "replica".to_owned(),
        ListenerKind::Node(slot) => format!("node{slot}"),
    }
}

/// The listener of that name.
pub(super) fn listener(name: &str) -> Option<ListenerKind> {
    let mut all = [ListenerKind::Primary, ListenerKind::Replica].into_iter().chain((0..MAX_NODES).map(ListenerKind::Node));
    all.find(|kind| listener_name(*kind) == name)
}

/// A route is a server in HAProxy: `primary/n0`.
pub(super) fn server_name(route: Route) -> String {
    format!("{}/n{}", listener_name(route.listener), route.slot)
}

/// The route of that listener's and server's name.
pub(super) fn route(listener_name: &str, server: &str) -> Option<Route> {
    let slot = server.strip_prefix('n')?.parse().ok().filter(|slot| *slot < MAX_NODES)?;
    Some(Route { listener: listener(listener_name)?, slot })
}

/// The private address of a slot's node. Where none is known yet, a port of the edge's own source address that nobody
/// listens on: the slot is closed, and would be refused at once if it were not.
pub(super) fn node_address(spec: &EdgeSpec, slot: u8) -> SocketAddr {
    let known = spec.nodes.iter().find(|(s, _)| *s == slot);
    known.map_or_else(|| SocketAddr::new(spec.source, 1), |(_, address)| *address)
}

/// The whole configuration, with every route closed.
///
/// # Errors
/// When the socket's path cannot stand in a configuration.
pub(super) fn text(spec: &EdgeSpec, socket: &Path) -> anyhow::Result<String> {
    let socket = quoted(socket)?;
    let mut text = format!(
        "# Made by Granary for datastore {id}; changes here are overwritten.
global
    nbthread 1
    maxconn {MAX_CLIENTS}
    # Without this a second process could listen on the same address and take half of the clients.
    noreuseport
    # An HTTP client comes with HAProxy; unused, it would read every CA of this machine: 1.5 MB, and most of a start.
    httpclient.ssl.verify none
    stats socket {socket} mode 600 level admin
    stats timeout 5s

{DEFAULTS}
backend {REFUSED}
    stick-table type ipv6 size {REFUSED_MOST} expire {expire}s store conn_cnt
",
        id = spec.datastore,
        expire = REFUSED_FOR.as_secs(),
    );
    for (kind, address) in &spec.listeners {
        listen(&mut text, spec, *kind, *address);
    }
    Ok(text)
}

/// A socket's path as HAProxy reads it back to the letter. Inside quotes it still expands `$` and divides at commas.
fn quoted(path: &Path) -> anyhow::Result<String> {
    let text = path.to_str().filter(|text| !text.contains(|c: char| c == '$' || c == ',' || c.is_control()));
    let text = text.with_context(|| format!("{} cannot be named in HAProxy's configuration: the home needs a plainer path", path.display()))?;
    Ok(format!("\"{}\"", text.replace('\\', r"\\").replace('"', r#"\""#)))
}

/// Sessions of databases live for days and may be silent for hours: time ends none that is alive, keepalive finds those
/// that are not. There are no health checks: Granary decides. A client whose node refuses is let go at once: to try the same
/// node again HAProxy waits for a second, in which no session can be cut, and whoever leads the client elsewhere would wait for it.
const DEFAULTS: &str = "defaults
    mode tcp
    balance leastconn
    timeout connect 3s
    timeout client 7d
    timeout server 7d
    timeout tunnel 7d
    timeout client-fin 5m
    timeout server-fin 5m
    option clitcpka
    clitcpka-idle 60s
    clitcpka-intvl 15s
    clitcpka-cnt 4
    option srvtcpka
    srvtcpka-idle 60s
    srvtcpka-intvl 15s
    srvtcpka-cnt 4
    retries 0
";

fn listen(text: &mut String, spec: &EdgeSpec, kind: ListenerKind, address: SocketAddr) {
    let family = Family::of(address.is_ipv4());
    let v6only = if family == Family::V6 { " v6only" } else { "" };
    let source = match spec.source {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    let _ = write!(
        text,
        "
listen {name}
    bind {address}{v6only}
    acl trusted src -f {sources}
    tcp-request connection track-sc0 src table {REFUSED} unless trusted
    tcp-request connection reject unless trusted
    source {source}
",
        name = listener_name(kind),
        sources = family.sources(),
    );
    let header = if spec.tells_clients { " send-proxy-v2" } else { "" };
    for slot in 0..MAX_NODES {
        let node = node_address(spec, slot);
        let _ = writeln!(text, "    server n{slot} {node}{header} disabled");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn spec() -> EdgeSpec {
        EdgeSpec {
            datastore: Uuid::from_u128(7),
            source: "127.20.0.9".parse().unwrap(),
            listeners: vec![(ListenerKind::Primary, "127.20.0.1:5432".parse().unwrap()), (ListenerKind::Node(3), "[::1]:5433".parse().unwrap())],
            nodes: vec![(1, "127.20.0.11:5432".parse().unwrap())],
            tells_clients: false,
        }
    }

    #[test]
    fn r026_every_listener_refuses_who_is_not_trusted_in_its_own_family() {
        let text = text(&spec(), Path::new("/run/granary/e.sock")).unwrap();
        assert_eq!(text.matches("\nlisten ").count(), 2);
        assert_eq!(text.matches("tcp-request connection reject unless trusted").count(), 2);
        let (v4, v6) = text.split_once("\nlisten node3").unwrap();
        assert!(v4.contains("bind 127.20.0.1:5432\n    acl trusted src -f sources4.acl"), "{v4}");
        assert!(v6.contains("bind [::1]:5433 v6only\n    acl trusted src -f sources6.acl"), "{v6}");
    }

    #[test]
    fn every_route_is_closed_in_the_file() {
        let text = text(&spec(), Path::new("/run/granary/e.sock")).unwrap();
        assert_eq!(text.matches("    server ").count(), 2 * usize::from(MAX_NODES));
        assert!(text.lines().filter(|line| line.starts_with("    server ")).all(|line| line.ends_with(" disabled")));
        assert!(text.contains("server n1 127.20.0.11:5432 disabled") && text.contains("server n0 127.20.0.9:1 disabled"));
    }

    #[test]
    fn only_nodes_that_expect_it_are_told_each_clients_address() {
        let told = |tells_clients| text(&EdgeSpec { tells_clients, ..spec() }, Path::new("/run/granary/e.sock")).unwrap();
        assert!(!told(false).contains("send-proxy"));
        assert_eq!(told(true).matches(" send-proxy-v2 disabled\n").count(), 2 * usize::from(MAX_NODES));
    }

    #[test]
    fn a_path_stays_one_word() {
        assert_eq!(quoted(Path::new("/a b/it's/e.sock")).unwrap(), "\"/a b/it's/e.sock\"");
        assert_eq!(quoted(Path::new(r#"/a"b\c"#)).unwrap(), r#""/a\"b\\c""#);
        for path in ["/a\nb", "/a$HOME", "/a,b"] {
            assert!(quoted(Path::new(path)).is_err());
        }
    }

    #[test]
    fn names_are_read_back() {
        let listeners = [ListenerKind::Primary, ListenerKind::Replica, ListenerKind::Node(0), ListenerKind::Node(3)];
        for wanted in listeners.into_iter().flat_map(|listener| (0..MAX_NODES).map(move |slot| Route { listener, slot })) {
            let name = server_name(wanted);
            let (listener, server) = name.split_once('/').unwrap();
            assert_eq!(route(listener, server), Some(wanted));
        }
        for (listener, server) in [("primary", "n4"), ("node4", "n0"), ("primary", "0"), ("refused", "n0"), ("primary", "n")] {
            assert_eq!(route(listener, server), None);
        }
    }

    #[test]
    fn what_no_edge_can_be_is_refused() {
        assert!(check(&spec()).is_ok());
        let wrong: [fn(&mut EdgeSpec); 8] = [
            |s| s.listeners.clear(),
            |s| s.listeners[1].0 = ListenerKind::Primary,
            |s| s.listeners[1].1 = s.listeners[0].1,
            |s| s.listeners[0].1.set_port(0),
            |s| s.listeners[1].0 = ListenerKind::Node(MAX_NODES),
            |s| s.nodes[0].0 = MAX_NODES,
            |s| s.nodes.push(s.nodes[0]),
            |s| s.source = "::1".parse().unwrap(),
        ];
        for spoil in wrong {
            let mut spec = spec();
            spoil(&mut spec);
            assert!(check(&spec).is_err(), "{spec:?}");
        }
    }
}
