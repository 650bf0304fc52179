//! What a person does with a job: Retry, Abandon, Cancel.

use super::{Actor, change};
use crate::{
    error::AppError,
    model::person::Role,
    server::{
        db,
        jobs::kind::{JobKind, Step},
        state::App,
    },
};
use sqlx::PgConnection;
use uuid::Uuid;

struct Job {
    kind: JobKind,
    state: String,
    undoing: bool,
    started: bool,
}

async fn job(tx: &mut PgConnection, datastore: Uuid, job: Uuid) -> Result<Job, AppError> {
    let row = sqlx::query!("SELECT kind, state, undoing, started_at FROM jobs WHERE id = $1 AND datastore_id = $2 FOR UPDATE", job, datastore)
        .fetch_optional(tx)
        .await?
        .ok_or(AppError::NotFound)?;
    Ok(Job { kind: row.kind.parse().map_err(AppError::from)?, state: row.state, undoing: row.undoing, started: row.started_at.is_some() })
}

/// Runs a failed job again, from the step that failed, with all its attempts and time.
///
/// # Errors
/// [`AppError::Conflict`] unless it failed; [`AppError::NotFound`].
pub async fn retry(app: &App, actor: &Actor, id: Uuid, job_id: Uuid) -> Result<(), AppError> {
    let mut act = change(app, actor, Role::Member, id).await?;
    let found = job(&mut act.tx, id, job_id).await?;
    if found.state != "failed" {
        return Err(AppError::Conflict("This job does not wait for a Retry any more.".to_owned()));
    }
    sqlx::query!(
        "UPDATE jobs SET state = 'queued', attempt = 0, spent_ms = 0, not_before = now(), finished_at = NULL, cancel_requested = false WHERE id = $1",
        job_id
    )
    .execute(&mut *act.tx)
    .await?;
    if found.kind == JobKind::Create && !found.undoing {
        sqlx::query!("UPDATE datastores SET lifecycle = 'creating' WHERE id = $1 AND lifecycle = 'failed'", id).execute(&mut *act.tx).await?;
    }
    db::events::write(&mut act.tx, actor, Some(id), "Retry", found.kind.label()).await?;
    act.tx.commit().await?;
    Ok(())
}

/// Gives a failed job up. What it made is undone, where there is something to undo.
///
/// # Errors
/// [`AppError::Conflict`] unless it failed; [`AppError::NotFound`].
pub async fn abandon(app: &App, actor: &Actor, id: Uuid, job_id: Uuid) -> Result<(), AppError> {
    let mut act = change(app, actor, Role::Owner, id).await?;
    let found = job(&mut act.tx, id, job_id).await?;
    if found.state != "failed" || found.undoing || found.kind == JobKind::Delete {
        return Err(AppError::Conflict("This job cannot be abandoned now.".to_owned()));
    }
    match found.kind.undo() {
        Some(undo) => begin_undo(&mut act.tx, id, job_id, undo).await?,
        None => {
            sqlx::query!("UPDATE jobs SET state = 'abandoned', finished_at = now() WHERE id = $1", job_id).execute(&mut *act.tx).await?;
        }
    }
    db::events::write(&mut act.tx, actor, Some(id), "Abandon", found.kind.label()).await?;
    act.tx.commit().await?;
    Ok(())
}

/// Takes a waiting job back; asks a running one to stop after its present step. A creation undoes what it made.
///
/// # Errors
/// [`AppError::Conflict`] when it is over or cannot be cancelled; [`AppError::NotFound`].
pub async fn cancel(app: &App, actor: &Actor, id: Uuid, job_id: Uuid) -> Result<(), AppError> {
    let mut act = change(app, actor, Role::Member, id).await?;
    let found = job(&mut act.tx, id, job_id).await?;
    if found.kind == JobKind::Delete || found.undoing || !matches!(found.state.as_str(), "queued" | "running") {
        return Err(AppError::Conflict("This job cannot be cancelled any more.".to_owned()));
    }
    match (found.state.as_str(), found.kind.undo()) {
        ("running", _) => {
            sqlx::query!("UPDATE jobs SET cancel_requested = true WHERE id = $1", job_id).execute(&mut *act.tx).await?;
        }
        // Even a creation that never began has a row, a name and secrets to give back.
        (_, Some(undo)) => begin_undo(&mut act.tx, id, job_id, undo).await?,
        (_, None) => {
            sqlx::query!("UPDATE jobs SET state = 'cancelled', finished_at = now() WHERE id = $1", job_id).execute(&mut *act.tx).await?;
        }
    }
    let detail = if found.started { format!("{} (under way)", found.kind.label()) } else { found.kind.label().to_owned() };
    db::events::write(&mut act.tx, actor, Some(id), "Cancel", &detail).await?;
    act.tx.commit().await?;
    Ok(())
}

async fn begin_undo(tx: &mut PgConnection, datastore: Uuid, job: Uuid, undo: &[Step]) -> Result<(), AppError> {
    sqlx::query!(
        "UPDATE jobs SET state = 'queued', undoing = true, step = $2, attempt = 0, spent_ms = 0, not_before = now(), finished_at = NULL WHERE id = $1",
        job,
        undo.first().map(|s| s.id())
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!("UPDATE datastores SET lifecycle = 'deleting' WHERE id = $1", datastore).execute(tx).await?;
    Ok(())
}
