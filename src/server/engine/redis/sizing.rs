//! What a node's size means for its server.

use crate::server::platform::NodeSpec;

/// Settings that follow from the flavor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizing {
    /// Bytes of data and clients' buffers.
    pub(super) maxmemory: u64,
    /// Sessions.
    pub(super) maxclients: u64,
    /// Bytes of changes that are kept for replicas that were away for a moment.
    pub(super) backlog: u64,
}

impl Sizing {
    /// A child of the server writes snapshots and the log anew, from the memory as it was when it began; what is changed
    /// meanwhile is there twice. So data takes half of the RAM: whatever is written, the node stays within its limit, and the
    /// kernel never kills the server. A session over TLS takes some 50 KB that the server does not count.
    pub(super) fn of(node: &NodeSpec) -> Self {
        Self { maxmemory: (node.ram_mb << 20) / 2, maxclients: node.ram_mb.clamp(256, 10_000), backlog: (node.ram_mb << 20) / 64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::engine::testing::node;

    #[test]
    fn r081_each_flavor_has_its_sizes() {
        for (ram_mb, maxmemory_mb, maxclients) in [(128, 64, 256), (512, 256, 512), (1024, 512, 1024), (4096, 2048, 4096), (16384, 8192, 10_000)] {
            let sizing = Sizing::of(&NodeSpec { ram_mb, ..node() });
            assert_eq!(sizing, Sizing { maxmemory: maxmemory_mb << 20, maxclients, backlog: ram_mb << 14 }, "{ram_mb} MB");
        }
    }
}
