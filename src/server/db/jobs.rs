//! Jobs, their steps, workers and leases.

use crate::server::jobs::kind::{JobKind, LONGEST_BACKOFF, Step};
use sqlx::{PgConnection, PgPool};
use std::time::Duration;
use uuid::Uuid;

/// A job to write.
#[derive(Debug, Clone, Copy)]
pub struct NewJob<'a> {
    /// Its project.
    pub project: Uuid,
    /// Its datastore.
    pub datastore: Uuid,
    /// Whose workers may do it.
    pub host: Uuid,
    /// What it does.
    pub kind: JobKind,
    /// Who asked; `None` when Granary itself did.
    pub requested_by: Option<Uuid>,
    /// The request in which that was asked: every line that the log has of the work carries it.
    pub request_id: Option<&'a str>,
}

/// Writes a job in the transaction that made it necessary.
///
/// # Errors
/// Of the database.
pub async fn enqueue(tx: &mut PgConnection, job: NewJob<'_>) -> sqlx::Result<Uuid> {
    let id = Uuid::now_v7();
    sqlx::query!(
        "INSERT INTO jobs (id, project_id, datastore_id, host_id, kind, state, time_limit_ms, requested_by, request_id)
         VALUES ($1, $2, $3, $4, $5, 'queued', $6, $7, $8)",
        id,
        job.project,
        job.datastore,
        job.host,
        job.kind.id(),
        i64::try_from(job.kind.time_limit().as_millis()).unwrap_or(i64::MAX),
        job.requested_by,
        job.request_id
    )
    .execute(tx)
    .await?;
    Ok(id)
}

/// A job under a lease.
#[derive(Debug, Clone)]
pub struct Leased {
    /// Its id.
    pub id: Uuid,
    /// Its project.
    pub project: Uuid,
    /// Its datastore.
    pub datastore: Uuid,
    /// What it does, as written.
    pub kind: String,
    /// The step to do, as written; `None` for the first.
    pub step: Option<String>,
    /// Whether it undoes what it made.
    pub undoing: bool,
    /// Whether it was asked to stop.
    pub cancel_requested: bool,
    /// Failed attempts of the present step.
    pub attempt: i32,
    /// What is left of its time.
    pub time_left: Duration,
    /// Fencing token.
    pub token: i64,
    /// The request that asked for it; `None` when Granary itself did.
    pub request_id: Option<String>,
}

/// Takes the first job of this host that may run: earlier work of the same datastore comes first, while it holds up later. Spares
/// are prepared while nobody's work runs, one at a time. A process that was taken for dead takes none before it is entered
/// again.
///
/// A pause counts only for what failed, and only as long as a pause can be: after the machine's clock was set back, its end
/// lies further away than that, and is not waited for.
///
/// # Errors
/// Of the database.
pub async fn claim(pool: &PgPool, host: Uuid, worker: Uuid) -> sqlx::Result<Option<Leased>> {
    let row = sqlx::query!(
        r#"UPDATE jobs SET state = 'running', worker_id = $2, lease_token = nextval('lease_tokens'), started_at = coalesce(started_at, now())
        WHERE id = (
            SELECT j.id FROM jobs j
            WHERE j.host_id = $1 AND j.state = 'queued' AND EXISTS (SELECT FROM workers WHERE id = $2)
              AND (j.attempt = 0 OR j.not_before <= now() OR j.not_before > now() + $3 * interval '1 second')
              AND NOT EXISTS (
                SELECT FROM jobs e WHERE e.datastore_id = j.datastore_id AND e.seq < j.seq AND holds_up(e.state, e.kind))
              AND (j.kind <> 'prepare' OR NOT EXISTS (SELECT FROM jobs r WHERE r.host_id = j.host_id AND r.state = 'running'))
            ORDER BY j.kind = 'prepare', j.seq FOR UPDATE SKIP LOCKED LIMIT 1)
        RETURNING id, project_id, datastore_id, kind, step, undoing, cancel_requested, attempt, time_limit_ms - spent_ms AS "left!", lease_token AS "token!", request_id"#,
        host,
        worker,
        LONGEST_BACKOFF.as_secs_f64()
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.map(|r| Leased {
        id: r.id,
        project: r.project_id,
        datastore: r.datastore_id,
        kind: r.kind,
        step: r.step,
        undoing: r.undoing,
        cancel_requested: r.cancel_requested,
        attempt: r.attempt,
        time_left: Duration::from_millis(u64::try_from(r.left).unwrap_or(0)),
        token: r.token,
        request_id: r.request_id,
    }))
}

/// Locks the datastore's row and the job's, if the lease still holds; `false` when it was overtaken. In this order, as acts
/// of people do it, or the two could wait for each other.
///
/// # Errors
/// Of the database.
pub async fn hold(tx: &mut PgConnection, datastore: Uuid, job: Uuid, token: i64) -> sqlx::Result<bool> {
    sqlx::query_scalar!("SELECT id FROM datastores WHERE id = $1 FOR UPDATE", datastore).fetch_one(&mut *tx).await?;
    Ok(sqlx::query_scalar!("SELECT id FROM jobs WHERE id = $1 AND lease_token = $2 AND state = 'running' FOR UPDATE", job, token)
        .fetch_optional(tx)
        .await?
        .is_some())
}

/// Notes that a step begins, under the lease.
///
/// # Errors
/// Of the database.
pub async fn begin_step(tx: &mut PgConnection, job: &Leased, position: i32, step: Step, undo: bool) -> sqlx::Result<()> {
    sqlx::query!("UPDATE jobs SET step = $2, undoing = $3 WHERE id = $1", job.id, step.id(), undo).execute(&mut *tx).await?;
    sqlx::query!(
        "INSERT INTO job_steps (job_id, project_id, position, step, undo, state) VALUES ($1, $2, $3, $4, $5, 'running')
        ON CONFLICT (job_id, position) DO UPDATE SET state = 'running', attempts = job_steps.attempts + 1, started_at = now(), finished_at = NULL",
        job.id,
        job.project,
        position,
        step.id(),
        undo
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Notes that a step is done.
///
/// # Errors
/// Of the database.
pub async fn end_step(tx: &mut PgConnection, job: Uuid, position: i32) -> sqlx::Result<()> {
    sqlx::query!("UPDATE job_steps SET state = 'done', finished_at = now(), log_excerpt = NULL WHERE job_id = $1 AND position = $2", job, position)
        .execute(tx)
        .await?;
    Ok(())
}

/// Notes why a step failed.
///
/// # Errors
/// Of the database.
pub async fn fail_step(tx: &mut PgConnection, job: Uuid, position: i32, excerpt: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE job_steps SET state = 'failed', finished_at = now(), log_excerpt = $3 WHERE job_id = $1 AND position = $2",
        job,
        position,
        excerpt
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Moves the job on to its next step; attempts begin anew.
///
/// # Errors
/// Of the database.
pub async fn advance(tx: &mut PgConnection, job: Uuid, step: Option<Step>, undo: bool, spent: Duration) -> sqlx::Result<bool> {
    let cancel = sqlx::query_scalar!(
        "UPDATE jobs SET step = $2, undoing = $3, attempt = 0, error = NULL, spent_ms = spent_ms + $4 WHERE id = $1 RETURNING cancel_requested",
        job,
        step.map(Step::id),
        undo,
        millis(spent)
    )
    .fetch_one(tx)
    .await?;
    Ok(cancel)
}

/// Ends the job in `state` and gives the lease back.
///
/// # Errors
/// Of the database.
pub async fn end(tx: &mut PgConnection, job: Uuid, state: &str, error: Option<&str>) -> sqlx::Result<()> {
    sqlx::query!("UPDATE jobs SET state = $2, error = $3, worker_id = NULL, finished_at = now() WHERE id = $1", job, state, error)
        .execute(tx)
        .await?;
    Ok(())
}

/// Gives the lease back and asks for another attempt after a pause.
///
/// # Errors
/// Of the database.
pub async fn try_again(tx: &mut PgConnection, job: Uuid, error: &str, pause: Duration, spent: Duration) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE jobs SET state = 'queued', worker_id = NULL, attempt = attempt + 1, error = $2, spent_ms = spent_ms + $4,
         not_before = now() + $3 * interval '1 millisecond' WHERE id = $1",
        job,
        error,
        pause.as_secs_f64() * 1000.0,
        millis(spent)
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Gives the lease back, with nothing held against the job but the time it took.
///
/// # Errors
/// Of the database.
pub async fn give_back(pool: &PgPool, job: &Leased) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE jobs SET state = 'queued', worker_id = NULL, spent_ms = time_limit_ms - $3 WHERE id = $1 AND lease_token = $2 AND state = 'running'",
        job.id,
        job.token,
        millis(job.time_left)
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// How long until a queued job's pause ends; `None` when none waits.
///
/// # Errors
/// Of the database.
pub async fn next_pause(pool: &PgPool, host: Uuid) -> sqlx::Result<Option<Duration>> {
    let seconds = sqlx::query_scalar!(
        "SELECT extract(epoch FROM min(not_before) - now())::float8 FROM jobs
         WHERE host_id = $1 AND state = 'queued' AND attempt > 0 AND not_before > now() AND not_before <= now() + $2 * interval '1 second'",
        host,
        LONGEST_BACKOFF.as_secs_f64()
    )
    .fetch_one(pool)
    .await?;
    Ok(seconds.map(|s| Duration::from_secs_f64(s.max(0.0))))
}

/// A fencing token greater than every one before.
///
/// # Errors
/// Of the database.
pub async fn next_token(pool: &PgPool) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"SELECT nextval('lease_tokens') AS "token!""#).fetch_one(pool).await
}

fn millis(d: Duration) -> i64 {
    i64::try_from(d.as_millis()).unwrap_or(i64::MAX)
}
