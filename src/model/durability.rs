//! When a write counts as done.

use super::topology::Topology;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// What a commit waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Durability {
    /// The primary's own log.
    Asynchronous,
    /// The logs of so many replicas, too, that any failover finds it.
    Quorum,
}

impl Durability {
    /// Those that can be chosen where there are replicas.
    pub const ALL: [Self; 2] = [Self::Quorum, Self::Asynchronous];

    /// Id in forms and the metadata database.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Asynchronous => "asynchronous",
            Self::Quorum => "quorum",
        }
    }

    /// Name for people.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Asynchronous => "Asynchronous",
            Self::Quorum => "No acknowledged write is lost",
        }
    }

    /// What is proposed: with one replica, waiting for it would block writes whenever it is away.
    #[must_use]
    pub fn proposed(topology: Topology) -> Self {
        if topology == Topology::TwoReplicas { Self::Quorum } else { Self::Asynchronous }
    }

    /// The one that was chosen for a topology, or is proposed where nothing was; `None` for what is none.
    #[must_use]
    pub fn of(typed: &str, topology: Topology) -> Option<Self> {
        match (typed, topology) {
            ("", _) => Some(Self::proposed(topology)),
            (_, Topology::Single) => Some(Self::Asynchronous),
            (typed, _) => Self::ALL.into_iter().find(|d| d.id() == typed),
        }
    }

    /// The same.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn chosen(typed: &str, topology: Topology) -> Result<Self, String> {
        Self::of(typed, topology).ok_or_else(|| "Choose when a write counts as done.".to_owned())
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl FromStr for Durability {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|d| d.id() == s).ok_or_else(|| "Choose when a write counts as done.".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_proposed_follows_the_topology_and_what_is_chosen_stays() {
        assert_eq!(Durability::chosen("", Topology::TwoReplicas), Ok(Durability::Quorum));
        assert_eq!(Durability::chosen("", Topology::OneReplica), Ok(Durability::Asynchronous));
        assert_eq!(Durability::chosen("quorum", Topology::OneReplica), Ok(Durability::Quorum));
        assert_eq!(Durability::chosen("asynchronous", Topology::TwoReplicas), Ok(Durability::Asynchronous));
        assert_eq!(Durability::chosen("quorum", Topology::Single), Ok(Durability::Asynchronous));
        assert!(Durability::chosen("x", Topology::OneReplica).is_err());
    }
}
