//! What primaries' commits wait for, as recorded: see [`SyncSet`].

use crate::server::engine::quorum::SyncSet;
use sqlx::PgConnection;
use uuid::Uuid;

/// The recorded sets, oldest first.
///
/// # Errors
/// Of the database.
pub async fn of_datastore(tx: &mut PgConnection, datastore: Uuid) -> anyhow::Result<Vec<SyncSet>> {
    sqlx::query!("SELECT primary_id, members, acks FROM sync_sets WHERE datastore_id = $1 ORDER BY generation", datastore)
        .fetch_all(tx)
        .await?
        .into_iter()
        .map(|r| Ok(SyncSet { primary: r.primary_id, members: r.members, acks: usize::try_from(r.acks)? }))
        .collect()
}

/// Records another set, beside those that are: the newest is what is wanted from now on.
///
/// # Errors
/// Of the database.
pub async fn record(tx: &mut PgConnection, project: Uuid, datastore: Uuid, set: &SyncSet) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO sync_sets (datastore_id, project_id, primary_id, members, acks) VALUES ($1, $2, $3, $4, $5)",
        datastore,
        project,
        set.primary,
        &set.members,
        i32::try_from(set.acks).unwrap_or(i32::MAX)
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Forgets all but the newest, which a server has confirmed.
///
/// # Errors
/// Of the database.
pub async fn forget_older(tx: &mut PgConnection, datastore: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "DELETE FROM sync_sets WHERE datastore_id = $1 AND generation < (SELECT max(generation) FROM sync_sets WHERE datastore_id = $1)",
        datastore
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Wants another durability of a datastore; a job sees to it.
///
/// # Errors
/// Of the database.
pub async fn want(tx: &mut PgConnection, datastore: Uuid, durability: &str) -> sqlx::Result<()> {
    sqlx::query!("UPDATE datastores SET durability = $2 WHERE id = $1", datastore, durability).execute(tx).await?;
    Ok(())
}
