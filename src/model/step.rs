//! The steps of the wizard, in their order.

use serde::{Deserialize, Serialize};

/// A step of the wizard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Step {
    /// Engine and version.
    Databases,
    /// Name, tags, topology.
    Configuration,
    /// Region.
    CloudService,
    /// Flavor, storage, first database, first trusted source.
    Resources,
    /// Review and Finish.
    Preview,
}

impl Step {
    /// In order.
    pub const ALL: [Self; 5] = [Self::Databases, Self::Configuration, Self::CloudService, Self::Resources, Self::Preview];

    /// Path segment.
    #[must_use]
    pub fn slug(self) -> &'static str {
        match self {
            Self::Databases => "databases",
            Self::Configuration => "configuration",
            Self::CloudService => "cloud-service",
            Self::Resources => "resources",
            Self::Preview => "preview",
        }
    }

    /// Name for people (rules 2-3).
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Databases => "Databases",
            Self::Configuration => "Configuration",
            Self::CloudService => "Cloud service",
            Self::Resources => "Resources",
            Self::Preview => "Preview",
        }
    }

    /// The step of a path segment.
    #[must_use]
    pub fn from_slug(slug: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.slug() == slug)
    }

    /// The step after this one.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        Self::ALL.into_iter().find(|s| *s > self)
    }

    /// The step before this one.
    #[must_use]
    pub fn previous(self) -> Option<Self> {
        Self::ALL.into_iter().rev().find(|s| *s < self)
    }
}
