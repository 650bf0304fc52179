//! How nodes relate.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// How the nodes of a datastore relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topology {
    /// One node.
    Single,
}

impl Topology {
    /// Those that can be chosen today.
    pub const ALL: [Self; 1] = [Self::Single];

    /// Id in forms and the metadata database.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Single => "single",
        }
    }

    /// Name for people.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Single => "Primary/replicas: one primary",
        }
    }

    /// How many nodes.
    #[must_use]
    pub fn nodes(self) -> u32 {
        match self {
            Self::Single => 1,
        }
    }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl FromStr for Topology {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|t| t.id() == s).ok_or_else(|| "Choose one of the topologies.".to_owned())
    }
}
