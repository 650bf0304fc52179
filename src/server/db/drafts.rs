//! Wizard drafts.

use crate::model::draft::Draft;
use sqlx::{PgConnection, PgPool, types::Json};
use uuid::Uuid;

/// Writes a new draft.
///
/// # Errors
/// Of the database.
pub async fn create(tx: &mut PgConnection, project: Uuid, person: Uuid, draft: &Draft) -> sqlx::Result<Uuid> {
    let id = Uuid::now_v7();
    sqlx::query!("INSERT INTO drafts (id, project_id, person_id, fields) VALUES ($1, $2, $3, $4)", id, project, person, Json(draft) as _)
        .execute(tx)
        .await?;
    Ok(id)
}

/// Reads a person's draft and the datastore it became.
///
/// # Errors
/// Of the database.
pub async fn get(pool: &PgPool, project: Uuid, person: Uuid, id: Uuid) -> sqlx::Result<Option<(Draft, Option<Uuid>)>> {
    Ok(sqlx::query!(
        r#"SELECT fields AS "fields: Json<Draft>", datastore_id FROM drafts WHERE id = $1 AND project_id = $2 AND person_id = $3"#,
        id,
        project,
        person
    )
    .fetch_optional(pool)
    .await?
    .map(|r| (r.fields.0, r.datastore_id)))
}

/// Reads and locks it: whoever finishes or saves at the same time waits.
///
/// # Errors
/// Of the database.
pub async fn lock(tx: &mut PgConnection, project: Uuid, person: Uuid, id: Uuid) -> sqlx::Result<Option<(Draft, Option<Uuid>)>> {
    Ok(sqlx::query!(
        r#"SELECT fields AS "fields: Json<Draft>", datastore_id FROM drafts WHERE id = $1 AND project_id = $2 AND person_id = $3 FOR UPDATE"#,
        id,
        project,
        person
    )
    .fetch_optional(tx)
    .await?
    .map(|r| (r.fields.0, r.datastore_id)))
}

/// Writes its fields.
///
/// # Errors
/// Of the database.
pub async fn save(tx: &mut PgConnection, id: Uuid, draft: &Draft) -> sqlx::Result<()> {
    sqlx::query!("UPDATE drafts SET fields = $2, updated_at = now() WHERE id = $1", id, Json(draft) as _).execute(tx).await?;
    Ok(())
}

/// Notes which datastore it became.
///
/// # Errors
/// Of the database.
pub async fn became(tx: &mut PgConnection, id: Uuid, datastore: Uuid) -> sqlx::Result<()> {
    sqlx::query!("UPDATE drafts SET datastore_id = $2, updated_at = now() WHERE id = $1", id, datastore).execute(tx).await?;
    Ok(())
}
