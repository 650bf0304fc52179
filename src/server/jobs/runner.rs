//! The worker: claims jobs, proves that it lives, takes over from those that do not.

use super::{faults::Faults, owner::Owner, work::Work};
use crate::server::{
    db::{self, workers::Peer},
    drill,
    state::App,
};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::{Notify, Semaphore},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

/// How often a worker counts its heartbeat, looks at others and looks for work it was not told of.
const TICK: Duration = Duration::from_secs(1);
/// A worker whose heartbeat stood still for so long, by the observer's monotonic clock, has lost its leases.
const SILENCE: Duration = Duration::from_secs(10);
/// A longer pause between two looks at others says nothing of them.
const GAP: Duration = Duration::from_secs(5);
/// How long the metadata database may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Jobs of different datastores that run at once. Steps mostly wait for other programs, so this is more than the cores.
const PARALLEL: usize = 8;

/// A running worker.
pub struct Runner {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Runner {
    /// Enters this process as a worker and begins.
    ///
    /// # Errors
    /// When the metadata database cannot be reached.
    pub async fn start(app: App, faults: Faults) -> anyhow::Result<Self> {
        let worker = Uuid::now_v7();
        db::workers::enter(&app.db, worker, app.host, &Owner::me()?).await?;
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let shared = Arc::new(Shared {
            app,
            worker,
            faults,
            stop: stop.clone(),
            places: Arc::new(Semaphore::new(PARALLEL)),
            wake: Notify::new(),
            tasks: tasks.clone(),
        });
        tasks.spawn(shared.clone().pulse());
        tasks.spawn(shared.clone().listen());
        tasks.spawn(drill::run(shared.app.clone(), worker, stop.clone()));
        tasks.spawn(shared.claim());
        tasks.close();
        Ok(Self { stop, tasks })
    }

    /// Takes no more jobs, lets each running one end its present step within `limit`, and takes this worker out.
    pub async fn shut_down(self, limit: Duration) {
        self.stop.cancel();
        if tokio::time::timeout(limit, self.tasks.wait()).await.is_err() {
            tracing::warn!("some jobs are still in a step: they go on after the next start");
        }
    }
}

/// What was seen of other workers' heartbeats, by this process's monotonic clock.
#[derive(Default)]
struct Watch {
    seen: HashMap<Uuid, (i64, Instant)>,
    looked: Option<Instant>,
}

impl Watch {
    /// Notes what was read, and names those that are silent. Silence counts only while this process looks: after it could
    /// not, because the metadata database was away or it was stopped itself, everybody gets the whole time again.
    fn look(&mut self, peers: &[Peer], now: Instant) -> Vec<Uuid> {
        if self.looked.is_none_or(|at| now.duration_since(at) > GAP) {
            self.seen.clear();
        }
        self.looked = Some(now);
        self.seen.retain(|id, _| peers.iter().any(|p| p.id == *id));
        let mut silent = Vec::new();
        for peer in peers {
            let entry = self.seen.entry(peer.id).or_insert((peer.heartbeat, now));
            if entry.0 != peer.heartbeat {
                *entry = (peer.heartbeat, now);
            }
            if now.duration_since(entry.1) >= SILENCE {
                silent.push(peer.id);
            }
        }
        silent
    }
}

struct Shared {
    app: App,
    worker: Uuid,
    faults: Faults,
    stop: CancellationToken,
    places: Arc<Semaphore>,
    wake: Notify,
    tasks: TaskTracker,
}

impl Shared {
    /// Heartbeats and takeovers, until the worker stops and its jobs are given back.
    async fn pulse(self: Arc<Self>) {
        let mut watch = Watch::default();
        while !self.stop.is_cancelled() {
            match timeout(ANSWER, self.beat(&mut watch)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(error = format!("{error:#}"), "the metadata database does not answer; jobs wait"),
                Err(_) => tracing::warn!("the metadata database does not answer within {ANSWER:?}; jobs wait"),
            }
            tokio::select! {
                () = tokio::time::sleep(TICK) => {}
                () = self.stop.cancelled() => {}
            }
        }
        // Jobs still in a step need the heartbeat, or another process would take them over.
        while self.places.available_permits() < PARALLEL {
            let _ = timeout(ANSWER, db::workers::beat(&self.app.db, self.worker)).await;
            tokio::time::sleep(TICK / 10).await;
        }
        let _ = timeout(ANSWER, db::workers::leave(&self.app.db, self.worker)).await;
    }

    async fn beat(&self, watch: &mut Watch) -> anyhow::Result<()> {
        if !db::workers::beat(&self.app.db, self.worker).await? {
            tracing::warn!("this process was taken for dead, its work by others; entering it again");
            db::workers::enter(&self.app.db, self.worker, self.app.host, &Owner::me()?).await?;
        }
        let peers = db::workers::peers(&self.app.db, self.app.host, self.worker).await?;
        let silent = watch.look(&peers, Instant::now());
        let mut freed = db::workers::free_orphans(&self.app.db, self.app.host).await?;
        for peer in peers {
            let why = if peer.owner.is_proved_dead() {
                "is dead"
            } else if silent.contains(&peer.id) {
                "is silent"
            } else {
                continue;
            };
            let jobs = db::workers::take_over(&self.app.db, peer.id).await?;
            tracing::info!(worker = %peer.id, pid = peer.owner.pid, jobs, "another worker {why}: taking over");
            freed += jobs;
        }
        if freed > 0 {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Wakes the claim loop when something changed.
    async fn listen(self: Arc<Self>) {
        let mut changes = self.app.changes.subscribe();
        loop {
            tokio::select! {
                _ = changes.next() => self.wake.notify_one(),
                () = self.stop.cancelled() => return,
            }
        }
    }

    /// Claims what may run while there is a place for it.
    async fn claim(self: Arc<Self>) {
        while !self.stop.is_cancelled() {
            let Ok(place) = self.places.clone().acquire_owned().await else { return };
            match db::jobs::claim(&self.app.db, self.app.host, self.worker).await {
                Ok(Some(job)) => {
                    let work = Work { app: self.app.clone(), job, faults: self.faults, stop: self.stop.clone() };
                    let shared = self.clone();
                    self.tasks.spawn(async move {
                        let datastore = work.job.datastore;
                        work.go_on().await;
                        // What is left to do is seen at once.
                        shared.app.pulse.poke(datastore);
                        drop(place);
                        shared.wake.notify_one();
                    });
                    continue;
                }
                // Two workers met on the unique index that keeps a datastore's work in order: the other has it.
                Err(sqlx::Error::Database(e)) if e.is_unique_violation() => {}
                Err(error) => tracing::warn!(%error, "could not look for work"),
                Ok(None) => {}
            }
            drop(place);
            self.wait().await;
        }
    }

    async fn wait(&self) {
        let pause = db::jobs::next_pause(&self.app.db, self.app.host).await.ok().flatten().map_or(TICK, |p| p.min(TICK));
        tokio::select! {
            () = self.wake.notified() => {}
            () = tokio::time::sleep(pause) => {}
            () = self.stop.cancelled() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_counts_only_while_somebody_listens() {
        let (id, begin) = (Uuid::from_u128(1), Instant::now());
        let peer = |heartbeat| [Peer { id, owner: Owner::me().unwrap(), heartbeat }];
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut watch = Watch::default();
        for second in 0..10 {
            assert!(watch.look(&peer(7), at(second)).is_empty(), "silent after {second} s");
        }
        assert_eq!(watch.look(&peer(7), at(10)), [id]);
        assert!(watch.look(&peer(8), at(11)).is_empty(), "it beats again");

        // The metadata database was away for half a minute, or we were stopped: nobody could beat, or we could not see it.
        assert!(watch.look(&peer(8), at(41)).is_empty());
        assert!(watch.look(&peer(8), at(45)).is_empty() && watch.look(&peer(8), at(50)).is_empty());
        assert_eq!(watch.look(&peer(8), at(51)), [id]);
    }
}
