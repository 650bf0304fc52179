//! Those who speak this protocol and keep data this way: Redis, and Valkey, which went on from its 7.2.

use crate::model::engine::EngineKind;

/// In what they differ.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Product {
    /// Which.
    pub(super) kind: EngineKind,
    /// Name of the server's program.
    pub(super) server: &'static str,
    /// What stands before the version when the program is asked for it.
    pub(super) says: &'static str,
    /// What the running server calls its version; it may have another one that is for compatibility.
    pub(super) version: &'static str,
    /// The oldest version that has what Granary needs: several settings at once, patterns in `include`, rights by subcommand.
    pub(super) oldest: (u32, u32),
}

/// Redis.
pub(super) const REDIS: Product =
    Product { kind: EngineKind::Redis, server: "redis-server", says: "Redis server v=", version: "redis_version", oldest: (7, 0) };
/// Valkey. Its 7.2 gives its version as that of Redis alone.
pub(super) const VALKEY: Product =
    Product { kind: EngineKind::Valkey, server: "valkey-server", says: "Valkey server v=", version: "valkey_version", oldest: (8, 0) };
