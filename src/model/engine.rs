//! The engines and what a region offers of each.

use super::{durability::Durability, topology::Topology};
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
    /// Valkey.
    Valkey,
}

impl EngineKind {
    /// All of them, in the order of the wizard's cards.
    pub const ALL: [Self; 5] = [Self::PostgreSql, Self::MariaDb, Self::MySql, Self::Redis, Self::Valkey];

    /// The id in URLs, forms, the catalogue and the metadata database.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::PostgreSql => "postgresql",
            Self::MariaDb => "mariadb",
            Self::MySql => "mysql",
            Self::Redis => "redis",
            Self::Valkey => "valkey",
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
            Self::Valkey => "Valkey",
        }
    }

    /// The product's standard port.
    #[must_use]
    pub fn port(self) -> u16 {
        match self {
            Self::PostgreSql => 5432,
            Self::MariaDb | Self::MySql => 3306,
            Self::Redis | Self::Valkey => 6379,
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

/// What a choice of when a write counts as done means for an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteWords {
    /// What it gives.
    pub gives: &'static str,
    /// What it costs.
    pub costs: &'static str,
    /// What a failover after a death may lose.
    pub loses: &'static str,
}

/// In what engines differ for people.
impl EngineKind {
    /// How nodes of it may relate (rule 7).
    #[must_use]
    pub fn topologies(self) -> &'static [Topology] {
        match self {
            Self::PostgreSql | Self::MariaDb | Self::Redis | Self::Valkey => &Topology::ALL,
            Self::MySql => &[Topology::Single],
        }
    }

    /// Whether a write is acknowledged only once it is written down, so that a server that was killed has it when it is started again, and
    /// can be made to wait for replicas. Redis and Valkey answer first and writes down after.
    #[must_use]
    pub fn keeps_acknowledged(self) -> bool {
        !matches!(self, Self::Redis | Self::Valkey)
    }

    /// The topology that was chosen.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn topology(self, typed: &str) -> Result<Topology, String> {
        let topology = typed.parse::<Topology>()?;
        if self.topologies().contains(&topology) { Ok(topology) } else { Err(format!("Granary cannot run {self} this way yet.")) }
    }

    /// Name of a choice of when a write counts as done.
    #[must_use]
    pub fn writes(self, durability: Durability) -> &'static str {
        if durability == Durability::Quorum && !self.keeps_acknowledged() { "Writes need a replica in step" } else { durability.label() }
    }

    /// What it means.
    #[must_use]
    pub fn write_words(self, durability: Durability) -> WriteWords {
        let (gives, costs, loses) = match (durability, self.keeps_acknowledged()) {
            (Durability::Quorum, true) => (
                "A write is acknowledged once a replica has it, too, and a failover waits until it is sure to have it all.",
                "Each write takes as long as the way to a replica and back. With one replica, writes wait while it is away.",
                "No write that was acknowledged is lost.",
            ),
            (Durability::Quorum, false) => (
                "Writes are refused while no replica has answered for 5 seconds, so that no more than some seconds are ever on one node alone.",
                "A write is acknowledged before a replica has it: a failover may still lose the last moments. With one replica, writes are refused while it is away.",
                "A write is acknowledged before a replica has it: what was not sent yet when the primary was killed may be lost, your applications' writes among it.",
            ),
            (Durability::Asynchronous, _) => (
                "A write is acknowledged once the primary has it. The fastest.",
                "A failover may lose the last moments.",
                "Replication is asynchronous: where a replica takes over, the last moments before the kill may be lost, your applications' writes among them.",
            ),
        };
        WriteWords { gives, costs, loses }
    }

    /// What is proposed as long as nobody chooses.
    #[must_use]
    pub fn proposed_writes(self) -> &'static str {
        if self.keeps_acknowledged() {
            "With two replicas no acknowledged write is lost; with one it is asynchronous."
        } else {
            "With two replicas, writes need one of them in step; with one it is asynchronous."
        }
    }

    /// What to know of a topology before choosing it.
    #[must_use]
    pub fn costs(self, topology: Topology) -> &'static str {
        if self.keeps_acknowledged() || topology != Topology::TwoReplicas {
            return topology.costs();
        }
        "Writes are refused while no replica is in step unless you choose otherwise below; a failover may lose the last moments all the same. \
         All nodes are on this machine, which remains a single point of failure."
    }

    /// What memory holds, and what happens when it is full; `None` where data lives on disk.
    #[must_use]
    pub fn memory(self) -> Option<&'static str> {
        match self {
            Self::PostgreSql | Self::MariaDb | Self::MySql => None,
            Self::Redis | Self::Valkey => Some("data takes at most half of the RAM; then writes are refused, nothing is evicted (noeviction)"),
        }
    }

    /// When a change is on disk, where it is acknowledged earlier.
    #[must_use]
    pub fn written_down(self) -> Option<&'static str> {
        (!self.keeps_acknowledged()).then_some("each second (appendfsync everysec): a crash of the machine may cost the last two seconds")
    }

    /// The first database where it needs no name; `None` where it gets one.
    #[must_use]
    pub fn first_database(self) -> Option<NumberedDatabase> {
        match self {
            Self::PostgreSql | Self::MariaDb | Self::MySql => None,
            Self::Redis | Self::Valkey => Some(NumberedDatabase {
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
            Self::Redis | Self::Valkey => "DEL, UNLINK, EXPIRE and FLUSHALL still work; BGREWRITEAOF then gives back what they freed",
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
            (Self::Valkey, _) => "valkey-server".to_owned(),
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
    fn only_what_an_engine_can_promise_is_said_of_it() {
        for engine in EngineKind::ALL {
            let words = engine.write_words(Durability::Quorum);
            let all = [engine.writes(Durability::Quorum), words.gives, words.loses, engine.proposed_writes(), engine.costs(Topology::TwoReplicas)];
            let promises = all.iter().any(|words| words.to_lowercase().contains("no acknowledged write is lost"));
            assert_eq!(promises, engine.keeps_acknowledged(), "{engine}: {all:?}");
            assert_eq!(words.costs.contains("may still lose"), !engine.keeps_acknowledged(), "{engine}");
        }
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
