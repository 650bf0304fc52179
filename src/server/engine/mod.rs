//! What database products need: programs, configuration, users, checks. An engine acts only through the platform it is
//! given: it never spawns a process and never opens a path itself.

pub mod mariadb;
pub mod postgresql;
pub mod probing;
pub mod quorum;
pub mod redis;
mod service;
#[cfg(test)]
mod testing;
mod tls;

use self::quorum::SyncSet;
use super::{
    crypto::derived::Passwords,
    platform::{Lease, NodeSpec, Platform},
};
use crate::model::{engine::EngineKind, log::LogEntry};
use async_trait::async_trait;
use secrecy::SecretString;
use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use time::OffsetDateTime;
use uuid::Uuid;

/// A major version that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// The major, such as `15`.
    pub major: String,
    /// The full version, such as `15.18`.
    pub full: String,
    /// Directory of its programs.
    pub programs: PathBuf,
}

/// A node to act on, and the right to.
#[derive(Clone, Copy)]
pub struct Site<'a> {
    /// Where it lives.
    pub platform: &'a dyn Platform,
    /// The right to act.
    pub lease: Lease,
    /// The node.
    pub node: &'a NodeSpec,
    /// Its programs.
    pub programs: &'a Installed,
}

/// Certificate of a node.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The datastore's CA.
    pub ca_pem: String,
    /// The node's certificate.
    pub certificate_pem: String,
    /// Its key.
    pub key_pem: SecretString,
}

/// With what a node is known to another as one of the same datastore.
#[derive(Debug, Clone)]
pub struct ClientTls {
    /// A certificate whose common name is [`Replication::user`].
    pub certificate_pem: String,
    /// Its key.
    pub key_pem: SecretString,
}

/// What a node's configuration depends on besides the node.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Certificates.
    pub tls: Tls,
    /// What it shows to other nodes; `None` where none was issued yet.
    pub replication: Option<ClientTls>,
    /// The edge's source address, the only one clients come from.
    pub edge_source: IpAddr,
    /// Address of the primary that it follows; `None` for the primary itself.
    pub follows: Option<SocketAddr>,
    /// What its commits wait for while it is the primary; a replica has it ready for when it becomes one.
    pub sync_set: SyncSet,
    /// Whether commits of the primary that it follows wait for it, or may.
    pub confirms: bool,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Full version of the running server.
    pub version: String,
    /// True for a writable primary.
    pub writable: bool,
    /// True for a replica that receives from its primary now.
    pub receives: bool,
    /// For how long a replica has received nothing, where the server itself tells; zero where it does not.
    pub deaf: Duration,
    /// Those that follow it.
    pub followers: Vec<Follower>,
    /// Whether writes are refused but for those that free space: see [`Engine::set_read_only`].
    pub read_only: bool,
    /// When it was started.
    pub started_at: OffsetDateTime,
}

/// The server answered, though not with what it was asked for: it lives.
#[derive(Debug, thiserror::Error)]
#[error("the server refuses")]
pub struct Answered;

/// How far a server's log goes: what has the greatest has all that the others have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Counts promotions.
    pub timeline: u32,
    /// Bytes of log, received or applied, whichever is more.
    pub log: u64,
}

/// A replica as its primary sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Follower {
    /// The replica's node.
    pub node: Uuid,
    /// Bytes of the log that it has not applied yet.
    pub lag_bytes: u64,
    /// Whether commits wait for it, or may.
    pub synchronous: bool,
}

/// How the nodes of a product follow one another: a primary takes writes, replicas have what it has. Every act is an "ensure".
#[async_trait]
pub trait Replication: Send + Sync {
    /// The user as whom replicas come to their primary.
    fn user(&self) -> &'static str;

    /// Makes a replica's data directory a copy of what its running primary has, so that it follows when it is started.
    /// Repeats a half-done one from nothing, never touches a finished one.
    async fn copy(&self, site: Site<'_>, primary: &NodeSpec) -> anyhow::Result<()>;

    /// Has a node follow this running primary, whatever it was before: what it wrote that the primary does not have is lost. It
    /// may run already, or has still to be started afterwards. Copies everything where nothing less will do, or when asked to do it `anew`.
    async fn rejoin(&self, site: Site<'_>, primary: &NodeSpec, anew: bool) -> anyhow::Result<()>;

    /// Has a running replica know the users that its primary knows. Nothing to do where they come with the data.
    async fn share_users(&self, _site: Site<'_>, _primary: &NodeSpec) -> anyhow::Result<()> {
        Ok(())
    }

    /// How far a running replica's, or a cleanly stopped server's, log goes. At most 5 s.
    async fn position(&self, site: Site<'_>) -> anyhow::Result<Position>;

    /// How far a running replica's log goes now that its primary is fenced: it receives no more, so this is its last word. At most
    /// 5 s; an error when it receives still.
    async fn last_word(&self, site: Site<'_>) -> anyhow::Result<Position>;

    /// Has a node keep its log for another that will follow it.
    async fn keep_log(&self, site: Site<'_>, follower: &NodeSpec) -> anyhow::Result<()>;

    /// Has a running server keep no log for a node that is gone.
    async fn forget(&self, site: Site<'_>, follower: &NodeSpec) -> anyhow::Result<()>;

    /// Has a running replica follow the primary that its configuration names now. Returns before it does.
    async fn follow(&self, site: Site<'_>, primary: &NodeSpec) -> anyhow::Result<()>;

    /// Whether a running server's commits wait for exactly this, or would if it were a primary: no commit from now on is
    /// acknowledged by less. At most 5 s, or as long as a checkpoint takes.
    async fn waits_for(&self, site: Site<'_>, set: &SyncSet) -> anyhow::Result<bool>;

    /// Writes everything to its place, so that a stop or a promotion that follows is short.
    async fn settle(&self, site: Site<'_>) -> anyhow::Result<()>;

    /// Makes a running replica a primary, and returns when it takes writes. The old one is fenced: that is the caller's to know.
    async fn promote(&self, site: Site<'_>) -> anyhow::Result<()>;
}

/// A database product. Every act is an "ensure": doing it again ends in the same state.
#[async_trait]
pub trait Engine: Send + Sync {
    /// Which.
    fn kind(&self) -> EngineKind;

    /// Majors that are installed where the platform's nodes live, newest first.
    async fn installed(&self, platform: &dyn Platform) -> Vec<Installed>;

    /// Makes an empty data directory. Repeats a half-done one from nothing, never touches a finished one.
    async fn initialise(&self, site: Site<'_>) -> anyhow::Result<()>;

    /// How it replicates; `None` where Granary runs it on one node alone.
    fn replication(&self) -> Option<&dyn Replication> {
        None
    }

    /// How it is probed in a failover drill; `None` where there are none.
    fn probing(&self) -> Option<&dyn probing::Probing> {
        None
    }

    /// Writes configuration and certificates. A running server takes up what it can with [`Engine::reload`].
    async fn configure(&self, site: Site<'_>, settings: &Settings) -> anyhow::Result<()>;

    /// Starts the server and returns when it answers its administrator; the error carries the end of its log.
    async fn start(&self, site: Site<'_>) -> anyhow::Result<()>;

    /// Stops it cleanly, within 30 s, else by fencing; nothing of it is left afterwards.
    async fn stop(&self, site: Site<'_>) -> anyhow::Result<()>;

    /// Has the running server take up changed files.
    async fn reload(&self, site: Site<'_>) -> anyhow::Result<()>;

    /// Has the server refuse writes, those of sessions that are there included, or admit them again; outlives a restart.
    /// There is a way to free space all the same, which `EngineKind::frees_space_by` tells.
    async fn set_read_only(&self, site: Site<'_>, on: bool) -> anyhow::Result<()>;

    /// Takes from PUBLIC what tenants must not have, makes Granary's own roles.
    async fn harden(&self, site: Site<'_>) -> anyhow::Result<()>;

    /// Makes a user that cannot sign in and its database, for the first [`Engine::ensure_user`] and
    /// [`Engine::ensure_database`] to rename instead of making theirs.
    async fn prepare_database(&self, site: Site<'_>) -> anyhow::Result<()>;

    /// The form in which the engine takes a password: never the password itself.
    fn verifier(&self, password: &SecretString) -> SecretString;

    /// Makes the user, or gives it this password.
    async fn ensure_user(&self, site: Site<'_>, user: &str, verifier: &SecretString) -> anyhow::Result<()>;

    /// Makes the database with this owner. Nothing to do where databases are there from the start.
    async fn ensure_database(&self, site: Site<'_>, database: &str, owner: &str) -> anyhow::Result<()>;

    /// Asks the server how it is. At most 5 s. The error is [`Answered`] where the server itself gave it.
    async fn check(&self, platform: &dyn Platform, node: &NodeSpec) -> anyhow::Result<Health>;

    /// The end of the server's log, oldest entry first: what is in its last `bytes`.
    async fn log(&self, platform: &dyn Platform, node: &NodeSpec, bytes: u64) -> Vec<LogEntry>;
}

/// The engines Granary can run. Besides the system's own programs they look in these roots, each as `make engines`
/// lays them: `<root>/<engine id>/<version>/bin`. Without passwords they can only look for programs.
#[must_use]
pub fn all(roots: &[PathBuf], passwords: Option<&Passwords>) -> Vec<Arc<dyn Engine>> {
    let of = |kind: EngineKind| roots.iter().map(|root| root.join(kind.id())).collect();
    vec![
        Arc::new(postgresql::PostgreSql::new(of(EngineKind::PostgreSql))),
        Arc::new(mariadb::MariaDb::new(of(EngineKind::MariaDb))),
        Arc::new(redis::Redis::new(of(EngineKind::Redis), passwords.cloned())),
        Arc::new(redis::Redis::valkey(of(EngineKind::Valkey), passwords.cloned())),
    ]
}
