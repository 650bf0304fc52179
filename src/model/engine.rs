//! The engines and what a region offers of each.

use super::topology::Topology;
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

/// A first database that needs no name: it is there from the start, because the engine numbers its databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NumberedDatabase {
    /// Its number, as clients give it.
    pub name: &'static str,
    /// What a person should know of it.
    pub words: &'static str,
}

/// In what engines differ for people.
impl EngineKind {
    /// How nodes of it may relate (rule 7).
    #[must_use]
    pub fn topologies(self) -> &'static [Topology] {
        match self {
            Self::PostgreSql | Self::MariaDb => &Topology::ALL,
            Self::MySql | Self::Redis => &[Topology::Single],
        }
    }

    /// The topology that was chosen.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn topology(self, typed: &str) -> Result<Topology, String> {
        let topology = typed.parse::<Topology>()?;
        if self.topologies().contains(&topology) { Ok(topology) } else { Err(format!("Granary cannot run {self} this way yet.")) }
    }

    /// The first database where it needs no name; `None` where it gets one.
    #[must_use]
    pub fn first_database(self) -> Option<NumberedDatabase> {
        match self {
            Self::PostgreSql | Self::MariaDb | Self::MySql => None,
            Self::Redis => Some(NumberedDatabase {
                name: "0",
                words: "Databases have numbers instead of names, 0 to 15. All are there from the start, and the admin user may use each; \
                    clients begin in 0.",
            }),
        }
    }

    /// How people free space while writes are refused because the storage is nearly full.
    #[must_use]
    pub fn frees_space_by(self) -> &'static str {
        match self {
            Self::PostgreSql => "a session may write after SET default_transaction_read_only = off",
            Self::MariaDb => "a session may write after SET SESSION TRANSACTION READ WRITE",
            Self::MySql => "ask whoever runs Granary",
            Self::Redis => "DEL, UNLINK, EXPIRE and FLUSHALL still work; BGREWRITEAOF then gives back what they freed",
        }
    }

    /// Whether its servers take each client's own address from the edge, by a header of the PROXY protocol.
    #[must_use]
    pub fn hears_clients(self) -> bool {
        self == Self::MariaDb
    }

    /// Debian's package of its server; that of one major where there is one for each.
    #[must_use]
    pub fn package(self, major: Option<&str>) -> String {
        match (self, major) {
            (Self::PostgreSql, Some(major)) => format!("postgresql-{major}"),
            (Self::PostgreSql, None) => "postgresql".to_owned(),
            (Self::MariaDb, _) => "mariadb-server-core mariadb-backup".to_owned(),
            (Self::MySql, _) => "mysql-server".to_owned(),
            (Self::Redis, _) => "redis-server".to_owned(),
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

impl EngineOffer {
    /// The major that is proposed: the newest that is still supported, else the newest.
    #[must_use]
    pub fn proposed(&self) -> Option<&VersionOffer> {
        self.versions.iter().find(|v| !v.past_support).or(self.versions.first())
    }
}

/// The version that goes with an engine where `typed` was chosen: what only another engine has was left from that one's card.
#[must_use]
pub fn fitting_version(engines: &[EngineOffer], engine: &str, typed: &str) -> String {
    let has = |engine: &EngineOffer| engine.versions.iter().any(|v| v.major == typed);
    let chosen = engines.iter().find(|e| e.kind.id() == engine && !has(e));
    let is_left_over = typed.is_empty() || engines.iter().any(has);
    let proposed = chosen.filter(|_| is_left_over).and_then(EngineOffer::proposed);
    proposed.map_or_else(|| typed.to_owned(), |version| version.major.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r005_what_is_past_its_support_is_proposed_only_where_nothing_else_is() {
        let proposed = |majors: &[(&str, bool)]| {
            let version = |(major, past_support): &(&str, bool)| VersionOffer {
                major: (*major).into(),
                full: String::new(),
                end_of_support: None,
                past_support: *past_support,
            };
            let versions = majors.iter().map(version).collect();
            let offer = EngineOffer { kind: EngineKind::PostgreSql, summary: String::new(), good_at: String::new(), versions, unavailable: None };
            offer.proposed().map(|version| version.major.clone())
        };
        assert_eq!(proposed(&[("18", false), ("15", false), ("11", true)]).as_deref(), Some("18"));
        assert_eq!(proposed(&[("14", true), ("13", false), ("11", true)]).as_deref(), Some("13"));
        assert_eq!(proposed(&[("12", true), ("11", true)]).as_deref(), Some("12"));
        assert_eq!(proposed(&[]), None);
    }

    #[test]
    fn r005_the_version_follows_the_engine_and_a_wrong_one_is_kept_as_typed() {
        let offered = |kind, majors: &[&str]| {
            let version =
                |major: &&str| VersionOffer { major: (*major).into(), full: String::new(), end_of_support: None, past_support: *major == "18" };
            let versions = majors.iter().map(version).collect();
            EngineOffer { kind, summary: String::new(), good_at: String::new(), versions, unavailable: None }
        };
        let engines = [offered(EngineKind::PostgreSql, &["18", "17", "16"]), offered(EngineKind::Redis, &["7.2", "7.0"])];
        for (engine, typed, fitting) in [
            ("redis", "17", "7.2"),
            ("redis", "7.0", "7.0"),
            ("redis", "", "7.2"),
            ("redis", "9", "9"),
            ("postgresql", "7.2", "17"),
            ("postgresql", "16", "16"),
            ("mysql", "17", "17"),
            ("", "", ""),
        ] {
            assert_eq!(fitting_version(&engines, engine, typed), fitting, "{engine} {typed}");
        }
    }
}
