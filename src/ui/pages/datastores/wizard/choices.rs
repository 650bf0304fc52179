//! What the summary must know of the offer, and no more: it goes to the browser with the page, and so does the code that
//! reads it.

use crate::model::{catalogue::Quota, format, offer::Offer};
use serde::{Deserialize, Serialize};

/// Something that can be chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What to know of it, beside its name; empty = nothing.
    pub detail: String,
    /// RAM in MB, of an instance type.
    pub ram_mb: u64,
    /// Disk in GB, of an instance type.
    pub disk_gb: u32,
}

/// The choices of a draft.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choices {
    /// Regions.
    pub regions: Vec<Choice>,
    /// Instance types.
    pub flavors: Vec<Choice>,
    /// Volume types.
    pub volume_types: Vec<Choice>,
    /// Most tags.
    pub max_tags: usize,
    /// Largest volume.
    pub max_volume_gb: u32,
    /// What the project may still use.
    pub quota_left: Quota,
}

impl Choices {
    /// Those of an offer.
    pub(super) fn of(offer: &Offer) -> Self {
        let named = |id: &str, name: &str| Choice { id: id.to_owned(), name: name.to_owned(), detail: String::new(), ram_mb: 0, disk_gb: 0 };
        let catalogue = &offer.catalogue;
        Self {
            regions: catalogue.regions.iter().map(|r| named(&r.id, &r.label)).collect(),
            flavors: catalogue
                .flavors
                .iter()
                .map(|f| Choice {
                    detail: format!("{} vCPU, {}", f.vcpus, format::ram(f.ram_mb)),
                    ram_mb: f.ram_mb,
                    disk_gb: f.disk_gb,
                    ..named(&f.id, &f.name)
                })
                .collect(),
            volume_types: catalogue.volume_types.iter().map(|v| named(&v.id, &v.name)).collect(),
            max_tags: catalogue.limits.max_tags,
            max_volume_gb: catalogue.limits.max_volume_gb,
            quota_left: offer.quota_left,
        }
    }
}

/// The one with this id.
pub(super) fn find<'a>(choices: &'a [Choice], id: &str) -> Option<&'a Choice> {
    choices.iter().find(|choice| choice.id == id)
}
