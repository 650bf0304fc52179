//! Failover drills: what a failover costs the applications of a datastore, tried out.

use super::{Actor, change, datastore};
use crate::{
    error::AppError,
    model::{
        drill::{DrillKind, DrillView, DrillsView},
        person::Role,
        status::Status,
    },
    server::{
        crypto::random,
        db::{
            self,
            drills::{Driven, NewDrill},
            jobs::NewJob,
            plan::Plan,
        },
        jobs::kind::JobKind,
        state::App,
    },
};
use sqlx::PgConnection;
use uuid::Uuid;

/// How many drills the history shows.
const HISTORY: i64 = 50;

/// Asks for a drill.
///
/// # Errors
/// [`AppError::NotFound`]; [`AppError::Conflict`] unless it has replicas and all its nodes are well; [`AppError::Busy`] while a drill or a
/// promotion of it is under way.
pub async fn start(app: &App, actor: &Actor, id: Uuid, kind: DrillKind) -> Result<Uuid, AppError> {
    let mut act = change(app, actor, Role::Member, id).await?;
    let plan = Plan::load(&app.db, id).await?;
    if let Some(refusal) = refusal(app, &mut act.tx, actor, &plan).await? {
        return Err(refusal);
    }
    let primary = plan.nodes.iter().find(|node| node.primary).ok_or_else(|| anyhow::anyhow!("the datastore has no primary"))?.slot;
    let (project, requested_by) = (actor.me.project, actor.me.person);
    let drill = db::drills::begin(&mut act.tx, NewDrill { project, datastore: id, kind, requested_by, primary }).await?;
    let purpose = db::secrets::PROBE_PASSWORD;
    let sealed = app.keyring.seal(&db::secrets::context(id, purpose), &random::password())?;
    db::secrets::put(&mut act.tx, project, id, purpose, &sealed).await?;
    act.enqueue(actor, id, JobKind::DrillBegin).await?;
    db::events::write(&mut act.tx, actor, Some(id), "Failover drill", kind.label()).await?;
    act.tx.commit().await?;
    Ok(drill)
}

/// Why no drill can begin now.
async fn refusal(app: &App, tx: &mut PgConnection, actor: &Actor, plan: &Plan) -> Result<Option<AppError>, AppError> {
    if plan.nodes.len() < 2 || app.engine(plan.engine)?.probing().is_none() {
        return Ok(Some(AppError::Conflict("Only a datastore with replicas has a failover to try.".to_owned())));
    }
    if plan.drilled {
        return Ok(Some(AppError::Busy("A failover drill of this datastore is under way.".to_owned())));
    }
    for kind in [JobKind::Promote, JobKind::Failover] {
        if db::job_acts::is_under_way(tx, plan.id, kind).await? {
            return Ok(Some(AppError::Busy("A promotion is under way.".to_owned())));
        }
    }
    let status = db::datastores::status_of(&app.db, actor.me.project, plan.id).await?.and_then(|(status, _)| status);
    if plan.lifecycle != "active" || status != Some(Status::Running) {
        return Ok(Some(AppError::Conflict("A failover drill begins only while the datastore and all its nodes are running.".to_owned())));
    }
    Ok(None)
}

/// The drills of a datastore, and whether another can begin.
///
/// # Errors
/// [`AppError::NotFound`].
pub async fn list(app: &App, actor: &Actor, id: Uuid) -> Result<DrillsView, AppError> {
    db::lifecycle::region(&app.db, actor.me.project, id).await?.ok_or(AppError::NotFound)?;
    let plan = Plan::load(&app.db, id).await?;
    let drills = db::drills::of_datastore(&app.db, actor.me.project, id, None, HISTORY).await?;
    let mut connection = app.db.acquire().await?;
    let refused = refusal(app, &mut connection, actor, &plan).await?.map(|why| why.to_string());
    Ok(DrillsView { drills, refused })
}

/// One drill.
///
/// # Errors
/// [`AppError::NotFound`].
pub async fn show(app: &App, actor: &Actor, id: Uuid, drill: Uuid) -> Result<DrillView, AppError> {
    db::lifecycle::region(&app.db, actor.me.project, id).await?.ok_or(AppError::NotFound)?;
    db::drills::of_datastore(&app.db, actor.me.project, id, Some(drill), 1).await?.pop().ok_or(AppError::NotFound)
}

/// Strikes the primary as a drill asks, in the name of who asked: by the promotion that the button asks for, or by a job that kills.
/// Returns the kind of the job that does it.
///
/// # Errors
/// [`AppError::Conflict`] where no replica can be promoted; [`AppError::Busy`] while another promotion is under way.
pub async fn strike(app: &App, drill: &Driven) -> Result<JobKind, AppError> {
    let Driven { project, datastore: id, requested_by, .. } = *drill;
    let mut tx = app.db.begin().await?;
    let locked = db::datastores::lock(&mut tx, project, id).await?.ok_or(AppError::NotFound)?;
    let kind = match drill.kind {
        DrillKind::Kill => JobKind::DrillStrike,
        DrillKind::Promotion => {
            let no_replica = || AppError::Conflict("No replica answers, so none can be promoted.".to_owned());
            let node = db::drills::best_replica(&mut tx, id).await?.ok_or_else(no_replica)?;
            let name = datastore::want_promotion(app, &mut tx, &locked, id, node).await?;
            db::events::write_own(&mut tx, project, id, "Promote", &format!("{name}, for a failover drill")).await?;
            JobKind::Promote
        }
    };
    db::jobs::enqueue(&mut tx, NewJob { project, datastore: id, host: locked.host, kind, requested_by, request_id: None }).await?;
    tx.commit().await?;
    Ok(kind)
}
