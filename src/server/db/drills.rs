//! Failover drills.

use crate::{
    model::drill::{DrillKind, DrillState, DrillView, Outcome},
    server::jobs::kind::JobKind,
};
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

/// A drill to write.
#[derive(Debug, Clone, Copy)]
pub struct NewDrill {
    /// Its project.
    pub project: Uuid,
    /// Its datastore.
    pub datastore: Uuid,
    /// How the primary is replaced.
    pub kind: DrillKind,
    /// Who asked.
    pub requested_by: Uuid,
    /// Slot of the primary.
    pub primary: u8,
}

/// Writes a drill that nobody drives yet.
///
/// # Errors
/// A unique violation while one of the datastore runs; others of the database.
pub async fn begin(tx: &mut PgConnection, drill: NewDrill) -> sqlx::Result<Uuid> {
    let id = Uuid::now_v7();
    sqlx::query!(
        "INSERT INTO drills (id, project_id, datastore_id, kind, state, requested_by, primary_before) VALUES ($1, $2, $3, $4, 'running', $5, $6)",
        id,
        drill.project,
        drill.datastore,
        drill.kind.id(),
        drill.requested_by,
        i16::from(drill.primary)
    )
    .execute(tx)
    .await?;
    Ok(id)
}

/// A drill that is driven.
#[derive(Debug, Clone, Copy)]
pub struct Driven {
    /// Its id.
    pub id: Uuid,
    /// Its project.
    pub project: Uuid,
    /// Its datastore.
    pub datastore: Uuid,
    /// How the primary is replaced.
    pub kind: DrillKind,
    /// Who asked.
    pub requested_by: Option<Uuid>,
    /// Who drives it.
    pub worker: Uuid,
}

/// Takes a drill of this host that nobody drives yet. A process that was taken for dead takes none.
///
/// # Errors
/// Of the database.
pub async fn claim(pool: &PgPool, host: Uuid, worker: Uuid) -> anyhow::Result<Option<Driven>> {
    let row = sqlx::query!(
        "UPDATE drills SET worker_id = $2 WHERE id = (
            SELECT r.id FROM drills r JOIN datastores d ON d.id = r.datastore_id
            WHERE d.host_id = $1 AND r.state = 'running' AND r.worker_id IS NULL AND EXISTS (SELECT FROM workers WHERE id = $2)
            ORDER BY r.started_at FOR UPDATE OF r SKIP LOCKED LIMIT 1)
        RETURNING id, project_id, datastore_id, kind, requested_by",
        host,
        worker
    )
    .fetch_optional(pool)
    .await?;
    row.map(|r| {
        let kind = r.kind.parse().map_err(anyhow::Error::msg)?;
        Ok(Driven { id: r.id, project: r.project_id, datastore: r.datastore_id, kind, requested_by: r.requested_by, worker })
    })
    .transpose()
}

/// Whether a drill is still this worker's, of a datastore that is not being deleted.
///
/// # Errors
/// Of the database.
pub async fn is_driven(pool: &PgPool, drill: &Driven) -> sqlx::Result<bool> {
    Ok(sqlx::query_scalar!(
        "SELECT r.id FROM drills r JOIN datastores d ON d.id = r.datastore_id
        WHERE r.id = $1 AND r.worker_id = $2 AND r.state = 'running' AND d.lifecycle = 'active'",
        drill.id,
        drill.worker
    )
    .fetch_optional(pool)
    .await?
    .is_some())
}

/// The slot of the primary that is to be killed: of a drill that wants it and that a living process drives.
///
/// # Errors
/// Of the database.
pub async fn to_strike(pool: &PgPool, datastore: Uuid) -> sqlx::Result<Option<i16>> {
    Ok(sqlx::query_scalar!(
        "SELECT primary_before FROM drills r WHERE datastore_id = $1 AND kind = 'kill' AND state = 'running'
         AND EXISTS (SELECT FROM workers w WHERE w.id = r.worker_id)",
        datastore
    )
    .fetch_optional(pool)
    .await?
    .flatten())
}

/// Ends drills of a host whose worker is gone. Returns how many.
///
/// # Errors
/// Of the database.
pub async fn interrupt_orphans(pool: &PgPool, host: Uuid) -> sqlx::Result<u64> {
    Ok(sqlx::query!(
        "UPDATE drills r SET state = 'interrupted', finished_at = now(), error = 'Granary was stopped while the drill went on.'
        FROM datastores d WHERE d.id = r.datastore_id AND d.host_id = $1 AND r.state = 'running' AND r.worker_id IS NOT NULL
          AND NOT EXISTS (SELECT FROM workers w WHERE w.id = r.worker_id)",
        host
    )
    .execute(pool)
    .await?
    .rows_affected())
}

/// How a drill ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// How it stands from now on.
    pub state: DrillState,
    /// What did not go as it should.
    pub error: Option<String>,
    /// What the probe saw.
    pub outcome: Option<Outcome>,
    /// Slot of the primary.
    pub primary: Option<u8>,
}

/// Ends a drill, unless it was taken away from this worker meanwhile.
///
/// # Errors
/// Of the database.
pub async fn end(pool: &PgPool, drill: &Driven, ended: &Ended) -> sqlx::Result<()> {
    let outcome = ended.outcome.as_ref();
    let samples: Option<Vec<i32>> = outcome.map(|o| o.samples.iter().map(|n| i32::try_from(*n).unwrap_or(i32::MAX)).collect());
    sqlx::query!(
        "UPDATE drills SET state = $3, finished_at = now(), error = $4, primary_after = $5, acknowledged = $6, lost = $7, reconnects = $8, pause_ms = $9,
            pause_at_ms = $10, struck_at_ms = $11, sample_ms = $12, samples = $13
        WHERE id = $1 AND worker_id = $2 AND state = 'running'",
        drill.id,
        drill.worker,
        ended.state.id(),
        ended.error,
        ended.primary.map(i16::from),
        outcome.map(|o| signed(o.acknowledged)),
        outcome.and_then(|o| o.lost).map(signed),
        outcome.map(|o| i32::try_from(o.reconnects).unwrap_or(i32::MAX)),
        outcome.map(|o| signed(o.pause_ms)),
        outcome.map(|o| signed(o.pause_at_ms)),
        outcome.and_then(|o| o.struck_at_ms).map(signed),
        outcome.map(|o| i32::try_from(o.sample_ms).unwrap_or(i32::MAX)),
        samples.as_deref()
    )
    .execute(pool)
    .await?;
    Ok(())
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// State and error of a datastore's newest job of a kind.
///
/// # Errors
/// Of the database.
pub async fn newest_job(pool: &PgPool, datastore: Uuid, kind: JobKind) -> sqlx::Result<Option<(String, Option<String>)>> {
    let row = sqlx::query!("SELECT state, error FROM jobs WHERE datastore_id = $1 AND kind = $2 ORDER BY seq DESC LIMIT 1", datastore, kind.id());
    Ok(row.fetch_optional(pool).await?.map(|r| (r.state, r.error)))
}

/// Whether no job of a datastore waits or runs.
///
/// # Errors
/// Of the database.
pub async fn is_idle(pool: &PgPool, datastore: Uuid) -> sqlx::Result<bool> {
    Ok(sqlx::query_scalar!("SELECT id FROM jobs WHERE datastore_id = $1 AND state IN ('queued', 'running') LIMIT 1", datastore)
        .fetch_optional(pool)
        .await?
        .is_none())
}

/// A replica that answers, the one that is least behind.
///
/// # Errors
/// Of the database.
pub async fn best_replica(tx: &mut PgConnection, datastore: Uuid) -> sqlx::Result<Option<Uuid>> {
    sqlx::query_scalar!(
        "SELECT id FROM nodes WHERE datastore_id = $1 AND role = 'replica' AND observed = 'healthy' ORDER BY observed_lag_bytes NULLS LAST, slot LIMIT 1",
        datastore
    )
    .fetch_optional(tx)
    .await
}

/// Datastores of a host, with their projects, that have something left of drills that are over, whose primary serves, and on which nobody
/// works. Where tidying up has failed, only so many seconds later.
///
/// # Errors
/// Of the database.
pub async fn left(pool: &PgPool, host: Uuid, seconds: i32) -> sqlx::Result<Vec<(Uuid, Uuid)>> {
    Ok(sqlx::query!(
        "SELECT DISTINCT d.id, d.project_id FROM drills r JOIN datastores d ON d.id = r.datastore_id
        WHERE r.cleaned_at IS NULL AND d.host_id = $1 AND d.lifecycle = 'active' AND d.observed IN ('healthy', 'degraded')
          AND NOT EXISTS (SELECT FROM drills o WHERE o.datastore_id = d.id AND o.state = 'running')
          AND NOT EXISTS (SELECT FROM jobs j WHERE j.datastore_id = d.id AND (j.state IN ('queued', 'running')
            OR j.state = 'failed' AND j.kind = 'drill-end' AND j.finished_at BETWEEN now() - $2 * interval '1 second' AND now()))",
        host,
        f64::from(seconds)
    )
    .fetch_all(pool)
    .await?
    .into_iter()
    .map(|r| (r.id, r.project_id))
    .collect())
}

/// Notes that nothing is left of a datastore's drills that are over.
///
/// # Errors
/// Of the database.
pub async fn cleaned(tx: &mut PgConnection, datastore: Uuid) -> sqlx::Result<()> {
    sqlx::query!("UPDATE drills SET cleaned_at = now() WHERE datastore_id = $1 AND state <> 'running' AND cleaned_at IS NULL", datastore)
        .execute(tx)
        .await?;
    Ok(())
}

struct Row {
    id: Uuid,
    name: String,
    kind: String,
    state: String,
    requested_by: Option<String>,
    started_at: OffsetDateTime,
    duration_ms: Option<i64>,
    primary_before: Option<i16>,
    primary_after: Option<i16>,
    acknowledged: Option<i64>,
    lost: Option<i64>,
    reconnects: Option<i32>,
    pause_ms: Option<i64>,
    pause_at_ms: Option<i64>,
    struck_at_ms: Option<i64>,
    sample_ms: Option<i32>,
    samples: Option<Vec<i32>>,
    error: Option<String>,
}

/// Drills of a project's datastore, newest first; all, or the one of an id.
///
/// # Errors
/// Of the database.
pub async fn of_datastore(pool: &PgPool, project: Uuid, datastore: Uuid, only: Option<Uuid>, limit: i64) -> anyhow::Result<Vec<DrillView>> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT r.id, d.name, r.kind, r.state, coalesce(p.name, p.email) AS requested_by, r.started_at,
            (extract(epoch FROM r.finished_at - r.started_at) * 1000)::bigint AS duration_ms, r.primary_before, r.primary_after, r.acknowledged, r.lost,
            r.reconnects, r.pause_ms, r.pause_at_ms, r.struck_at_ms, r.sample_ms, r.samples, r.error
        FROM drills r JOIN datastores d ON d.id = r.datastore_id LEFT JOIN people p ON p.id = r.requested_by
        WHERE r.project_id = $1 AND r.datastore_id = $2 AND ($3::uuid IS NULL OR r.id = $3) ORDER BY r.started_at DESC, r.id DESC LIMIT $4"#,
        project,
        datastore,
        only,
        limit
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(Row::view).collect()
}

impl Row {
    fn view(self) -> anyhow::Result<DrillView> {
        let node = |slot: Option<i16>| slot.map(|slot| format!("{}-{}", self.name, slot + 1));
        let count = |n: Option<i64>| n.and_then(|n| u64::try_from(n).ok());
        let outcome = count(self.acknowledged).map(|acknowledged| Outcome {
            acknowledged,
            lost: count(self.lost),
            reconnects: self.reconnects.and_then(|n| u32::try_from(n).ok()).unwrap_or_default(),
            pause_ms: count(self.pause_ms).unwrap_or_default(),
            pause_at_ms: count(self.pause_at_ms).unwrap_or_default(),
            struck_at_ms: count(self.struck_at_ms),
            sample_ms: self.sample_ms.and_then(|n| u32::try_from(n).ok()).unwrap_or_default(),
            samples: self.samples.unwrap_or_default().into_iter().map(|n| u32::try_from(n).unwrap_or_default()).collect(),
        });
        Ok(DrillView {
            before: node(self.primary_before),
            after: node(self.primary_after),
            id: self.id,
            kind: self.kind.parse().map_err(anyhow::Error::msg)?,
            state: self.state.parse().map_err(anyhow::Error::msg)?,
            requested_by: self.requested_by.unwrap_or_else(|| "somebody".to_owned()),
            started_at: self.started_at,
            duration_ms: count(self.duration_ms),
            outcome,
            error: self.error,
        })
    }
}
