//! The edge of a datastore: one HAProxy process that publishes its endpoints and nodes, and lets in trusted sources
//! alone, for every engine alike. TLS passes through it, end to end between client and database.
//!
//! * It runs outside Granary's life, and is never reloaded: an old worker would keep routes that nobody can cut. All
//!   listeners are bound at its start; sources, addresses and routes change through its runtime socket, after the
//!   files that a later start reads.
//! * A start opens no route: only [`Edges::route`] does, with an epoch, after the nodes' roles are known.
//! * Nodes see clients from [`EdgeSpec::source`] alone.
//! * Callers hold the datastore's lock: nothing here runs twice at once for one datastore.

mod config;
mod process;
mod runtime;
mod state;
mod steer;
#[cfg(test)]
mod tests;

use super::{
    cgroup::Cgroups,
    dirs::Dirs,
    processes::{FENCE, ProcessSet},
    users::User,
};
use crate::server::platform::{EdgeSpec, Presence, Refused, Route};
use anyhow::{Context as _, ensure};
use ipnet::IpNet;
use process::Edge;
use runtime::Runtime;
use state::Room;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// Where the program is looked for: the PATH of everything Granary starts.
const PROGRAMS: [&str; 4] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"];

/// Most refused addresses that are told.
const REFUSED_TOLD: usize = 50;

/// The edges of a home.
#[derive(Debug, Clone)]
pub struct Edges {
    dirs: Dirs,
    cgroups: Option<Cgroups>,
    user: User,
    programs: Vec<PathBuf>,
}

impl Edges {
    /// Of this home. HAProxy runs as `user`, which as root is one that no node has.
    #[must_use]
    pub fn new(dirs: Dirs, cgroups: Option<Cgroups>, user: User) -> Self {
        Self { dirs, cgroups, user, programs: PROGRAMS.map(|dir| Path::new(dir).join("haproxy")).to_vec() }
    }

    /// Starts the edge unless it runs, and makes exactly these sources trusted. A new start has no route open.
    ///
    /// # Errors
    /// When HAProxy is missing or cannot listen, naming the address; when a running edge has other listeners.
    pub async fn ensure(&self, spec: &EdgeSpec, sources: &[IpNet]) -> anyhow::Result<()> {
        config::check(spec)?;
        let edge = self.edge(spec.datastore);
        if edge.serves().await? {
            edge.state().await?.must_fit(spec)?;
            let (spec, sources) = (spec.clone(), sources.to_vec());
            edge.on_disk(move |room| room.write_config(&spec).and_then(|()| room.write_sources(&sources))).await?;
        } else {
            edge.start(&self.program()?, spec, sources).await?;
        }
        steer::trust(&edge.runtime, spec, sources).await
    }

    /// Makes exactly these routes open, after closing every other and cutting its sessions.
    ///
    /// # Errors
    /// [`OldEpoch`](crate::server::platform::OldEpoch); when the edge does not run or does not do it. Then routes may be closed, but none that was not
    /// asked for is open to new clients once the call is repeated.
    pub async fn route(&self, spec: &EdgeSpec, epoch: i64, routes: &[Route]) -> anyhow::Result<()> {
        config::check(spec)?;
        for route in routes {
            let name = config::server_name(*route);
            ensure!(spec.listeners.iter().any(|(kind, _)| *kind == route.listener), "{name} is no route: the edge has no such listener");
            ensure!(spec.nodes.iter().any(|(slot, _)| *slot == route.slot), "{name} is no route: that node's address is not known");
        }
        let edge = self.edge(spec.datastore);
        let mut state = edge.running(spec).await?;
        state.advance(spec, epoch, routes)?;
        // The epoch is on disk before anything acts on it: from here on an older one is refused.
        let written = spec.clone();
        edge.on_disk(move |room| room.write_state(&state).and_then(|()| room.write_config(&written))).await?;
        steer::route(&edge.runtime, spec, routes).await
    }

    /// Makes exactly these sources trusted and cuts every session from elsewhere.
    ///
    /// # Errors
    /// When the edge does not run, or does not do it.
    pub async fn trust(&self, spec: &EdgeSpec, sources: &[IpNet]) -> anyhow::Result<()> {
        config::check(spec)?;
        let edge = self.edge(spec.datastore);
        edge.running(spec).await?;
        let written = sources.to_vec();
        edge.on_disk(move |room| room.write_sources(&written)).await?;
        steer::trust(&edge.runtime, spec, sources).await
    }

    /// Whether the edge's process is there.
    pub async fn presence(&self, datastore: Uuid) -> Presence {
        self.edge(datastore).set.presence().await
    }

    /// The routes that take clients now; none when the edge is dead.
    ///
    /// # Errors
    /// When it lives but does not answer.
    pub async fn routes_open(&self, datastore: Uuid) -> anyhow::Result<Vec<Route>> {
        let edge = self.edge(datastore);
        if edge.set.presence().await == Presence::Dead {
            return Ok(Vec::new());
        }
        Ok(edge.runtime.servers().await?.into_iter().filter(|server| server.open).map(|server| server.route).collect())
    }

    /// Addresses refused in the last hour since the edge's start, newest first; none when the edge is dead.
    ///
    /// # Errors
    /// When it lives but does not answer.
    pub async fn refused(&self, datastore: Uuid) -> anyhow::Result<Vec<Refused>> {
        let edge = self.edge(datastore);
        if edge.set.presence().await == Presence::Dead {
            return Ok(Vec::new());
        }
        let mut all = edge.runtime.refused().await?;
        all.truncate(REFUSED_TOLD);
        Ok(all)
    }

    /// Ends the edge and removes all of it.
    ///
    /// # Errors
    /// When it cannot be killed, or something else is in its directories' place.
    pub async fn destroy(&self, datastore: Uuid) -> anyhow::Result<()> {
        let edge = self.edge(datastore);
        edge.set.kill_all(FENCE).await?;
        edge.set.remove_group().context("the edge's control group cannot be removed")?;
        edge.on_disk(Room::remove).await
    }

    fn edge(&self, datastore: Uuid) -> Edge {
        let room = Room { own: self.dirs.edge(datastore), sockets: self.dirs.sockets("edge", datastore), user: self.user };
        let own = room.own.path().to_owned();
        let set = ProcessSet {
            cgroup: self.cgroups.as_ref().map(|groups| groups.group(&format!("edge-{datastore}"))),
            limits: None,
            records: own.clone(),
            directories: vec![own],
            user: Some(self.user),
            in_background: false,
        };
        let runtime = Runtime::new(room.socket());
        Edge { room, set, runtime }
    }

    fn program(&self) -> anyhow::Result<PathBuf> {
        let found = self.programs.iter().find(|path| path.is_file()).cloned();
        found.with_context(|| {
            let dirs: Vec<_> = self.programs.iter().filter_map(|path| Some(path.parent()?.display().to_string())).collect();
            format!("HAProxy is not installed: there is no haproxy in {}. Install the package haproxy, then retry", dirs.join(", "))
        })
    }
}
