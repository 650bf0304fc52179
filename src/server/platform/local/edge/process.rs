//! One edge's process: whether it serves, and its start.

use super::{
    runtime::Runtime,
    state::{Room, State},
};
use crate::server::platform::{
    EdgeSpec, Presence, Program,
    local::processes::{FENCE, ProcessSet},
};
use anyhow::{Context as _, anyhow, bail, ensure};
use ipnet::IpNet;
use std::{
    fs,
    io::{self, ErrorKind},
    path::Path,
    time::Duration,
};
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep},
};

/// Longest a start may take until the runtime socket answers; it takes some 30 ms.
const START: Duration = Duration::from_secs(10);

/// An edge: its files, its processes, its runtime socket.
pub(super) struct Edge {
    pub(super) room: Room,
    pub(super) set: ProcessSet,
    pub(super) runtime: Runtime,
}

impl Edge {
    /// Whether it runs and can be told things. One that runs but has lost its socket can never again be told to close a
    /// route, so it is killed.
    ///
    /// # Errors
    /// When it runs but does not answer in time: it may be busy, and is left alone.
    pub(super) async fn serves(&self) -> anyhow::Result<bool> {
        let Presence::Running { pid } = self.set.presence().await else { return Ok(false) };
        match self.runtime.pid().await {
            Ok(answers) if Some(answers) == pid => return Ok(true),
            Err(error) if !is_deaf(&error) => return Err(error),
            Ok(_) | Err(_) => {}
        }
        self.set.kill_all(FENCE).await.context("an edge that cannot be told anything any more could not be ended")?;
        Ok(false)
    }

    /// What is remembered of an edge that runs with this specification.
    pub(super) async fn running(&self, spec: &EdgeSpec) -> anyhow::Result<State> {
        let presence = self.set.presence().await;
        ensure!(
            matches!(presence, Presence::Running { .. }),
            "the edge of datastore {} does not run: nothing was changed, and no route is open",
            spec.datastore
        );
        let state = self.state().await?;
        state.must_fit(spec)?;
        Ok(state)
    }

    /// What is remembered of an edge that runs.
    pub(super) async fn state(&self) -> anyhow::Result<State> {
        self.on_disk(Room::state).await?.context("the edge runs, but what Granary remembered of it is gone: end its process, then retry")
    }

    /// Starts HAProxy and returns when it answers, with every route closed.
    pub(super) async fn start(&self, program: &Path, spec: &EdgeSpec, sources: &[IpNet]) -> anyhow::Result<()> {
        self.set.kill_all(FENCE).await.context("what the last edge left could not be ended")?;
        let (spec, sources) = (spec.clone(), sources.to_vec());
        self.on_disk(move |room| {
            room.make()?;
            let epoch = room.state()?.map_or(0, |state| state.epoch);
            room.write_state(&State::new(&spec, epoch))?;
            room.write_config(&spec)?;
            room.write_sources(&sources)?;
            room.begin_log()
        })
        .await?;
        let args = ["-db", "-f", "haproxy.cfg"].map(str::to_owned).to_vec();
        let program = Program { path: program.to_owned(), args, env: Vec::new() };
        self.set.start(&program, &self.room.config(), &self.room.log()).await?;
        let started = self.until_it_answers().await;
        if started.is_err() {
            self.set.kill_all(FENCE).await.context("an edge that did not start could not be ended")?;
        }
        started
    }

    async fn until_it_answers(&self) -> anyhow::Result<()> {
        let end = Instant::now() + START;
        while let Some(pid) = self.set.first() {
            let error = match self.runtime.pid().await {
                Ok(answers) if answers == pid => return Ok(()),
                Ok(other) => anyhow!("process {other} answers in its place"),
                Err(error) => error,
            };
            if Instant::now() > end {
                return Err(error.context(format!("the edge started but did not answer within {START:?}, and was ended")));
            }
            sleep(Duration::from_millis(5)).await;
        }
        bail!(why(&fs::read_to_string(self.room.log()).unwrap_or_default()))
    }

    /// Files are written where waiting for the disk holds up nobody.
    pub(super) async fn on_disk<T: Send + 'static>(&self, act: impl FnOnce(&Room) -> anyhow::Result<T> + Send + 'static) -> anyhow::Result<T> {
        let room = self.room.clone();
        spawn_blocking(move || act(&room)).await?
    }
}

/// Nobody listens on the socket, or it is gone.
fn is_deaf(error: &anyhow::Error) -> bool {
    let io = error.root_cause().downcast_ref::<io::Error>();
    io.is_some_and(|e| matches!(e.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused))
}

/// Why HAProxy ended at its start, from its output: `… cannot bind socket (Address already in use) for [127.0.0.1:5432]`.
fn why(log: &str) -> String {
    let taken = |line: &str| {
        let (reason, rest) = line.split_once("cannot bind socket (")?.1.split_once(") for [")?;
        Some(format!("{} ({reason})", rest.strip_suffix(']')?))
    };
    let addresses: Vec<_> = log.lines().filter_map(taken).collect();
    if addresses.is_empty() {
        let end: Vec<_> = log.lines().rev().take(5).collect();
        return format!("HAProxy ended at its start: {}", end.into_iter().rev().collect::<Vec<_>>().join(" / "));
    }
    format!("the edge cannot listen on {}: nothing was started. Free the address or choose another, then retry", addresses.join(", "))
}

#[cfg(test)]
mod tests {
    use super::why;

    #[test]
    fn addresses_that_are_taken_are_named() {
        let log = "[NOTICE]   (1) : haproxy version is 2.6.12
[ALERT]    (1) : Binding [haproxy.cfg:36] for proxy node0: cannot bind socket (Address already in use) for [::1:5499]
[ALERT]    (1) : Binding [haproxy.cfg:28] for proxy primary: cannot bind socket (Cannot assign requested address) for [127.0.0.1:5432]
[ALERT]    (1) : [haproxy.main()] Some protocols failed to start their listeners! Exiting.";
        let why = why(log);
        assert!(why.contains("cannot listen on ::1:5499 (Address already in use), 127.0.0.1:5432 (Cannot assign requested address)"), "{why}");
    }

    #[test]
    fn other_reasons_are_quoted_from_their_end() {
        let log = ["line 1", "line 2", "line 3", "line 4", "line 5", "line 6", "line 7"].join("\n");
        assert_eq!(why(&log), "HAProxy ended at its start: line 3 / line 4 / line 5 / line 6 / line 7");
    }
}
