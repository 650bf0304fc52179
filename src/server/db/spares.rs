//! Datastores that were made ready before anybody asked for one.

use crate::model::draft::NewDatastore;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

/// The project of spares: nobody is a member of it.
pub const PROJECT: Uuid = Uuid::nil();

/// A spare of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spare {
    /// Its id, and that of the datastore it will be.
    pub id: Uuid,
    /// Region's id.
    pub region: String,
    /// Engine's id.
    pub engine: String,
    /// Major version.
    pub version: String,
    /// `ephemeral` or `volume`.
    pub storage: String,
    /// Whether work on it waits or runs.
    pub busy: bool,
    /// Whether work on it failed.
    pub failed: bool,
}

/// All spares of a host, the newest first.
///
/// # Errors
/// Of the database.
pub async fn all(tx: &mut PgConnection, host: Uuid) -> sqlx::Result<Vec<Spare>> {
    sqlx::query_as!(
        Spare,
        r#"SELECT d.id, d.region, d.engine, d.version, d.storage,
            EXISTS (SELECT FROM jobs j WHERE j.datastore_id = d.id AND j.state IN ('queued', 'running')) AS "busy!",
            EXISTS (SELECT FROM jobs j WHERE j.datastore_id = d.id AND j.state IN ('failed', 'abandoned', 'cancelled')) AS "failed!"
        FROM datastores d WHERE d.host_id = $1 AND d.lifecycle = 'spare' ORDER BY d.created_at DESC, d.id"#,
        host
    )
    .fetch_all(tx)
    .await
}

/// How many spares of a host are ready.
///
/// # Errors
/// Of the database.
pub async fn ready(executor: impl PgExecutor<'_>, host: Uuid) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "ready!" FROM datastores d WHERE d.host_id = $1 AND d.lifecycle = 'spare'
        AND NOT EXISTS (SELECT FROM jobs j WHERE j.datastore_id = d.id AND j.state <> 'done')"#,
        host
    )
    .fetch_one(executor)
    .await
}

/// The right to decide about a host's spares until the transaction ends; `false` when somebody else has it.
///
/// # Errors
/// Of the database.
pub async fn lock(tx: &mut PgConnection, host: Uuid) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock(hashtextextended('granary spares ' || $1::text, 0)) AS "locked!""#, host.to_string())
        .fetch_one(tx)
        .await
}

/// Whether people's work waits or runs on a host.
///
/// # Errors
/// Of the database.
pub async fn is_host_busy(tx: &mut PgConnection, host: Uuid) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM jobs WHERE host_id = $1 AND kind <> 'prepare' AND (state = 'running' OR (state = 'queued' AND (attempt = 0 OR not_before <= now())))) AS "busy!""#,
        host
    )
    .fetch_one(tx)
    .await
}

/// Locks a spare that nobody took; `false` when it is gone.
///
/// # Errors
/// Of the database.
pub async fn lock_one(tx: &mut PgConnection, id: Uuid) -> sqlx::Result<bool> {
    Ok(sqlx::query_scalar!("SELECT id FROM datastores WHERE id = $1 AND lifecycle = 'spare' FOR UPDATE", id).fetch_optional(tx).await?.is_some())
}

/// Puts it aside: addresses, secrets and its CA are those of nobody, so they are forgotten.
///
/// # Errors
/// Of the database.
pub async fn park(tx: &mut PgConnection, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM secrets WHERE datastore_id = $1", id).execute(&mut *tx).await?;
    sqlx::query!("DELETE FROM addresses WHERE datastore_id = $1", id).execute(&mut *tx).await?;
    sqlx::query!("UPDATE datastores SET ca_certificate = NULL, ca_fingerprint = NULL, certificate_expires_at = NULL WHERE id = $1", id)
        .execute(tx)
        .await?;
    Ok(())
}

/// Locks a spare of the wanted kind that is ready and no larger than wanted; `None` when there is none. The one that waited longest comes first.
///
/// # Errors
/// Of the database.
pub async fn find(tx: &mut PgConnection, host: Uuid, wanted: &NewDatastore) -> sqlx::Result<Option<Uuid>> {
    sqlx::query_scalar!(
        "SELECT d.id FROM datastores d WHERE d.host_id = $1 AND d.region = $2 AND d.engine = $3 AND d.version = $4 AND d.storage = $5
            AND (d.storage = 'ephemeral' OR d.storage_gb <= $6) AND d.lifecycle = 'spare' AND NOT EXISTS (SELECT FROM jobs j WHERE j.datastore_id = d.id AND j.state <> 'done')
         ORDER BY d.created_at FOR UPDATE SKIP LOCKED LIMIT 1",
        host,
        wanted.region,
        wanted.engine.id(),
        wanted.version,
        wanted.storage.kind(),
        i32::try_from(wanted.storage.gb()).unwrap_or(i32::MAX)
    )
    .fetch_optional(tx)
    .await
}
