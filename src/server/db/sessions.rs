//! Sessions. Whose one is stands in its own columns and is set when it is made, never changed.

use super::error::trouble;
use crate::error::AppError;
use serde_json::{Map, Value};
use sqlx::{PgConnection, PgPool, types::Json};
use std::time::Duration;
use time::OffsetDateTime;
use uuid::Uuid;

/// SHA-256 of a session's id.
pub type IdHash = [u8; 32];

/// Uses of a session are written down at most this often.
const TOUCH: time::Duration = time::Duration::minutes(1);

/// What a session holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Session {
    /// Who is signed in.
    pub person: Option<Uuid>,
    /// The project they act in.
    pub project: Option<Uuid>,
    /// The issuer's name for its session; written when this one is made, and not read again.
    pub issuer_session: Option<String>,
    /// Everything else.
    pub data: Map<String, Value>,
}

/// How long sessions last.
#[derive(Debug, Clone, Copy)]
pub struct Lifetimes {
    /// Unused for so long, it ends.
    pub idle: Duration,
    /// It ends after so long in any case.
    pub absolute: Duration,
}

impl Lifetimes {
    /// These, but no longer.
    #[must_use]
    pub fn at_most(self, limit: Duration) -> Self {
        Self { idle: self.idle.min(limit), absolute: self.absolute.min(limit) }
    }
}

/// Writes a new one; `false` when the id is taken.
///
/// # Errors
/// When the database cannot.
pub async fn create(db: &PgPool, id: &IdHash, session: &Session, now: OffsetDateTime, lifetimes: Lifetimes) -> sqlx::Result<bool> {
    let made = sqlx::query!(
        "INSERT INTO sessions (id_hash, person_id, project_id, issuer_session, data, created_at, idle_expires_at, absolute_expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id_hash) DO NOTHING",
        id.as_slice(),
        session.person,
        session.project,
        session.issuer_session,
        Json(&session.data) as _,
        now,
        now + lifetimes.idle,
        now + lifetimes.absolute,
    )
    .execute(db)
    .await?;
    Ok(made.rows_affected() == 1)
}

/// Changes what an existing one holds, whatever others do with it at the same time: `edit` gets its project and data as they
/// are now. One that was ended meanwhile stays ended; its person does not change.
///
/// # Errors
/// When the database cannot.
pub async fn edit(db: &PgPool, id: &IdHash, edit: impl FnOnce(&mut Option<Uuid>, &mut Map<String, Value>)) -> sqlx::Result<()> {
    let mut tx = db.begin().await?;
    let found =
        sqlx::query!(r#"SELECT project_id, data AS "data: Json<Map<String, Value>>" FROM sessions WHERE id_hash = $1 FOR UPDATE"#, id.as_slice())
            .fetch_optional(&mut *tx)
            .await?;
    let Some(row) = found else { return Ok(()) };
    let (mut project, mut data) = (row.project_id, row.data.0);
    edit(&mut project, &mut data);
    sqlx::query!("UPDATE sessions SET project_id = $2, data = $3 WHERE id_hash = $1", id.as_slice(), project, Json(data) as _)
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}

/// Takes an entry out of an object in a session's data; `false` when it is not there: only one of many who ask gets it.
///
/// # Errors
/// When the database cannot.
pub async fn take(db: &PgPool, id: &IdHash, object: &str, entry: &str) -> sqlx::Result<bool> {
    let taken = sqlx::query!(
        "UPDATE sessions SET data = data #- ARRAY[$2::text, $3::text] WHERE id_hash = $1 AND data -> $2::text ? $3::text",
        id.as_slice(),
        object,
        entry,
    )
    .execute(db)
    .await?;
    Ok(taken.rows_affected() == 1)
}

/// Reads one that lives, and notes that it is used.
///
/// # Errors
/// When the database cannot.
pub async fn load(db: &PgPool, id: &IdHash, now: OffsetDateTime, idle: Duration) -> sqlx::Result<Option<Session>> {
    let found = sqlx::query!(
        r#"SELECT person_id, project_id, data AS "data: Json<Map<String, Value>>", idle_expires_at FROM sessions
           WHERE id_hash = $1 AND idle_expires_at > $2 AND absolute_expires_at > $2"#,
        id.as_slice(),
        now,
    )
    .fetch_optional(db)
    .await?;
    let Some(row) = found else { return Ok(None) };
    if row.idle_expires_at < now + idle - TOUCH {
        let touched = sqlx::query!("UPDATE sessions SET idle_expires_at = $2 WHERE id_hash = $1", id.as_slice(), now + idle).execute(db).await;
        // A database that takes no changes can still be read from.
        if let Err(error) = touched
            && trouble(&error) != Some(AppError::ReadOnly)
        {
            return Err(error);
        }
    }
    Ok(Some(Session { person: row.person_id, project: row.project_id, issuer_session: None, data: row.data.0 }))
}

/// Whether it lives and its person is still a member of the project; does not count as a use.
///
/// # Errors
/// When the database cannot.
pub async fn admits(db: &PgPool, id: &IdHash, project: Uuid, now: OffsetDateTime) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (
            SELECT FROM sessions JOIN members USING (person_id)
            WHERE id_hash = $1 AND members.project_id = $2 AND idle_expires_at > $3 AND absolute_expires_at > $3
        ) AS "admits!""#,
        id.as_slice(),
        project,
        now,
    )
    .fetch_one(db)
    .await
}

/// Ends one.
///
/// # Errors
/// When the database cannot.
pub async fn delete(db: &PgPool, id: &IdHash) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM sessions WHERE id_hash = $1", id.as_slice()).execute(db).await?;
    Ok(())
}

/// Ends all of a person; returns how many.
///
/// # Errors
/// When the database cannot.
pub async fn delete_all(tx: &mut PgConnection, person: Uuid) -> sqlx::Result<u64> {
    Ok(sqlx::query!("DELETE FROM sessions WHERE person_id = $1", person).execute(tx).await?.rows_affected())
}

/// What an issuer wants ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logout {
    /// SHA-256 of its token's id.
    pub token: IdHash,
    /// When the token expires.
    pub expires_at: OffsetDateTime,
    /// The issuer.
    pub issuer: String,
    /// Whose sessions; anybody's when only the session is named.
    pub subject: Option<String>,
    /// The issuer's session; all of the subject's when none is named.
    pub session: Option<String>,
}

/// Ends what an issuer wants ended; returns how many, or `None` when the same token was obeyed before. A session that was
/// made without the issuer's name for it may be the one that is meant.
///
/// # Errors
/// When the database cannot.
pub async fn log_out(db: &PgPool, logout: &Logout) -> sqlx::Result<Option<u64>> {
    let mut tx = db.begin().await?;
    let new = sqlx::query!(
        "INSERT INTO logout_tokens (id_hash, expires_at) VALUES ($1, $2) ON CONFLICT (id_hash) DO NOTHING",
        logout.token.as_slice(),
        logout.expires_at,
    )
    .execute(&mut *tx)
    .await?;
    if new.rows_affected() == 0 {
        return Ok(None);
    }
    let ended = sqlx::query!(
        "DELETE FROM sessions USING people
         WHERE people.id = sessions.person_id AND people.issuer = $1
           AND ($2::text IS NOT NULL OR $3::text IS NOT NULL)
           AND ($2::text IS NULL OR people.subject = $2)
           AND ($3::text IS NULL OR issuer_session = $3 OR (issuer_session IS NULL AND $2 IS NOT NULL))",
        logout.issuer,
        logout.subject,
        logout.session,
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(Some(ended.rows_affected()))
}

/// Removes those that have ended by themselves, and logout tokens that have expired; returns how many sessions.
///
/// # Errors
/// When the database cannot.
pub async fn sweep(db: &PgPool, now: OffsetDateTime) -> sqlx::Result<u64> {
    sqlx::query!("DELETE FROM logout_tokens WHERE expires_at <= $1", now).execute(db).await?;
    let swept = sqlx::query!("DELETE FROM sessions WHERE idle_expires_at <= $1 OR absolute_expires_at <= $1", now).execute(db).await?;
    Ok(swept.rows_affected())
}
