//! What is remembered on disk of an edge: HAProxy's files, and what Granary must know of a running one.
//!
//! ```text
//! <datastore>/edge/state.json    what it was started with, the greatest epoch, the routes asked for last
//!                  log, log.old  HAProxy's own words since its start, and of the run before
//!                  config/       what HAProxy reads at its start: haproxy.cfg, sources4.acl, sources6.acl
//! ```
//! The files always hold what was wanted last, with every route closed: HAProxy itself is changed after them, so
//! whichever moment Granary or HAProxy is killed in, a new start lets nobody in that should not come in.

use super::{
    config::{self, Family},
    steer,
};
use crate::server::platform::{
    EdgeSpec, OldEpoch, Route,
    local::{
        files, logs,
        owned::{self, Owned},
        users::User,
    },
};
use anyhow::{Context as _, ensure};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, Permissions},
    io::ErrorKind,
    net::{IpAddr, SocketAddr},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// The content of `state.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// The greatest epoch seen; 0 before the first.
    pub(super) epoch: i64,
    source: IpAddr,
    /// By HAProxy's names.
    listeners: Vec<(String, SocketAddr)>,
    /// Asked for last, by HAProxy's names; none since the last start.
    pub(super) routes: Vec<String>,
    /// By slot.
    pub(super) nodes: Vec<(u8, SocketAddr)>,
}

impl State {
    /// Of an edge that is about to start.
    pub(super) fn new(spec: &EdgeSpec, epoch: i64) -> Self {
        let (source, nodes) = (spec.source, spec.nodes.clone());
        Self { epoch, source, listeners: listeners(spec), routes: Vec::new(), nodes }
    }

    /// Says whether a running edge is what the specification asks for: its listeners were bound at its start.
    pub(super) fn must_fit(&self, spec: &EdgeSpec) -> anyhow::Result<()> {
        ensure!(
            self.source == spec.source && self.listeners == listeners(spec),
            "the edge of datastore {} runs with other addresses, which only a new start could change and that would end every session: nothing was changed",
            spec.datastore
        );
        Ok(())
    }

    /// Takes over what is asked for.
    ///
    /// # Errors
    /// [`OldEpoch`].
    pub(super) fn advance(&mut self, spec: &EdgeSpec, epoch: i64, routes: &[Route]) -> Result<(), OldEpoch> {
        if epoch < self.epoch {
            return Err(OldEpoch { epoch, seen: self.epoch });
        }
        self.epoch = epoch;
        self.routes = routes.iter().copied().map(config::server_name).collect();
        self.nodes.clone_from(&spec.nodes);
        Ok(())
    }
}

fn listeners(spec: &EdgeSpec) -> Vec<(String, SocketAddr)> {
    let mut all: Vec<_> = spec.listeners.iter().map(|(kind, address)| (config::listener_name(*kind), *address)).collect();
    all.sort_unstable();
    all
}

/// The directories of one edge.
#[derive(Debug, Clone)]
pub(super) struct Room {
    pub(super) own: Owned,
    pub(super) sockets: Owned,
    /// Whom HAProxy runs as.
    pub(super) user: User,
}

impl Room {
    /// Where HAProxy works and finds its files.
    pub(super) fn config(&self) -> PathBuf {
        self.own.path().join("config")
    }

    /// HAProxy's output.
    pub(super) fn log(&self) -> PathBuf {
        self.own.path().join("log")
    }

    /// HAProxy's runtime socket. While it is made, `.<pid>.tmp` stands behind its name: a longer name could be too long.
    pub(super) fn socket(&self) -> PathBuf {
        self.sockets.path().join("r/ctl")
    }

    /// Makes the directories inside the datastore's: HAProxy can read its files and change none, and only its socket's directory is its own.
    pub(super) fn make(&self) -> anyhow::Result<()> {
        self.own.ensure()?;
        self.sockets.ensure()?;
        let reader = User { uid: User::me().uid, gid: self.user.gid };
        owned::leaf(&self.config(), reader, 0o750)?;
        owned::leaf(&self.sockets.path().join("r"), self.user, 0o700)
    }

    /// Removes them.
    pub(super) fn remove(&self) -> anyhow::Result<()> {
        self.sockets.remove()?;
        self.own.remove()
    }

    /// Writes the configuration.
    pub(super) fn write_config(&self, spec: &EdgeSpec) -> anyhow::Result<()> {
        self.place("haproxy.cfg", &config::text(spec, &self.socket())?)
    }

    /// Writes the trusted sources.
    pub(super) fn write_sources(&self, sources: &[IpNet]) -> anyhow::Result<()> {
        for family in Family::ALL {
            let lines: Vec<_> = steer::sources_of(family, sources).iter().map(ToString::to_string).chain([String::new()]).collect();
            self.place(family.sources(), &lines.join("\n"))?;
        }
        Ok(())
    }

    /// Reads the state; `None` before the first start.
    pub(super) fn state(&self) -> anyhow::Result<Option<State>> {
        let path = self.own.path().join("state.json");
        let text = match fs::read_to_string(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            text => text.with_context(|| format!("{} cannot be read", path.display()))?,
        };
        serde_json::from_str(&text).map(Some).with_context(|| format!("{} is damaged", path.display()))
    }

    /// Writes the state.
    pub(super) fn write_state(&self, state: &State) -> anyhow::Result<()> {
        let path = self.own.path().join("state.json");
        files::replace(&path, &serde_json::to_vec_pretty(state)?).with_context(|| format!("{} cannot be written", path.display()))
    }

    /// Begins a new log and keeps that of the run before.
    pub(super) fn begin_log(&self) -> anyhow::Result<()> {
        match fs::rename(self.log(), logs::old(&self.log())) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(e).context("the edge's log cannot be put aside"),
            _ => Ok(()),
        }
    }

    /// A file of ours that HAProxy can read: nobody else comes through its directory.
    fn place(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.config().join(name);
        let place = |path: &Path| {
            // A call that changes nothing waits for no disk.
            if fs::read(path).ok().as_deref() != Some(text.as_bytes()) {
                files::replace(path, text.as_bytes())?;
            }
            fs::set_permissions(path, Permissions::from_mode(0o644))
        };
        place(&path).with_context(|| format!("{} cannot be written", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::platform::ListenerKind;
    use uuid::Uuid;

    fn spec() -> EdgeSpec {
        EdgeSpec {
            datastore: Uuid::from_u128(7),
            source: "127.20.0.9".parse().unwrap(),
            listeners: vec![(ListenerKind::Primary, "127.20.0.1:5432".parse().unwrap())],
            nodes: vec![(1, "127.20.0.11:5432".parse().unwrap())],
            tells_clients: false,
        }
    }

    fn room(home: &Path) -> Room {
        let own = |name: &str| Owned::new(home.join(name), format!("test {name}"));
        Room { own: own("edge"), sockets: own("s"), user: User::me() }
    }

    #[test]
    fn an_older_epoch_changes_nothing() {
        let route = Route { listener: ListenerKind::Primary, slot: 1 };
        let mut state = State::new(&spec(), 0);
        state.advance(&spec(), 5, &[route]).unwrap();
        let before = state.clone();
        assert_eq!(state.advance(&spec(), 4, &[]), Err(OldEpoch { epoch: 4, seen: 5 }));
        assert_eq!(state, before);
        assert_eq!(state.routes, ["primary/n1"]);
        state.advance(&spec(), 5, &[]).unwrap();
        assert!(state.routes.is_empty());
    }

    #[test]
    fn nodes_may_change_and_listeners_may_not() {
        let state = State::new(&spec(), 0);
        let mut other = spec();
        other.nodes.clear();
        state.must_fit(&other).unwrap();
        other.listeners[0].1.set_port(5433);
        assert!(state.must_fit(&other).is_err());
        let other = EdgeSpec { source: "127.20.0.8".parse().unwrap(), ..spec() };
        assert!(state.must_fit(&other).is_err());
    }

    #[test]
    fn what_is_written_is_read_back_and_removed() {
        let home = tempfile::tempdir().unwrap();
        let room = room(home.path());
        room.make().unwrap();
        assert_eq!(room.state().unwrap(), None);
        let mut state = State::new(&spec(), 3);
        state.advance(&spec(), 4, &[Route { listener: ListenerKind::Primary, slot: 1 }]).unwrap();
        room.write_state(&state).unwrap();
        assert_eq!(room.state().unwrap(), Some(state));
        fs::write(room.own.path().join("state.json"), "{").unwrap();
        assert!(room.state().unwrap_err().to_string().contains("is damaged"));
        room.make().unwrap();
        room.remove().unwrap();
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    }

    #[test]
    fn r026_sources_are_written_by_family_each_once() {
        let home = tempfile::tempdir().unwrap();
        let room = room(home.path());
        room.make().unwrap();
        let sources = ["::/0", "10.0.0.0/8", "1.2.3.4/32", "10.0.0.0/8"].map(|net| net.parse().unwrap());
        room.write_sources(&sources).unwrap();
        let read = |family: Family| fs::read_to_string(room.config().join(family.sources())).unwrap();
        assert_eq!((read(Family::V4).as_str(), read(Family::V6).as_str()), ("1.2.3.4/32\n10.0.0.0/8\n", "::/0\n"));
        room.write_sources(&[]).unwrap();
        assert_eq!((read(Family::V4).as_str(), read(Family::V6).as_str()), ("", ""));
    }
}
