//! Jobs as pages show them.

use crate::{
    model::job::{JobState, JobView, StepState, StepView},
    server::jobs::{
        kind::{JobKind, LONGEST_BACKOFF, Step},
        work::position,
    },
};
use anyhow::Context;
use sqlx::PgPool;
use std::collections::HashMap;
use time::OffsetDateTime;
use uuid::Uuid;

struct Row {
    id: Uuid,
    kind: String,
    state: String,
    undoing: bool,
    attempt: i32,
    error: Option<String>,
    requested_by: Option<String>,
    created_at: OffsetDateTime,
    duration_ms: Option<i64>,
    pause_s: Option<f64>,
    ahead: i64,
}

struct StepRow {
    job_id: Uuid,
    position: i32,
    state: String,
    attempts: i32,
    duration_ms: Option<i64>,
    log_excerpt: Option<String>,
}

/// The newest jobs of a datastore, those that are not finished first.
///
/// # Errors
/// Of the database.
pub async fn of_datastore(pool: &PgPool, datastore: Uuid, limit: i64) -> anyhow::Result<Vec<JobView>> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT j.id, j.kind, j.state, j.undoing, j.attempt, j.error, coalesce(p.name, p.email) AS requested_by, j.created_at,
            (extract(epoch FROM coalesce(j.finished_at, now()) - j.started_at) * 1000)::bigint AS duration_ms,
            extract(epoch FROM j.not_before - now())::float8 AS pause_s,
            (SELECT count(*) FROM jobs e WHERE e.datastore_id = j.datastore_id AND e.seq < j.seq AND holds_up(e.state, e.kind)) AS "ahead!"
        FROM jobs j LEFT JOIN people p ON p.id = j.requested_by WHERE j.datastore_id = $1
        ORDER BY (j.state IN ('running', 'failed')) DESC, j.seq DESC LIMIT $2"#,
        datastore,
        limit
    )
    .fetch_all(pool)
    .await?;
    let ids: Vec<Uuid> = rows.iter().map(|r| r.id).collect();
    let mut steps: HashMap<Uuid, Vec<StepRow>> = HashMap::new();
    for step in sqlx::query_as!(
        StepRow,
        "SELECT job_id, position, state, attempts, log_excerpt, (extract(epoch FROM coalesce(finished_at, now()) - started_at) * 1000)::bigint AS duration_ms
         FROM job_steps WHERE job_id = ANY($1) ORDER BY job_id, position",
        &ids
    )
    .fetch_all(pool)
    .await?
    {
        steps.entry(step.job_id).or_default().push(step);
    }
    rows.into_iter().map(|row| view(&row, &steps.remove(&row.id).unwrap_or_default())).collect()
}

fn view(row: &Row, done: &[StepRow]) -> anyhow::Result<JobView> {
    let kind: JobKind = row.kind.parse()?;
    let state = match row.state.as_str() {
        "queued" => JobState::Queued,
        "running" => JobState::Running,
        "failed" => JobState::Failed,
        "done" => JobState::Done,
        "cancelled" => JobState::Cancelled,
        "abandoned" => JobState::Abandoned,
        other => anyhow::bail!("unknown state “{other}” of a job"),
    };
    let over = matches!(state, JobState::Done | JobState::Cancelled | JobState::Abandoned);
    // Steps that will not come any more are not shown.
    let forward =
        kind.steps().iter().map(|s| (*s, position(kind, *s, false))).filter(|(_, p)| !(row.undoing || over) || done.iter().any(|d| d.position == *p));
    let back = kind.undo().filter(|_| row.undoing).unwrap_or(&[]).iter().map(|s| (*s, position(kind, *s, true)));
    let steps = forward
        .chain(back)
        .map(|(step, position)| step_view(step, done.iter().find(|d| d.position == position), row.undoing))
        .collect::<anyhow::Result<_>>()?;
    let undo = kind.undo().is_some();
    Ok(JobView {
        id: row.id,
        label: kind.label().to_owned(),
        state,
        waits_for: waits_for(row, state),
        undoing: row.undoing,
        steps,
        error: row.error.clone(),
        requested_by: row.requested_by.clone().unwrap_or_else(|| "Granary".to_owned()),
        created_at: row.created_at,
        duration_ms: row.duration_ms.map(|ms| u64::try_from(ms).unwrap_or(0)),
        can_cancel: !row.undoing && kind != JobKind::Delete && matches!(state, JobState::Queued | JobState::Running),
        can_retry: state == JobState::Failed,
        abandon: (state == JobState::Failed && !row.undoing && kind != JobKind::Delete).then(|| {
            if undo { "Removes everything that was made, and the datastore from the list." } else { "Leaves things as they are now." }.to_owned()
        }),
    })
}

fn step_view(step: Step, row: Option<&StepRow>, undoing: bool) -> anyhow::Result<StepView> {
    let label = if undoing && matches!(step, Step::CloseEdge | Step::DestroyNode | Step::Release) {
        format!("Undo: {}", step.label())
    } else {
        step.label().to_owned()
    };
    let Some(row) = row else {
        return Ok(StepView { label, state: StepState::Waiting, attempts: 0, duration_ms: None, log_excerpt: None });
    };
    let state = match row.state.as_str() {
        "running" => StepState::Running,
        "done" => StepState::Done,
        "failed" => StepState::Failed,
        other => return Err(anyhow::anyhow!("unknown state “{other}” of a step")).context("job_steps"),
    };
    Ok(StepView {
        label,
        state,
        attempts: u32::try_from(row.attempts)?,
        duration_ms: row.duration_ms.map(|ms| u64::try_from(ms).unwrap_or(0)),
        log_excerpt: row.log_excerpt.clone(),
    })
}

fn waits_for(row: &Row, state: JobState) -> Option<String> {
    if state != JobState::Queued {
        return None;
    }
    Some(match (row.ahead, row.pause_s) {
        (1.., _) => format!(
            "Waits for {} of this datastore.",
            crate::model::format::count(usize::try_from(row.ahead).unwrap_or(0), "earlier job", "earlier jobs")
        ),
        (_, Some(s)) if row.attempt > 0 && s > 0.0 && s <= LONGEST_BACKOFF.as_secs_f64() => {
            format!("Attempt {} begins in {:.0} s.", row.attempt + 1, s.ceil())
        }
        _ => "Waits for a free worker.".to_owned(),
    })
}
