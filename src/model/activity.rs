//! What happened to a datastore, as pages show it.

use super::job::JobView;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// An audit line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventView {
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Who.
    pub actor: String,
    /// From where.
    pub address: String,
    /// What.
    pub action: String,
    /// Details.
    pub detail: String,
}

/// The Activity tab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivityView {
    /// Jobs, newest first.
    pub jobs: Vec<JobView>,
    /// Events, newest first.
    pub events: Vec<EventView>,
}
