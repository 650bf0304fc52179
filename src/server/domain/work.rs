//! What a person does with a job: Retry, Abandon, Cancel.

use super::{Actor, change};
use crate::{
    error::AppError,
    model::person::Role,
    server::{
        db::{self, job_acts::Found},
        jobs::kind::{JobKind, Step},
        state::App,
    },
};
use sqlx::PgConnection;
use uuid::Uuid;

async fn find(tx: &mut PgConnection, datastore: Uuid, job: Uuid) -> Result<Found, AppError> {
    db::job_acts::lock(tx, datastore, job).await?.ok_or(AppError::NotFound)
}

/// Runs a failed job again, from the step that failed, with all its attempts and time.
///
/// # Errors
/// [`AppError::Conflict`] unless it failed; [`AppError::NotFound`].
pub async fn retry(app: &App, actor: &Actor, id: Uuid, job: Uuid) -> Result<(), AppError> {
    let mut act = change(app, actor, Role::Member, id).await?;
    let found = find(&mut act.tx, id, job).await?;
    if found.state != "failed" {
        return Err(AppError::Conflict("This job does not wait for a Retry any more.".to_owned()));
    }
    db::job_acts::retry(&mut act.tx, job, &actor.request_id).await?;
    if found.kind.creates() && !found.undoing {
        db::lifecycle::creating(&mut act.tx, id).await?;
    }
    db::events::write(&mut act.tx, actor, Some(id), "Retry", found.kind.label()).await?;
    act.tx.commit().await?;
    Ok(())
}

/// Gives a failed job up. What it made is undone, where there is something to undo.
///
/// # Errors
/// [`AppError::Conflict`] unless it failed; [`AppError::NotFound`].
pub async fn abandon(app: &App, actor: &Actor, id: Uuid, job: Uuid) -> Result<(), AppError> {
    let mut act = change(app, actor, Role::Owner, id).await?;
    let found = find(&mut act.tx, id, job).await?;
    if found.state != "failed" || found.undoing || found.kind == JobKind::Delete {
        return Err(AppError::Conflict("This job cannot be abandoned now.".to_owned()));
    }
    match found.kind.undo() {
        Some(undo) => begin_undo(&mut act.tx, actor, id, job, undo).await?,
        None => db::job_acts::give_up(&mut act.tx, job, "abandoned").await?,
    }
    db::events::write(&mut act.tx, actor, Some(id), "Abandon", found.kind.label()).await?;
    act.tx.commit().await?;
    Ok(())
}

/// Takes a waiting job back; asks a running one to stop after its present step. A creation undoes what it made.
///
/// # Errors
/// [`AppError::Conflict`] when it is over or cannot be cancelled; [`AppError::NotFound`].
pub async fn cancel(app: &App, actor: &Actor, id: Uuid, job: Uuid) -> Result<(), AppError> {
    let mut act = change(app, actor, Role::Member, id).await?;
    let found = find(&mut act.tx, id, job).await?;
    if found.kind == JobKind::Delete || found.undoing || !matches!(found.state.as_str(), "queued" | "running") {
        return Err(AppError::Conflict("This job cannot be cancelled any more.".to_owned()));
    }
    match (found.state.as_str(), found.kind.undo()) {
        ("running", _) => db::job_acts::ask_to_stop(&mut act.tx, job).await?,
        // Even a creation that never began has a row, a name and secrets to give back.
        (_, Some(undo)) => begin_undo(&mut act.tx, actor, id, job, undo).await?,
        (_, None) => db::job_acts::give_up(&mut act.tx, job, "cancelled").await?,
    }
    db::events::write(&mut act.tx, actor, Some(id), "Cancel", found.kind.label()).await?;
    act.tx.commit().await?;
    Ok(())
}

async fn begin_undo(tx: &mut PgConnection, actor: &Actor, datastore: Uuid, job: Uuid, undo: &[Step]) -> Result<(), AppError> {
    let first = *undo.first().ok_or_else(|| anyhow::anyhow!("a job that is undone in no step"))?;
    db::job_acts::undo(tx, job, first, &actor.request_id).await?;
    db::lifecycle::deleting(tx, datastore).await?;
    Ok(())
}
