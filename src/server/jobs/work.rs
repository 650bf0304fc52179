//! One job under its lease, step after step.

use super::{
    faults::{Faults, Moment},
    kind::{JobKind, Step, backoff},
    steps,
};
use crate::server::{
    db::{self, error::trouble_in, jobs::Leased},
    measures::STEP_TIMES,
    platform::Stale,
    state::App,
};
use anyhow::Context;
use sqlx::PgConnection;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// Pause before the metadata database is asked again, and how long it may take to answer.
const AGAIN: Duration = Duration::from_secs(1);
const ANSWER: Duration = Duration::from_secs(5);
/// Most of an error's text that is kept for the page, in characters.
const EXCERPT: usize = 4000;

/// A claimed job and what it needs.
pub(super) struct Work {
    pub(super) app: App,
    pub(super) job: Leased,
    pub(super) faults: Faults,
    pub(super) stop: CancellationToken,
}

/// What comes after a step.
enum Next {
    Step(Step, bool),
    Done,
    Yield,
}

/// The steps of a run: those of the job, or those that undo it. Positions of undo steps follow the others.
fn path(kind: JobKind, undoing: bool) -> &'static [Step] {
    if undoing { kind.undo().unwrap_or(&[]) } else { kind.steps() }
}

/// Position of a step among all that a job may show.
pub(crate) fn position(kind: JobKind, step: Step, undoing: bool) -> i32 {
    let before = if undoing { kind.steps().len() } else { 0 };
    let at = path(kind, undoing).iter().position(|s| *s == step).unwrap_or(0);
    i32::try_from(before + at).unwrap_or(i32::MAX)
}

impl Work {
    /// Runs until the job ends, fails, pauses, or the lease is lost.
    pub(super) async fn go_on(mut self) {
        let Leased { id, kind, datastore, token, request_id, .. } = &self.job;
        let span = tracing::info_span!("job", job = %id, kind, %datastore, token, request_id);
        async {
            if let Err(error) = self.steps().await {
                let step = &self.job.step;
                if error.is::<Stale>() {
                    tracing::warn!(step, "{error:#}");
                } else {
                    tracing::error!(
                        step,
                        error = format!("{error:#}"),
                        "the job's progress could not be written; it waits for the metadata database"
                    );
                    self.give_back().await;
                }
            }
        }
        .instrument(span)
        .await;
    }

    /// Gives the job back as soon as the metadata database takes it, so that somebody goes on from the same step: our own
    /// heartbeat goes on, so nobody would ever take it from us.
    async fn give_back(&self) {
        while self.stop.run_until_cancelled(tokio::time::sleep(AGAIN)).await.is_some() {
            match tokio::time::timeout(ANSWER, db::jobs::give_back(&self.app.db, &self.job)).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => tracing::debug!(%error, "not yet"),
                Err(_) => {}
            }
        }
    }

    async fn steps(&mut self) -> anyhow::Result<()> {
        let kind: JobKind = match self.job.kind.parse() {
            Ok(kind) => kind,
            Err(error) => return self.end("failed", Some(&format!("{error:#}"))).await,
        };
        let mut undoing = self.job.undoing;
        let mut step = match self.job.step.as_deref().map(str::parse::<Step>) {
            None => path(kind, undoing).first().copied().context("a job without steps")?,
            Some(Ok(step)) => step,
            Some(Err(error)) => return self.end("failed", Some(&format!("{error:#}"))).await,
        };
        if self.job.cancel_requested && !undoing && self.job.step.is_none() {
            return self.end("cancelled", None).await;
        }
        let mut tx = held(&self.app, &self.job).await?;
        self.begin(&mut tx, kind, step, undoing).await?;
        tx.commit().await?;
        loop {
            self.job.step = Some(step.id().to_owned());
            let span = tracing::info_span!("step", %step);
            match self.one(kind, step, undoing).instrument(span).await? {
                Next::Step(next, undo) => (step, undoing) = (next, undo),
                Next::Done | Next::Yield => return Ok(()),
            }
        }
    }

    async fn begin(&self, tx: &mut PgConnection, kind: JobKind, step: Step, undoing: bool) -> sqlx::Result<()> {
        db::jobs::begin_step(tx, &self.job, position(kind, step, undoing), step, undoing).await
    }

    /// Runs one step that was begun, and writes how it went; with that, the next one is begun.
    async fn one(&mut self, kind: JobKind, step: Step, undoing: bool) -> anyhow::Result<Next> {
        self.faults.pass(Moment::Before, step);
        let begun = Instant::now();
        let result = if self.job.attempt >= kind.attempts() + 2 {
            Err(anyhow::anyhow!("Granary was stopped {} times while it did this step", self.job.attempt))
        } else {
            match tokio::time::timeout(self.job.time_left, steps::run(&self.app, &self.job, step)).await {
                Ok(result) => result,
                Err(_) => Err(anyhow::anyhow!("the job used up its time of {} s", kind.time_limit().as_secs())),
            }
        };
        let spent = begun.elapsed();
        self.job.time_left = self.job.time_left.saturating_sub(spent);
        let outcome = if result.is_ok() { "done" } else { "failed" };
        metrics::histogram!(STEP_TIMES, "step" => step.id(), "outcome" => outcome).record(spent.as_secs_f64());
        match result {
            Ok(()) => {
                self.faults.pass(Moment::After, step);
                self.succeeded(kind, step, undoing, spent).await
            }
            Err(error) if error.is::<steps::Moot>() => {
                tracing::warn!("not done: {error:#}");
                self.end(if kind.goes_on() { "failed" } else { "cancelled" }, Some(&format!("{error:#}"))).await?;
                Ok(Next::Done)
            }
            // The step was not to blame where the metadata database failed it.
            Err(error) if error.is::<Stale>() || trouble_in(&error).is_some() => Err(error),
            Err(error) => self.failed(kind, step, undoing, &error, spent).await,
        }
    }

    async fn succeeded(&mut self, kind: JobKind, step: Step, undoing: bool, spent: Duration) -> anyhow::Result<Next> {
        let path = path(kind, undoing);
        let next = path.iter().skip_while(|s| **s != step).nth(1).copied();
        let mut tx = held(&self.app, &self.job).await?;
        db::jobs::end_step(&mut tx, self.job.id, position(kind, step, undoing)).await?;
        let cancel = db::jobs::advance(&mut tx, self.job.id, next, undoing, spent).await? && !undoing;
        self.job.attempt = 0;
        tracing::info!(ms = u64::try_from(spent.as_millis()).unwrap_or(u64::MAX), "step done");
        let outcome = match (next, cancel, kind.undo()) {
            (None, _, _) => {
                db::jobs::end(&mut tx, self.job.id, if undoing { "abandoned" } else { "done" }, None).await?;
                Next::Done
            }
            (Some(_), true, Some(undo)) => {
                let first = *undo.first().context("nothing to undo")?;
                db::jobs::advance(&mut tx, self.job.id, Some(first), true, Duration::ZERO).await?;
                Next::Step(first, true)
            }
            (Some(_), true, None) => {
                db::jobs::end(&mut tx, self.job.id, "cancelled", None).await?;
                Next::Done
            }
            (Some(next), false, _) => Next::Step(next, undoing),
        };
        let Next::Step(step, undoing) = outcome else {
            tx.commit().await?;
            return Ok(outcome);
        };
        if self.stop.is_cancelled() {
            tx.commit().await?;
            db::jobs::give_back(&self.app.db, &self.job).await?;
            return Ok(Next::Yield);
        }
        self.begin(&mut tx, kind, step, undoing).await?;
        tx.commit().await?;
        Ok(outcome)
    }

    async fn failed(&mut self, kind: JobKind, step: Step, undoing: bool, error: &anyhow::Error, spent: Duration) -> anyhow::Result<Next> {
        let excerpt: String = format!("{error:#}").chars().take(EXCERPT).collect();
        let line = excerpt.lines().next().unwrap_or_default().to_owned();
        tracing::warn!(attempt = self.job.attempt + 1, error = excerpt, "step failed");
        let mut tx = held(&self.app, &self.job).await?;
        db::jobs::fail_step(&mut tx, self.job.id, position(kind, step, undoing), &excerpt).await?;
        let attempt = self.job.attempt + 1;
        if attempt >= kind.attempts() || self.job.time_left.is_zero() {
            db::jobs::end(&mut tx, self.job.id, "failed", Some(&line)).await?;
            steps::note_failure(&mut tx, &self.job, kind).await?;
        } else {
            db::jobs::try_again(&mut tx, self.job.id, &line, backoff(attempt), spent).await?;
        }
        tx.commit().await?;
        Ok(Next::Done)
    }

    async fn end(&self, state: &str, error: Option<&str>) -> anyhow::Result<()> {
        let mut tx = held(&self.app, &self.job).await?;
        db::jobs::end(&mut tx, self.job.id, state, error).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// A transaction in which the lease is known to hold: whatever a job writes, it writes through this.
///
/// # Errors
/// [`Stale`] when the lease was lost; those of the database.
pub(super) async fn held(app: &App, job: &Leased) -> anyhow::Result<sqlx::Transaction<'static, sqlx::Postgres>> {
    let mut tx = app.db.begin().await?;
    if db::jobs::hold(&mut tx, job.datastore, job.id, job.token).await? {
        return Ok(tx);
    }
    Err(anyhow::Error::from(Stale { token: job.token, seen: job.token + 1 }).context("the metadata database refused it"))
}
