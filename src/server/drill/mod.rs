//! Failover drills. A request writes a drill and the job that prepares it; one process takes the drill and drives it, since the probe is a
//! loop and not a step: what is done to the datastore meanwhile are jobs like any other, and the monitor looks between them. A drill
//! whose process is gone is interrupted. What drills leave is tidied up by a job, whoever left it, as soon as the primary serves.

mod drive;
mod probe;
mod tally;

use super::{
    db::{self, jobs::NewJob},
    jobs::kind::JobKind,
    state::App,
};
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

/// How often drills are looked for when nothing changed, and the shortest pause after a change.
const TICK: Duration = Duration::from_secs(1);
const PACE: Duration = Duration::from_millis(100);
/// How long the metadata database may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Seconds until tidying up that failed is tried again.
const ONCE_MORE: i32 = 30;

/// Drives the drills of this host that this worker takes, until `stop`.
pub async fn run(app: App, worker: Uuid, stop: CancellationToken) {
    let drives = TaskTracker::new();
    let mut changes = app.changes.subscribe();
    while !stop.is_cancelled() {
        match timeout(ANSWER, round(&app, worker, &drives, &stop)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(error = format!("{error:#}"), "could not look for drills"),
            Err(_) => tracing::debug!("the metadata database does not answer; drills wait"),
        }
        tokio::select! {
            // A burst of changes is one reason to look.
            () = async { changes.next().await; sleep(PACE).await; while changes.waiting().is_some() {} } => {}
            () = sleep(TICK) => {}
            () = stop.cancelled() => {}
        }
    }
    drives.close();
    drives.wait().await;
}

async fn round(app: &App, worker: Uuid, drives: &TaskTracker, stop: &CancellationToken) -> anyhow::Result<()> {
    let interrupted = db::drills::interrupt_orphans(&app.db, app.host).await?;
    if interrupted > 0 {
        tracing::warn!(interrupted, "failover drills whose Granary was stopped are over");
    }
    while let Some(drill) = db::drills::claim(&app.db, app.host, worker).await? {
        drives.spawn(stop.clone().run_until_cancelled_owned(drive::drive(app.clone(), drill)));
    }
    for (datastore, project) in db::drills::left(&app.db, app.host, ONCE_MORE).await? {
        tidy_up(app, project, datastore).await?;
    }
    Ok(())
}

/// Has a job remove what is left of drills.
async fn tidy_up(app: &App, project: Uuid, datastore: Uuid) -> anyhow::Result<()> {
    let kind = JobKind::DrillEnd;
    if let Some(failed) = db::observed::failed(&app.db, datastore, kind).await? {
        return Ok(db::observed::once_more(&app.db, failed.id, kind).await?);
    }
    let mut tx = app.db.begin().await?;
    if db::observed::lock_idle(&mut tx, datastore).await? {
        db::jobs::enqueue(&mut tx, NewJob { project, datastore, host: app.host, kind, requested_by: None, request_id: None }).await?;
        tx.commit().await?;
    }
    Ok(())
}
