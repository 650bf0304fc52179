//! What projects and regions have promised.

use crate::model::catalogue::Quota;
use sqlx::PgConnection;
use uuid::Uuid;

/// What a project's quota has left. With `lock`, nobody else of the project can decide at the same time.
///
/// # Errors
/// Of the database.
pub async fn quota_left(tx: &mut PgConnection, project: Uuid, lock: bool) -> anyhow::Result<Quota> {
    if lock {
        sqlx::query!("SELECT id FROM projects WHERE id = $1 FOR UPDATE", project).fetch_one(&mut *tx).await?;
    }
    let p = sqlx::query!("SELECT quota_instances, quota_ram_mb, quota_storage_gb FROM projects WHERE id = $1", project).fetch_one(&mut *tx).await?;
    let used = sqlx::query!(
        r#"SELECT count(*) AS "instances!", coalesce(sum(d.flavor_ram_mb), 0)::bigint AS "ram!", coalesce(sum(d.storage_gb), 0)::bigint AS "storage!"
        FROM nodes n JOIN datastores d ON d.id = n.datastore_id WHERE n.project_id = $1 AND d.deleted_at IS NULL"#,
        project
    )
    .fetch_one(tx)
    .await?;
    Ok(Quota {
        instances: u32::try_from(i64::from(p.quota_instances) - used.instances).unwrap_or(0),
        ram_mb: u64::try_from(p.quota_ram_mb - used.ram).unwrap_or(0),
        storage_gb: u64::try_from(p.quota_storage_gb - used.storage).unwrap_or(0),
    })
}

/// RAM in MB and storage in GB that a region's datastores on this host were promised; spares were promised to nobody. With `lock`, nobody else can promise
/// more at the same time.
///
/// # Errors
/// Of the database.
pub async fn promised(tx: &mut PgConnection, host: Uuid, region: &str, lock: bool) -> anyhow::Result<(u64, u64)> {
    if lock {
        sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended('granary region ' || $1, 0))", region).fetch_one(&mut *tx).await?;
    }
    let used = sqlx::query!(
        r#"SELECT coalesce(sum(d.flavor_ram_mb), 0)::bigint AS "ram!", coalesce(sum(d.storage_gb), 0)::bigint AS "storage!"
        FROM nodes n JOIN datastores d ON d.id = n.datastore_id WHERE d.host_id = $1 AND d.region = $2 AND d.deleted_at IS NULL AND d.lifecycle <> 'spare'"#,
        host,
        region
    )
    .fetch_one(tx)
    .await?;
    Ok((u64::try_from(used.ram)?, u64::try_from(used.storage)?))
}
