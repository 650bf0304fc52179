//! What can be had: what a draft is judged against.

use super::{
    catalogue::{Catalogue, Flavor, Quota},
    engine::EngineOffer,
    format,
};
use serde::{Deserialize, Serialize};

/// What the draft is judged against: the offer, the names in use, what is left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Offer {
    /// The catalogue.
    pub catalogue: Catalogue,
    /// Engines and versions of the region.
    pub engines: Vec<EngineOffer>,
    /// What the project may still use.
    pub quota_left: Quota,
    /// What the region may still promise: RAM in MB and storage in GB.
    pub region_left: (u64, u64),
    /// True when another datastore of the project has the draft's name.
    pub name_taken: bool,
}

impl Offer {
    /// Why a flavor cannot be chosen with this many nodes; `None` when it can.
    #[must_use]
    pub fn flavor_refused(&self, flavor: &Flavor, nodes: u32) -> Option<String> {
        self.ram_refused(flavor.ram_mb, nodes)
    }

    /// Why so many nodes of this much RAM, in MB, cannot be had.
    #[must_use]
    pub fn ram_refused(&self, ram_mb: u64, nodes: u32) -> Option<String> {
        let ram = ram_mb * u64::from(nodes);
        if nodes > self.quota_left.instances {
            Some(format!("The project's quota has {} left.", format::count(self.quota_left.instances as usize, "instance", "instances")))
        } else if ram > self.quota_left.ram_mb {
            Some(format!("Needs {ram} MB of RAM; the project's quota has {} MB left.", self.quota_left.ram_mb))
        } else if ram > self.region_left.0 {
            Some(format!("Needs {ram} MB of RAM; this region has {} MB left to promise.", self.region_left.0))
        } else {
            None
        }
    }

    /// Why this much storage cannot be had with this many nodes.
    #[must_use]
    pub fn storage_refused(&self, gb: u32, nodes: u32) -> Option<String> {
        let gb = u64::from(gb) * u64::from(nodes);
        if gb > self.quota_left.storage_gb {
            Some(format!("Needs {gb} GB; the project's quota has {} GB left.", self.quota_left.storage_gb))
        } else if gb > self.region_left.1 {
            Some(format!("Needs {gb} GB; this region has {} GB left to promise.", self.region_left.1))
        } else {
            None
        }
    }
}
