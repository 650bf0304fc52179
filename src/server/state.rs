//! What every request, job and check stands on.

use super::{
    config::Config,
    crypto::keyring::Keyring,
    db::changes::Changes,
    engine::{Engine, Installed},
    monitor::pulse::Pulse,
    platform::Platform,
};
use crate::model::{catalogue::Catalogue, engine::EngineKind};
use sqlx::PgPool;
use std::{collections::BTreeMap, ops::Deref, sync::Arc};
use time::OffsetDateTime;
use uuid::Uuid;

/// Where the time comes from; tests hold their own.
#[derive(Debug, Clone, Copy, Default)]
pub enum Clock {
    /// The machine's.
    #[default]
    System,
    /// Stands still.
    Fixed(OffsetDateTime),
}

impl Clock {
    /// Now.
    #[must_use]
    pub fn now(self) -> OffsetDateTime {
        match self {
            #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine")]
            Self::System => OffsetDateTime::now_utc(),
            Self::Fixed(at) => at,
        }
    }
}

/// The running Granary; cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Inner>);

/// What [`App`] holds.
pub struct Inner {
    /// Settings.
    pub config: Config,
    /// The metadata database.
    pub db: PgPool,
    /// What can be chosen.
    pub catalogue: Catalogue,
    /// Platforms by region id.
    pub platforms: BTreeMap<String, Arc<dyn Platform>>,
    /// Engines by kind.
    pub engines: BTreeMap<EngineKind, Arc<dyn Engine>>,
    /// What was found of each engine in each region, newest major first.
    pub installed: BTreeMap<(String, EngineKind), Vec<Installed>>,
    /// Seals secrets.
    pub keyring: Keyring,
    /// The time.
    pub clock: Clock,
    /// Tells live pages and workers what changed.
    pub changes: Changes,
    /// When the monitor looked last.
    pub pulse: Pulse,
    /// Id of this home on this machine: `local` work belongs to it.
    pub host: Uuid,
}

impl App {
    /// Wraps what was put together.
    #[must_use]
    pub fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// The platform of a region.
    ///
    /// # Errors
    /// When the catalogue lost the region.
    pub fn platform(&self, region: &str) -> anyhow::Result<&dyn Platform> {
        self.platforms.get(region).map(AsRef::as_ref).ok_or_else(|| anyhow::anyhow!("the catalogue has no region “{region}”"))
    }

    /// The engine of a kind.
    ///
    /// # Errors
    /// When Granary cannot run it.
    pub fn engine(&self, kind: EngineKind) -> anyhow::Result<&dyn Engine> {
        self.engines.get(&kind).map(AsRef::as_ref).ok_or_else(|| anyhow::anyhow!("{kind} cannot be run by this version of Granary"))
    }

    /// The programs of a major version in a region.
    ///
    /// # Errors
    /// When they are not, or no longer, there; says which are missing.
    pub fn programs(&self, region: &str, kind: EngineKind, major: &str) -> anyhow::Result<&Installed> {
        self.installed
            .get(&(region.to_owned(), kind))
            .and_then(|found| found.iter().find(|i| i.major == major))
            .ok_or_else(|| anyhow::anyhow!("the programs of {kind} {major} are not installed on this machine"))
    }
}

impl Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}
