//! Sessions. Whose one is stands in its own columns and is set when it is made, never changed.

use super::error::trouble;
use crate::error::AppError;
use serde_json::Value;
use sqlx::PgPool;
use std::time::Duration;
use time::OffsetDateTime;
use uuid::Uuid;

/// SHA-256 of a session's id.
pub type IdHash = [u8; 32];

/// Uses of a session are written down at most this often.
const TOUCH: time::Duration = time::Duration::minutes(1);

/// What a session holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    /// Who is signed in.
    pub person: Option<Uuid>,
    /// The project they act in.
    pub project: Option<Uuid>,
    /// Everything else.
    pub data: Value,
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
        "INSERT INTO sessions (id_hash, person_id, project_id, data, created_at, idle_expires_at, absolute_expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id_hash) DO NOTHING",
        id.as_slice(),
        session.person,
        session.project,
        session.data,
        now,
        now + lifetimes.idle,
        now + lifetimes.absolute,
    )
    .execute(db)
    .await?;
    Ok(made.rows_affected() == 1)
}

/// Writes what an existing one holds. One that was ended meanwhile stays ended; its person does not change.
///
/// # Errors
/// When the database cannot.
pub async fn save(db: &PgPool, id: &IdHash, session: &Session) -> sqlx::Result<()> {
    sqlx::query!("UPDATE sessions SET project_id = $2, data = $3 WHERE id_hash = $1", id.as_slice(), session.project, session.data)
        .execute(db)
        .await?;
    Ok(())
}

/// Reads one that lives, and notes that it is used.
///
/// # Errors
/// When the database cannot.
pub async fn load(db: &PgPool, id: &IdHash, now: OffsetDateTime, idle: Duration) -> sqlx::Result<Option<Session>> {
    let found = sqlx::query!(
        "SELECT person_id, project_id, data, idle_expires_at FROM sessions
         WHERE id_hash = $1 AND idle_expires_at > $2 AND absolute_expires_at > $2",
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
    Ok(Some(Session { person: row.person_id, project: row.project_id, data: row.data }))
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

/// Removes those that have ended by themselves; returns how many.
///
/// # Errors
/// When the database cannot.
pub async fn sweep(db: &PgPool, now: OffsetDateTime) -> sqlx::Result<u64> {
    let swept = sqlx::query!("DELETE FROM sessions WHERE idle_expires_at <= $1 OR absolute_expires_at <= $1", now).execute(db).await?;
    Ok(swept.rows_affected())
}
