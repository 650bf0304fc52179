//! Redis, 7.0 and newer, and Valkey, 8.0 and newer.
//!
//! Data lies in the node's data directory as it is: Redis knows its own files there by their names. Beside them lies the
//! list of users, which the server itself writes: so users go where the data goes.
//!
//! Redis knows nobody by the user of the operating system. Granary's own user has a password that is stored nowhere: it
//! follows from the master key, see [`crate::server::crypto::derived`]. With another key file it is another one, which a
//! running server takes up with a restart.

mod admin;
mod check;
mod client;
mod config;
mod control;
mod discover;
mod info;
mod log;
mod probe;
mod product;
mod promotion;
mod replica;
mod sizing;
#[cfg(test)]
mod tests;

use super::{Engine, Health, Installed, Position, Replication, Settings, Site, probing::Probing, quorum::SyncSet};
use crate::{
    model::{engine::EngineKind, log::LogEntry},
    server::{
        crypto::derived::Passwords,
        platform::{NodeSpec, Platform},
    },
};
use anyhow::Context;
use async_trait::async_trait;
use client::Client;
use config::Own;
use product::{Product, REDIS, VALKEY};
use secrecy::SecretString;
use std::path::PathBuf;

/// Granary's own user. It reads no keys.
const ADMIN: &str = "granary_admin";
/// Fetches data for replicas; the same on all nodes of a datastore.
const REPLICATION: &str = "granary_replication";
/// Writes numbers during a failover drill; there only then.
const PROBE: &str = "granary_probe";
/// The service's name in the platform's log.
const SERVICE: &str = "redis";
/// Granary's socket in the node's directory for sockets.
const SOCKET: &str = "redis.sock";

/// The engine.
#[derive(Debug, Clone)]
pub struct Redis {
    product: &'static Product,
    roots: Vec<PathBuf>,
    passwords: Option<Passwords>,
}

impl Redis {
    /// Looks for programs in `<root>/<version>/bin` too.
    #[must_use]
    pub fn new(roots: Vec<PathBuf>, passwords: Option<Passwords>) -> Self {
        Self { product: &REDIS, roots, passwords }
    }

    /// The same for Valkey.
    #[must_use]
    pub fn valkey(roots: Vec<PathBuf>, passwords: Option<Passwords>) -> Self {
        Self { product: &VALKEY, roots, passwords }
    }

    fn passwords(&self) -> anyhow::Result<&Passwords> {
        self.passwords.as_ref().context("the master key was not opened, so this Granary can only look for programs")
    }

    /// The password of [`ADMIN`] on a node.
    fn password(&self, node: &NodeSpec) -> anyhow::Result<SecretString> {
        Ok(self.passwords()?.of(&format!("redis/{}/{ADMIN}", node.id)))
    }

    /// Those of Granary's own users on a node.
    fn own(&self, node: &NodeSpec) -> anyhow::Result<Own> {
        let replication = self.passwords()?.of(&format!("redis/{}/{REPLICATION}", node.datastore));
        Ok(Own { admin: self.password(node)?, replication })
    }

    async fn sign_in(&self, platform: &dyn Platform, node: &NodeSpec) -> anyhow::Result<Client> {
        Client::sign_in(platform, node, &self.password(node)?).await
    }
}

#[async_trait]
impl Engine for Redis {
    fn kind(&self) -> EngineKind {
        self.product.kind
    }

    async fn installed(&self, platform: &dyn Platform) -> Vec<Installed> {
        discover::installed(platform, self.product, &self.roots).await
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
        let files = config::files(site.node, &paths, &self.own(site.node)?, settings);
        site.platform.put_files(site.lease, site.node, &files).await
    }

    async fn start(&self, site: Site<'_>) -> anyhow::Result<()> {
        control::start(site, self.product, &self.password(site.node)?).await
    }

    async fn stop(&self, site: Site<'_>) -> anyhow::Result<()> {
        control::stop(site, &self.password(site.node)?).await
    }

    async fn reload(&self, site: Site<'_>) -> anyhow::Result<()> {
        control::reload(site, &mut self.sign_in(site.platform, site.node).await?, &self.own(site.node)?).await
    }

    async fn set_read_only(&self, site: Site<'_>, on: bool) -> anyhow::Result<()> {
        control::set_read_only(site, &mut self.sign_in(site.platform, site.node).await?, on).await
    }

    async fn harden(&self, site: Site<'_>) -> anyhow::Result<()> {
        admin::harden(Client::open(site.platform, site.node).await?).await
    }

    async fn prepare_database(&self, _: Site<'_>) -> anyhow::Result<()> {
        // The databases are there, and a user is made as quickly as one is renamed.
        Ok(())
    }

    fn verifier(&self, password: &SecretString) -> SecretString {
        admin::verifier(password)
    }

    async fn ensure_user(&self, site: Site<'_>, user: &str, verifier: &SecretString) -> anyhow::Result<()> {
        admin::ensure_user(&mut self.sign_in(site.platform, site.node).await?, user, verifier).await
    }

    async fn ensure_database(&self, _: Site<'_>, database: &str, _: &str) -> anyhow::Result<()> {
        admin::ensure_database(database)
    }

    async fn check(&self, platform: &dyn Platform, node: &NodeSpec) -> anyhow::Result<Health> {
        check::check(platform, self.product, node, &self.password(node)?).await
    }

    async fn log(&self, platform: &dyn Platform, node: &NodeSpec, bytes: u64) -> Vec<LogEntry> {
        log::entries(&platform.tail(node, SERVICE, bytes).await)
    }
}

#[async_trait]
impl Replication for Redis {
    fn user(&self) -> &'static str {
        REPLICATION
    }

    async fn copy(&self, site: Site<'_>, primary: &NodeSpec) -> anyhow::Result<()> {
        replica::copy(self, site, primary).await
    }

    async fn rejoin(&self, site: Site<'_>, primary: &NodeSpec, anew: bool) -> anyhow::Result<()> {
        replica::rejoin(self, site, primary, anew).await
    }

    async fn share_users(&self, site: Site<'_>, primary: &NodeSpec) -> anyhow::Result<()> {
        replica::share_users(self, site, primary).await
    }

    async fn position(&self, site: Site<'_>) -> anyhow::Result<Position> {
        promotion::position(self, site).await
    }

    async fn last_word(&self, site: Site<'_>) -> anyhow::Result<Position> {
        promotion::last_word(self, site).await
    }

    async fn keep_log(&self, _: Site<'_>, _: &NodeSpec) -> anyhow::Result<()> {
        // It keeps the last changes for whoever comes, and copies everything to who lacks more.
        Ok(())
    }

    async fn forget(&self, _: Site<'_>, _: &NodeSpec) -> anyhow::Result<()> {
        Ok(())
    }

    async fn follow(&self, site: Site<'_>, primary: &NodeSpec) -> anyhow::Result<()> {
        replica::follow(self, site, primary).await
    }

    async fn waits_for(&self, site: Site<'_>, set: &SyncSet) -> anyhow::Result<bool> {
        promotion::waits_for(self, site, set).await
    }

    async fn settle(&self, _: Site<'_>) -> anyhow::Result<()> {
        // What is not on disk yet is of the last second.
        Ok(())
    }

    async fn promote(&self, site: Site<'_>) -> anyhow::Result<()> {
        promotion::promote(self, site).await
    }
}
