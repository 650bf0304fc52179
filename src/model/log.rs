//! What servers write, as the Logs tab shows it.

use serde::{Deserialize, Serialize};
use std::str::FromStr;
use time::OffsetDateTime;

/// How grave a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What happens every day.
    Info,
    /// Something to look at.
    Warning,
    /// Something failed.
    Error,
}

impl LogLevel {
    /// From the least grave on.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Error];

    /// Id in URLs.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }

    /// Name for people.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Info => "Info",
            Self::Warning => "Warning",
            Self::Error => "Error",
        }
    }
}

impl FromStr for LogLevel {
    type Err = ();

    fn from_str(s: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|level| level.id() == s).ok_or(())
    }
}

/// What was said at once: a line and those that belong to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// When; `None` where the line does not say.
    #[serde(with = "time::serde::rfc3339::option")]
    pub at: Option<OffsetDateTime>,
    /// How grave.
    pub level: LogLevel,
    /// Who was connected, as `user@database`; empty where nobody was.
    pub by: String,
    /// The words, of several lines where something belongs to them.
    pub text: String,
}

/// What of the logs is asked for; every field is as in the URL.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogQuery {
    /// Slot of a node, or empty.
    #[serde(default)]
    pub node: String,
    /// The least grave level that is shown, or empty.
    #[serde(default)]
    pub level: String,
    /// Part of the words, in any case.
    #[serde(default)]
    pub q: String,
}

/// The Logs tab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogsView {
    /// Slots and names of all nodes.
    pub nodes: Vec<(u8, String)>,
    /// Name of the node and what it said, newest first.
    pub entries: Vec<(String, LogEntry)>,
    /// Whether there is more that matches than is shown, or that was looked through.
    pub more: bool,
}
