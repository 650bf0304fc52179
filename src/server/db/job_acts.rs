//! What people do to jobs, in the transaction of the act.

use crate::server::jobs::kind::{JobKind, Step};
use sqlx::PgConnection;
use uuid::Uuid;

/// A job someone acts on.
#[derive(Debug, Clone)]
pub struct Found {
    /// What it does.
    pub kind: JobKind,
    /// `queued`, `running`, `failed`, `done`, `cancelled`, `abandoned`.
    pub state: String,
    /// Whether it undoes what it made.
    pub undoing: bool,
}

/// Locks a job of a datastore; `None` when there is none.
///
/// # Errors
/// Of the database.
pub async fn lock(tx: &mut PgConnection, datastore: Uuid, job: Uuid) -> anyhow::Result<Option<Found>> {
    let row = sqlx::query!("SELECT kind, state, undoing FROM jobs WHERE id = $1 AND datastore_id = $2 FOR UPDATE", job, datastore)
        .fetch_optional(tx)
        .await?;
    row.map(|r| Ok(Found { kind: r.kind.parse()?, state: r.state, undoing: r.undoing })).transpose()
}

/// Whether a job of this kind waits or runs.
///
/// # Errors
/// Of the database.
pub async fn is_under_way(tx: &mut PgConnection, datastore: Uuid, kind: JobKind) -> sqlx::Result<bool> {
    Ok(sqlx::query_scalar!("SELECT id FROM jobs WHERE datastore_id = $1 AND kind = $2 AND state IN ('queued', 'running')", datastore, kind.id())
        .fetch_optional(tx)
        .await?
        .is_some())
}

/// Queues a failed job again, with all its attempts and time. From here on it is this request's work.
///
/// # Errors
/// Of the database.
pub async fn retry(tx: &mut PgConnection, job: Uuid, request_id: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE jobs SET state = 'queued', attempt = 0, spent_ms = 0, not_before = now(), finished_at = NULL, cancel_requested = false,
         request_id = $2 WHERE id = $1",
        job,
        request_id
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Ends a job that nobody works on, as `cancelled` or `abandoned`.
///
/// # Errors
/// Of the database.
pub async fn give_up(tx: &mut PgConnection, job: Uuid, state: &str) -> sqlx::Result<()> {
    sqlx::query!("UPDATE jobs SET state = $2, finished_at = now() WHERE id = $1", job, state).execute(tx).await?;
    Ok(())
}

/// What a job of this kind that failed was to do is done another way.
///
/// # Errors
/// Of the database.
pub async fn give_up_failed(tx: &mut PgConnection, datastore: Uuid, kind: JobKind) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE jobs SET state = 'cancelled', finished_at = now() WHERE datastore_id = $1 AND kind = $2 AND state = 'failed'",
        datastore,
        kind.id()
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Asks the worker of a running job to stop after its present step.
///
/// # Errors
/// Of the database.
pub async fn ask_to_stop(tx: &mut PgConnection, job: Uuid) -> sqlx::Result<()> {
    sqlx::query!("UPDATE jobs SET cancel_requested = true WHERE id = $1", job).execute(tx).await?;
    Ok(())
}

/// Queues a job that nobody works on to undo what it made. From here on it is this request's work.
///
/// # Errors
/// Of the database.
pub async fn undo(tx: &mut PgConnection, job: Uuid, first: Step, request_id: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE jobs SET state = 'queued', undoing = true, step = $2, attempt = 0, spent_ms = 0, not_before = now(), finished_at = NULL,
         request_id = $3 WHERE id = $1",
        job,
        first.id(),
        request_id
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Ends everything else of a datastore that goes away: what waits is cancelled, what runs is asked to stop.
///
/// # Errors
/// Of the database.
pub async fn supersede(tx: &mut PgConnection, datastore: Uuid) -> sqlx::Result<()> {
    sqlx::query!("UPDATE jobs SET state = 'cancelled', finished_at = now() WHERE datastore_id = $1 AND state IN ('queued', 'failed')", datastore)
        .execute(&mut *tx)
        .await?;
    sqlx::query!("UPDATE jobs SET cancel_requested = true WHERE datastore_id = $1 AND state = 'running'", datastore).execute(tx).await?;
    Ok(())
}
