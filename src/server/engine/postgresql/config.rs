//! The text of a node's configuration. Pure: what is written depends on nothing but the arguments.

use super::{ADMIN, CLUSTER, REPLICATION, cluster, sizing::Sizing};
use crate::server::{
    engine::{Settings, quorum::SyncSet},
    platform::{File, NodePaths, NodeSpec},
};
use secrecy::{ExposeSecret, SecretString};
use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
};

/// The main file's name in the node's configuration directory.
pub(super) const MAIN: &str = "postgresql.conf";
/// Whether writes are refused; beside the main file and not written with it, so that a new configuration changes nothing of that.
const STORAGE: &str = "storage.conf";
const ACCESS: &str = "pg_hba.conf";
const PEERS: &str = "pg_ident.conf";
const CA: &str = "ca.crt";
const CERTIFICATE: &str = "server.crt";
const KEY: &str = "server.key";
const REPLICATION_CERTIFICATE: &str = "replication.crt";
const REPLICATION_KEY: &str = "replication.key";
/// The map of OS users in [`PEERS`].
const MAP: &str = "granary";

/// Everything in the node's configuration directory.
pub(super) fn files(node: &NodeSpec, paths: &NodePaths, major: u32, administrator: &str, settings: &Settings) -> Vec<File> {
    let open = |name: &str, text: String| File { name: name.to_owned(), content: text.into_bytes(), secret: false };
    let key = |name: &str, key: &SecretString| File { name: name.to_owned(), content: key.expose_secret().as_bytes().to_vec(), secret: true };
    let mut files = vec![
        open(MAIN, main(node, paths, major, settings.follows, &settings.sync_set)),
        open(ACCESS, access(settings.edge_source)),
        open(PEERS, peers(administrator)),
        open(CA, settings.tls.ca_pem.clone()),
        open(CERTIFICATE, settings.tls.certificate_pem.clone()),
        key(KEY, &settings.tls.key_pem),
    ];
    if let Some(replication) = &settings.replication {
        files.push(open(REPLICATION_CERTIFICATE, replication.certificate_pem.clone()));
        files.push(key(REPLICATION_KEY, &replication.key_pem));
    }
    files
}

/// How a node comes to its primary: known by its certificate, and the primary by its own.
pub(super) fn conninfo(node: &NodeSpec, paths: &NodePaths, primary: SocketAddr) -> String {
    let file = |name: &str| paths.config.join(name).display().to_string();
    let values = [
        ("host", primary.ip().to_string()),
        ("port", primary.port().to_string()),
        ("user", REPLICATION.to_owned()),
        ("application_name", node.id.to_string()),
        ("sslmode", "verify-full".to_owned()),
        ("sslrootcert", file(CA)),
        ("sslcert", file(REPLICATION_CERTIFICATE)),
        ("sslkey", file(REPLICATION_KEY)),
        // A primary that vanished is noticed by the receiver within these seconds.
        ("connect_timeout", "5".to_owned()),
        ("keepalives_idle", "5".to_owned()),
        ("keepalives_interval", "2".to_owned()),
        ("keepalives_count", "3".to_owned()),
    ];
    let quoted = |value: &str| value.replace('\\', "\\\\").replace('\'', "\\'");
    values.map(|(name, value)| format!("{name}='{}'", quoted(&value))).join(" ")
}

/// What commits wait for. A replica's name is its node's id.
pub(super) fn standby_names(set: &SyncSet) -> String {
    let names: Vec<String> = set.members.iter().map(|node| format!("\"{node}\"")).collect();
    if set.acks == 0 { String::new() } else { format!("ANY {} ({})", set.acks, names.join(", ")) }
}

/// The slot on the primary that keeps what a node has not received yet.
pub(super) fn slot(node: &NodeSpec) -> String {
    format!("granary_{}", node.slot)
}

/// What makes a copied cluster follow instead of lead, beside or, before 12, instead of settings of [`MAIN`].
pub(super) fn follow(node: &NodeSpec, paths: &NodePaths, major: u32, primary: SocketAddr) -> File {
    let (name, text) = if major >= 12 {
        ("standby.signal", String::new())
    } else {
        let mut text = Text::new();
        text.section("Written by Granary; a change made here is lost.");
        text.set("standby_mode", "on");
        text.text("primary_conninfo", &conninfo(node, paths, primary));
        text.text("primary_slot_name", &slot(node));
        text.text("recovery_target_timeline", "latest");
        ("recovery.conf", text.0)
    };
    File { name: format!("data/{CLUSTER}/{name}"), content: text.into_bytes(), secret: true }
}

/// `postgresql.conf`. What is not said is the server's default.
fn main(node: &NodeSpec, paths: &NodePaths, major: u32, follows: Option<SocketAddr>, set: &SyncSet) -> String {
    let mut text = Text::new();
    text.section("Written by Granary; a change made here is lost.");
    places(&mut text, node, paths);
    transport(&mut text, paths, major);
    memory(&mut text, &Sizing::of(node), major);
    durability(&mut text, &Sizing::of(node), major);
    text.section("What commits wait for, while this node is the primary.");
    text.text("synchronous_standby_names", &standby_names(set));
    if let Some(primary) = follows {
        text.section("The primary that this replica follows.");
        if major >= 12 {
            text.text("primary_conninfo", &conninfo(node, paths, primary));
            text.text("primary_slot_name", &slot(node));
        }
        // The default, 5 s, is long where a primary is back within one.
        text.set("wal_retrieve_retry_interval", "100ms");
    }
    reporting(&mut text);
    text.section("Whether writes are refused, because the storage is nearly full.");
    text.text("include_if_exists", STORAGE);
    text.0
}

/// The file that says whether writes are refused.
pub(super) fn storage(read_only: bool) -> File {
    let mut text = Text::new();
    text.section("Written by Granary; a change made here is lost.");
    text.set("default_transaction_read_only", if read_only { "on" } else { "off" });
    File { name: STORAGE.to_owned(), content: text.0.into_bytes(), secret: false }
}

fn places(text: &mut Text, node: &NodeSpec, paths: &NodePaths) {
    text.path("data_directory", &cluster(paths));
    text.path("hba_file", &paths.config.join(ACCESS));
    text.path("ident_file", &paths.config.join(PEERS));
    text.text("cluster_name", &node.id.to_string());
    text.text("listen_addresses", &node.address.ip().to_string());
    text.set("port", node.address.port());
    // A list: the inner quotes keep a comma in the path from ending it.
    text.text("unix_socket_directories", &format!("\"{}\"", paths.run.display()));
    text.set("unix_socket_permissions", "0700");
}

fn transport(text: &mut Text, paths: &NodePaths, major: u32) {
    text.section("Clients: TLS and SCRAM only. The edge holds long connections, so the server notices those that vanished.");
    text.set("ssl", "on");
    text.path("ssl_ca_file", &paths.config.join(CA));
    text.path("ssl_cert_file", &paths.config.join(CERTIFICATE));
    text.path("ssl_key_file", &paths.config.join(KEY));
    if major >= 12 {
        text.text("ssl_min_protocol_version", "TLSv1.2");
    }
    text.text("password_encryption", "scram-sha-256");
    text.set("tcp_keepalives_idle", "60s");
    text.set("tcp_keepalives_interval", "10s");
    text.set("tcp_keepalives_count", 6);
}

/// Parallel queries take shared memory in files of the data directory (`mmap`): POSIX shared memory of a login user is
/// removed by systemd when that user logs out, under the running server (`RemoveIPC`). So that those files are seldom
/// needed, the server sets some memory aside at its start, which is touched only when used.
fn memory(text: &mut Text, size: &Sizing, major: u32) {
    text.section("Memory and parallelism, from the node's size.");
    text.set("dynamic_shared_memory_type", "mmap");
    if major >= 14 {
        text.mb("min_dynamic_shared_memory", size.min_dynamic_shared_memory_mb);
    }
    text.set("huge_pages", "try");
    text.mb("shared_buffers", size.shared_buffers_mb);
    text.mb("effective_cache_size", size.effective_cache_size_mb);
    text.set("max_connections", size.max_connections);
    text.set("work_mem", format_args!("{}kB", size.work_mem_kb));
    text.mb("maintenance_work_mem", size.maintenance_work_mem_mb);
    text.mb("temp_file_limit", size.temp_file_limit_mb);
    text.set("max_worker_processes", size.max_parallel_workers.max(8));
    text.set("max_parallel_workers", size.max_parallel_workers);
    text.set("max_parallel_workers_per_gather", size.max_parallel_workers_per_gather);
    text.set("max_parallel_maintenance_workers", size.max_parallel_workers_per_gather);
    // Storage without seek time: a random page costs little more than the next one.
    text.set("random_page_cost", "1.1");
}

/// What needs a restart is on from the first day, so that replicas and backups can be added to a running server.
fn durability(text: &mut Text, size: &Sizing, major: u32) {
    text.section("Log, replicas, archive.");
    text.set("wal_level", "replica");
    text.set("max_wal_senders", 10);
    text.set("max_replication_slots", 10);
    text.set("wal_buffers", format_args!("'{}kB'", size.wal_buffers_kb));
    text.mb("max_wal_size", size.max_wal_size_mb);
    text.mb("min_wal_size", size.min_wal_size_mb);
    if major >= 13 {
        text.mb("max_slot_wal_keep_size", size.max_slot_wal_keep_size_mb);
    }
    text.set("archive_mode", "on");
    text.text("archive_command", "/bin/true");
    text.set("checkpoint_completion_target", "0.9");
    if major >= 14 {
        // One call instead of opening every file: a start after a crash takes fractions of a second, not seconds.
        text.set("recovery_init_sync_method", "syncfs");
    }
}

/// The platform keeps what the server writes to its standard error.
fn reporting(text: &mut Text) {
    text.section("The server's log. Statements stay out of it: they hold people's data.");
    text.set("logging_collector", "off");
    text.text("log_line_prefix", "%m [%p] %q%u@%d ");
    text.text("log_timezone", "UTC");
    text.text("timezone", "UTC");
    text.set("log_statement", "none");
    text.set("log_checkpoints", "on");
    text.set("log_lock_waits", "on");
}

/// `pg_hba.conf`. The first line that matches a connection decides; one that no line matches is refused.
fn access(edge_source: IpAddr) -> String {
    let prefix = if edge_source.is_ipv4() { 32 } else { 128 };
    format!(
        "\
# Written by Granary; a change made here is lost. What no line admits is refused.
# Granary itself, by the name of its OS user:
local    all          {ADMIN}        peer map={MAP}
# Replicas, by a client certificate of this datastore's CA; `postgres` is for pg_rewind:
hostssl  replication  {REPLICATION}  all  cert
hostssl  postgres     {REPLICATION}  all  cert
# Granary's roles in no other way:
host     all          {ADMIN},{REPLICATION}  all  reject
# Everybody else through the edge, which has checked the trusted sources:
hostssl  all          all  {edge_source}/{prefix}  scram-sha-256
"
    )
}

/// `pg_ident.conf`.
fn peers(administrator: &str) -> String {
    format!("# Written by Granary; a change made here is lost.\n{MAP}  \"{administrator}\"  {ADMIN}\n")
}

/// Lines of `postgresql.conf`.
struct Text(String);

impl Text {
    fn new() -> Self {
        Self(String::new())
    }

    fn section(&mut self, comment: &str) {
        let gap = if self.0.is_empty() { "" } else { "\n" };
        self.0.extend([gap, "# ", comment, "\n"]);
    }

    /// A number or a word.
    fn set(&mut self, name: &str, value: impl std::fmt::Display) {
        self.0.extend([name, " = ", &value.to_string(), "\n"]);
    }

    fn mb(&mut self, name: &str, value: u64) {
        self.set(name, format_args!("{value}MB"));
    }

    /// Any text, quoted: the server reads `''` and `\\` inside.
    fn text(&mut self, name: &str, value: &str) {
        self.set(name, format_args!("'{}'", value.replace('\\', "\\\\").replace('\'', "''")));
    }

    fn path(&mut self, name: &str, value: &Path) {
        self.text(name, &value.display().to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::engine::testing::node;
    use std::path::PathBuf;

    fn paths() -> NodePaths {
        let under = |name| PathBuf::from("/srv/it's a, \\ place").join(name);
        NodePaths { data: under("data"), config: under("config"), run: under("run"), log: under("log") }
    }

    fn lines(text: &str) -> Vec<String> {
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(words).collect()
    }

    #[test]
    fn paths_are_quoted_as_the_server_reads_them() {
        let text = main(&node(), &paths(), 15, None, &SyncSet::default());
        assert!(text.contains("data_directory = '/srv/it''s a, \\\\ place/data/pgdata'\n"), "{text}");
        assert!(text.contains("unix_socket_directories = '\"/srv/it''s a, \\\\ place/run\"'\n"), "{text}");
    }

    #[test]
    fn a_replica_is_told_whom_it_follows_and_verifies_them() {
        let primary = "127.64.3.10:5432".parse().unwrap();
        for major in 11..=18 {
            let (text, file) = (main(&node(), &paths(), major, Some(primary), &SyncSet::default()), follow(&node(), &paths(), major, primary));
            let recovery = String::from_utf8(file.content).unwrap();
            let told = if major >= 12 { &text } else { &recovery };
            assert!(told.contains("primary_conninfo = 'host=''127.64.3.10'' port=''5432''") && told.contains("sslmode=''verify-full''"), "{told}");
            assert!(told.contains("primary_slot_name = 'granary_0'"), "{told}");
            assert_eq!((text.contains("primary_conninfo"), file.name.ends_with("/standby.signal")), (major >= 12, major >= 12));
        }
        // A quote in the path is quoted for libpq, and that once more for the file.
        assert!(conninfo(&node(), &paths(), primary).contains(r"sslkey='/srv/it\'s a, \\ place/config/replication.key'"));
        assert!(!main(&node(), &paths(), 15, None, &SyncSet::default()).contains("primary_conninfo"));
    }

    #[test]
    fn a_major_is_told_only_what_it_knows() {
        let since =
            [("ssl_min_protocol_version", 12), ("max_slot_wal_keep_size", 13), ("recovery_init_sync_method", 14), ("min_dynamic_shared_memory", 14)];
        for major in 11..=18 {
            let text = main(&node(), &paths(), major, None, &SyncSet::default());
            for (name, first) in since {
                assert_eq!(text.contains(&format!("\n{name} = ")), major >= first, "{name} in {major}");
            }
        }
    }

    #[test]
    fn each_setting_is_said_once() {
        let text = main(&node(), &paths(), 18, Some("127.64.3.10:5432".parse().unwrap()), &SyncSet::default());
        let mut names: Vec<_> = lines(&text).iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn r026_only_the_edge_is_admitted_and_granarys_roles_are_refused_before_it() {
        assert_eq!(
            lines(&access("127.64.3.9".parse().unwrap())),
            [
                "local all granary_admin peer map=granary",
                "hostssl replication granary_replication all cert",
                "hostssl postgres granary_replication all cert",
                "host all granary_admin,granary_replication all reject",
                "hostssl all all 127.64.3.9/32 scram-sha-256",
            ]
        );
        assert!(access("fd00::7".parse().unwrap()).contains("hostssl  all          all  fd00::7/128  scram-sha-256\n"));
    }

    #[test]
    fn only_the_key_is_secret() {
        let tls = crate::server::engine::Tls { ca_pem: "ca".into(), certificate_pem: "certificate".into(), key_pem: "key".into() };
        let files = files(
            &node(),
            &paths(),
            15,
            "root",
            &Settings {
                tls,
                replication: None,
                edge_source: "127.64.3.9".parse().unwrap(),
                follows: None,
                sync_set: SyncSet::default(),
                confirms: false,
            },
        );
        let secret: Vec<_> = files.iter().filter(|file| file.secret).map(|file| (file.name.as_str(), file.content.as_slice())).collect();
        assert_eq!(secret, [("server.key", &b"key"[..])]);
        assert_eq!(files.len(), 6);
    }
}
