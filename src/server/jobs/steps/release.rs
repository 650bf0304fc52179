//! The end: everything a datastore held is free again. Its row and its audit events stay.

use super::Context;

/// Frees the platform's last things, then forgets secrets, addresses, users and names in one transaction.
pub(super) async fn release(cx: &Context<'_>) -> anyhow::Result<()> {
    cx.platform()?.destroy_datastore(cx.lease).await?;
    let id = cx.plan.id;
    let mut tx = cx.transaction().await?;
    sqlx::query!("DELETE FROM secrets WHERE datastore_id = $1", id).execute(&mut *tx).await?;
    sqlx::query!("DELETE FROM addresses WHERE datastore_id = $1", id).execute(&mut *tx).await?;
    sqlx::query!("DELETE FROM trusted_sources WHERE datastore_id = $1", id).execute(&mut *tx).await?;
    sqlx::query!("DELETE FROM volumes WHERE datastore_id = $1", id).execute(&mut *tx).await?;
    sqlx::query!("DELETE FROM nodes WHERE datastore_id = $1", id).execute(&mut *tx).await?;
    sqlx::query!(
        "UPDATE datastores SET lifecycle = 'deleted', deleted_at = now(), ca_certificate = NULL, ca_fingerprint = NULL, observed = 'unknown' WHERE id = $1",
        id
    )
    .execute(&mut *tx)
    .await?;
    // What other jobs of it still wanted is void.
    sqlx::query!(
        "UPDATE jobs SET state = 'cancelled', finished_at = now() WHERE datastore_id = $1 AND id <> $2 AND state IN ('queued', 'failed')",
        id,
        cx.job.id
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}
