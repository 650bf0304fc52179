//! Datastores as pages and the API show them.

use super::{
    durability::Durability,
    engine::EngineKind,
    job::JobView,
    status::Status,
    storage::{Enforcement, Storage},
    topology::Topology,
};
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use time::OffsetDateTime;
use uuid::Uuid;

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

impl EndpointKind {
    /// In URLs and sentences.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Replica => "replica",
        }
    }

    /// What it is for, for people.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Primary => "Primary, read-write",
            Self::Replica => "Replicas, read-only",
        }
    }
}

impl FromStr for EndpointKind {
    type Err = ();

    fn from_str(s: &str) -> Result<Self, ()> {
        [Self::Primary, Self::Replica].into_iter().find(|kind| kind.word() == s).ok_or(())
    }
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

impl Endpoint {
    /// `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
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
    /// Whether it is being added or removed: then nothing else can be done with it.
    pub in_transit: bool,
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
    /// Bytes of the primary's log that a replica has not applied yet, as last seen.
    pub lag: Option<u64>,
    /// When the server was started.
    #[serde(with = "time::serde::rfc3339::option")]
    pub started_at: Option<OffsetDateTime>,
}

/// What the replica endpoint leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readers {
    /// Replicas that lack at most so many MB of the primary's log.
    pub lag_mb: u32,
    /// The primary, where no replica is left: else nobody is led anywhere.
    pub fall_back: bool,
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
    /// When a write counts as done.
    pub durability: Durability,
    /// What the replica endpoint leads to.
    pub readers: Readers,
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
