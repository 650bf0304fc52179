//! Everything that makes a new datastore.

use crate::model::{datastore::Storage, draft::NewDatastore};
use sqlx::PgConnection;
use uuid::Uuid;

/// Writes a datastore with its nodes, volumes, first database and user.
///
/// # Errors
/// Of the database; a unique violation when the name is taken.
pub async fn datastore(tx: &mut PgConnection, id: Uuid, project: Uuid, person: Uuid, host: Uuid, wanted: &NewDatastore) -> sqlx::Result<()> {
    let (storage, volume_type) = match &wanted.storage {
        Storage::Ephemeral { .. } => ("ephemeral", None),
        Storage::Volume { volume_type, .. } => ("volume", Some(volume_type.as_str())),
    };
    let gb = i32::try_from(wanted.storage.gb()).unwrap_or(i32::MAX);
    sqlx::query!(
        "INSERT INTO datastores (id, project_id, name, engine, version, topology, region, flavor, flavor_ram_mb, flavor_vcpus, storage, volume_type,
            storage_gb, tags, host_id, lifecycle, created_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, 'creating', $16)",
        id,
        project,
        wanted.name,
        wanted.engine.id(),
        wanted.version,
        wanted.topology.id(),
        wanted.region,
        wanted.flavor.id,
        i64::try_from(wanted.flavor.ram_mb).unwrap_or(i64::MAX),
        i32::try_from(wanted.flavor.vcpus).unwrap_or(i32::MAX),
        storage,
        volume_type,
        gb,
        &wanted.tags,
        host,
        person
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "INSERT INTO first_databases (datastore_id, project_id, database_name, user_name) VALUES ($1, $2, $3, $4)",
        id,
        project,
        wanted.database,
        wanted.user
    )
    .execute(&mut *tx)
    .await?;
    for slot in 0..wanted.topology.nodes() {
        let node = Uuid::now_v7();
        let role = if slot == 0 { "primary" } else { "replica" };
        sqlx::query!(
            "INSERT INTO nodes (id, project_id, datastore_id, slot, role) VALUES ($1, $2, $3, $4, $5)",
            node,
            project,
            id,
            i16::try_from(slot).unwrap_or(i16::MAX),
            role
        )
        .execute(&mut *tx)
        .await?;
        if let Some(volume_type) = volume_type {
            sqlx::query!(
                "INSERT INTO volumes (id, project_id, datastore_id, node_id, volume_type, size_gb) VALUES ($1, $2, $3, $4, $5, $6)",
                Uuid::now_v7(),
                project,
                id,
                node,
                volume_type,
                gb
            )
            .execute(&mut *tx)
            .await?;
        }
    }
    Ok(())
}
