//! Sealed secrets: what this table holds is useless without the key file.

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// Purpose of the first admin user's password.
pub const ADMIN_PASSWORD: &str = "admin-password";

/// Purpose of the password with which the probe of a failover drill signs in.
pub const PROBE_PASSWORD: &str = "probe-password";

/// What a secret is bound to: a sealed value put into another row does not open.
#[must_use]
pub fn context(datastore: Uuid, purpose: &str) -> String {
    format!("{datastore}/{purpose}")
}

/// Writes a sealed secret, in place of an older one.
///
/// # Errors
/// Of the database.
pub async fn put(tx: &mut PgConnection, project: Uuid, datastore: Uuid, purpose: &str, sealed: &[u8]) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO secrets (id, project_id, datastore_id, purpose, sealed) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (datastore_id, purpose) DO UPDATE SET sealed = excluded.sealed, created_at = now()",
        Uuid::now_v7(),
        project,
        datastore,
        purpose,
        sealed
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Forgets a secret.
///
/// # Errors
/// Of the database.
pub async fn remove(tx: &mut PgConnection, datastore: Uuid, purpose: &str) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM secrets WHERE datastore_id = $1 AND purpose = $2", datastore, purpose).execute(tx).await?;
    Ok(())
}

/// Reads a sealed secret.
///
/// # Errors
/// Of the database.
pub async fn get(pool: &PgPool, datastore: Uuid, purpose: &str) -> sqlx::Result<Option<Vec<u8>>> {
    sqlx::query_scalar!("SELECT sealed FROM secrets WHERE datastore_id = $1 AND purpose = $2", datastore, purpose).fetch_optional(pool).await
}
