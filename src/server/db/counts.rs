//! How much there is of what, on a host: for metrics.

use sqlx::PgPool;
use std::time::Duration;
use time::OffsetDateTime;
use uuid::Uuid;

/// See [`read`].
#[derive(Debug)]
pub struct Counts {
    /// Jobs that are not over: kind, state, how many.
    pub jobs: Vec<(String, String, i64)>,
    /// How long the job that waits longest could have run already.
    pub oldest_wait: Duration,
    /// Datastores: status, how many.
    pub datastores: Vec<(String, i64)>,
    /// Nodes: observed state, how many.
    pub nodes: Vec<(String, i64)>,
    /// Spares that are ready.
    pub spares: i64,
    /// When the first of the datastores' certificates ends.
    pub first_certificate_end: Option<OffsetDateTime>,
}

/// Counts.
///
/// # Errors
/// Of the database.
pub async fn read(pool: &PgPool, host: Uuid) -> sqlx::Result<Counts> {
    let mut connection = pool.acquire().await?;
    let jobs = sqlx::query!(
        r#"SELECT kind, state, count(*) AS "n!" FROM jobs WHERE host_id = $1 AND state IN ('queued', 'running', 'failed') GROUP BY kind, state"#,
        host
    )
    .fetch_all(&mut *connection)
    .await?;
    let oldest_wait = sqlx::query_scalar!(
        r#"SELECT coalesce(extract(epoch FROM max(now() - j.not_before)), 0)::float8 AS "s!" FROM jobs j
        WHERE j.host_id = $1 AND j.state = 'queued' AND j.not_before <= now() AND NOT EXISTS (
            SELECT FROM jobs e WHERE e.datastore_id = j.datastore_id AND e.seq < j.seq AND holds_up(e.state, e.kind))"#,
        host
    )
    .fetch_one(&mut *connection)
    .await?;
    let datastores = sqlx::query!(
        r#"SELECT s.status AS "status!", count(*) AS "n!" FROM datastore_statuses s JOIN datastores d ON d.id = s.datastore_id
        WHERE d.host_id = $1 AND d.lifecycle <> 'spare' GROUP BY s.status"#,
        host
    )
    .fetch_all(&mut *connection)
    .await?;
    let nodes = sqlx::query!(
        r#"SELECT n.observed, count(*) AS "n!" FROM nodes n JOIN datastores d ON d.id = n.datastore_id
        WHERE d.host_id = $1 AND d.deleted_at IS NULL AND d.lifecycle <> 'spare' GROUP BY n.observed"#,
        host
    )
    .fetch_all(&mut *connection)
    .await?;
    let first_certificate_end =
        sqlx::query_scalar!("SELECT min(certificate_expires_at) FROM datastores WHERE host_id = $1 AND deleted_at IS NULL", host)
            .fetch_one(&mut *connection)
            .await?;
    let spares = super::spares::ready(&mut *connection, host).await?;
    Ok(Counts {
        jobs: jobs.into_iter().map(|r| (r.kind, r.state, r.n)).collect(),
        oldest_wait: Duration::try_from_secs_f64(oldest_wait).unwrap_or_default(),
        datastores: datastores.into_iter().map(|r| (r.status, r.n)).collect(),
        nodes: nodes.into_iter().map(|r| (r.observed, r.n)).collect(),
        spares,
        first_certificate_end,
    })
}
