//! From a node's size to the server's memory, connections and disk use.
//!
//! | setting | rule | source |
//! |---|---|---|
//! | `shared_buffers` | a quarter of RAM | PostgreSQL's documentation, "Resource Consumption": 25 % is a reasonable start, above 40 % seldom helps |
//! | `effective_cache_size` | half of RAM | PostgreSQL's wiki, "Tuning Your PostgreSQL Server": half is normal, three quarters aggressive; RAM may be promised twice here |
//! | `max_connections` | one for each 20 MB of RAM, 40 to 400 | our own: within what hosted services allow (RDS one for each 9 MB, Cloud SQL 100 at 3.75 GB, 400 at 7.5 GB), with room for `work_mem` |
//! | `work_mem` | (RAM − `shared_buffers`) ÷ (3 × connections), at least 1 MB | pgtune's rule: each connection sorts or hashes three times at once |
//! | `maintenance_work_mem` | 1/16 of RAM, at most 2 GB | pgtune's rule; three autovacuum workers may each take it |
//! | `min_dynamic_shared_memory` | 1/64 of RAM | our own: see [`super::config`] on shared memory |
//! | `wal_buffers` | a 32nd of `shared_buffers`, up to 16 MB | the server's own choice with segments of 16 MB; it would stop at one segment |
//! | `max_wal_size` | a tenth of the storage, 64 MB to 4 GB | pgtune's largest for web and mixed loads; the share keeps log from filling a small volume |
//! | `min_wal_size` | a quarter of that, at least the two segments the server demands | |
//! | `max_slot_wal_keep_size` | a quarter of the storage | our own: a replica that is gone must not fill its primary's disk |
//! | `temp_file_limit` | a fifth of the storage, for each session | our own: a query gone wrong fails before the disk does |
//! | parallel workers | as many as CPUs; half of them, at most 4, for one query | pgtune's rule |

use crate::server::platform::NodeSpec;

/// Memory, connections and disk use of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizing {
    pub(super) shared_buffers_mb: u64,
    pub(super) effective_cache_size_mb: u64,
    pub(super) max_connections: u64,
    pub(super) work_mem_kb: u64,
    pub(super) maintenance_work_mem_mb: u64,
    pub(super) min_dynamic_shared_memory_mb: u64,
    pub(super) wal_buffers_kb: u64,
    pub(super) max_wal_size_mb: u64,
    pub(super) min_wal_size_mb: u64,
    pub(super) max_slot_wal_keep_size_mb: u64,
    pub(super) temp_file_limit_mb: u64,
    pub(super) max_parallel_workers: u32,
    pub(super) max_parallel_workers_per_gather: u32,
}

impl Sizing {
    /// The sizes for a node.
    pub(super) fn of(node: &NodeSpec) -> Self {
        let ram_mb = node.ram_mb;
        let storage_mb = u64::from(node.storage.gb()) * 1024;
        let shared_buffers_mb = ram_mb / 4;
        let max_connections = (ram_mb / 20).clamp(40, 400);
        let max_wal_size_mb = (storage_mb / 10).clamp(64, 4096);
        Self {
            shared_buffers_mb,
            effective_cache_size_mb: ram_mb / 2,
            max_connections,
            work_mem_kb: ((ram_mb - shared_buffers_mb) * 1024 / (3 * max_connections)).max(1024),
            maintenance_work_mem_mb: (ram_mb / 16).min(2048),
            min_dynamic_shared_memory_mb: ram_mb / 64,
            wal_buffers_kb: (shared_buffers_mb * 1024 / 32).min(16 << 10),
            max_wal_size_mb,
            min_wal_size_mb: (max_wal_size_mb / 4).max(32),
            max_slot_wal_keep_size_mb: storage_mb / 4,
            temp_file_limit_mb: storage_mb / 5,
            max_parallel_workers: node.vcpus,
            max_parallel_workers_per_gather: (node.vcpus / 2).min(4),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::storage::Storage, server::engine::testing::node};

    fn sizing(ram_mb: u64, vcpus: u32, gb: u32) -> Sizing {
        Sizing::of(&NodeSpec { ram_mb, vcpus, storage: Storage::Ephemeral { gb }, ..node() })
    }

    #[test]
    fn r081_each_flavor_has_its_sizes() {
        let shown = |s: Sizing| {
            (s.shared_buffers_mb, s.max_connections, s.work_mem_kb, s.maintenance_work_mem_mb, s.max_wal_size_mb, s.max_parallel_workers_per_gather)
        };
        for (ram, vcpus, gb, expected) in [
            (512, 1, 5, (128, 40, 3276, 32, 512, 0)),
            (1024, 1, 10, (256, 51, 5140, 64, 1024, 0)),
            (2048, 1, 20, (512, 102, 5140, 128, 2048, 0)),
            (4096, 2, 40, (1024, 204, 5140, 256, 4096, 1)),
            (8192, 4, 80, (2048, 400, 5242, 512, 4096, 2)),
            (16384, 8, 160, (4096, 400, 10485, 1024, 4096, 4)),
        ] {
            assert_eq!(shown(sizing(ram, vcpus, gb)), expected, "{ram} MB");
        }
    }

    #[test]
    fn memory_that_all_sessions_take_at_once_fits_the_node() {
        for ram in [512, 1024, 2048, 4096, 8192, 16384, 65536] {
            let s = sizing(ram, 4, 40);
            let sessions_mb = s.max_connections * s.work_mem_kb / 1024;
            let total = s.shared_buffers_mb + s.min_dynamic_shared_memory_mb + sessions_mb + 3 * s.maintenance_work_mem_mb;
            assert!(total <= ram * 3 / 4, "{ram} MB: {total} MB");
        }
    }

    #[test]
    fn r080_the_smallest_volume_keeps_most_of_itself_for_data() {
        let s = sizing(16384, 8, 1);
        assert_eq!((s.max_wal_size_mb, s.min_wal_size_mb, s.max_slot_wal_keep_size_mb, s.temp_file_limit_mb), (102, 32, 256, 204));
    }
}
