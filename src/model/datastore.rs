//! Datastores as pages and the API show them.

use super::{
    engine::EngineKind,
    job::JobView,
    status::{Status, Tone},
};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use time::OffsetDateTime;
use uuid::Uuid;

/// Where a node's data lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Storage {
    /// In the node's own directory, with the flavor's size; dies with the node.
    Ephemeral {
        /// The flavor's disk.
        gb: u32,
    },
    /// On a volume.
    Volume {
        /// Id of the volume type.
        volume_type: String,
        /// Its size.
        gb: u32,
    },
}

impl Storage {
    /// Size in GB.
    #[must_use]
    pub fn gb(&self) -> u32 {
        match self {
            Self::Ephemeral { gb } | Self::Volume { gb, .. } => *gb,
        }
    }

    /// Id in forms and the metadata database.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Ephemeral { .. } => "ephemeral",
            Self::Volume { .. } => "volume",
        }
    }

    /// The volume type's id, when it is a volume.
    #[must_use]
    pub fn volume_type(&self) -> Option<&str> {
        match self {
            Self::Ephemeral { .. } => None,
            Self::Volume { volume_type, .. } => Some(volume_type),
        }
    }
}

/// Which limits of a node's size are enforced where it runs, by something that the node cannot talk to.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Enforcement {
    /// Memory.
    pub ram: bool,
    /// Processor time.
    pub cpus: bool,
    /// Number of processes.
    pub processes: bool,
    /// A volume's size; ephemeral storage is watched in any case.
    pub volumes: bool,
}

impl Enforcement {
    /// What the card of a node says of RAM and processors.
    #[must_use]
    pub fn of_node(self) -> String {
        let limits = [("RAM", self.ram), ("vCPUs", self.cpus), ("processes", self.processes)];
        let named = |enforced: bool| limits.iter().filter(|(_, e)| *e == enforced).map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        match (named(true), named(false)) {
            (all, none) if none.is_empty() => format!("{all} enforced"),
            (none, all) if none.is_empty() => format!("{all} not enforced here"),
            (some, others) => format!("{some} enforced; {others} not enforced here"),
        }
    }

    /// What the Storage card says of the size.
    #[must_use]
    pub fn of_storage(self, storage: &Storage) -> &'static str {
        match storage {
            Storage::Volume { .. } if self.volumes => "Enforced: a file system of its own. Read-only shortly before it is full",
            _ => "Watched, not enforced here: read-only shortly before it is full",
        }
    }
}

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

/// A row of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatastoreRow {
    /// Id.
    pub id: Uuid,
    /// Name.
    pub name: String,
    /// Engine.
    pub engine: EngineKind,
    /// Major version.
    pub version: String,
    /// Status.
    pub status: Status,
    /// Topology.
    pub topology: Topology,
    /// Region's name.
    pub region: String,
    /// Flavor's name.
    pub flavor: String,
    /// Nodes.
    pub nodes: u32,
    /// Storage used, in bytes, as last measured.
    pub storage_used: Option<u64>,
    /// Storage promised, in GB for each node.
    pub storage_gb: u32,
    /// Tags.
    pub tags: Vec<String>,
    /// Whether deletion is refused.
    pub termination_protection: bool,
    /// When it was asked for.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// What the list is asked for; every field is as in the URL.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListQuery {
    /// Part of a name.
    #[serde(default)]
    pub q: String,
    /// An engine's id, or empty.
    #[serde(default)]
    pub engine: String,
    /// A status word, or empty.
    #[serde(default)]
    pub status: String,
    /// A tag, or empty.
    #[serde(default)]
    pub tag: String,
    /// `name`, `-name`, `created`, `-created` (newest first, the default).
    #[serde(default)]
    pub sort: String,
    /// Id of a datastore: the page begins after it. Empty for the first page.
    #[serde(default)]
    pub after: String,
    /// Id of a datastore: the page ends before it. Empty otherwise.
    #[serde(default)]
    pub before: String,
}

/// A page of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListPage {
    /// Rows.
    pub rows: Vec<DatastoreRow>,
    /// How many match.
    pub total: u64,
    /// How many there are without search and filters.
    pub all: u64,
    /// How many of those that match come before the first row.
    pub before: u64,
    /// Tags in use, for the filter.
    pub tags: Vec<String>,
}

/// What an endpoint is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EndpointKind {
    /// Read-write.
    Primary,
    /// Read-only.
    Replica,
}

/// A stable address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// What it is for.
    pub kind: EndpointKind,
    /// Host.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// A node, as its card shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeView {
    /// Id.
    pub id: Uuid,
    /// Name: datastore's name and the number of its slot.
    pub name: String,
    /// "primary" or "replica".
    pub role: String,
    /// Status.
    pub status: Status,
    /// What the last check said.
    pub detail: String,
    /// Public `host:port`, through the edge.
    pub public: Option<String>,
    /// Private `host:port`.
    pub private: Option<String>,
    /// Full version of the running server.
    pub version: Option<String>,
    /// Flavor's name.
    pub flavor: String,
    /// Storage used, in bytes.
    pub storage_used: Option<u64>,
    /// Storage promised, in GB.
    pub storage_gb: u32,
    /// When the server was started.
    #[serde(with = "time::serde::rfc3339::option")]
    pub started_at: Option<OffsetDateTime>,
}

/// The first database and its admin user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstUser {
    /// Name of the user.
    pub user: String,
    /// Name of the database.
    pub database: String,
}

/// The datastore's CA, as its pages show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaView {
    /// Absolute URL of the PEM file.
    pub url: String,
    /// SHA-256 of the certificate, colon-separated hex.
    pub fingerprint: String,
    /// When the nodes' present certificate ends.
    #[serde(with = "time::serde::rfc3339::option")]
    pub certificate_expires_at: Option<OffsetDateTime>,
}

/// Everything the header and the tabs of a datastore show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatastoreView {
    /// What the list shows of it.
    pub row: DatastoreRow,
    /// What the last check said.
    pub detail: String,
    /// When that was.
    #[serde(with = "time::serde::rfc3339::option")]
    pub checked_at: Option<OffsetDateTime>,
    /// Storage.
    pub storage: Storage,
    /// Which limits are enforced where it runs.
    pub enforced: Enforcement,
    /// Its endpoints.
    pub endpoints: Vec<Endpoint>,
    /// Its nodes.
    pub nodes: Vec<NodeView>,
    /// First database and user.
    pub first: FirstUser,
    /// Its CA, once made.
    pub ca: Option<CaView>,
    /// Number of trusted sources.
    pub trusted_sources: u32,
    /// Unfinished or newest job.
    pub job: Option<JobView>,
}

/// A trusted source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustedSource {
    /// Id.
    pub id: Uuid,
    /// The network.
    pub cidr: String,
    /// What it is.
    pub description: String,
    /// Who added it.
    pub added_by: String,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// False until the edge has it.
    pub in_effect: bool,
}

/// An address that was refused lately.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedAddress {
    /// The address.
    pub address: String,
    /// How often.
    pub count: u64,
    /// How long ago, in seconds.
    pub seconds_ago: u64,
}

/// The Firewall (Connect) tab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirewallView {
    /// The visitor's own address as the server sees it, as a CIDR, and whether it is allowed.
    pub your_address: Option<(String, bool)>,
    /// Sources.
    pub sources: Vec<TrustedSource>,
    /// Refused lately.
    pub refused: Vec<RefusedAddress>,
    /// Who may connect.
    pub exposure: Exposure,
}

/// Who may connect, as the badge of the Firewall (Connect) tab says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exposure {
    /// No source is trusted.
    Closed,
    /// So many sources are.
    Restricted(usize),
    /// A source covers all addresses of a family.
    Open,
}

impl Exposure {
    /// In words.
    #[must_use]
    pub fn word(self) -> String {
        match self {
            Self::Closed => "Closed to everyone".to_owned(),
            Self::Restricted(n) => format!("Restricted to {}", super::format::count(n, "source", "sources")),
            Self::Open => "Open to everyone".to_owned(),
        }
    }

    /// Its colour and icon.
    #[must_use]
    pub fn tone(self) -> Tone {
        match self {
            Self::Closed => Tone::Quiet,
            Self::Restricted(_) => Tone::Good,
            Self::Open => Tone::Warning,
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_are_not_enforced_are_said() {
        let none = Enforcement::default();
        assert_eq!(none.of_node(), "RAM, vCPUs, processes not enforced here");
        assert_eq!(Enforcement { ram: true, ..none }.of_node(), "RAM enforced; vCPUs, processes not enforced here");
        let all = Enforcement { ram: true, cpus: true, processes: true, volumes: true };
        assert_eq!(all.of_node(), "RAM, vCPUs, processes enforced");
        let volume = Storage::Volume { volume_type: "dynamic".to_owned(), gb: 1 };
        assert!(all.of_storage(&volume).starts_with("Enforced") && none.of_storage(&volume).starts_with("Watched"));
        assert!(all.of_storage(&Storage::Ephemeral { gb: 5 }).starts_with("Watched"));
    }
}
