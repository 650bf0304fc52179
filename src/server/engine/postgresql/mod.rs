//! `PostgreSQL`, majors 11 and newer.
//!
//! The cluster's directory is `pgdata` inside the node's data directory, so that what belongs to Granary (the mark of a
//! finished initialisation) or to a file system (`lost+found`) is never part of a copy of the cluster. Configuration lies
//! outside it: a copied or rewound cluster never brings another node's.

mod admin;
mod check;
mod config;
mod control;
mod control_file;
mod discover;
mod log;
mod probe;
mod promotion;
mod replica;
mod session;
mod sizing;
#[cfg(test)]
mod tests;

use super::{Engine, Health, Installed, Position, Replication, Settings, Site, probing::Probing, quorum::SyncSet};
use crate::{
    model::{engine::EngineKind, log::LogEntry},
    server::{
        crypto::scram,
        platform::{NodePaths, NodeSpec, Platform},
    },
};
use async_trait::async_trait;
use secrecy::SecretString;
use std::path::PathBuf;

/// Granary's own superuser; known by its OS user over the node's socket, admitted nowhere else.
const ADMIN: &str = "granary_admin";
/// Fetches data for replicas; known by its client certificate.
const REPLICATION: &str = "granary_replication";
/// Writes rows during a failover drill; there only then, known by a password.
const PROBE: &str = "granary_probe";
/// The user and the database of a spare, until somebody names them.
const SPARE: &str = "granary_spare";
/// The service's name in the platform's log.
const SERVICE: &str = "postgresql";

/// The engine.
#[derive(Clone, Default)]
pub struct PostgreSql {
    roots: Vec<PathBuf>,
    sessions: check::Sessions,
}

impl PostgreSql {
    /// Looks for programs in `<root>/<version>/bin` too.
    #[must_use]
    pub fn new(roots: Vec<PathBuf>) -> Self {
        Self { roots, sessions: check::Sessions::default() }
    }
}

/// Name of the cluster's directory in the node's data directory.
const CLUSTER: &str = "pgdata";

/// The cluster's directory.
fn cluster(paths: &NodePaths) -> PathBuf {
    paths.data.join(CLUSTER)
}

#[async_trait]
impl Engine for PostgreSql {
    fn kind(&self) -> EngineKind {
        EngineKind::PostgreSql
    }

    async fn installed(&self, platform: &dyn Platform) -> Vec<Installed> {
        discover::installed(platform, &self.roots).await
    }

    async fn initialise(&self, site: Site<'_>) -> anyhow::Result<()> {
        control::initialise(site).await
    }

    fn replication(&self) -> Option<&dyn Replication> {
        Some(self)
    }

    fn probing(&self) -> Option<&dyn Probing> {
        Some(self)
    }

    async fn configure(&self, site: Site<'_>, settings: &Settings) -> anyhow::Result<()> {
        let paths = site.platform.paths(site.node);
        let administrator = site.platform.administrator()?;
        let files = config::files(site.node, &paths, discover::major(site.programs)?, &administrator, settings);
        site.platform.put_files(site.lease, site.node, &files).await
    }

    async fn start(&self, site: Site<'_>) -> anyhow::Result<()> {
        control::start(site).await
    }

    async fn stop(&self, site: Site<'_>) -> anyhow::Result<()> {
        control::stop(site).await
    }

    async fn reload(&self, site: Site<'_>) -> anyhow::Result<()> {
        control::reload(site).await
    }

    async fn set_read_only(&self, site: Site<'_>, on: bool) -> anyhow::Result<()> {
        control::set_read_only(site, on).await
    }

    async fn harden(&self, site: Site<'_>) -> anyhow::Result<()> {
        admin::harden(site).await
    }

    async fn prepare_database(&self, site: Site<'_>) -> anyhow::Result<()> {
        admin::prepare_database(site).await
    }

    fn verifier(&self, password: &SecretString) -> SecretString {
        scram::verifier(password)
    }

    async fn ensure_user(&self, site: Site<'_>, user: &str, verifier: &SecretString) -> anyhow::Result<()> {
        admin::ensure_user(site, user, verifier).await
    }

    async fn ensure_database(&self, site: Site<'_>, database: &str, owner: &str) -> anyhow::Result<()> {
        admin::ensure_database(site, database, owner).await
    }

    async fn check(&self, platform: &dyn Platform, node: &NodeSpec) -> anyhow::Result<Health> {
        check::check(&self.sessions, platform, node).await
    }

    async fn log(&self, platform: &dyn Platform, node: &NodeSpec, bytes: u64) -> Vec<LogEntry> {
        log::entries(&platform.tail(node, SERVICE, bytes).await)
    }
}

#[async_trait]
impl Replication for PostgreSql {
    fn user(&self) -> &'static str {
        REPLICATION
    }

    async fn copy(&self, site: Site<'_>, primary: &NodeSpec) -> anyhow::Result<()> {
        replica::copy(site, primary).await
    }

    async fn rejoin(&self, site: Site<'_>, primary: &NodeSpec, anew: bool) -> anyhow::Result<()> {
        replica::rejoin(site, primary, anew).await
    }

    async fn position(&self, site: Site<'_>) -> anyhow::Result<Position> {
        promotion::position(&self.sessions, site).await
    }

    async fn last_word(&self, site: Site<'_>) -> anyhow::Result<Position> {
        promotion::last_word(&self.sessions, site).await
    }

    async fn keep_log(&self, site: Site<'_>, follower: &NodeSpec) -> anyhow::Result<()> {
        replica::keep_log(site.platform, site.node, follower).await
    }

    async fn forget(&self, site: Site<'_>, follower: &NodeSpec) -> anyhow::Result<()> {
        replica::forget(site, follower).await
    }

    async fn follow(&self, site: Site<'_>, primary: &NodeSpec) -> anyhow::Result<()> {
        replica::follow(site, primary).await
    }

    async fn waits_for(&self, site: Site<'_>, set: &SyncSet) -> anyhow::Result<bool> {
        promotion::waits_for(&self.sessions, site, set).await
    }

    async fn settle(&self, site: Site<'_>) -> anyhow::Result<()> {
        promotion::settle(site).await
    }

    async fn promote(&self, site: Site<'_>) -> anyhow::Result<()> {
        promotion::promote(&self.sessions, site).await
    }
}
