//! The text of a node's configuration. Pure: what is written depends on nothing but the arguments.

use super::{
    REPLICATION, SYSTEM,
    session::{SOCKET, name, text},
    sizing::Sizing,
    tables, temporary,
};
use crate::server::{
    engine::Settings,
    platform::{File, NodePaths, NodeSpec},
};
use secrecy::{ExposeSecret, SecretString};
use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

/// The main file's name in the node's configuration directory.
pub(super) const MAIN: &str = "my.cnf";
/// What the server runs at each start, before it takes clients.
const ACCOUNTS: &str = "accounts.sql";
/// Whether writes are refused; beside the main file and not written with it, so that a new configuration changes nothing of that.
const STORAGE: &str = "storage.cnf";
/// What [`MAIN`] says that a running server takes up: one statement in a line.
pub(super) const CHANGEABLE: &str = "changeable.sql";
const CA: &str = "ca.crt";
const CERTIFICATE: &str = "server.crt";
const KEY: &str = "server.key";
const REPLICATION_CERTIFICATE: &str = "replication.crt";
const REPLICATION_KEY: &str = "replication.key";
/// How long a commit waits for a replica that does not come: the most that the server knows, 49 days.
pub(super) const FOREVER_MS: u32 = u32::MAX;
/// The same where none is waited for. It is never used; by it a replica knows its wish.
const NEVER_MS: u32 = 10_000;
/// What replicas may do, and whoever copies all data for them.
const REPLICATION_RIGHTS: &str = "REPLICATION SLAVE, BINLOG MONITOR, SLAVE MONITOR, RELOAD, PROCESS, LOCK TABLES, CONNECTION ADMIN";

/// Everything in the node's configuration directory.
pub(super) fn files(node: &NodeSpec, paths: &NodePaths, administrator: &str, settings: &Settings) -> Vec<File> {
    let open = |name: &str, text: String| File { name: name.to_owned(), content: text.into_bytes(), secret: false };
    let key = |name: &str, key: &SecretString| File { name: name.to_owned(), content: key.expose_secret().as_bytes().to_vec(), secret: true };
    let mut files = vec![
        open(MAIN, main(node, paths, settings)),
        open(CHANGEABLE, changeable(settings)),
        open(ACCOUNTS, accounts(administrator)),
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

/// `my.cnf`. What is not said is the server's default.
fn main(node: &NodeSpec, paths: &NodePaths, settings: &Settings) -> String {
    let size = Sizing::of(node);
    let mut text = Text::new();
    text.line("[mariadbd]");
    places(&mut text, node, paths);
    transport(&mut text, paths, settings.edge_source);
    rights(&mut text, paths);
    memory(&mut text, &size);
    durability(&mut text, node, &size);
    replication(&mut text, node, settings);
    text.section("Whether writes are refused, because the storage is nearly full.");
    text.line(&format!("!include {}", paths.config.join(STORAGE).display()));
    text.0
}

/// The file that says whether writes are refused.
pub(super) fn storage(read_only: bool) -> File {
    let mut text = Text::new();
    text.line("[mariadbd]");
    text.set("transaction-read-only", if read_only { "ON" } else { "OFF" });
    File { name: STORAGE.to_owned(), content: text.0.into_bytes(), secret: false }
}

fn places(text: &mut Text, node: &NodeSpec, paths: &NodePaths) {
    text.path("datadir", &tables(paths));
    text.path("tmpdir", &temporary(paths));
    text.path("socket", &paths.run.join(SOCKET));
    text.path("pid-file", &paths.run.join("mariadb.pid"));
    text.set("bind-address", node.address.ip());
    text.set("port", node.address.port());
}

fn transport(text: &mut Text, paths: &NodePaths, edge_source: IpAddr) {
    text.section("Clients: TLS only. The edge alone may say for whom it speaks; it holds long connections.");
    text.path("ssl-ca", &paths.config.join(CA));
    text.path("ssl-cert", &paths.config.join(CERTIFICATE));
    text.path("ssl-key", &paths.config.join(KEY));
    text.set("tls-version", "TLSv1.2,TLSv1.3");
    text.set("require-secure-transport", "ON");
    text.set("proxy-protocol-networks", edge_source);
    text.set("skip-name-resolve", "ON");
    // Sessions of pools are silent for hours.
    text.set("wait-timeout", 604_800);
    text.set("interactive-timeout", 604_800);
}

/// What no right covers: files that a statement names, and engines of tables that a crash or a failover would not leave whole.
/// Who asks for such an engine gets `InnoDB`, and is told, as software of old wants it.
fn rights(text: &mut Text, paths: &NodePaths) {
    text.section("What tenants can have the server do.");
    text.path("init-file", &paths.config.join(ACCOUNTS));
    text.set("local-infile", "OFF");
    text.path("secure-file-priv", &paths.run);
    text.set("symbolic-links", "OFF");
    text.set("enforce-storage-engine", "InnoDB");
    text.set("sql-mode", "STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_AUTO_CREATE_USER");
    text.set("event-scheduler", "OFF");
    text.set("feedback", "OFF");
    text.set("general-log", "OFF");
    text.set("slow-query-log", "OFF");
    text.set("character-set-server", "utf8mb4");
}

fn memory(text: &mut Text, size: &Sizing) {
    text.section("Memory, from the node's size.");
    text.mb("innodb-buffer-pool-size", size.buffer_pool_mb);
    text.set("max-connections", size.max_connections);
    text.mb("tmp-table-size", size.tmp_table_mb);
    text.mb("max-heap-table-size", size.tmp_table_mb);
    text.mb("key-buffer-size", 1);
    text.mb("aria-pagecache-buffer-size", 8);
    text.set("table-open-cache", 1000);
    text.set("performance-schema", "OFF");
}

/// What needs a restart is on from the first day, so that replicas can be added to a running server.
fn durability(text: &mut Text, node: &NodeSpec, size: &Sizing) {
    text.section("What was acknowledged is on disk; the log for replicas.");
    text.set("innodb-flush-log-at-trx-commit", 1);
    text.mb("innodb-log-file-size", size.redo_log_mb);
    text.set("innodb-temp-data-file-path", format_args!("ibtmp1:12M:autoextend:max:{}M", size.temporary_mb.max(12)));
    text.set("server-id", u32::from(node.slot) + 1);
    text.set("log-bin", "binlog");
    text.set("binlog-format", "ROW");
    // By rows, what a trigger or a function does is the same everywhere; so their owners may make them.
    text.set("log-bin-trust-function-creators", "ON");
    text.set("sync-binlog", 1);
    text.mb("max-binlog-size", size.binlog_file_mb);
    text.set("log-slave-updates", "ON");
    text.set("gtid-strict-mode", "ON");
    text.set("relay-log", "relay");
    text.set("skip-slave-start", "ON");
}

/// Semi-synchronous, where commits wait: each for one replica, which has it in its file before anybody sees it. A replica's own
/// commits never do, see [`super::promotion::waits_for`].
fn replication(text: &mut Text, node: &NodeSpec, settings: &Settings) {
    let on = |it: bool| if it { "ON" } else { "OFF" };
    let follows = settings.follows.is_some();
    text.section("The primary that this node follows or is, and what commits wait for.");
    text.set("read-only", on(follows));
    text.set("report-host", node.id);
    text.set("slave-net-timeout", 6);
    text.set("rpl-semi-sync-master-enabled", on(!follows && settings.sync_set.acks > 0));
    text.set("rpl-semi-sync-master-timeout", patience(settings));
    text.set("rpl-semi-sync-master-wait-point", "AFTER_SYNC");
    text.set("rpl-semi-sync-slave-enabled", on(settings.confirms));
}

fn patience(settings: &Settings) -> u32 {
    if settings.sync_set.acks > 0 { FOREVER_MS } else { NEVER_MS }
}

/// See [`CHANGEABLE`].
fn changeable(settings: &Settings) -> String {
    format!(
        "SET GLOBAL rpl_semi_sync_master_timeout = {}\nSET GLOBAL rpl_semi_sync_slave_enabled = {}\n",
        patience(settings),
        u8::from(settings.confirms)
    )
}

/// With what a node shows a primary who it is, and knows it: by the names that programs and statements give them.
pub(super) fn replication_files(paths: &NodePaths) -> [(&'static str, PathBuf); 3] {
    [("ca", CA), ("cert", REPLICATION_CERTIFICATE), ("key", REPLICATION_KEY)].map(|(name, file)| (name, paths.config.join(file)))
}

/// Granary's own accounts as they must be now, on each node by itself. The server knows its administrator by the name of the OS
/// user, which a copy of another machine's data may have otherwise; of those that come with a new server none is left.
fn accounts(administrator: &str) -> String {
    let (administrator, replication) = (format!("{}@localhost", name(administrator)), format!("{}@'%'", name(REPLICATION)));
    let mut lines = vec![
        "SET SESSION sql_log_bin = 0".to_owned(),
        "SET SESSION tx_read_only = 0".to_owned(),
        "SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES'".to_owned(),
        format!("CREATE USER IF NOT EXISTS {administrator} IDENTIFIED VIA unix_socket"),
        format!("ALTER USER {administrator} IDENTIFIED VIA unix_socket ACCOUNT UNLOCK"),
        format!("GRANT ALL PRIVILEGES ON *.* TO {administrator} WITH GRANT OPTION"),
    ];
    let others = SYSTEM.into_iter().map(|user| format!("{}@localhost", name(user))).filter(|account| *account != administrator);
    lines.extend(others.map(|account| format!("DROP USER IF EXISTS {account}")));
    let subject = text(&format!("/CN={REPLICATION}"));
    lines.extend([
        format!("CREATE USER IF NOT EXISTS {replication} REQUIRE SUBJECT {subject}"),
        format!("ALTER USER {replication} REQUIRE SUBJECT {subject} ACCOUNT UNLOCK"),
        format!("REVOKE ALL PRIVILEGES, GRANT OPTION FROM {replication}"),
        format!("GRANT {REPLICATION_RIGHTS} ON *.* TO {replication}"),
        // The server asks this of every connection at its start, and warns of each that names a host.
        "DELETE FROM mysql.proxies_priv".to_owned(),
    ]);
    lines.into_iter().map(|line| line + ";\n").collect()
}

/// Lines of an option file.
struct Text(String);

impl Text {
    fn new() -> Self {
        Self("# Written by Granary; a change made here is lost.\n".to_owned())
    }

    fn line(&mut self, line: &str) {
        self.0.extend([line, "\n"]);
    }

    fn section(&mut self, comment: &str) {
        self.0.extend(["\n# ", comment, "\n"]);
    }

    /// A number or words, as they are.
    fn set(&mut self, name: &str, value: impl std::fmt::Display) {
        self.0.extend([name, " = ", &value.to_string(), "\n"]);
    }

    fn mb(&mut self, name: &str, value: u64) {
        self.set(name, format_args!("{value}M"));
    }

    /// Quoted, so that `#` begins no comment; inside, the server reads `\\`.
    fn path(&mut self, name: &str, value: &Path) {
        self.set(name, format_args!("\"{}\"", value.display().to_string().replace('\\', "\\\\")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::engine::{Tls, quorum::SyncSet, testing::node};
    use std::path::PathBuf;

    fn settings() -> Settings {
        let tls = Tls { ca_pem: "ca".into(), certificate_pem: "certificate".into(), key_pem: "key".into() };
        let (edge_source, sync_set) = ("127.64.3.9".parse().unwrap(), SyncSet::default());
        Settings { tls, replication: None, edge_source, follows: None, sync_set, confirms: false }
    }

    fn paths() -> NodePaths {
        let under = |name| PathBuf::from("/srv/a #place").join(name);
        NodePaths { data: under("data"), config: under("config"), run: under("run"), log: under("log") }
    }

    #[test]
    fn each_setting_is_said_once_and_what_refuses_writes_comes_last() {
        let text = main(&node(), &paths(), &settings());
        let lines: Vec<_> = text.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
        assert_eq!(lines.last(), Some(&"!include /srv/a #place/config/storage.cnf"));
        let mut names: Vec<_> = lines.iter().filter_map(|line| line.split_once(" = ")).map(|(name, _)| name).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(text.contains("datadir = \"/srv/a #place/data/mariadb\"\n"), "{text}");
    }

    #[test]
    fn r026_r036_nothing_is_served_without_tls_and_the_edge_alone_says_for_whom_it_speaks() {
        let node = node();
        let text = main(&node, &paths(), &settings());
        assert!(text.contains(&format!("\nbind-address = {}\nport = {}\n", node.address.ip(), node.address.port())), "{text}");
        assert!(text.contains("require-secure-transport = ON\nproxy-protocol-networks = 127.64.3.9\n"), "{text}");
    }

    #[test]
    fn the_administrator_is_known_by_name_and_no_account_of_a_new_server_is_left() {
        let (root, ada) = (accounts("root"), accounts("ada"));
        assert!(root.contains("ALTER USER `root`@localhost IDENTIFIED VIA unix_socket") && !root.contains("DROP USER IF EXISTS `root`"), "{root}");
        assert!(ada.contains("DROP USER IF EXISTS `root`@localhost") && ada.contains("ALL PRIVILEGES ON *.* TO `ada`@localhost"), "{ada}");
        assert!(ada.starts_with("SET SESSION sql_log_bin = 0;\n"), "replicas have accounts of their own: {ada}");
    }

    #[test]
    fn a_primary_waits_and_a_replica_has_the_wish_alone() {
        let set = SyncSet { acks: 1, ..SyncSet::default() };
        let waits = Settings { sync_set: set.clone(), ..settings() };
        let text = main(&node(), &paths(), &waits);
        assert!(text.contains("read-only = OFF\n") && text.contains("master-enabled = ON\nrpl-semi-sync-master-timeout = 4294967295\n"), "{text}");
        let follows = Some("127.64.3.4:3306".parse().unwrap());
        let text = main(&node(), &paths(), &Settings { sync_set: set, follows, confirms: true, ..settings() });
        assert!(text.contains("read-only = ON\n") && text.contains("master-enabled = OFF\nrpl-semi-sync-master-timeout = 4294967295\n"), "{text}");
        assert!(text.ends_with("storage.cnf\n") && text.contains("rpl-semi-sync-slave-enabled = ON\n"), "{text}");
        assert!(main(&node(), &paths(), &settings()).contains("master-enabled = OFF\nrpl-semi-sync-master-timeout = 10000\n"));
    }

    #[test]
    fn only_the_keys_are_secret() {
        let files = files(&node(), &paths(), "root", &settings());
        let secret: Vec<_> = files.iter().filter(|file| file.secret).map(|file| file.name.as_str()).collect();
        assert_eq!((secret, files.len()), (vec!["server.key"], 6));
    }
}
