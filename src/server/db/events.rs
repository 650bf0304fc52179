//! The audit line: when, who, what, from where.

use crate::{model::activity::EventView, server::domain::Actor};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// Writes what a person did, in the transaction that did it.
///
/// # Errors
/// Of the database.
pub async fn write(tx: &mut PgConnection, actor: &Actor, datastore: Option<Uuid>, action: &str, detail: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO events (project_id, datastore_id, person_id, actor, address, action, detail, request_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        actor.me.project,
        datastore,
        actor.me.person,
        actor.me.name,
        actor.address.map(|a| a.to_string()),
        action,
        detail,
        actor.request_id
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Writes what Granary did by itself.
///
/// # Errors
/// Of the database.
pub async fn write_own(tx: &mut PgConnection, project: Uuid, datastore: Uuid, action: &str, detail: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO events (project_id, datastore_id, actor, action, detail) VALUES ($1, $2, 'Granary', $3, $4)",
        project,
        datastore,
        action,
        detail
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The newest events of a datastore.
///
/// # Errors
/// Of the database.
pub async fn of_datastore(pool: &PgPool, datastore: Uuid, limit: i64) -> sqlx::Result<Vec<EventView>> {
    sqlx::query_as!(
        EventView,
        r#"SELECT created_at AS at, actor, coalesce(address, '') AS "address!", action, detail FROM events WHERE datastore_id = $1 ORDER BY id DESC LIMIT $2"#,
        datastore,
        limit
    )
    .fetch_all(pool)
    .await
}
