//! Who may connect, as pages show it.

use super::{format, status::Tone};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

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
            Self::Restricted(n) => format!("Restricted to {}", format::count(n, "source", "sources")),
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
