//! What `granary doctor` asks. It only reads, of one host.

use sqlx::PgPool;
use time::OffsetDateTime;
use uuid::Uuid;

/// A look that is older than this says nothing.
pub const FRESH_SECONDS: f64 = 60.0;

/// A datastore that is not gone.
#[derive(Debug)]
pub struct Datastore {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Its engine's id.
    pub engine: String,
    /// Its major version.
    pub version: String,
    /// Whether it was made wholly, and is not being deleted.
    pub made: bool,
}

/// All that belongs to datastores.
#[derive(Debug)]
pub struct Known {
    /// Datastores.
    pub datastores: Vec<Datastore>,
    /// Their nodes.
    pub nodes: Vec<Uuid>,
    /// Their volumes.
    pub volumes: Vec<Uuid>,
}

/// What there should be something of on this host.
///
/// # Errors
/// Of the database.
pub async fn known(pool: &PgPool, host: Uuid) -> sqlx::Result<Known> {
    let datastores = sqlx::query_as!(
        Datastore,
        r#"SELECT id, name, engine, version, lifecycle = 'active' AS "made!" FROM datastores WHERE host_id = $1 AND deleted_at IS NULL ORDER BY name"#,
        host
    )
    .fetch_all(pool)
    .await?;
    let nodes =
        sqlx::query_scalar!("SELECT n.id FROM nodes n JOIN datastores d ON d.id = n.datastore_id WHERE d.host_id = $1", host).fetch_all(pool).await?;
    let volumes = sqlx::query_scalar!("SELECT v.id FROM volumes v JOIN datastores d ON d.id = v.datastore_id WHERE d.host_id = $1", host)
        .fetch_all(pool)
        .await?;
    Ok(Known { datastores, nodes, volumes })
}

/// A datastore that should run and was not seen well just now.
#[derive(Debug)]
pub struct Unwell {
    /// Its name.
    pub name: String,
    /// What was seen last.
    pub observed: String,
    /// In words.
    pub detail: String,
    /// Age of that look in seconds; `None` when there was none.
    pub age: Option<f64>,
}

/// Datastores that should run, but were seen otherwise or not seen lately. Those on which a job works are left out.
///
/// # Errors
/// Of the database.
pub async fn unwell(pool: &PgPool, host: Uuid) -> sqlx::Result<Vec<Unwell>> {
    sqlx::query_as!(
        Unwell,
        r#"SELECT d.name, d.observed, d.observed_detail AS detail, extract(epoch FROM now() - d.observed_at)::float8 AS age FROM datastores d
        WHERE d.host_id = $1 AND d.lifecycle = 'active'
          AND (d.observed <> 'healthy' OR d.observed_at IS NULL OR d.observed_at < now() - $2 * interval '1 second')
          AND NOT EXISTS (SELECT FROM jobs j WHERE j.datastore_id = d.id AND j.state IN ('queued', 'running')) ORDER BY d.name"#,
        host,
        FRESH_SECONDS
    )
    .fetch_all(pool)
    .await
}

/// A job that waits for a person.
#[derive(Debug)]
pub struct FailedJob {
    /// Its datastore's name.
    pub name: String,
    /// What it does.
    pub kind: String,
    /// At which step.
    pub step: String,
    /// Why.
    pub error: String,
}

/// Jobs that wait for a person.
///
/// # Errors
/// Of the database.
pub async fn failed_jobs(pool: &PgPool, host: Uuid) -> sqlx::Result<Vec<FailedJob>> {
    sqlx::query_as!(
        FailedJob,
        r#"SELECT d.name, j.kind, coalesce(j.step, '(none)') AS "step!", coalesce(j.error, 'nothing was noted') AS "error!"
        FROM jobs j JOIN datastores d ON d.id = j.datastore_id WHERE j.host_id = $1 AND j.state = 'failed' ORDER BY j.seq"#,
        host
    )
    .fetch_all(pool)
    .await
}

/// Jobs that could have run for longer than this: datastore's name, kind, seconds.
///
/// # Errors
/// Of the database.
pub async fn waiting_jobs(pool: &PgPool, host: Uuid, seconds: f64) -> sqlx::Result<Vec<(String, String, f64)>> {
    let rows = sqlx::query!(
        r#"SELECT d.name, j.kind, extract(epoch FROM now() - j.not_before)::float8 AS "seconds!" FROM jobs j JOIN datastores d ON d.id = j.datastore_id
        WHERE j.host_id = $1 AND j.state = 'queued' AND j.not_before < now() - $2 * interval '1 second' AND NOT EXISTS (
            SELECT FROM jobs e WHERE e.datastore_id = j.datastore_id AND e.seq < j.seq AND holds_up(e.state, e.kind)) ORDER BY j.seq"#,
        host,
        seconds
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|r| (r.name, r.kind, r.seconds)).collect())
}

/// Certificates that end within so many days: datastore's name and the end.
///
/// # Errors
/// Of the database.
pub async fn ending_certificates(pool: &PgPool, host: Uuid, days: i32) -> sqlx::Result<Vec<(String, OffsetDateTime)>> {
    let rows = sqlx::query!(
        r#"SELECT name, certificate_expires_at AS "end!" FROM datastores
        WHERE host_id = $1 AND lifecycle = 'active' AND certificate_expires_at < now() + $2 * interval '1 day' ORDER BY certificate_expires_at"#,
        host,
        f64::from(days)
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|r| (r.name, r.end)).collect())
}

/// Every sealed secret: datastore, purpose, what was sealed.
///
/// # Errors
/// Of the database.
pub async fn sealed(pool: &PgPool) -> sqlx::Result<Vec<(Uuid, String, Vec<u8>)>> {
    let rows = sqlx::query!("SELECT datastore_id, purpose, sealed FROM secrets ORDER BY datastore_id, purpose").fetch_all(pool).await?;
    Ok(rows.into_iter().map(|r| (r.datastore_id, r.purpose, r.sealed)).collect())
}
