//! How nodes relate.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// How the nodes of a datastore relate (rules 7 and 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topology {
    /// One node.
    Single,
    /// A primary and a replica.
    OneReplica,
    /// A primary and two replicas.
    TwoReplicas,
}

impl Topology {
    /// Those that can be chosen today.
    pub const ALL: [Self; 3] = [Self::Single, Self::OneReplica, Self::TwoReplicas];

    /// Id in forms and the metadata database.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::OneReplica => "one-replica",
            Self::TwoReplicas => "two-replicas",
        }
    }

    /// Name for people.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Single => "Primary/replicas: one primary",
            Self::OneReplica => "Primary/replicas: one primary, one replica",
            Self::TwoReplicas => "Primary/replicas: one primary, two replicas",
        }
    }

    /// How many nodes.
    #[must_use]
    pub fn nodes(self) -> u32 {
        match self {
            Self::Single => 1,
            Self::OneReplica => 2,
            Self::TwoReplicas => 3,
        }
    }

    /// What it gives; `None` where it gives nothing beyond a server.
    #[must_use]
    pub fn gives(self) -> Option<&'static str> {
        match self {
            Self::Single => None,
            Self::OneReplica => Some("A second copy of all data: it takes over when the primary cannot be started again, and can be read from."),
            Self::TwoReplicas => {
                Some("Two more copies of all data: one takes over when the primary cannot be started again, and reading is spread over both.")
            }
        }
    }

    /// What to know before choosing it.
    #[must_use]
    pub fn costs(self) -> &'static str {
        match self {
            Self::Single => {
                "A single node: nothing takes over when it fails. Until it is back the datastore is down, and what was only on its \
                 storage may be lost."
            }
            Self::OneReplica => {
                "Asynchronous unless you choose otherwise below: a failover may lose the last moments. All nodes are on this machine, \
                 which remains a single point of failure."
            }
            Self::TwoReplicas => {
                "Each write waits for a replica unless you choose otherwise below. All nodes are on this machine, which remains a single \
                 point of failure."
            }
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
