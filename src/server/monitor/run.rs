//! The monitor's rounds.

use super::{
    decide::{Intent, NodeSeen, Seen, Silence, decide, serves},
    known::{Known, Lateness, OfNode, Unheard},
    watch::Watch,
};
use crate::server::{
    db::{
        self,
        jobs::NewJob,
        observed::Observation,
        plan::{Membership, Plan, PlannedNode},
    },
    engine::{Answered, Follower},
    jobs::kind::JobKind,
    platform::{NodeSpec, Platform, Presence, Space},
    state::App,
};
use anyhow::anyhow;
use futures::{StreamExt, future::try_join_all};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Pause between two rounds.
const ROUND: Duration = Duration::from_millis(500);
/// What has no replica is looked at this often: nobody could take over sooner.
const SELDOM: Duration = Duration::from_millis(900);
/// How long a server of a datastore with replicas may take to answer in a round.
const ANSWER: Duration = Duration::from_millis(800);
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

/// What the monitor remembers of datastores from round to round.
#[derive(Default)]
struct Memory {
    written: Mutex<HashMap<Uuid, Known>>,
    /// Whoever looks at a datastore holds its own.
    turns: Mutex<HashMap<Uuid, Arc<tokio::sync::Mutex<()>>>>,
    /// Since when a failed start waits for its next try.
    waits: Mutex<HashMap<Uuid, Instant>>,
    late: Lateness,
    watch: Watch,
}

/// Looks at every datastore of this host again and again until `stop`, and at once at one of which a server has ended.
pub async fn run(app: App, stop: CancellationToken) {
    let memory = Memory::default();
    let rounds = async {
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
            tokio::time::sleep(ROUND).await;
        }
    };
    tokio::select! {
        () = rounds => {}
        () = alarms(&app, &memory) => {}
        () = memory.late.measure() => {}
        () = stop.cancelled() => {}
    }
}

/// Looks at what something has happened to: a server has ended, or work on it is done.
async fn alarms(app: &App, memory: &Memory) {
    let alarms = futures::stream::unfold((), |()| async {
        tokio::select! {
            id = memory.watch.next() => Some((id, ())),
            id = app.pulse.next_poke() => Some((id, ())),
        }
    });
    alarms.for_each_concurrent(TOGETHER, |id| visit(app, id, memory)).await;
}

/// Looks at a datastore that no job works on. One look after another: what follows from an older one may be done by now.
async fn visit(app: &App, id: Uuid, memory: &Memory) {
    let turn = memory.turns.lock().map(|mut turns| turns.entry(id).or_default().clone()).unwrap_or_default();
    let _turn = turn.lock().await;
    match db::observed::is_watched(&app.db, app.host, id).await {
        Ok(true) => {}
        Ok(false) => return,
        Err(error) => return tracing::warn!(datastore = %id, %error, "could not look at a datastore"),
    }
    match look(app, id, memory).await {
        Ok(()) => app.pulse.looked(id),
        Err(error) => tracing::warn!(datastore = %id, error = format!("{error:#}"), "could not look at a datastore"),
    }
}

async fn round(app: &App, memory: &Memory) -> anyhow::Result<()> {
    let ids = db::observed::watched(&app.db, app.host).await?;
    app.pulse.watch(&ids);
    let due: Vec<Uuid> = match memory.written.lock() {
        Ok(mut written) => {
            written.retain(|id, _| ids.binary_search(id).is_ok());
            // One that is held, or waited for, has other holders.
            if let Ok(mut turns) = memory.turns.lock() {
                turns.retain(|id, turn| ids.binary_search(id).is_ok() || Arc::strong_count(turn) > 1);
            }
            let seldom = |known: &Known| !known.has_replicas && known.looked.is_some_and(|at| at.elapsed() < SELDOM);
            ids.into_iter().filter(|id| !written.get(id).is_some_and(seldom)).collect()
        }
        Err(_) => ids,
    };
    futures::stream::iter(due).for_each_concurrent(TOGETHER, |id| visit(app, id, memory)).await;
    app.pulse.rounded();
    Ok(())
}

async fn look(app: &App, id: Uuid, memory: &Memory) -> anyhow::Result<()> {
    let plan = Plan::load(&app.db, id).await?;
    let failed = db::observed::failed_kinds(&app.db, id).await?;
    // What comes or goes is seen to by the job that it comes or goes by.
    let members: Vec<&PlannedNode> = plan.nodes.iter().filter(|n| n.membership == Membership::Member).collect();
    let nodes: Vec<(NodeSpec, bool)> = members.iter().map(|node| (plan.node_spec(node), node.primary)).collect();
    let mut known = memory.written.lock().ok().and_then(|mut written| written.remove(&id)).unwrap_or_default();
    (known.looked, known.has_replicas) = (Some(Instant::now()), nodes.len() > 1);
    let seen = see(app, &plan, &nodes, failed, &mut known, memory).await;
    let specs: Vec<NodeSpec> = nodes.into_iter().map(|(node, _)| node).collect();
    let outcome = match seen {
        Ok(seen) => note(app, &plan, &specs, &seen, &mut known, memory).await,
        Err(error) => Err(error),
    };
    if let Ok(mut written) = memory.written.lock() {
        written.insert(id, known);
    }
    outcome
}

/// Records what is to be done, for which clients may wait, then writes down what was seen, where it is news.
async fn note(app: &App, plan: &Plan, nodes: &[NodeSpec], seen: &Seen, known: &mut Known, memory: &Memory) -> anyhow::Result<()> {
    let verdict = decide(seen);
    for kind in &verdict.settled {
        db::job_acts::give_up_failed(&mut *app.db.acquire().await?, plan.id, *kind).await?;
    }
    if let Some(intent) = verdict.intent {
        record(app, plan, intent, memory).await?;
    }
    let record_storage = known.recorded.is_none_or(|at| at.elapsed() >= RECORD);
    if record_storage || known.written.as_ref().is_none_or(|(last, at)| *last != verdict || at.elapsed() >= REFRESH) {
        for ((node, note), seen) in nodes.iter().zip(&verdict.nodes).zip(&seen.nodes) {
            let health = seen.answer.as_ref().and_then(|answer| answer.as_ref().ok()).cloned();
            let storage = seen.space.filter(|_| record_storage).map(|space| space.used);
            let observation = Observation { state: note.state, detail: note.detail.clone(), health, lag: seen.lag, storage };
            db::observed::node(&app.db, node.id, &observation).await?;
        }
        db::observed::datastore(&app.db, plan.id, verdict.note.state, &verdict.note.detail).await?;
        known.written = Some((verdict.clone(), Instant::now()));
    }
    if record_storage {
        app.platform(&plan.region)?.bound_logs(plan.id, nodes).await;
        known.recorded = Some(Instant::now());
    }
    Ok(())
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

/// One look at a node.
async fn see_node(
    app: &App,
    plan: &Plan,
    (node, primary): &(NodeSpec, bool),
    mut of: OfNode,
    several: bool,
    memory: &Memory,
) -> anyhow::Result<(NodeSeen, OfNode)> {
    let (platform, engine) = (app.platform(&plan.region)?, app.engine(plan.engine)?);
    of.measured = measure(platform, node, of.measured).await;
    let presence = platform.presence(node).await;
    let (mut answer, mut silence) = (None, Silence::default());
    if let Presence::Running { pid } = presence {
        memory.watch.node(app, plan, node, pid);
        let check = engine.check(platform, node);
        let said = if several { timeout(ANSWER, check).await.unwrap_or_else(|_| Err(anyhow!("the server does not answer"))) } else { check.await };
        let said = said.map_err(|why| if why.is::<Answered>() { Unheard::Said(format!("{why:#}")) } else { Unheard::Silent(format!("{why:#}")) });
        let vitals = if said.is_err() { platform.vitals(node).await.ok() } else { None };
        let (taken, for_so_long) = of.take(said, vitals, memory.late.so_far());
        (answer, silence) = (Some(taken), for_so_long);
    } else {
        of.forget();
    }
    let receives = answer.as_ref().is_some_and(|answer| answer.as_ref().is_ok_and(|health| health.receives));
    // One that was never seen to receive has not lost its primary yet.
    let heard = if receives { Instant::now() } else { of.heard.unwrap_or_else(Instant::now) };
    of.heard = Some(heard);
    let told = answer.as_ref().and_then(|answer| Some(answer.as_ref().ok()?.deaf)).unwrap_or_default();
    let (deaf, space) = (heard.elapsed().max(told), of.measured.map(|(space, _)| space));
    let (id, slot, primary) = (node.id, node.slot, *primary);
    Ok((NodeSeen { id, slot, primary, presence, answer, silence, deaf, lag: None, space }, of))
}

async fn see(app: &App, plan: &Plan, nodes: &[(NodeSpec, bool)], failed: Vec<JobKind>, known: &mut Known, memory: &Memory) -> anyhow::Result<Seen> {
    let platform = app.platform(&plan.region)?;
    // All at once: one that hangs must not hide the others.
    let of = |node: &NodeSpec| known.of_nodes.get(&node.id).cloned().unwrap_or_default();
    let looks = try_join_all(nodes.iter().map(|node| see_node(app, plan, node, of(&node.0), nodes.len() > 1, memory))).await?;
    known.of_nodes = looks.iter().map(|(seen, of)| (seen.id, of.clone())).collect();
    let mut nodes: Vec<NodeSeen> = looks.into_iter().map(|(seen, _)| seen).collect();
    let followers: Vec<Follower> = nodes.iter().flat_map(followers).copied().collect();
    for node in &mut nodes {
        node.lag = followers.iter().find(|f| f.node == node.id).map(|f| f.lag_bytes);
    }
    let edge = platform.edge_presence(plan.id).await;
    let open = match edge {
        Presence::Running { .. } => platform.routes_open(plan.id).await.ok(),
        _ => None,
    };
    let serving: Vec<u8> = nodes.iter().filter(|node| serves(node, open.as_deref(), plan.reader_lag)).map(|node| node.slot).collect();
    let wanted = plan.routes(&serving);
    Ok(Seen { engine: plan.engine, nodes, sync_sets: plan.sync_sets.clone(), failed, storage: plan.storage.clone(), edge, open, wanted })
}

/// Records the wish; a job acts on it. One that failed is tried again from time to time, so that nothing is started in
/// circles; one that gave way goes on at once, with one attempt.
async fn record(app: &App, plan: &Plan, intent: Intent, memory: &Memory) -> anyhow::Result<()> {
    let (kind, why) = match intent {
        Intent::FailOver(why) => (JobKind::Failover, why),
        Intent::Heal(why) => (if plan.nodes.len() == 1 { JobKind::Heal } else { JobKind::Revive }, why),
        Intent::Rejoin(why) => (JobKind::Rejoin, why),
        Intent::GoOn(kind) => (kind, "it gave way to something else"),
        Intent::Lead(why) => (JobKind::Lead, why),
        Intent::Guard(why) => (JobKind::Guard, why),
    };
    if let Some(failed) = db::observed::failed(&app.db, plan.id, kind).await? {
        if failed.gave_way && kind.goes_on() || is_due(&memory.waits, plan.id) {
            tracing::warn!(datastore = %plan.id, why, "{kind}, once more");
            // What was in the way of the primary's start may have gone, and nothing is lost by it; once another was elected, it may be too late.
            if kind == JobKind::Failover && plan.wanted_primary.is_none() {
                match db::observed::failed(&app.db, plan.id, JobKind::Revive).await? {
                    Some(revive) => db::observed::once_more(&app.db, revive.id, JobKind::Revive).await?,
                    // It was failed over from at once, and that came to nothing.
                    None => return ask_for(app, plan, JobKind::Revive, why).await,
                }
            }
            db::observed::once_more(&app.db, failed.id, kind).await?;
        }
        return Ok(());
    }
    ask_for(app, plan, kind, why).await
}

async fn ask_for(app: &App, plan: &Plan, kind: JobKind, why: &str) -> anyhow::Result<()> {
    let mut tx = app.db.begin().await?;
    // Only one wish at a time, and none for what is being deleted.
    if !db::observed::lock_idle(&mut tx, plan.id).await? {
        return Ok(());
    }
    tracing::warn!(datastore = %plan.id, why, "{}", kind.label());
    let job = NewJob { project: plan.project, datastore: plan.id, host: app.host, kind, requested_by: None, request_id: None };
    db::jobs::enqueue(&mut tx, job).await?;
    db::events::write_own(&mut tx, plan.project, plan.id, action(kind), why).await?;
    tx.commit().await?;
    Ok(())
}

/// What the activity calls it.
fn action(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Failover => "Fail over",
        JobKind::Heal | JobKind::Revive => "Start again",
        JobKind::Guard => "Stop or admit writes",
        kind => kind.label(),
    }
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
