//! The monitor's rounds.

use super::decide::{Seen, Verdict, decide};
use crate::server::{
    db::{self, jobs::NewJob, observed::Observation, plan::Plan},
    jobs::kind::JobKind,
    platform::{NodeSpec, Presence},
    state::App,
};
use anyhow::Context;
use futures::StreamExt;
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
/// Storage is measured this often.
const MEASURE: Duration = Duration::from_secs(30);
/// How often certificates are looked at, and how long before their end they are renewed (of 90 days).
const CERTIFICATES: Duration = Duration::from_hours(1);
const RENEW_DAYS: i32 = 30;
/// Datastores that are looked at together.
const TOGETHER: usize = 16;

/// What was written last of a datastore.
struct Written {
    verdict: Verdict,
    at: Instant,
    measured: Option<Instant>,
}

/// Looks at every datastore of this host again and again until `stop`.
pub async fn run(app: App, stop: CancellationToken) {
    let written = Mutex::new(HashMap::<Uuid, Written>::new());
    let mut certificates: Option<Instant> = None;
    loop {
        if let Err(error) = round(&app, &written).await {
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

async fn round(app: &App, written: &Mutex<HashMap<Uuid, Written>>) -> anyhow::Result<()> {
    let ids = db::observed::watched(&app.db, app.host).await?;
    app.pulse.watch(&ids);
    if let Ok(mut written) = written.lock() {
        written.retain(|id, _| ids.binary_search(id).is_ok());
    }
    futures::stream::iter(ids)
        .for_each_concurrent(TOGETHER, |id| async move {
            match look(app, id, written).await {
                Ok(()) => app.pulse.looked(id),
                Err(error) => tracing::warn!(datastore = %id, error = format!("{error:#}"), "could not look at a datastore"),
            }
        })
        .await;
    app.pulse.rounded();
    Ok(())
}

async fn look(app: &App, id: Uuid, written: &Mutex<HashMap<Uuid, Written>>) -> anyhow::Result<()> {
    let plan = Plan::load(&app.db, id).await?;
    let primary = plan.nodes.iter().find(|n| n.primary).context("no primary")?;
    let node = plan.node_spec(primary);
    let (seen, platform) = (see(app, &plan, &node).await?, app.platform(&plan.region)?);
    let verdict = decide(&seen);
    let last = written.lock().ok().and_then(|w| w.get(&id).map(|w| (w.verdict.clone(), w.at, w.measured)));
    let measured = last.as_ref().and_then(|l| l.2);
    let storage = if measured.is_none_or(|at| at.elapsed() >= MEASURE) { platform.storage_used(&node).await.ok() } else { None };
    let is_new = last.as_ref().is_none_or(|(v, at, _)| *v != verdict || at.elapsed() >= REFRESH);
    if is_new || storage.is_some() {
        let health = seen.answer.and_then(Result::ok);
        db::observed::node(&app.db, node.id, &Observation { state: verdict.state, detail: verdict.detail.clone(), health, storage }).await?;
        db::observed::datastore(&app.db, id, verdict.state, &verdict.detail).await?;
    }
    if let Some(why) = verdict.heal {
        heal(app, &plan, why).await?;
    }
    if let Ok(mut written) = written.lock()
        && (is_new || storage.is_some())
    {
        written.insert(id, Written { verdict, at: Instant::now(), measured: storage.map(|_| Instant::now()).or(measured) });
    }
    Ok(())
}

async fn see(app: &App, plan: &Plan, node: &NodeSpec) -> anyhow::Result<Seen> {
    let platform = app.platform(&plan.region)?;
    let presence = platform.presence(node).await;
    let answer = match presence {
        Presence::Running { .. } => Some(app.engine(plan.engine)?.check(platform, node).await.map_err(|e| format!("{e:#}"))),
        _ => None,
    };
    let edge = platform.edge_presence(plan.id).await;
    let open = match edge {
        Presence::Running { .. } => platform.routes_open(plan.id).await.ok(),
        _ => None,
    };
    Ok(Seen { node: presence, answer, edge, open, wanted: plan.routes() })
}

/// Records the wish; a job acts on it. One that failed waits for a person, so that nothing is started in circles.
async fn heal(app: &App, plan: &Plan, why: &str) -> anyhow::Result<()> {
    if db::observed::has_failed(&app.db, plan.id, JobKind::Heal.id()).await? {
        return Ok(());
    }
    let mut tx = app.db.begin().await?;
    // Only one wish at a time, and none for what is being deleted.
    if !db::observed::lock_idle(&mut tx, plan.id).await? {
        return Ok(());
    }
    tracing::warn!(datastore = %plan.id, why, "starting again");
    db::jobs::enqueue(
        &mut tx,
        NewJob { project: plan.project, datastore: plan.id, host: app.host, kind: JobKind::Heal, requested_by: None, request_id: None },
    )
    .await?;
    db::events::write_own(&mut tx, plan.project, plan.id, "Start again", why).await?;
    tx.commit().await?;
    Ok(())
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
