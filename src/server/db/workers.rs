//! Running Granary processes and whose leases may be taken over.

use crate::server::jobs::owner::Owner;
use sqlx::PgPool;
use uuid::Uuid;

/// Enters a process.
///
/// # Errors
/// Of the database.
pub async fn enter(pool: &PgPool, worker: Uuid, host: Uuid, owner: &Owner) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO workers (id, host_id, boot_id, pid, start_ticks) VALUES ($1, $2, $3, $4, $5)",
        worker,
        host,
        owner.boot_id,
        owner.pid,
        owner.start_ticks
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Counts a heartbeat; `false` when the process is not entered, or was taken for dead and taken out.
///
/// # Errors
/// Of the database.
pub async fn beat(pool: &PgPool, worker: Uuid) -> sqlx::Result<bool> {
    let beaten = sqlx::query!("UPDATE workers SET heartbeat = heartbeat + 1 WHERE id = $1", worker).execute(pool).await?;
    Ok(beaten.rows_affected() == 1)
}

/// Takes a process out.
///
/// # Errors
/// Of the database.
pub async fn leave(pool: &PgPool, worker: Uuid) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM workers WHERE id = $1", worker).execute(pool).await?;
    Ok(())
}

/// Another process of this host, as an observer sees it.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its id.
    pub id: Uuid,
    /// Which process it is.
    pub owner: Owner,
    /// Its counter.
    pub heartbeat: i64,
}

/// The other processes of this host.
///
/// # Errors
/// Of the database.
pub async fn peers(pool: &PgPool, host: Uuid, me: Uuid) -> sqlx::Result<Vec<Peer>> {
    let rows = sqlx::query!("SELECT id, boot_id, pid, start_ticks, heartbeat FROM workers WHERE host_id = $1 AND id <> $2", host, me)
        .fetch_all(pool)
        .await?;
    Ok(rows
        .into_iter()
        .map(|r| Peer { id: r.id, owner: Owner { boot_id: r.boot_id, pid: r.pid, start_ticks: r.start_ticks }, heartbeat: r.heartbeat })
        .collect())
}

/// Frees the leases of a process that is dead or silent. The attempt counts, so that a step that kills its worker
/// again and again comes to an end. Returns how many were freed.
///
/// # Errors
/// Of the database.
pub async fn take_over(pool: &PgPool, worker: Uuid) -> sqlx::Result<u64> {
    let mut tx = pool.begin().await?;
    let freed = sqlx::query!(
        "UPDATE jobs SET state = 'queued', worker_id = NULL, attempt = attempt + 1, not_before = now() WHERE worker_id = $1 AND state = 'running'",
        worker
    )
    .execute(&mut *tx)
    .await?
    .rows_affected();
    sqlx::query!("DELETE FROM workers WHERE id = $1", worker).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(freed)
}

/// Frees leases whose worker is not entered at all.
///
/// # Errors
/// Of the database.
pub async fn free_orphans(pool: &PgPool, host: Uuid) -> sqlx::Result<u64> {
    Ok(sqlx::query!(
        "UPDATE jobs SET state = 'queued', worker_id = NULL, not_before = now()
        WHERE host_id = $1 AND state = 'running' AND NOT EXISTS (SELECT FROM workers w WHERE w.id = jobs.worker_id)",
        host
    )
    .execute(pool)
    .await?
    .rows_affected())
}
