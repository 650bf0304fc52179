//! The engines and what a region offers of each.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A database product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// `PostgreSQL`.
    PostgreSql,
    /// `MariaDB`.
    MariaDb,
    /// `MySQL`.
    MySql,
    /// Redis.
    Redis,
}

impl EngineKind {
    /// All of them, in the order of the wizard's cards.
    pub const ALL: [Self; 4] = [Self::PostgreSql, Self::MariaDb, Self::MySql, Self::Redis];

    /// The id in URLs, forms, the catalogue and the metadata database.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::PostgreSql => "postgresql",
            Self::MariaDb => "mariadb",
            Self::MySql => "mysql",
            Self::Redis => "redis",
        }
    }

    /// The product's name as it writes it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::PostgreSql => "PostgreSQL",
            Self::MariaDb => "MariaDB",
            Self::MySql => "MySQL",
            Self::Redis => "Redis",
        }
    }

    /// The product's standard port.
    #[must_use]
    pub fn port(self) -> u16 {
        match self {
            Self::PostgreSql => 5432,
            Self::MariaDb | Self::MySql => 3306,
            Self::Redis => 6379,
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl FromStr for EngineKind {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|k| k.id() == s).ok_or_else(|| "Choose one of the databases.".to_owned())
    }
}

/// One major version that is installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionOffer {
    /// The major, such as `15`.
    pub major: String,
    /// The full version of the programs, such as `15.18`.
    pub full: String,
    /// Last day of the community's support, `YYYY-MM-DD`, where the catalogue knows it.
    pub end_of_support: Option<String>,
    /// True once that day has passed.
    pub past_support: bool,
}

/// A card of the wizard's first step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineOffer {
    /// Which engine.
    pub kind: EngineKind,
    /// One honest sentence.
    pub summary: String,
    /// What it is good at.
    pub good_at: String,
    /// Installed majors, newest first.
    pub versions: Vec<VersionOffer>,
    /// Why it cannot be chosen; `None` when it can.
    pub unavailable: Option<String>,
}
