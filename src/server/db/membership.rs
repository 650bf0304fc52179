//! Nodes that are added to a datastore or removed from it.

use sqlx::PgConnection;
use uuid::Uuid;

/// Writes a node that is to be added in this slot, with a volume where the others have one. Returns its id.
///
/// # Errors
/// Of the database.
pub async fn add(tx: &mut PgConnection, datastore: Uuid, slot: u8) -> sqlx::Result<Uuid> {
    let node = Uuid::now_v7();
    sqlx::query!(
        "INSERT INTO nodes (id, project_id, datastore_id, slot, role, membership)
         SELECT $2, project_id, id, $3, 'replica', 'joining' FROM datastores WHERE id = $1",
        datastore,
        node,
        i16::from(slot)
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "INSERT INTO volumes (id, project_id, datastore_id, node_id, volume_type, size_gb)
         SELECT $3, project_id, id, $2, volume_type, storage_gb FROM datastores WHERE id = $1 AND storage = 'volume'",
        datastore,
        node,
        Uuid::now_v7()
    )
    .execute(tx)
    .await?;
    Ok(node)
}

/// Marks a replica as one that leaves.
///
/// # Errors
/// Of the database.
pub async fn leave(tx: &mut PgConnection, node: Uuid) -> sqlx::Result<()> {
    sqlx::query!("UPDATE nodes SET membership = 'leaving' WHERE id = $1", node).execute(tx).await?;
    Ok(())
}

/// Those that were being added are members.
///
/// # Errors
/// Of the database.
pub async fn admit(tx: &mut PgConnection, datastore: Uuid) -> sqlx::Result<()> {
    sqlx::query!("UPDATE nodes SET membership = 'member' WHERE datastore_id = $1 AND membership = 'joining'", datastore).execute(tx).await?;
    Ok(())
}

/// Those that were being added leave, those that were leaving stay: they were to be replaced.
///
/// # Errors
/// Of the database.
pub async fn withdraw(tx: &mut PgConnection, datastore: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE nodes SET membership = CASE membership WHEN 'joining' THEN 'leaving' ELSE 'member' END
         WHERE datastore_id = $1 AND EXISTS (SELECT FROM nodes WHERE datastore_id = $1 AND membership = 'joining')",
        datastore
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Forgets a node that was removed, and gives its address, secrets and volume back.
///
/// # Errors
/// Of the database.
pub async fn removed(tx: &mut PgConnection, datastore: Uuid, node: Uuid, slot: u8) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM addresses WHERE datastore_id = $1 AND purpose = 'private:' || $2::integer", datastore, i32::from(slot))
        .execute(&mut *tx)
        .await?;
    sqlx::query!(
        "DELETE FROM secrets WHERE datastore_id = $1 AND purpose IN ('node-key:' || $2::integer, 'node-certificate:' || $2::integer)",
        datastore,
        i32::from(slot)
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!("DELETE FROM volumes WHERE node_id = $1", node).execute(&mut *tx).await?;
    sqlx::query!("DELETE FROM nodes WHERE id = $1", node).execute(tx).await?;
    Ok(())
}

/// Wants replicas read from while they lack at most so many MB of log, and readers led elsewhere (`none`, `primary`) where none is left.
///
/// # Errors
/// Of the database.
pub async fn want_readers(tx: &mut PgConnection, datastore: Uuid, lag_mb: i32, fallback: &str) -> sqlx::Result<()> {
    sqlx::query!("UPDATE datastores SET reader_lag_mb = $2, reader_fallback = $3 WHERE id = $1", datastore, lag_mb, fallback).execute(tx).await?;
    Ok(())
}

/// Wants another topology; a job sees to it.
///
/// # Errors
/// Of the database.
pub async fn want(tx: &mut PgConnection, datastore: Uuid, topology: &str) -> sqlx::Result<()> {
    sqlx::query!("UPDATE datastores SET topology = $2 WHERE id = $1", datastore, topology).execute(tx).await?;
    Ok(())
}
