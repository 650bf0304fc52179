//! `MariaDB`, 10.6 and newer.
//!
//! The tables' directory is `mariadb` inside the node's data directory, so that what belongs to Granary (the mark of a finished
//! initialisation), to a file system (`lost+found`) or to a query (temporary tables) is never taken for a database.
//! Configuration lies outside it: copied data never bring another node's. Granary's own accounts are made at each start, by the
//! node's own configuration.

mod admin;
mod check;
mod client;
mod config;
mod control;
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
    server::platform::{NodePaths, NodeSpec, Platform},
};
use async_trait::async_trait;
use secrecy::SecretString;
use std::path::PathBuf;

/// Fetches data for replicas; known by its client certificate.
const REPLICATION: &str = "granary_replication";
/// Writes rows during a failover drill; there only then, known by a password.
const PROBE: &str = "granary_probe";
/// Accounts that come with a server.
const SYSTEM: [&str; 4] = ["root", "mysql", "mariadb.sys", "PUBLIC"];
/// The service's name in the platform's log.
const SERVICE: &str = "mariadb";
/// Lies in the data directory once somebody else has a copy of what is in it.
const COPIED: &str = "copied";

/// The engine.
#[derive(Debug, Clone, Default)]
pub struct MariaDb {
    roots: Vec<PathBuf>,
    seen: check::Seen,
}

impl MariaDb {
    /// Looks for programs in `<root>/<version>/bin` too.
    #[must_use]
    pub fn new(roots: Vec<PathBuf>) -> Self {
        Self { roots, seen: check::Seen::default() }
    }
}

/// The tables' directory.
fn tables(paths: &NodePaths) -> PathBuf {
    paths.data.join("mariadb")
}

/// Where temporary tables lie.
fn temporary(paths: &NodePaths) -> PathBuf {
    paths.data.join("temporary")
}

#[async_trait]
impl Engine for MariaDb {
    fn kind(&self) -> EngineKind {
        EngineKind::MariaDb
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
        let files = config::files(site.node, &site.platform.paths(site.node), &site.platform.administrator()?, settings);
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

    async fn prepare_database(&self, _: Site<'_>) -> anyhow::Result<()> {
        // Both are made as quickly as they would be renamed, and a database cannot be.
        Ok(())
    }

    fn verifier(&self, password: &SecretString) -> SecretString {
        admin::verifier(password)
    }

    async fn ensure_user(&self, site: Site<'_>, user: &str, verifier: &SecretString) -> anyhow::Result<()> {
        admin::ensure_user(site, user, verifier).await
    }

    async fn ensure_database(&self, site: Site<'_>, database: &str, owner: &str) -> anyhow::Result<()> {
        admin::ensure_database(site, database, owner).await
    }

    async fn check(&self, platform: &dyn Platform, node: &NodeSpec) -> anyhow::Result<Health> {
        check::check(&self.seen, platform, node).await
    }

    async fn log(&self, platform: &dyn Platform, node: &NodeSpec, bytes: u64) -> Vec<LogEntry> {
        log::entries(&platform.tail(node, SERVICE, bytes).await)
    }
}

#[async_trait]
impl Replication for MariaDb {
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
        promotion::position(site).await
    }

    async fn last_word(&self, site: Site<'_>) -> anyhow::Result<Position> {
        promotion::last_word(site).await
    }

    async fn keep_log(&self, _: Site<'_>, _: &NodeSpec) -> anyhow::Result<()> {
        // The log is kept by its size, see `check`, whoever follows; whom it does not reach any more is copied anew.
        Ok(())
    }

    async fn forget(&self, _: Site<'_>, _: &NodeSpec) -> anyhow::Result<()> {
        Ok(())
    }

    async fn follow(&self, site: Site<'_>, primary: &NodeSpec) -> anyhow::Result<()> {
        replica::follow(site, primary).await
    }

    async fn waits_for(&self, site: Site<'_>, set: &SyncSet) -> anyhow::Result<bool> {
        promotion::waits_for(site, set).await
    }

    async fn settle(&self, site: Site<'_>) -> anyhow::Result<()> {
        promotion::settle(site).await
    }

    async fn promote(&self, site: Site<'_>) -> anyhow::Result<()> {
        promotion::promote(site).await
    }
}
