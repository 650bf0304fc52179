//! One table for every status: its word, its icon, its colour, and what a person can do about it.

use serde::{Deserialize, Serialize};

/// Colour and icon family of a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tone {
    /// All is well.
    Good,
    /// Work goes on.
    Busy,
    /// Waits for something.
    Waiting,
    /// Needs a look.
    Warning,
    /// Needs an act.
    Bad,
    /// Over.
    Quiet,
}

impl Tone {
    /// Suffix of the CSS class and name of the icon.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Busy => "busy",
            Self::Waiting => "waiting",
            Self::Warning => "warning",
            Self::Bad => "bad",
            Self::Quiet => "quiet",
        }
    }
}

/// Status of a datastore as a person sees it. It says what was checked, never what was hoped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// Waits for its turn to be made.
    Queued,
    /// Is being made.
    Creating,
    /// Answered the last check through its endpoint's node.
    Running,
    /// Its primary serves, but a replica is not well.
    Degraded,
    /// Made, but not checked yet, or the last check is too old.
    Unknown,
    /// Its processes are there but do not answer.
    Unreachable,
    /// Its processes are gone; Granary starts them again.
    Down,
    /// Writes are blocked, and going on may lose some: a person says which.
    NeedsDecision,
    /// Is being restarted on request.
    Restarting,
    /// Its creation failed.
    Failed,
    /// Is being deleted.
    Deleting,
    /// Its deletion failed.
    DeleteFailed,
}

impl Status {
    /// Every status, for the list's filter.
    pub const ALL: [Self; 12] = [
        Self::Queued,
        Self::Creating,
        Self::Running,
        Self::Degraded,
        Self::Unknown,
        Self::Unreachable,
        Self::Down,
        Self::NeedsDecision,
        Self::Restarting,
        Self::Failed,
        Self::Deleting,
        Self::DeleteFailed,
    ];

    /// The word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Queued => "Queued",
            Self::Creating => "Creating",
            Self::Running => "Running",
            Self::Degraded => "Degraded",
            Self::Unknown => "Unknown",
            Self::Unreachable => "Unreachable",
            Self::Down => "Down",
            Self::NeedsDecision => "Needs a decision",
            Self::Restarting => "Restarting",
            Self::Failed => "Failed",
            Self::Deleting => "Deleting",
            Self::DeleteFailed => "Delete failed",
        }
    }

    /// Its colour and icon.
    #[must_use]
    pub fn tone(self) -> Tone {
        match self {
            Self::Running => Tone::Good,
            Self::Creating | Self::Restarting | Self::Deleting => Tone::Busy,
            Self::Queued | Self::Unknown => Tone::Waiting,
            Self::Degraded | Self::Unreachable => Tone::Warning,
            Self::Down | Self::NeedsDecision | Self::Failed | Self::DeleteFailed => Tone::Bad,
        }
    }

    /// What you can do.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::Queued => "Nothing to do: it starts as soon as earlier work on this machine lets it.",
            Self::Creating => "Nothing to do: the steps below show how far it is.",
            Self::Running => "Connect: the Users tab has the lines to paste.",
            Self::Degraded => "Clients are served. Granary brings the replica back; the Nodes tab says how it is.",
            Self::Unknown => "Wait a few seconds for the next check. If it stays, see whether Granary itself is well.",
            Self::Unreachable => "The server runs but does not answer. Look at the Activity tab; Restart may help.",
            Self::Down => "Granary is starting it again. If it stays down, the Activity tab says why.",
            Self::NeedsDecision => "Writes are blocked so that none is lost. The Nodes tab explains the choice.",
            Self::Restarting => "Nothing to do: clients reconnect when it is back.",
            Self::Failed => "Read the failed step's log, mend the cause, then Retry; or Abandon, which removes what was made.",
            Self::Deleting => "Nothing to do: it disappears from the list when all is freed.",
            Self::DeleteFailed => "Read the failed step's log, mend the cause, then Retry.",
        }
    }
}
