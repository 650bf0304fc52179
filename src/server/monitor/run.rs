//! The monitor's rounds.

use super::decide::{Intent, NodeSeen, Seen, Verdict, decide, serves};
use crate::server::{
    db::{self, jobs::NewJob, observed::Observation, plan::Plan},
    engine::Follower,
    jobs::kind::JobKind,
    platform::{NodeSpec, Platform, Presence, Space},
    state::App,
};
use futures::{StreamExt, future::join_all};
use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Pause between two rounds.
const ROUND: Duration = Duration::from_secs(1);
/// An unchanged state is written again after so long: pages treat one older than a minute as unknown.
const REFRESH: Duration = Duration::from_secs(15);
/// Storage is measured this often, and more often from half full on.
const MEASURE: Duration = Duration::from_secs(10);
const MEASURE_CLOSELY: Duration = Duration::from_secs(2);
/// What was measured is written down this often, and logs are looked at.
const RECORD: Duration = Duration::from_secs(30);
/// How often certificates are looked at, and how long before their end they are renewed (of 90 days).
const CERTIFICATES: Duration = Duration::from_hours(1);
const RENEW_DAYS: i32 = 30;
/// A start that failed for good is tried once more after so long, again and again: what was in its way, such as a full disk,
/// may have gone.
const ONCE_MORE: Duration = Duration::from_secs(30);
/// Datastores that are looked at together.
const TOGETHER: usize = 16;

/// What is known of a datastore from earlier rounds.
#[derive(Default)]
struct Known {
    /// What was written last, and when.
    written: Option<(Verdict, Instant)>,
    /// When storage was written down last.
    recorded: Option<Instant>,
    of_nodes: HashMap<Uuid, OfNode>,
}

/// What is known of a node.
#[derive(Clone, Copy, Default)]
struct OfNode {
    measured: Option<(Space, Instant)>,
    /// When a replica was seen to receive last; at first, when it was seen first.
    heard: Option<Instant>,
}

/// What the monitor remembers of datastores from round to round.
#[derive(Default)]
struct Memory {
    written: Mutex<HashMap<Uuid, Known>>,
    /// Since when a failed start waits for its next try.
    waits: Mutex<HashMap<Uuid, Instant>>,
}

/// Looks at every datastore of this host again and again until `stop`.
pub async fn run(app: App, stop: CancellationToken) {
    let memory = Memory::default();
    let mut certificates: Option<Instant> = None;
    loop {
        if let Err(error) = round(&app, &memory).await {
            tracing::warn!(error = format!("{error:#}"), "the monitor could not look at everything");
        }
        if certificates.is_none_or(|at| at.elapsed() >= CERTIFICATES) {
            match renew(&app).await {
                Ok(()) => certificates = Some(Instant::now()),
                Err(error) => tracing::warn!(error = format!("{error:#}"), "certificates could not be looked at"),
            }
        }
        tokio::select! {
            () = tokio::time::sleep(ROUND) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn round(app: &App, memory: &Memory) -> anyhow::Result<()> {
    let ids = db::observed::watched(&app.db, app.host).await?;
    app.pulse.watch(&ids);
    if let Ok(mut written) = memory.written.lock() {
        written.retain(|id, _| ids.binary_search(id).is_ok());
    }
    futures::stream::iter(ids)
        .for_each_concurrent(TOGETHER, |id| async move {
            match look(app, id, memory).await {
                Ok(()) => app.pulse.looked(id),
                Err(error) => tracing::warn!(datastore = %id, error = format!("{error:#}"), "could not look at a datastore"),
            }
        })
        .await;
    app.pulse.rounded();
    Ok(())
}

async fn look(app: &App, id: Uuid, memory: &Memory) -> anyhow::Result<()> {
    let plan = Plan::load(&app.db, id).await?;
    let nodes: Vec<NodeSpec> = plan.nodes.iter().map(|node| plan.node_spec(node)).collect();
    let mut known = memory.written.lock().ok().and_then(|mut written| written.remove(&id)).unwrap_or_default();
    let seen = see(app, &plan, &nodes, &mut known).await;
    let outcome = match seen {
        Ok(seen) => note(app, &plan, &nodes, &seen, &mut known, memory).await,
        Err(error) => Err(error),
    };
    if let Ok(mut written) = memory.written.lock() {
        written.insert(id, known);
    }
    outcome
}

/// Writes down what was seen, where it is news, and records what is to be done.
async fn note(app: &App, plan: &Plan, nodes: &[NodeSpec], seen: &Seen, known: &mut Known, memory: &Memory) -> anyhow::Result<()> {
    let verdict = decide(seen);
    let record_storage = known.recorded.is_none_or(|at| at.elapsed() >= RECORD);
    if record_storage || known.written.as_ref().is_none_or(|(last, at)| *last != verdict || at.elapsed() >= REFRESH) {
        let lag = |node: &NodeSpec| seen.nodes.iter().flat_map(followers).find(|f| f.node == node.id).map(|f| f.lag_bytes);
        for ((node, note), seen) in nodes.iter().zip(&verdict.nodes).zip(&seen.nodes) {
            let health = seen.answer.as_ref().and_then(|answer| answer.as_ref().ok()).cloned();
            let storage = seen.space.filter(|_| record_storage).map(|space| space.used);
            let observation = Observation { state: note.state, detail: note.detail.clone(), health, lag: lag(node), storage };
            db::observed::node(&app.db, node.id, &observation).await?;
        }
        db::observed::datastore(&app.db, plan.id, verdict.note.state, &verdict.note.detail).await?;
        known.written = Some((verdict.clone(), Instant::now()));
    }
    if record_storage {
        app.platform(&plan.region)?.bound_logs(plan.id, nodes).await;
        known.recorded = Some(Instant::now());
    }
    match verdict.intent {
        Some(intent) => record(app, plan, intent, memory).await,
        None => Ok(()),
    }
}

fn followers(node: &NodeSeen) -> &[Follower] {
    match &node.answer {
        Some(Ok(health)) => &health.followers,
        _ => &[],
    }
}

/// What is free, as it is now or was a moment ago. The fuller, the closer it is watched.
async fn measure(platform: &dyn Platform, node: &NodeSpec, last: Option<(Space, Instant)>) -> Option<(Space, Instant)> {
    let half = (u64::from(node.storage.gb()) << 30) / 2;
    let pause = last.map(|(space, _)| if space.free < half { MEASURE_CLOSELY } else { MEASURE });
    match last.zip(pause) {
        Some((last, pause)) if last.1.elapsed() < pause => Some(last),
        // What cannot be measured now is not guessed.
        _ => platform.space(node).await.ok().map(|space| (space, Instant::now())),
    }
}

async fn see(app: &App, plan: &Plan, nodes: &[NodeSpec], known: &mut Known) -> anyhow::Result<Seen> {
    let platform = app.platform(&plan.region)?;
    let engine = app.engine(plan.engine)?;
    // All at once: one that hangs must not hide the others.
    let looks = nodes.iter().zip(&plan.nodes).map(|(node, planned)| {
        let last = known.of_nodes.get(&node.id).copied().unwrap_or_default();
        async move {
            let measured = measure(platform, node, last.measured).await;
            let presence = platform.presence(node).await;
            let answer = match presence {
                Presence::Running { .. } => Some(engine.check(platform, node).await.map_err(|e| format!("{e:#}"))),
                _ => None,
            };
            let receives = answer.as_ref().is_some_and(|answer| answer.as_ref().is_ok_and(|health| health.receives));
            // One that was never seen to receive has not lost its primary yet.
            let heard = if receives { Instant::now() } else { last.heard.unwrap_or_else(Instant::now) };
            let (deaf, space) = (heard.elapsed(), measured.map(|(space, _)| space));
            (NodeSeen { slot: node.slot, primary: planned.primary, presence, answer, deaf, space }, OfNode { measured, heard: Some(heard) })
        }
    });
    let looks = join_all(looks).await;
    known.of_nodes = nodes.iter().zip(&looks).map(|(node, (_, of_node))| (node.id, *of_node)).collect();
    let nodes: Vec<NodeSeen> = looks.into_iter().map(|(seen, _)| seen).collect();
    let edge = platform.edge_presence(plan.id).await;
    let open = match edge {
        Presence::Running { .. } => platform.routes_open(plan.id).await.ok(),
        _ => None,
    };
    let serving: Vec<u8> = nodes.iter().filter(|node| serves(node)).map(|node| node.slot).collect();
    let wanted = plan.routes(&serving);
    Ok(Seen { engine: plan.engine, nodes, storage: plan.storage.clone(), edge, open, wanted })
}

/// Records the wish; a job acts on it. One that failed is tried again from time to time, so that nothing is started in
/// circles.
async fn record(app: &App, plan: &Plan, intent: Intent, memory: &Memory) -> anyhow::Result<()> {
    let (kind, action, why) = match intent {
        Intent::Heal(why) => (if plan.nodes.len() == 1 { JobKind::Heal } else { JobKind::Revive }, "Start again", why),
        Intent::Rejoin(why) => (JobKind::Rejoin, "Bring replicas back", why),
        Intent::Lead(why) => (JobKind::Lead, "Lead the endpoints", why),
        Intent::Guard(why) => (JobKind::Guard, "Stop or admit writes", why),
    };
    if let Some(failed) = db::observed::failed(&app.db, plan.id, kind).await? {
        if kind == JobKind::Revive {
            return fail_over(app, plan, failed, memory).await;
        }
        if is_due(&memory.waits, plan.id) {
            tracing::warn!(datastore = %plan.id, why, "{kind}, once more");
            db::observed::once_more(&app.db, failed, kind).await?;
        }
        return Ok(());
    }
    let mut tx = app.db.begin().await?;
    // Only one wish at a time, and none for what is being deleted.
    if !db::observed::lock_idle(&mut tx, plan.id).await? {
        return Ok(());
    }
    tracing::warn!(datastore = %plan.id, why, "{action}");
    let job = NewJob { project: plan.project, datastore: plan.id, host: app.host, kind, requested_by: None, request_id: None };
    db::jobs::enqueue(&mut tx, job).await?;
    db::events::write_own(&mut tx, plan.project, plan.id, action, why).await?;
    tx.commit().await?;
    Ok(())
}

/// The primary could not be started again, so a replica takes over: what the primary had not yet sent is lost, which is what
/// asynchronous replication means, and better than nothing at all.
async fn fail_over(app: &App, plan: &Plan, failed: Uuid, memory: &Memory) -> anyhow::Result<()> {
    let before = db::observed::failed(&app.db, plan.id, JobKind::Failover).await?;
    if before.is_some() && !is_due(&memory.waits, plan.id) {
        return Ok(());
    }
    let mut tx = app.db.begin().await?;
    if !db::observed::lock_idle(&mut tx, plan.id).await? {
        return Ok(());
    }
    let why = "the primary could not be started again";
    tracing::warn!(datastore = %plan.id, why, "failing over");
    for job in before.into_iter().chain([failed]) {
        db::observed::give_up(&mut tx, job).await?;
    }
    let (kind, project, datastore) = (JobKind::Failover, plan.project, plan.id);
    db::jobs::enqueue(&mut tx, NewJob { project, datastore, host: app.host, kind, requested_by: None, request_id: None }).await?;
    db::events::write_own(&mut tx, project, datastore, "Fail over", why).await?;
    tx.commit().await?;
    Ok(())
}

/// Whether a failed start has waited for [`ONCE_MORE`]; the next one waits anew.
fn is_due(waits: &Mutex<HashMap<Uuid, Instant>>, datastore: Uuid) -> bool {
    let Ok(mut waits) = waits.lock() else { return false };
    waits.retain(|_, since| since.elapsed() < ONCE_MORE * 4);
    let since = *waits.entry(datastore).or_insert_with(Instant::now);
    let due = since.elapsed() >= ONCE_MORE;
    if due {
        waits.remove(&datastore);
    }
    due
}

async fn renew(app: &App) -> anyhow::Result<()> {
    for (datastore, project) in db::observed::expiring(&app.db, app.host, RENEW_DAYS).await? {
        let mut tx = app.db.begin().await?;
        db::jobs::enqueue(&mut tx, NewJob { project, datastore, host: app.host, kind: JobKind::Renew, requested_by: None, request_id: None }).await?;
        db::events::write_own(&mut tx, project, datastore, "Renew certificates", "they end within 30 days").await?;
        tx.commit().await?;
    }
    Ok(())
}
