//! Every write to a datastore after its creation, in the transaction of the act that wants it.

use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

/// Gives it another name.
///
/// # Errors
/// A unique violation when the name is taken; others of the database.
pub async fn rename(tx: &mut PgConnection, id: Uuid, name: &str) -> sqlx::Result<()> {
    sqlx::query!("UPDATE datastores SET name = $2 WHERE id = $1", id, name).execute(tx).await?;
    Ok(())
}

/// Sets its tags.
///
/// # Errors
/// Of the database.
pub async fn set_tags(tx: &mut PgConnection, id: Uuid, tags: &[String]) -> sqlx::Result<()> {
    sqlx::query!("UPDATE datastores SET tags = $2 WHERE id = $1", id, tags).execute(tx).await?;
    Ok(())
}

/// Switches termination protection.
///
/// # Errors
/// Of the database.
pub async fn protect(tx: &mut PgConnection, id: Uuid, on: bool) -> sqlx::Result<()> {
    sqlx::query!("UPDATE datastores SET termination_protection = $2 WHERE id = $1", id, on).execute(tx).await?;
    Ok(())
}

/// Notes that the first password was shown.
///
/// # Errors
/// Of the database.
pub async fn revealed(tx: &mut PgConnection, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!("UPDATE first_databases SET revealed_at = now() WHERE datastore_id = $1", id).execute(tx).await?;
    Ok(())
}

/// Its creation goes on after a Retry.
///
/// # Errors
/// Of the database.
pub async fn creating(tx: &mut PgConnection, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!("UPDATE datastores SET lifecycle = 'creating' WHERE id = $1 AND lifecycle = 'failed'", id).execute(tx).await?;
    Ok(())
}

/// Its creation failed.
///
/// # Errors
/// Of the database.
pub async fn failed(tx: &mut PgConnection, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!("UPDATE datastores SET lifecycle = 'failed' WHERE id = $1 AND lifecycle = 'creating'", id).execute(tx).await?;
    Ok(())
}

/// It was made and answers, as was just checked; `whole` when all its nodes do.
///
/// # Errors
/// Of the database.
pub async fn active(tx: &mut PgConnection, id: Uuid, whole: bool, detail: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE datastores SET lifecycle = 'active', observed = CASE WHEN $3 THEN 'healthy' ELSE 'degraded' END, observed_detail = $2, observed_at = now()
         WHERE id = $1 AND lifecycle IN ('creating', 'active', 'failed')",
        id,
        detail,
        whole
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// It goes away.
///
/// # Errors
/// Of the database.
pub async fn deleting(tx: &mut PgConnection, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!("UPDATE datastores SET lifecycle = 'deleting' WHERE id = $1", id).execute(tx).await?;
    Ok(())
}

/// It is gone: secrets, addresses, sources, volumes and nodes are forgotten, its name is free. Its row and its audit
/// events stay, and what other jobs still wanted of it is void.
///
/// # Errors
/// Of the database.
pub async fn deleted(tx: &mut PgConnection, id: Uuid, by: Uuid) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM secrets WHERE datastore_id = $1", id).execute(&mut *tx).await?;
    sqlx::query!("DELETE FROM addresses WHERE datastore_id = $1", id).execute(&mut *tx).await?;
    sqlx::query!("DELETE FROM trusted_sources WHERE datastore_id = $1", id).execute(&mut *tx).await?;
    sqlx::query!("DELETE FROM sync_sets WHERE datastore_id = $1", id).execute(&mut *tx).await?;
    sqlx::query!("DELETE FROM volumes WHERE datastore_id = $1", id).execute(&mut *tx).await?;
    sqlx::query!("DELETE FROM nodes WHERE datastore_id = $1", id).execute(&mut *tx).await?;
    sqlx::query!(
        "UPDATE datastores SET lifecycle = 'deleted', deleted_at = now(), ca_certificate = NULL, ca_fingerprint = NULL, observed = 'unknown' WHERE id = $1",
        id
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "UPDATE jobs SET state = 'cancelled', finished_at = now() WHERE datastore_id = $1 AND id <> $2 AND state IN ('queued', 'failed')",
        id,
        by
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Keeps its CA.
///
/// # Errors
/// Of the database.
pub async fn set_authority(tx: &mut PgConnection, id: Uuid, certificate_pem: &str, fingerprint: &str) -> sqlx::Result<()> {
    sqlx::query!("UPDATE datastores SET ca_certificate = $2, ca_fingerprint = $3 WHERE id = $1", id, certificate_pem, fingerprint)
        .execute(tx)
        .await?;
    Ok(())
}

/// Notes when its nodes' certificates end.
///
/// # Errors
/// Of the database.
pub async fn set_certificate_end(tx: &mut PgConnection, id: Uuid, end: OffsetDateTime) -> sqlx::Result<()> {
    sqlx::query!("UPDATE datastores SET certificate_expires_at = $2 WHERE id = $1", id, end).execute(tx).await?;
    Ok(())
}

/// The region of a project's datastore; `None` when there is none.
///
/// # Errors
/// Of the database.
pub async fn region(pool: &PgPool, project: Uuid, id: Uuid) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!("SELECT region FROM datastores WHERE id = $1 AND project_id = $2 AND deleted_at IS NULL", id, project)
        .fetch_optional(pool)
        .await
}

/// Notes which node should become the primary, or that none should.
///
/// # Errors
/// Of the database.
pub async fn want_primary(tx: &mut PgConnection, id: Uuid, node: Option<Uuid>) -> sqlx::Result<()> {
    sqlx::query!("UPDATE datastores SET wanted_primary = $2 WHERE id = $1", id, node).execute(tx).await?;
    Ok(())
}

/// A node has become the primary, and the others replicas: routes of before are of an older epoch.
///
/// # Errors
/// Of the database.
pub async fn promoted(tx: &mut PgConnection, id: Uuid, node: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE nodes SET role = CASE WHEN id = $2 THEN 'primary' ELSE 'replica' END,
            membership = CASE WHEN id = $2 THEN 'member' ELSE membership END WHERE datastore_id = $1",
        id,
        node
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!("UPDATE datastores SET wanted_primary = NULL, epoch = epoch + 1 WHERE id = $1", id).execute(tx).await?;
    Ok(())
}
