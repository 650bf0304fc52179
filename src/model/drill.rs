//! Failover drills as pages show them.

use super::status::Tone;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use time::OffsetDateTime;
use uuid::Uuid;

/// How the primary is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DrillKind {
    /// As planned: a replica is promoted.
    Promotion,
    /// As a death: everything of the primary is killed.
    Kill,
}

impl DrillKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Promotion, Self::Kill];

    /// Id in forms and the metadata database.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Promotion => "promotion",
            Self::Kill => "kill",
        }
    }

    /// Name for people.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Promotion => "Planned promotion",
            Self::Kill => "Kill of the primary",
        }
    }
}

impl fmt::Display for DrillKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl FromStr for DrillKind {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|k| k.id() == s).ok_or_else(|| "A drill is a planned promotion or a kill of the primary.".to_owned())
    }
}

/// How a drill stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DrillState {
    /// Goes on.
    Running,
    /// Over; all is well again.
    Done,
    /// Over, and something did not go as it should.
    Failed,
    /// Granary was stopped in its middle: it says nothing.
    Interrupted,
}

impl DrillState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Running, Self::Done, Self::Failed, Self::Interrupted];

    /// Id in the metadata database.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
        }
    }

    /// The word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::Done => "Done",
            Self::Failed => "Failed",
            Self::Interrupted => "Interrupted",
        }
    }

    /// Its colour and icon.
    #[must_use]
    pub fn tone(self) -> Tone {
        match self {
            Self::Running => Tone::Busy,
            Self::Done => Tone::Good,
            Self::Failed => Tone::Bad,
            Self::Interrupted => Tone::Quiet,
        }
    }
}

impl FromStr for DrillState {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|k| k.id() == s).ok_or_else(|| format!("unknown state “{s}” of a drill"))
    }
}

/// What the probe saw. Times are in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Writes that were acknowledged.
    pub acknowledged: u64,
    /// Those of them that are not there any more; `None` where the rows could not be read again.
    pub lost: Option<u64>,
    /// How often the probe had to connect again.
    pub reconnects: u32,
    /// The longest time without an acknowledged write.
    pub pause_ms: u64,
    /// When that began, since the first write.
    pub pause_at_ms: u64,
    /// When the primary was struck, since the first write.
    pub struck_at_ms: Option<u64>,
    /// How long a sample lasts.
    pub sample_ms: u32,
    /// Acknowledged writes in each sample, from the first write on.
    pub samples: Vec<u32>,
}

impl Outcome {
    /// Acknowledged writes in each second, the last of which may not be whole.
    #[must_use]
    pub fn by_second(&self) -> Vec<u32> {
        let mut seconds = Vec::new();
        for (index, count) in self.samples.iter().enumerate() {
            let second = index * self.sample_ms as usize / 1000;
            seconds.resize(second + 1, 0);
            seconds[second] += count;
        }
        seconds
    }
}

/// A drill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillView {
    /// Its id.
    pub id: Uuid,
    /// How the primary was replaced.
    pub kind: DrillKind,
    /// How it stands.
    pub state: DrillState,
    /// Who asked for it.
    pub requested_by: String,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    /// From asking to the end.
    pub duration_ms: Option<u64>,
    /// Name of the primary before.
    pub before: Option<String>,
    /// Name of the primary after.
    pub after: Option<String>,
    /// What the probe saw; `None` while it goes on, and where it came to no writes.
    pub outcome: Option<Outcome>,
    /// What did not go as it should.
    pub error: Option<String>,
}

/// What the drill section shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillsView {
    /// Newest first.
    pub drills: Vec<DrillView>,
    /// Why none can be started now; `None` where one can.
    pub refused: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_lead_back_to_what_they_name() {
        for kind in DrillKind::ALL {
            assert_eq!(kind.id().parse(), Ok(kind));
        }
        for state in DrillState::ALL {
            assert_eq!(state.id().parse(), Ok(state));
        }
        assert!("x".parse::<DrillKind>().is_err());
    }

    #[test]
    fn samples_add_up_to_seconds() {
        let outcome = |sample_ms, samples: &[u32]| Outcome { sample_ms, samples: samples.to_vec(), ..Outcome::default() };
        assert_eq!(outcome(100, &[5; 25]).by_second(), [50, 50, 25]);
        assert_eq!(outcome(400, &[1; 5]).by_second(), [3, 2]);
        assert_eq!(outcome(100, &[]).by_second(), Vec::<u32>::new());
    }
}
