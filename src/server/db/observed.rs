//! What checks saw: the only writers of the observed columns.

use crate::server::{engine::Health, jobs::kind::JobKind};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// What a check of a datastore's node saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// `healthy`, `unreachable` or `down`.
    pub state: &'static str,
    /// In words.
    pub detail: String,
    /// Of the server, when it answered.
    pub health: Option<Health>,
    /// Bytes of its primary's log that a replica has not applied yet, where the primary tells.
    pub lag: Option<u64>,
    /// Bytes its data takes, when measured.
    pub storage: Option<u64>,
}

/// Writes an observation of a node.
///
/// # Errors
/// Of the database.
pub async fn node(pool: &PgPool, node: Uuid, seen: &Observation) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE nodes SET observed = $2, observed_detail = $3, observed_at = now(), observed_version = coalesce($4, observed_version),
         observed_started_at = $5, observed_storage_bytes = coalesce($6, observed_storage_bytes), observed_lag_bytes = $7 WHERE id = $1",
        node,
        seen.state,
        seen.detail,
        seen.health.as_ref().map(|h| h.version.clone()),
        seen.health.as_ref().map(|h| h.started_at),
        seen.storage.map(|b| i64::try_from(b).unwrap_or(i64::MAX)),
        seen.lag.map(|b| i64::try_from(b).unwrap_or(i64::MAX))
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Writes what follows for the datastore.
///
/// # Errors
/// Of the database.
pub async fn datastore(pool: &PgPool, datastore: Uuid, state: &str, detail: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE datastores SET observed = $2, observed_detail = $3, observed_at = now() WHERE id = $1 AND lifecycle <> 'deleted'",
        datastore,
        state,
        detail
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Datastores of a host that should run and that no job works on.
///
/// # Errors
/// Of the database.
pub async fn watched(pool: &PgPool, host: Uuid) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        "SELECT id FROM datastores d WHERE host_id = $1 AND lifecycle = 'active'
         AND NOT EXISTS (SELECT FROM jobs j WHERE j.datastore_id = d.id AND j.state IN ('queued', 'running')) ORDER BY id",
        host
    )
    .fetch_all(pool)
    .await
}

/// Whether [`watched`] names it.
///
/// # Errors
/// Of the database.
pub async fn is_watched(pool: &PgPool, host: Uuid, datastore: Uuid) -> sqlx::Result<bool> {
    Ok(sqlx::query_scalar!(
        "SELECT id FROM datastores d WHERE id = $2 AND host_id = $1 AND lifecycle = 'active'
         AND NOT EXISTS (SELECT FROM jobs j WHERE j.datastore_id = d.id AND j.state IN ('queued', 'running'))",
        host,
        datastore
    )
    .fetch_optional(pool)
    .await?
    .is_some())
}

/// How a datastore was seen last.
///
/// # Errors
/// Of the database.
pub async fn state(tx: &mut PgConnection, datastore: Uuid) -> sqlx::Result<String> {
    sqlx::query_scalar!("SELECT observed FROM datastores WHERE id = $1", datastore).fetch_one(tx).await
}

/// Kinds of work of a datastore that failed for good.
///
/// # Errors
/// Of the database.
pub async fn failed_kinds(pool: &PgPool, datastore: Uuid) -> sqlx::Result<Vec<JobKind>> {
    let kinds = sqlx::query_scalar!("SELECT DISTINCT kind FROM jobs WHERE datastore_id = $1 AND state = 'failed'", datastore).fetch_all(pool).await?;
    // Another version's work says nothing to this one.
    Ok(kinds.iter().filter_map(|kind| kind.parse().ok()).collect())
}

/// A job that failed for good.
#[derive(Debug, Clone, Copy)]
pub struct Failed {
    /// Which.
    pub id: Uuid,
    /// Whether it had attempts left: then it gave way to something else.
    pub gave_way: bool,
}

/// The job of this kind that failed for good, if there is one.
///
/// # Errors
/// Of the database.
pub async fn failed(pool: &PgPool, datastore: Uuid, kind: JobKind) -> sqlx::Result<Option<Failed>> {
    let row = sqlx::query!("SELECT id, attempt FROM jobs WHERE datastore_id = $1 AND kind = $2 AND state = 'failed'", datastore, kind.id())
        .fetch_optional(pool)
        .await?;
    Ok(row.map(|row| Failed { id: row.id, gave_way: row.attempt + 1 < kind.attempts() }))
}

/// Gives a job that failed for good one more attempt, with all its time.
///
/// # Errors
/// Of the database.
pub async fn once_more(pool: &PgPool, job: Uuid, kind: JobKind) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE jobs SET state = 'queued', attempt = $2, spent_ms = 0, not_before = now(), finished_at = NULL WHERE id = $1 AND state = 'failed'",
        job,
        kind.attempts() - 1
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Datastores of a host whose certificate ends within this many days and that no renewal waits for.
///
/// # Errors
/// Of the database.
pub async fn expiring(pool: &PgPool, host: Uuid, days: i32) -> sqlx::Result<Vec<(Uuid, Uuid)>> {
    Ok(sqlx::query!(
        "SELECT id, project_id FROM datastores d WHERE host_id = $1 AND lifecycle = 'active' AND certificate_expires_at < now() + $2 * interval '1 day'
         AND NOT EXISTS (SELECT FROM jobs j WHERE j.datastore_id = d.id AND j.kind = 'renew' AND j.state IN ('queued', 'running', 'failed'))",
        host,
        f64::from(days)
    )
    .fetch_all(pool)
    .await?
    .into_iter()
    .map(|r| (r.id, r.project_id))
    .collect())
}

/// Locks a datastore that should run and that no job works on; `false` when it is not one.
///
/// # Errors
/// Of the database.
pub async fn lock_idle(tx: &mut PgConnection, datastore: Uuid) -> sqlx::Result<bool> {
    let locked = sqlx::query_scalar!("SELECT id FROM datastores WHERE id = $1 AND lifecycle = 'active' FOR UPDATE", datastore)
        .fetch_optional(&mut *tx)
        .await?;
    // Another statement: it sees what those wrote who had the lock before.
    let is_busy =
        sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM jobs WHERE datastore_id = $1 AND state IN ('queued', 'running')) AS "busy!""#, datastore)
            .fetch_one(tx)
            .await?;
    Ok(locked.is_some() && !is_busy)
}
