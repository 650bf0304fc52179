//! What a running HAProxy is told and asked, through its runtime socket.
//!
//! Each request is a connection of its own that ends within [`LIMIT`] and reads at most [`MOST`] bytes: an edge that
//! hangs is an error, never a wait. HAProxy answers a wrong command with a sentence and a right one mostly with
//! nothing, so whoever changes something asks afterwards whether it is so.

use super::config::{self, Family, REFUSED, REFUSED_FOR};
use crate::server::platform::{Refused, Route};
use anyhow::{Context as _, anyhow, ensure};
use ipnet::IpNet;
use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    time::timeout,
};

/// Longest a request may take.
const LIMIT: Duration = Duration::from_secs(2);

/// Most bytes of an answer: five times what 2000 sessions take in `show sess`.
const MOST: u64 = 4 << 20;

/// Commands in one request: HAProxy reads at most 16 KB of them.
const BATCH: usize = 100;

/// A server slot of a listener, as HAProxy has it now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Server {
    /// Which.
    pub(super) route: Route,
    /// Where it leads.
    pub(super) address: SocketAddr,
    /// Whether it takes clients.
    pub(super) open: bool,
}

/// A client's session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Session {
    /// HAProxy's name for it.
    id: String,
    /// The client's address; `None` when it cannot be read, which no source covers.
    pub(super) client: Option<IpAddr>,
    /// The server it was given to, when it was given to one.
    pub(super) route: Option<Route>,
}

/// The runtime socket of one edge.
#[derive(Debug)]
pub(super) struct Runtime {
    socket: PathBuf,
}

impl Runtime {
    /// Nothing is opened yet.
    pub(super) const fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// The running HAProxy's own process id.
    pub(super) async fn pid(&self) -> anyhow::Result<u32> {
        let answer = self.ask("show info").await?;
        let pid = answer.lines().find_map(|line| line.strip_prefix("Pid: ")?.parse().ok());
        pid.ok_or_else(|| anyhow!("HAProxy did not say its process id: {}", excerpt(&answer)))
    }

    /// Every server of every listener.
    pub(super) async fn servers(&self) -> anyhow::Result<Vec<Server>> {
        let answer = self.ask("show servers state").await?;
        let lines = answer.lines().skip(1).filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(|line| server(line).ok_or_else(|| anyhow!("HAProxy's server is not one of ours: {}", excerpt(line)))).collect()
    }

    /// Every client's session.
    pub(super) async fn sessions(&self) -> anyhow::Result<Vec<Session>> {
        let answer = self.ask("show sess").await?;
        Ok(answer.lines().filter_map(session).collect())
    }

    /// The sources trusted now in one family, sorted.
    pub(super) async fn sources(&self, family: Family) -> anyhow::Result<Vec<IpNet>> {
        let answer = self.ask(&format!("show acl {}", family.sources())).await?;
        let patterns = answer.lines().filter(|line| !line.is_empty()).map(|line| {
            let pattern = line.split_once(' ').map_or(line, |(_, pattern)| pattern);
            pattern.parse().with_context(|| format!("HAProxy's list of sources cannot be read: {}", excerpt(&answer)))
        });
        let mut sources: Vec<IpNet> = patterns.collect::<anyhow::Result<_>>()?;
        sources.sort_unstable();
        Ok(sources)
    }

    /// Replaces one family's sources at once: no client meets a list that is neither the old nor the new one.
    pub(super) async fn replace_sources(&self, family: Family, sources: &[IpNet]) -> anyhow::Result<()> {
        let list = family.sources();
        let answer = self.ask(&format!("prepare acl {list}")).await?;
        let version = answer.trim().strip_prefix("New version created: ").and_then(|v| v.parse::<u32>().ok());
        let version = version.ok_or_else(|| anyhow!("HAProxy began no new list of sources: {}", excerpt(&answer)))?;
        let adds: Vec<_> = sources.iter().map(|net| format!("add acl @{version} {list} {net}")).collect();
        self.tell(&adds).await?;
        self.tell(&[format!("commit acl @{version} {list}")]).await
    }

    /// Closes or opens a server to new clients.
    pub(super) async fn set_open(&self, route: Route, open: bool) -> anyhow::Result<()> {
        let verb = if open { "enable" } else { "disable" };
        self.tell(&[format!("{verb} server {}", config::server_name(route))]).await
    }

    /// Points a server at another address. HAProxy answers in words either way: ask [`Self::servers`] afterwards.
    pub(super) async fn set_address(&self, route: Route, address: SocketAddr) -> anyhow::Result<()> {
        let command = format!("set server {} addr {} port {}", config::server_name(route), address.ip(), address.port());
        self.ask(&command).await.map(drop)
    }

    /// Ends sessions. One that has ended meanwhile is no error: ask [`Self::sessions`] afterwards.
    pub(super) async fn cut(&self, sessions: &[Session]) -> anyhow::Result<()> {
        for batch in sessions.chunks(BATCH) {
            let commands: Vec<_> = batch.iter().map(|session| format!("shutdown session {}", session.id)).collect();
            self.ask(&commands.join(";")).await?;
        }
        Ok(())
    }

    /// Addresses that were refused, the latest first.
    pub(super) async fn refused(&self) -> anyhow::Result<Vec<Refused>> {
        let answer = self.ask(&format!("show table {REFUSED}")).await?;
        ensure!(answer.starts_with("# table: refused"), "HAProxy has no table of refused addresses: {}", excerpt(&answer));
        let mut all: Vec<_> = answer.lines().filter_map(refused).collect();
        all.sort_by_key(|refused| refused.ago);
        Ok(all)
    }

    /// Sends commands that answer nothing when they are done.
    async fn tell(&self, commands: &[String]) -> anyhow::Result<()> {
        for batch in commands.chunks(BATCH) {
            let answer = self.ask(&batch.join(";")).await?;
            ensure!(answer.trim().is_empty(), "HAProxy refused “{}”: {}", excerpt(&batch.join("; ")), excerpt(&answer));
        }
        Ok(())
    }

    /// One request, one connection.
    async fn ask(&self, command: &str) -> anyhow::Result<String> {
        let talk = async {
            let mut stream = UnixStream::connect(&self.socket).await?;
            stream.write_all(format!("{command}\n").as_bytes()).await?;
            let mut answer = Vec::new();
            stream.take(MOST).read_to_end(&mut answer).await?;
            Ok::<_, std::io::Error>(answer)
        };
        let what = || format!("the edge's HAProxy was asked “{}”", excerpt(command));
        let answer = timeout(LIMIT, talk).await.with_context(what)?.with_context(what)?;
        ensure!(u64::try_from(answer.len())? < MOST, "{}: its answer is longer than {MOST} bytes", what());
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

/// A line of `show servers state`: backend's id and name, server's id and name, address, operational and administrative
/// state, 11 more, port. Open is "running" without a maintenance or drain flag that holds; 4 only remembers that the
/// file says `disabled`.
fn server(line: &str) -> Option<Server> {
    const RUNNING: u32 = 2;
    const WRITTEN_DISABLED: u32 = 4;
    let fields: Vec<_> = line.split(' ').collect();
    let state = |i: usize| fields.get(i)?.parse::<u32>().ok();
    Some(Server {
        route: config::route(fields.get(1)?, fields.get(3)?)?,
        address: SocketAddr::new(fields.get(4)?.parse().ok()?, fields.get(18)?.parse().ok()?),
        open: state(5)? == RUNNING && state(6)? & !WRITTEN_DISABLED == 0,
    })
}

/// A line of `show sess`: `0x…: proto=tcpv4 src=127.0.0.2:51561 fe=primary be=primary srv=n1 …`. The runtime socket's own
/// sessions (`fe=GLOBAL`) are not clients.
fn session(line: &str) -> Option<Session> {
    let (id, rest) = line.split_once(": ")?;
    let field = |name: &str| rest.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
    let listener = field("fe").filter(|fe| *fe != "GLOBAL")?;
    let client = field("src").and_then(|src| src.rsplit_once(':')?.0.parse::<IpAddr>().ok());
    let route = field("srv").and_then(|server| config::route(listener, server));
    Some(Session { id: id.to_owned(), client: client.map(|ip| ip.to_canonical()), route })
}

/// A line of `show table`: `0x…: key=::ffff:127.0.0.3 use=0 exp=3599942 conn_cnt=2`; `exp` is in milliseconds.
fn refused(line: &str) -> Option<Refused> {
    let field = |name: &str| line.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
    let left = Duration::from_millis(field("exp")?.parse().ok()?);
    Some(Refused {
        address: field("key")?.parse::<IpAddr>().ok()?.to_canonical(),
        count: field("conn_cnt")?.parse().ok()?,
        ago: REFUSED_FOR.saturating_sub(left),
    })
}

/// The beginning of a text, on one line, for a message.
fn excerpt(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::platform::ListenerKind;

    #[test]
    fn a_server_is_open_only_when_it_runs_and_nothing_holds_it() {
        let line = |op: u32, admin: u32| format!("3 primary 2 n1 127.231.0.11 {op} {admin} 1 1 0 1 0 0 8 0 0 0 - 5433 - 0 0 - - 0");
        let route = Route { listener: ListenerKind::Primary, slot: 1 };
        let open = Server { route, address: "127.231.0.11:5433".parse().unwrap(), open: true };
        for admin in [0, 4] {
            assert_eq!(server(&line(2, admin)), Some(open));
        }
        for (op, admin) in [(0, 0), (2, 1), (0, 5), (2, 2), (2, 8), (2, 16), (2, 32), (1, 0), (3, 0)] {
            assert_eq!(server(&line(op, admin)), Some(Server { open: false, ..open }), "{op} {admin}");
        }
        assert_eq!(server("3 other 2 n1 127.231.0.11 2 0"), None);
    }

    #[test]
    fn a_session_whose_client_cannot_be_read_is_still_a_session() {
        let line =
            |src: &str, fe: &str, srv: &str| format!("0x56: proto=tcpv6 src={src} fe={fe} be={fe} srv={srv} ts=00 epoch=0 age=0s rq[f=8h,i=0]");
        let seen = session(&line("::1:5000", "node2", "n2")).unwrap();
        let route = Some(Route { listener: ListenerKind::Node(2), slot: 2 });
        assert_eq!(seen, Session { id: "0x56".to_owned(), client: Some("::1".parse().unwrap()), route });
        assert_eq!(session(&line("::ffff:1.2.3.4:5000", "primary", "<NONE>")).unwrap().client, Some("1.2.3.4".parse().unwrap()));
        let odd = session(&line("unknown", "primary", "<NONE>")).unwrap();
        assert_eq!((odd.client, odd.route), (None, None));
        assert_eq!(session(&line("unix:1", "GLOBAL", "<none>")), None);
    }

    #[test]
    fn r026_a_refused_address_has_its_count_and_its_age() {
        let seen = refused("0x562850b0ae18: key=::ffff:127.0.0.3 use=0 exp=3598000 conn_cnt=2").unwrap();
        assert_eq!(seen, Refused { address: "127.0.0.3".parse().unwrap(), count: 2, ago: Duration::from_secs(2) });
        assert_eq!(refused("# table: refused, type: ipv6, size:4096, used:2"), None);
    }
}
