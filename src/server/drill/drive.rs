//! One drill, from its preparation to its result.

use super::probe::{Running, Way, lock};
use crate::{
    model::drill::{DrillState, Outcome},
    server::{
        db::{
            self,
            drills::{Driven, Ended},
            plan::Plan,
        },
        domain,
        jobs::kind::JobKind,
        platform::NodeSpec,
        state::App,
    },
};
use anyhow::{Context, bail, ensure};
use futures::future::join_all;
use std::{
    collections::HashSet,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// How often it is looked whether the next moment has come.
const POLL: Duration = Duration::from_millis(50);
/// How long the preparation may take: it waits for other work of the datastore.
const PREPARATION: Duration = Duration::from_mins(2);
/// How long writes go well before the blow, and how long that is waited for.
const BEFORE: Duration = Duration::from_secs(1);
const WARM_UP: Duration = Duration::from_secs(20);
/// How long writes go well again before the drill ends, and how long that is waited for.
const AFTER: Duration = Duration::from_millis(1500);
const RECOVERY: Duration = Duration::from_mins(2);
/// Pause before the metadata database is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// What the probe saw, and what was seen of the datastore when it ended.
#[derive(Default)]
struct Seen {
    outcome: Option<Outcome>,
    primary: Option<u8>,
}

/// The drill is over for its driver: it was taken away, or its datastore goes.
#[derive(Debug, thiserror::Error)]
#[error("The datastore was deleted while the drill went on.")]
struct TakenAway;

/// Drives a drill to its end, and writes down what came of it.
pub(super) async fn drive(app: App, drill: Driven) {
    tracing::info!(drill = %drill.id, datastore = %drill.datastore, kind = %drill.kind, "a failover drill begins");
    let mut seen = Seen::default();
    let result = Drive { app: &app, drill: &drill }.go(&mut seen).await;
    let (state, error) = match result {
        Ok(()) => (DrillState::Done, None),
        Err(error) if error.is::<TakenAway>() => (DrillState::Interrupted, Some(format!("{error:#}"))),
        Err(error) => (DrillState::Failed, Some(format!("{error:#}"))),
    };
    let seen_pause = seen.outcome.as_ref().map(|outcome| outcome.pause_ms);
    tracing::info!(drill = %drill.id, state = state.id(), pause_ms = seen_pause, error, "the failover drill is over");
    let ended = Ended { state, error, outcome: seen.outcome, primary: seen.primary };
    while let Err(error) = db::drills::end(&app.db, &drill, &ended).await {
        tracing::warn!(%error, "the result of a failover drill waits for the metadata database");
        sleep(AGAIN).await;
    }
}

struct Drive<'a> {
    app: &'a App,
    drill: &'a Driven,
}

impl Drive<'_> {
    async fn go(&self, seen: &mut Seen) -> anyhow::Result<()> {
        self.until_prepared().await?;
        let way = Way::new(self.app, &self.plan().await?).await?;
        let probe = Running::start(way.clone());
        let mut struck = None;
        let result = self.watch(&probe, &mut struck).await;
        let end = Instant::now();
        let tally = probe.end().await;
        let there = way.read().await.map(|numbers| numbers.into_iter().collect::<HashSet<i64>>());
        seen.outcome = lock(&tally).outcome(struck, end, there.as_ref().ok());
        seen.primary = self.plan().await.ok().and_then(|plan| plan.nodes.iter().find(|node| node.primary).map(|node| node.slot));
        result?;
        there.context("The rows could not be read again").map(drop)
    }

    async fn plan(&self) -> anyhow::Result<Plan> {
        Plan::load(&self.app.db, self.drill.datastore).await
    }

    /// Waits until the probe has what it needs.
    async fn until_prepared(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        while !self.is_done(JobKind::DrillBegin, "The drill could not be prepared").await? {
            ensure!(begun.elapsed() < PREPARATION, "The drill was not prepared within {} minutes.", PREPARATION.as_secs() / 60);
            self.pause().await?;
        }
        Ok(())
    }

    /// From the first write until all is well again; `struck` is the moment of the blow.
    async fn watch(&self, probe: &Running, struck: &mut Option<Instant>) -> anyhow::Result<()> {
        let begun = Instant::now();
        while !is_steady(probe, begun, BEFORE) {
            if begun.elapsed() >= WARM_UP {
                let trouble = probe.tally().trouble().unwrap_or("they come too slowly").to_owned();
                bail!("Nothing was done to the primary, because writes were not acknowledged steadily: {trouble}");
            }
            self.pause().await?;
        }
        let blow = domain::drill::strike(self.app, self.drill).await?;
        let at = Instant::now();
        *struck = Some(at);
        while !self.is_done(blow, "The primary was not replaced").await? || !is_steady(probe, at, AFTER) || !self.is_well().await {
            if at.elapsed() >= RECOVERY {
                let minutes = RECOVERY.as_secs() / 60;
                ensure!(is_steady(probe, at, AFTER), "Writes were not acknowledged steadily again within {minutes} minutes.");
                bail!("Writes were acknowledged again, but not all nodes were well within {minutes} minutes.");
            }
            self.pause().await?;
        }
        Ok(())
    }

    /// A moment later, if the drill is still ours.
    async fn pause(&self) -> anyhow::Result<()> {
        sleep(POLL).await;
        // What the metadata database does not tell now changes nothing: the limits hold in any case.
        let driven = db::drills::is_driven(&self.app.db, self.drill).await.unwrap_or(true);
        if driven { Ok(()) } else { Err(TakenAway.into()) }
    }

    /// Whether the newest job of this kind is done.
    async fn is_done(&self, kind: JobKind, failure: &str) -> anyhow::Result<bool> {
        let Ok(Some((state, error))) = db::drills::newest_job(&self.app.db, self.drill.datastore, kind).await else { return Ok(false) };
        match state.as_str() {
            "done" => Ok(true),
            "queued" | "running" => Ok(false),
            // A deletion cancels what waits.
            _ => {
                self.pause().await?;
                bail!("{failure}: {}", error.unwrap_or_else(|| format!("the job was {state}")))
            }
        }
    }

    /// Whether no work is left and every node serves as what it is, by asking each: what the monitor noted may be a moment old.
    async fn is_well(&self) -> bool {
        let (Ok(true), Ok(plan)) = (db::drills::is_idle(&self.app.db, self.drill.datastore).await, self.plan().await) else { return false };
        let (Ok(platform), Ok(engine)) = (self.app.platform(&plan.region), self.app.engine(plan.engine)) else { return false };
        let nodes: Vec<(NodeSpec, bool)> = plan.nodes.iter().map(|node| (plan.node_spec(node), node.primary)).collect();
        let checks = nodes.iter().map(|(node, primary)| async move {
            engine.check(platform, node).await.is_ok_and(|health| if *primary { health.writable } else { health.receives && !health.writable })
        });
        join_all(checks).await.into_iter().all(|well| well)
    }
}

/// Whether writes have been acknowledged one after another for so long, all of that after `since`.
fn is_steady(probe: &Running, since: Instant, long: Duration) -> bool {
    let now = Instant::now();
    let steady = probe.tally().steady_since(now);
    steady.is_some_and(|steady| steady >= since && now.duration_since(steady) >= long)
}
