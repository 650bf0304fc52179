//! Jobs as pages show them.

use super::status::Tone;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

/// State of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Waits for its turn.
    Queued,
    /// A worker has it.
    Running,
    /// Out of attempts or time; waits for Retry or Abandon.
    Failed,
    /// Done, and checked.
    Done,
    /// Taken back before it began.
    Cancelled,
    /// Given up; what it made was undone.
    Abandoned,
}

impl JobState {
    /// The word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Queued => "Queued",
            Self::Running => "Running",
            Self::Failed => "Failed",
            Self::Done => "Done",
            Self::Cancelled => "Cancelled",
            Self::Abandoned => "Abandoned",
        }
    }

    /// Its colour and icon.
    #[must_use]
    pub fn tone(self) -> Tone {
        match self {
            Self::Queued => Tone::Waiting,
            Self::Running => Tone::Busy,
            Self::Failed => Tone::Bad,
            Self::Done => Tone::Good,
            Self::Cancelled | Self::Abandoned => Tone::Quiet,
        }
    }
}

/// State of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepState {
    /// Not begun.
    Waiting,
    /// Going on.
    Running,
    /// Done.
    Done,
    /// Failed; tried again or given up.
    Failed,
}

impl StepState {
    /// The word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "Waiting",
            Self::Running => "Running",
            Self::Done => "Done",
            Self::Failed => "Failed",
        }
    }

    /// Its colour and icon.
    #[must_use]
    pub fn tone(self) -> Tone {
        match self {
            Self::Waiting => Tone::Waiting,
            Self::Running => Tone::Busy,
            Self::Done => Tone::Good,
            Self::Failed => Tone::Bad,
        }
    }
}

/// One step of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepView {
    /// What it does, for people.
    pub label: String,
    /// How it stands.
    pub state: StepState,
    /// How often it was tried.
    pub attempts: u32,
    /// How long it took or takes, in milliseconds.
    pub duration_ms: Option<u64>,
    /// Excerpt of the log of what failed.
    pub log_excerpt: Option<String>,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobView {
    /// Its id.
    pub id: Uuid,
    /// What it does, for people: "Create datastore".
    pub label: String,
    /// How it stands.
    pub state: JobState,
    /// Why it waits, when it is queued: "behind 2 jobs of this datastore", "next attempt in 4 s".
    pub waits_for: Option<String>,
    /// True while it undoes what it made.
    pub undoing: bool,
    /// Its steps, in order; those to come included.
    pub steps: Vec<StepView>,
    /// Last error, one line.
    pub error: Option<String>,
    /// Who asked for it.
    pub requested_by: String,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// From first step to end, in milliseconds.
    pub duration_ms: Option<u64>,
    /// Whether Cancel is possible.
    pub can_cancel: bool,
    /// Whether Retry is possible.
    pub can_retry: bool,
    /// Whether Abandon is possible, and what it does.
    pub abandon: Option<String>,
}

/// How a job stands: what changes while a page is open. It is all that the browser reads of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The job's id.
    pub id: Uuid,
    /// How it stands.
    pub state: JobState,
    /// Why it waits, when it is queued.
    pub waits_for: Option<String>,
    /// True while it undoes what it made.
    pub undoing: bool,
    /// Its steps, in order; those to come included.
    pub steps: Vec<StepView>,
    /// Last error, one line.
    pub error: Option<String>,
    /// Whether Cancel is possible.
    pub can_cancel: bool,
    /// Whether Retry is possible.
    pub can_retry: bool,
}

impl From<JobView> for Progress {
    fn from(job: JobView) -> Self {
        let JobView { id, state, waits_for, undoing, steps, error, can_cancel, can_retry, .. } = job;
        Self { id, state, waits_for, undoing, steps, error, can_cancel, can_retry }
    }
}

/// What an event stream carries: the whole of what the page shows live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The datastore.
    pub datastore: Uuid,
    /// Its status now; `None` when it is gone.
    pub status: Option<super::status::Status>,
    /// What is behind the status.
    pub detail: String,
    /// Its unfinished or newest job.
    pub job: Option<Progress>,
}
