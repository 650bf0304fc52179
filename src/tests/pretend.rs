//! An engine that needs no programs: for tests of jobs, where the order of effects matters and not what a database is.

use crate::{
    model::{
        engine::EngineKind,
        log::{LogEntry, LogLevel},
    },
    server::{
        engine::{
            Engine, Follower, Health, Installed, Position, Replication, Settings, Site,
            probing::{Access, Probe, Probing},
            quorum::SyncSet,
        },
        platform::{File, NodeSpec, Platform, Presence, Program, Stream},
    },
};
use anyhow::{bail, ensure};
use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex},
};
use time::OffsetDateTime;
use uuid::Uuid;

/// What the pretended servers hold, so that tests can see what was done, and how often.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Users by node: name and verifier.
    pub(crate) users: BTreeMap<Uuid, Vec<(String, String)>>,
    /// Databases by node: name and owner.
    pub(crate) databases: BTreeMap<Uuid, Vec<(String, String)>>,
    /// Whether writes are refused, by node.
    pub(crate) read_only: BTreeMap<Uuid, bool>,
    /// Nodes that have what a probe needs.
    pub(crate) probed: BTreeSet<Uuid>,
    /// Nodes that follow, and whether they receive.
    pub(crate) follows: BTreeMap<Uuid, bool>,
    /// What commits wait for, by node, as configured.
    pub(crate) waits_for: BTreeMap<Uuid, SyncSet>,
    /// How often each act was done.
    pub(crate) acts: BTreeMap<&'static str, u32>,
}

/// The engine; clones share their state.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pretend(pub(crate) Arc<Mutex<State>>);

impl Pretend {
    fn note(&self, act: &'static str) {
        *self.0.lock().unwrap().acts.entry(act).or_default() += 1;
    }

    /// The version that is proposed.
    pub(crate) fn version() -> Installed {
        Installed { major: "15".to_owned(), full: "15.0".to_owned(), programs: PathBuf::from("/nonexistent") }
    }

    /// One that is past its support.
    pub(crate) fn old_version() -> Installed {
        Installed { major: "11".to_owned(), full: "11.22".to_owned(), ..Self::version() }
    }
}

#[async_trait]
impl Engine for Pretend {
    fn kind(&self) -> EngineKind {
        EngineKind::PostgreSql
    }

    async fn installed(&self, _: &dyn Platform) -> Vec<Installed> {
        vec![Self::version(), Self::old_version()]
    }

    async fn initialise(&self, site: Site<'_>) -> anyhow::Result<()> {
        self.note("initialise");
        if !site.platform.has_file(site.node, "initialised").await? {
            let file = File { name: "data/initialised".to_owned(), content: b"yes".to_vec(), secret: false };
            site.platform.put_files(site.lease, site.node, &[file]).await?;
        }
        Ok(())
    }

    fn replication(&self) -> Option<&dyn Replication> {
        Some(self)
    }

    fn probing(&self) -> Option<&dyn Probing> {
        Some(self)
    }

    async fn configure(&self, site: Site<'_>, settings: &Settings) -> anyhow::Result<()> {
        self.note("configure");
        self.0.lock().unwrap().waits_for.insert(site.node.id, settings.sync_set.clone());
        let file = File { name: "key.pem".to_owned(), content: settings.tls.key_pem.expose_secret().as_bytes().to_vec(), secret: true };
        site.platform.put_files(site.lease, site.node, &[file]).await
    }

    async fn start(&self, site: Site<'_>) -> anyhow::Result<()> {
        self.note("start");
        ensure!(site.platform.has_file(site.node, "initialised").await?, "the data directory was not initialised");
        site.platform.start(site.lease, site.node, "server", &Program { path: "/nonexistent".into(), args: vec![], env: vec![] }).await
    }

    async fn stop(&self, site: Site<'_>) -> anyhow::Result<()> {
        self.note("stop");
        site.platform.fence(site.lease, site.node).await
    }

    async fn reload(&self, _: Site<'_>) -> anyhow::Result<()> {
        self.note("reload");
        Ok(())
    }

    async fn set_read_only(&self, site: Site<'_>, on: bool) -> anyhow::Result<()> {
        self.note("set_read_only");
        self.0.lock().unwrap().read_only.insert(site.node.id, on);
        Ok(())
    }

    async fn harden(&self, _: Site<'_>) -> anyhow::Result<()> {
        self.note("harden");
        Ok(())
    }

    async fn prepare_database(&self, site: Site<'_>) -> anyhow::Result<()> {
        self.note("prepare_database");
        let mut state = self.0.lock().unwrap();
        state.databases.insert(site.node.id, vec![("spare".to_owned(), "spare".to_owned())]);
        Ok(())
    }

    fn verifier(&self, password: &SecretString) -> SecretString {
        format!("verifier of {} characters", password.expose_secret().len()).into()
    }

    async fn ensure_user(&self, site: Site<'_>, user: &str, verifier: &SecretString) -> anyhow::Result<()> {
        self.note("ensure_user");
        let mut state = self.0.lock().unwrap();
        let users = state.users.entry(site.node.id).or_default();
        users.retain(|(name, _)| name != user);
        users.push((user.to_owned(), verifier.expose_secret().to_owned()));
        Ok(())
    }

    async fn ensure_database(&self, site: Site<'_>, database: &str, owner: &str) -> anyhow::Result<()> {
        self.note("ensure_database");
        let mut state = self.0.lock().unwrap();
        let databases = state.databases.entry(site.node.id).or_default();
        databases.retain(|(name, _)| name != database && name != "spare");
        databases.push((database.to_owned(), owner.to_owned()));
        Ok(())
    }

    async fn check(&self, platform: &dyn Platform, node: &NodeSpec) -> anyhow::Result<Health> {
        ensure!(matches!(platform.presence(node).await, Presence::Running { .. }), "nothing answers");
        let state = self.0.lock().unwrap();
        let read_only = state.read_only.get(&node.id).copied().unwrap_or_default();
        let follows = state.follows.get(&node.id);
        let receives = follows.copied().unwrap_or_default();
        Ok(Health {
            version: "15.0".to_owned(),
            writable: follows.is_none(),
            receives,
            deaf: std::time::Duration::ZERO,
            followers: state.follows.keys().map(|node| Follower { node: *node, lag_bytes: 0, synchronous: true }).collect(),
            read_only,
            started_at: OffsetDateTime::UNIX_EPOCH,
        })
    }

    async fn log(&self, platform: &dyn Platform, node: &NodeSpec, bytes: u64) -> Vec<LogEntry> {
        let text = platform.tail(node, "server", bytes).await;
        text.lines().map(|line| LogEntry { at: None, level: LogLevel::Info, by: String::new(), text: line.to_owned() }).collect()
    }
}

#[async_trait]
impl Replication for Pretend {
    fn user(&self) -> &'static str {
        "replication"
    }

    async fn copy(&self, site: Site<'_>, primary: &NodeSpec) -> anyhow::Result<()> {
        self.note("copy");
        ensure!(matches!(site.platform.presence(primary).await, Presence::Running { .. }), "there is nothing to copy from");
        self.0.lock().unwrap().follows.insert(site.node.id, true);
        let file = File { name: "data/initialised".to_owned(), content: b"yes".to_vec(), secret: false };
        site.platform.put_files(site.lease, site.node, &[file]).await
    }

    async fn rejoin(&self, site: Site<'_>, primary: &NodeSpec, _: bool) -> anyhow::Result<()> {
        self.note("rejoin");
        site.platform.fence(site.lease, site.node).await?;
        self.copy(site, primary).await
    }

    async fn position(&self, site: Site<'_>) -> anyhow::Result<Position> {
        self.note("position");
        Ok(Position { timeline: 1, log: u64::from(site.node.slot) })
    }

    async fn last_word(&self, site: Site<'_>) -> anyhow::Result<Position> {
        self.position(site).await
    }

    async fn keep_log(&self, _: Site<'_>, _: &NodeSpec) -> anyhow::Result<()> {
        self.note("keep-log");
        Ok(())
    }

    async fn forget(&self, _: Site<'_>, _: &NodeSpec) -> anyhow::Result<()> {
        self.note("forget");
        Ok(())
    }

    async fn follow(&self, site: Site<'_>, _: &NodeSpec) -> anyhow::Result<()> {
        self.note("follow");
        self.0.lock().unwrap().follows.insert(site.node.id, true);
        Ok(())
    }

    async fn waits_for(&self, site: Site<'_>, set: &SyncSet) -> anyhow::Result<bool> {
        Ok(self.0.lock().unwrap().waits_for.get(&site.node.id).is_some_and(|has| has.members == set.members))
    }

    async fn settle(&self, _: Site<'_>) -> anyhow::Result<()> {
        self.note("settle");
        Ok(())
    }

    async fn promote(&self, site: Site<'_>) -> anyhow::Result<()> {
        self.note("promote");
        self.0.lock().unwrap().follows.remove(&site.node.id);
        Ok(())
    }
}

#[async_trait]
impl Probing for Pretend {
    async fn make_probe(&self, site: Site<'_>, _: &SecretString) -> anyhow::Result<()> {
        self.note("make_probe");
        self.0.lock().unwrap().probed.insert(site.node.id);
        Ok(())
    }

    async fn remove_probe(&self, site: Site<'_>) -> anyhow::Result<()> {
        self.note("remove_probe");
        self.0.lock().unwrap().probed.remove(&site.node.id);
        Ok(())
    }

    async fn open_probe(&self, _: Box<dyn Stream>, _: &Access) -> anyhow::Result<Box<dyn Probe>> {
        bail!("nothing listens here")
    }
}
