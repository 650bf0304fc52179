//! From a node's size to the server's memory, connections and disk use.
//!
//! | setting | rule | source |
//! |---|---|---|
//! | `innodb_buffer_pool_size` | half of what is left of RAM besides 192 MB, in steps of 8 MB | our own: an idle server takes 60 MB and each session up to some MB; MariaDB's documentation gives 70 % of a machine of its own, without a hard limit |
//! | `max_connections` | one for each 20 MB of RAM, 40 to 400 | as for PostgreSQL: the same flavors, the same clients |
//! | `innodb_log_file_size` | a sixteenth of the storage, 32 MB to 1 GB | our own: MariaDB's default is 96 MB; the file has this size from the start |
//! | `max_binlog_size` | a hundredth of the storage, 4 MB to 256 MB | our own: whole files are removed, see [`super::check`] |
//! | the log for replicas, in all | a tenth of the storage | our own: a replica that is gone must not fill its primary's disk |
//! | temporary tables on disk | a fifth of the storage | our own: a query gone wrong fails before the disk does |
//! | `tmp_table_size` | a 64th of RAM, 1 MB to 64 MB | our own: each session may take it |

use crate::server::platform::NodeSpec;

/// Memory, connections and disk use of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizing {
    pub(super) buffer_pool_mb: u64,
    pub(super) max_connections: u64,
    pub(super) redo_log_mb: u64,
    pub(super) binlog_file_mb: u64,
    pub(super) binlog_mb: u64,
    pub(super) temporary_mb: u64,
    pub(super) tmp_table_mb: u64,
}

impl Sizing {
    /// The sizes for a node.
    pub(super) fn of(node: &NodeSpec) -> Self {
        let ram_mb = node.ram_mb;
        let storage_mb = u64::from(node.storage.gb()) * 1024;
        Self {
            buffer_pool_mb: (ram_mb.saturating_sub(192) / 2 / 8 * 8).max(32),
            max_connections: (ram_mb / 20).clamp(40, 400),
            redo_log_mb: (storage_mb / 16).clamp(32, 1024),
            binlog_file_mb: (storage_mb / 100).clamp(4, 256),
            binlog_mb: storage_mb / 10,
            temporary_mb: storage_mb / 5,
            tmp_table_mb: (ram_mb / 64).clamp(1, 64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::storage::Storage, server::engine::testing::node};

    fn sizing(ram_mb: u64, gb: u32) -> Sizing {
        Sizing::of(&NodeSpec { ram_mb, storage: Storage::Ephemeral { gb }, ..node() })
    }

    #[test]
    fn r081_each_flavor_has_its_sizes() {
        let shown = |s: Sizing| (s.buffer_pool_mb, s.max_connections, s.redo_log_mb, s.binlog_file_mb, s.tmp_table_mb);
        for (ram, gb, expected) in [
            (512, 5, (160, 40, 320, 51, 8)),
            (1024, 10, (416, 51, 640, 102, 16)),
            (4096, 40, (1952, 204, 1024, 256, 64)),
            (16384, 160, (8096, 400, 1024, 256, 64)),
        ] {
            assert_eq!(shown(sizing(ram, gb)), expected, "{ram} MB");
        }
    }

    #[test]
    fn r080_the_smallest_volume_keeps_most_of_itself_for_data() {
        let s = sizing(16384, 1);
        assert_eq!((s.redo_log_mb, s.binlog_mb, s.temporary_mb), (64, 102, 204));
    }
}
