//! Trusted sources.

use crate::model::firewall::TrustedSource;
use ipnet::IpNet;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// The sources of a datastore.
///
/// # Errors
/// Of the database.
pub async fn list(pool: &PgPool, datastore: Uuid) -> sqlx::Result<Vec<TrustedSource>> {
    Ok(sqlx::query!(
        r#"SELECT t.id, t.cidr AS "cidr: IpNet", t.description, coalesce(p.name, p.email, 'Granary') AS "added_by!", t.created_at, t.applied_at IS NOT NULL AS "in_effect!"
        FROM trusted_sources t LEFT JOIN people p ON p.id = t.created_by WHERE t.datastore_id = $1 ORDER BY t.created_at, t.id"#,
        datastore
    )
    .fetch_all(pool)
    .await?
    .into_iter()
    .map(|r| TrustedSource { id: r.id, cidr: r.cidr.to_string(), description: r.description, added_by: r.added_by, created_at: r.created_at, in_effect: r.in_effect })
    .collect())
}

/// Enters a source; `false` when it is there already.
///
/// # Errors
/// Of the database.
pub async fn add(tx: &mut PgConnection, project: Uuid, datastore: Uuid, cidr: IpNet, description: &str, by: Uuid) -> sqlx::Result<bool> {
    Ok(sqlx::query!(
        "INSERT INTO trusted_sources (id, project_id, datastore_id, cidr, description, created_by) VALUES ($1, $2, $3, $4::inet::cidr, $5, $6) ON CONFLICT DO NOTHING",
        Uuid::now_v7(),
        project,
        datastore,
        cidr as _,
        description,
        by
    )
    .execute(tx)
    .await?
    .rows_affected()
        == 1)
}

/// Takes a source out and returns its network; `None` when it is not there.
///
/// # Errors
/// Of the database.
pub async fn remove(tx: &mut PgConnection, datastore: Uuid, source: Uuid) -> sqlx::Result<Option<IpNet>> {
    sqlx::query_scalar!(r#"DELETE FROM trusted_sources WHERE id = $1 AND datastore_id = $2 RETURNING cidr AS "cidr: IpNet""#, source, datastore)
        .fetch_optional(tx)
        .await
}

/// How many sources a datastore has.
///
/// # Errors
/// Of the database.
pub async fn count(tx: &mut PgConnection, datastore: Uuid) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"SELECT count(*) AS "n!" FROM trusted_sources WHERE datastore_id = $1"#, datastore).fetch_one(tx).await
}

/// Notes that the edge has these sources.
///
/// # Errors
/// Of the database.
pub async fn applied(tx: &mut PgConnection, sources: &[Uuid]) -> sqlx::Result<()> {
    sqlx::query!("UPDATE trusted_sources SET applied_at = now() WHERE id = ANY($1) AND applied_at IS NULL", sources).execute(tx).await?;
    Ok(())
}
