//! What can be chosen: regions, flavors, volume types, limits, engines. Read from TOML; the default is built in.

use super::engine::EngineKind;
use serde::{Deserialize, Serialize};

/// Everything the wizard offers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// Limits on what may be asked for.
    pub limits: Limits,
    /// Built-in cap of a personal project.
    pub personal_quota: Quota,
    /// Named platforms.
    pub regions: Vec<Region>,
    /// Sizes of a node.
    pub flavors: Vec<Flavor>,
    /// Kinds of storage that outlive a node.
    pub volume_types: Vec<VolumeType>,
    /// What is said of each engine.
    pub engines: Vec<EngineEntry>,
}

/// Limits on what may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Largest volume in GB (rule 80; 50 by default, as Rackspace had it).
    pub max_volume_gb: u32,
    /// Most tags of a datastore (rule 6).
    pub max_tags: usize,
    /// Most trusted sources of a datastore.
    pub max_trusted_sources: usize,
}

/// What a project may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// Nodes.
    pub instances: u32,
    /// RAM of all nodes, in MB.
    pub ram_mb: u64,
    /// Storage of all nodes, in GB.
    pub storage_gb: u64,
}

/// A named platform.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// Id in URLs and the metadata database.
    pub id: String,
    /// Name for people.
    pub label: String,
    /// Name of the platform: `local`.
    pub platform: String,
    /// How much more than the machine's RAM may be promised (1.0 = none).
    pub ram_overcommit: f64,
    /// How much more than the free disk may be promised.
    pub storage_overcommit: f64,
    /// The address under which clients reach endpoints, with a port for each from `ports`. Without one, each
    /// endpoint has a loopback address of its own and the engine's standard port.
    #[serde(default)]
    pub endpoint_address: Option<std::net::IpAddr>,
    /// First and last port used with `endpoint_address`.
    #[serde(default = "default_ports")]
    pub ports: [u16; 2],
}

fn default_ports() -> [u16; 2] {
    [20000, 29999]
}

/// Size of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flavor {
    /// Id, as in URLs.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// RAM in MB.
    pub ram_mb: u64,
    /// Virtual CPUs.
    pub vcpus: u32,
    /// Ephemeral disk in GB.
    pub disk_gb: u32,
}

/// Kind of storage that outlives a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeType {
    /// Id.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// What it gives.
    pub description: String,
    /// I/O operations a second it promises; `None` = no promise.
    #[serde(default)]
    pub iops: Option<u32>,
}

/// What is said of an engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineEntry {
    /// Which.
    pub kind: EngineKind,
    /// One honest sentence.
    pub summary: String,
    /// What it is good at.
    pub good_at: String,
    /// Support of each major.
    #[serde(default)]
    pub support: Vec<Support>,
}

/// Support of a major version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Support {
    /// The major.
    pub major: String,
    /// Last day, `YYYY-MM-DD`, as the product's community announced it.
    pub ends: String,
}

impl Catalogue {
    /// The flavor with this id.
    #[must_use]
    pub fn flavor(&self, id: &str) -> Option<&Flavor> {
        self.flavors.iter().find(|f| f.id == id)
    }

    /// The region with this id.
    #[must_use]
    pub fn region(&self, id: &str) -> Option<&Region> {
        self.regions.iter().find(|r| r.id == id)
    }

    /// The volume type with this id.
    #[must_use]
    pub fn volume_type(&self, id: &str) -> Option<&VolumeType> {
        self.volume_types.iter().find(|v| v.id == id)
    }

    /// What is said of an engine.
    #[must_use]
    pub fn engine(&self, kind: EngineKind) -> Option<&EngineEntry> {
        self.engines.iter().find(|e| e.kind == kind)
    }
}
