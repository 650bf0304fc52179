//! Datastores' CAs, as anybody may fetch them.

use sqlx::PgPool;

/// The certificate with this fingerprint (lower-case hex), of a datastore that is there.
///
/// # Errors
/// When the database cannot.
pub async fn by_fingerprint(db: &PgPool, fingerprint: &str) -> sqlx::Result<Option<String>> {
    let found = sqlx::query_scalar!("SELECT ca_certificate FROM datastores WHERE ca_fingerprint = $1", fingerprint).fetch_optional(db).await?;
    Ok(found.flatten())
}
