//! Everything that makes a new datastore: of nothing, or of a spare.

use super::{spares, sync_sets};
use crate::{
    model::{draft::NewDatastore, durability::Durability},
    server::engine::quorum::SyncSet,
};
use sqlx::PgConnection;
use uuid::Uuid;

/// Whose a new datastore is, and where.
#[derive(Debug, Clone, Copy)]
pub struct Owner {
    /// Its project.
    pub project: Uuid,
    /// Who made it; `None` when Granary itself did.
    pub person: Option<Uuid>,
    /// Its host.
    pub host: Uuid,
}

/// Writes a datastore that somebody asked for: of a spare when one of its kind is ready. Returns its id.
///
/// # Errors
/// Of the database; a unique violation when the name is taken.
pub async fn datastore(tx: &mut PgConnection, owner: Owner, wanted: &NewDatastore) -> sqlx::Result<Uuid> {
    if let Some(spare) = spares::find(tx, owner.host, wanted).await? {
        adopt(tx, spare, owner, wanted).await?;
        nodes(tx, spare, owner, wanted, 1).await?;
        sync_set(tx, spare, owner, wanted).await?;
        return Ok(spare);
    }
    let id = Uuid::now_v7();
    insert(tx, id, owner, wanted, "creating").await?;
    nodes(tx, id, owner, wanted, 0).await?;
    sync_set(tx, id, owner, wanted).await?;
    Ok(id)
}

/// Writes a spare. Returns its id.
///
/// # Errors
/// Of the database.
pub async fn spare(tx: &mut PgConnection, host: Uuid, kind: &NewDatastore) -> sqlx::Result<Uuid> {
    let (id, owner) = (Uuid::now_v7(), Owner { project: spares::PROJECT, person: None, host });
    let named = NewDatastore { name: format!("spare-{id}"), ..kind.clone() };
    insert(tx, id, owner, &named, "spare").await?;
    nodes(tx, id, owner, &named, 0).await?;
    Ok(id)
}

async fn insert(tx: &mut PgConnection, id: Uuid, owner: Owner, wanted: &NewDatastore, lifecycle: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO datastores (id, project_id, name, engine, version, topology, region, flavor, flavor_ram_mb, flavor_vcpus, storage, volume_type,
            storage_gb, tags, host_id, lifecycle, created_by, durability)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)",
        id,
        owner.project,
        wanted.name,
        wanted.engine.id(),
        wanted.version,
        wanted.topology.id(),
        wanted.region,
        wanted.flavor.id,
        i64::try_from(wanted.flavor.ram_mb).unwrap_or(i64::MAX),
        i32::try_from(wanted.flavor.vcpus).unwrap_or(i32::MAX),
        wanted.storage.kind(),
        wanted.storage.volume_type(),
        gb(wanted),
        &wanted.tags,
        owner.host,
        lifecycle,
        owner.person,
        wanted.durability.id()
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "INSERT INTO first_databases (datastore_id, project_id, database_name, user_name) VALUES ($1, $2, $3, $4)",
        id,
        owner.project,
        wanted.database,
        wanted.user
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Makes a spare what was wanted. What it is on its host stays: id, directories, users and groups are named after it.
async fn adopt(tx: &mut PgConnection, id: Uuid, owner: Owner, wanted: &NewDatastore) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE datastores SET project_id = $2, name = $3, topology = $4, flavor = $5, flavor_ram_mb = $6, flavor_vcpus = $7, volume_type = $8,
            storage_gb = $9, tags = $10, created_by = $11, durability = $12, lifecycle = 'creating', created_at = now() WHERE id = $1",
        id,
        owner.project,
        wanted.name,
        wanted.topology.id(),
        wanted.flavor.id,
        i64::try_from(wanted.flavor.ram_mb).unwrap_or(i64::MAX),
        i32::try_from(wanted.flavor.vcpus).unwrap_or(i32::MAX),
        wanted.storage.volume_type(),
        gb(wanted),
        &wanted.tags,
        owner.person,
        wanted.durability.id()
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "UPDATE first_databases SET project_id = $2, database_name = $3, user_name = $4 WHERE datastore_id = $1",
        id,
        owner.project,
        wanted.database,
        wanted.user
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!("UPDATE nodes SET project_id = $2, created_at = now() WHERE datastore_id = $1", id, owner.project).execute(&mut *tx).await?;
    sqlx::query!(
        "UPDATE volumes SET project_id = $2, volume_type = coalesce($3, volume_type), size_gb = $4, created_at = now() WHERE datastore_id = $1",
        id,
        owner.project,
        wanted.storage.volume_type(),
        gb(wanted)
    )
    .execute(&mut *tx)
    .await?;
    // How it was made ready is nobody's activity.
    sqlx::query!("DELETE FROM jobs WHERE datastore_id = $1", id).execute(tx).await?;
    Ok(())
}

/// Writes the nodes from this slot on, with their volumes.
async fn nodes(tx: &mut PgConnection, id: Uuid, owner: Owner, wanted: &NewDatastore, from: u32) -> sqlx::Result<()> {
    for slot in from..wanted.topology.nodes() {
        let node = Uuid::now_v7();
        let role = if slot == 0 { "primary" } else { "replica" };
        sqlx::query!(
            "INSERT INTO nodes (id, project_id, datastore_id, slot, role) VALUES ($1, $2, $3, $4, $5)",
            node,
            owner.project,
            id,
            i16::try_from(slot).unwrap_or(i16::MAX),
            role
        )
        .execute(&mut *tx)
        .await?;
        if let Some(volume_type) = wanted.storage.volume_type() {
            sqlx::query!(
                "INSERT INTO volumes (id, project_id, datastore_id, node_id, volume_type, size_gb) VALUES ($1, $2, $3, $4, $5, $6)",
                Uuid::now_v7(),
                owner.project,
                id,
                node,
                volume_type,
                gb(wanted)
            )
            .execute(&mut *tx)
            .await?;
        }
    }
    Ok(())
}

/// Records what the primary's commits wait for from its first start on.
async fn sync_set(tx: &mut PgConnection, id: Uuid, owner: Owner, wanted: &NewDatastore) -> sqlx::Result<()> {
    let nodes = sqlx::query_scalar!("SELECT id FROM nodes WHERE datastore_id = $1 ORDER BY slot", id).fetch_all(&mut *tx).await?;
    let Some((primary, replicas)) = nodes.split_first() else { return Ok(()) };
    let set = match wanted.durability {
        Durability::Quorum => SyncSet::any_half(*primary, replicas.to_vec()),
        Durability::Asynchronous => SyncSet::nobody(*primary),
    };
    sync_sets::record(tx, owner.project, id, &set).await
}

fn gb(wanted: &NewDatastore) -> i32 {
    i32::try_from(wanted.storage.gb()).unwrap_or(i32::MAX)
}
