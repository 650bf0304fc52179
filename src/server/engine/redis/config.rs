//! The text of a node's configuration. Pure: what is written depends on nothing but the arguments.

use super::{
    ADMIN, REPLICATION, SOCKET,
    admin::{OWN_RIGHTS, REPLICATION_RIGHTS, verifier},
    sizing::Sizing,
};
use crate::server::{
    engine::{Settings, quorum::SyncSet},
    platform::{File, NodePaths, NodeSpec},
};
use secrecy::{ExposeSecret, SecretString};
use std::path::Path;

/// The main file's name in the node's configuration directory.
pub(super) const MAIN: &str = "redis.conf";
/// The lines of Granary's own users, beside it.
pub(super) const OWN_USERS: &str = "granary.acl";
/// All users, in the node's data directory: the server writes it.
pub(super) const USERS: &str = "users.acl";
/// Whether writes are refused; beside the main file and not written with it, so that a new configuration changes nothing of that.
const STORAGE: &str = "storage.conf";
/// As whom a replica comes to its primary; beside the main file, which others than the server may read.
const PRIMARY: &str = "primary.conf";
const CA: &str = "ca.crt";
const CERTIFICATE: &str = "server.crt";
const KEY: &str = "server.key";

/// The `maxmemory` that refuses writes: less than an empty server takes. 0 would be no limit at all.
pub(super) const NO_MORE: &str = "1";

/// A replica that said nothing for so long is not in step: replicas speak once a second, and machines stall.
pub(super) const MAX_LAG_SECONDS: u64 = 5;
/// The setting for how many replicas must be in step for a write to be admitted.
pub(super) const MIN_REPLICAS: &str = "min-replicas-to-write";

/// Passwords of Granary's own users.
pub(super) struct Own {
    /// Of [`ADMIN`].
    pub(super) admin: SecretString,
    /// Of [`REPLICATION`]: the same on all nodes of a datastore.
    pub(super) replication: SecretString,
}

/// Everything in the node's configuration directory.
pub(super) fn files(node: &NodeSpec, paths: &NodePaths, own: &Own, settings: &Settings) -> Vec<File> {
    let open = |name: &str, text: String| File { name: name.to_owned(), content: text.into_bytes(), secret: false };
    let secret = |name: &str, text: &str| File { name: name.to_owned(), content: text.as_bytes().to_vec(), secret: true };
    vec![
        open(MAIN, main(node, paths, settings)),
        secret(PRIMARY, &primary(own)),
        secret(OWN_USERS, &own_users(own)),
        open(CA, settings.tls.ca_pem.clone()),
        open(CERTIFICATE, settings.tls.certificate_pem.clone()),
        secret(KEY, settings.tls.key_pem.expose_secret()),
    ]
}

/// `redis.conf`. What is not said is the server's default.
fn main(node: &NodeSpec, paths: &NodePaths, settings: &Settings) -> String {
    let mut text = Text(String::new());
    text.section("Written by Granary; a change made here is lost.");
    text.path("dir", &paths.data);
    text.set("daemonize", "no");
    text.set("set-proc-title", "no");
    text.set("always-show-logo", "no");
    text.path("unixsocket", &paths.run.join(SOCKET));
    text.set("unixsocketperm", "700");
    transport(&mut text, node, paths);
    rights(&mut text, paths);
    durability(&mut text);
    memory(&mut text, Sizing::of(node));
    replication(&mut text, node, paths, settings);
    text.section("Whether writes are refused, because the storage is nearly full. A pattern, so that it need not be there.");
    text.text("include", &format!("{}/*{STORAGE}", literal(&paths.config)));
    text.0
}

fn transport(text: &mut Text, node: &NodeSpec, paths: &NodePaths) {
    text.section("Clients: TLS only. The edge holds long connections, so the server notices those that vanished.");
    text.set("bind", node.address.ip());
    text.set("port", 0);
    text.set("tls-port", node.address.port());
    for (name, path) in certificates(paths) {
        text.path(name, Path::new(&path));
    }
    text.set("tls-auth-clients", "no");
    text.set("tls-protocols", "\"TLSv1.2 TLSv1.3\"");
    text.set("tls-replication", "yes");
    text.set("tcp-keepalive", 60);
    text.set("timeout", 0);
}

/// Where the server finds its certificates, by the name of the setting.
pub(super) fn certificates(paths: &NodePaths) -> [(&'static str, String); 3] {
    let at = |file: &str| paths.config.join(file).display().to_string();
    [("tls-ca-cert-file", at(CA)), ("tls-cert-file", at(CERTIFICATE)), ("tls-key-file", at(KEY))]
}

fn rights(text: &mut Text, paths: &NodePaths) {
    text.section("Who may do what. Whoever has not signed in may do nothing, so there is nothing left to protect by address.");
    text.path("aclfile", &paths.data.join(USERS));
    text.set("acllog-max-len", 128);
    text.set("protected-mode", "no");
    text.set("enable-protected-configs", "no");
    text.set("enable-debug-command", "no");
    text.set("enable-module-command", "no");
}

/// The log of changes is what data rests on, at most a second behind; snapshots are a second copy. One that fails is said in
/// the server's log and stops nobody.
fn durability(text: &mut Text) {
    text.section("A log of changes, written to disk each second; snapshots besides.");
    text.set("appendonly", "yes");
    text.set("appendfsync", "everysec");
    text.set("aof-load-truncated", "yes");
    text.set("auto-aof-rewrite-percentage", 100);
    text.set("auto-aof-rewrite-min-size", "64mb");
    text.set("save", "3600 1 300 100 60 10000");
    text.set("stop-writes-on-bgsave-error", "no");
    // The log of changes is whole at the end; a snapshot would only make the stop long, and forbid it on a full disk.
    text.set("shutdown-on-sigterm", "nosave");
    text.set("shutdown-on-sigint", "nosave");
    // It would wait for each replica's next word, up to a second, with writes refused. Whoever hands over compares what arrived.
    text.set("shutdown-timeout", 0);
}

fn memory(text: &mut Text, size: Sizing) {
    text.section("Memory, from the node's size. What is full says so: nothing is thrown away.");
    text.set("maxmemory", size.maxmemory);
    text.set("maxmemory-policy", "noeviction");
    // Clients that do not read what they asked for are cut before they take the data's place.
    text.set("maxmemory-clients", "25%");
    text.set("maxclients", size.maxclients);
    text.set("databases", 16);
}

/// A copy is sent from memory as soon as it is asked for, and replaces what the replica has only once it is there whole.
fn replication(text: &mut Text, node: &NodeSpec, paths: &NodePaths, settings: &Settings) {
    text.section("Replication. A node is known to its primary by its id.");
    if let Some(primary) = settings.follows {
        text.set("replicaof", format_args!("{} {}", primary.ip(), primary.port()));
    }
    text.set("replica-announce-ip", node.id);
    text.set("replica-read-only", "yes");
    // Readers are led elsewhere when a replica lost its primary for long; until then what it has is of use.
    text.set("replica-serve-stale-data", "yes");
    text.set("repl-diskless-sync", "yes");
    text.set("repl-diskless-sync-delay", 0);
    text.set("repl-diskless-load", "disabled");
    let size = Sizing::of(node);
    text.set("repl-backlog-size", size.backlog);
    text.set("repl-backlog-ttl", 0);
    text.set("client-output-buffer-limit", format_args!("replica {} {} 60", size.backlog * 4, size.backlog * 2));
    text.set(MIN_REPLICAS, min_replicas(&settings.sync_set));
    text.set("min-replicas-max-lag", MAX_LAG_SECONDS);
    text.path("include", &paths.config.join(PRIMARY));
}

/// How many replicas must be in step for a write to be admitted.
pub(super) fn min_replicas(set: &SyncSet) -> String {
    set.acks.to_string()
}

fn primary(own: &Own) -> String {
    format!("masteruser {REPLICATION}\nmasterauth {}\n", own.replication.expose_secret())
}

/// The file that says whether writes are refused.
pub(super) fn storage(read_only: bool) -> File {
    let mut text = Text(String::new());
    text.section("Written by Granary; a change made here is lost.");
    if read_only {
        text.set("maxmemory", NO_MORE);
    }
    File { name: STORAGE.to_owned(), content: text.0.into_bytes(), secret: false }
}

/// The lines of Granary's own users, and of `default`, whom whoever has not signed in is: off and without a password it can do
/// nothing. It keeps its rights all the same, because the server reads its log of changes as this user: without them it would
/// leave out every transaction and every script, and say nothing. A replica applies what it receives without any user's rights.
fn own_users(own: &Own) -> String {
    let line = |user: &str, rules: String| format!("user {user} {rules}\n");
    let own = own_rules(own).map(|(user, rules)| line(user, rules)).concat();
    line("default", "off resetpass sanitize-payload ~* &* +@all".to_owned()) + &own
}

/// Granary's own users, and the rules that make each what it is.
pub(super) fn own_rules(own: &Own) -> [(&'static str, String); 2] {
    let rules = |password, rights: &str| format!("on sanitize-payload {} {rights}", verifier(password).expose_secret());
    [(ADMIN, rules(&own.admin, OWN_RIGHTS)), (REPLICATION, rules(&own.replication, REPLICATION_RIGHTS))]
}

/// Whether a user is each node's own, written by its configuration.
pub(super) fn is_own(user: &str) -> bool {
    ["default", ADMIN, REPLICATION].contains(&user)
}

/// A path, for a pattern that must mean no other one.
fn literal(path: &Path) -> String {
    path.display().to_string().chars().flat_map(|c| "*?[]\\".contains(c).then_some('\\').into_iter().chain([c])).collect()
}

/// Lines of `redis.conf`.
struct Text(String);

impl Text {
    fn section(&mut self, comment: &str) {
        let gap = if self.0.is_empty() { "" } else { "\n" };
        self.0.extend([gap, "# ", comment, "\n"]);
    }

    /// A number or words, as they are.
    fn set(&mut self, name: &str, value: impl std::fmt::Display) {
        self.0.extend([name, " ", &value.to_string(), "\n"]);
    }

    /// Any text, quoted: the server reads `\"` and `\\` inside.
    fn text(&mut self, name: &str, value: &str) {
        self.set(name, format_args!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")));
    }

    fn path(&mut self, name: &str, value: &Path) {
        self.text(name, &value.display().to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::engine::{Tls, testing::node};
    use std::path::PathBuf;
    use uuid::Uuid;

    fn paths() -> NodePaths {
        let under = |name| PathBuf::from("/srv/a \"quoted\" [place]").join(name);
        NodePaths { data: under("data"), config: under("config"), run: under("run"), log: under("log") }
    }

    fn settings() -> Settings {
        let tls = Tls { ca_pem: "ca".into(), certificate_pem: "certificate".into(), key_pem: "key".into() };
        Settings { tls, replication: None, edge_source: "127.64.3.9".parse().unwrap(), follows: None, sync_set: SyncSet::default(), confirms: false }
    }

    fn own() -> Own {
        Own { admin: "abc".into(), replication: "xyz".into() }
    }

    #[test]
    fn paths_are_quoted_as_the_server_reads_them() {
        let text = main(&node(), &paths(), &settings());
        assert!(text.contains("dir \"/srv/a \\\"quoted\\\" [place]/data\"\n"), "{text}");
        assert!(text.contains("include \"/srv/a \\\"quoted\\\" \\\\[place\\\\]/config/*storage.conf\"\n"), "{text}");
    }

    #[test]
    fn each_setting_is_said_once_and_what_refuses_writes_comes_last() {
        let text = main(&node(), &paths(), &settings());
        let lines: Vec<_> = text.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
        assert!(lines.last().unwrap().starts_with("include ") && lines.last().unwrap().ends_with("storage.conf\""));
        let mut names: Vec<_> = lines.iter().map(|l| l.split(' ').next().unwrap()).filter(|name| *name != "include").collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn r026_r036_nothing_listens_without_tls_and_only_at_the_private_address() {
        let node = node();
        let text = main(&node, &paths(), &settings());
        assert!(text.contains(&format!("\nbind {}\nport 0\ntls-port {}\n", node.address.ip(), node.address.port())), "{text}");
    }

    #[test]
    fn a_replica_is_told_its_primary_and_a_primary_nobody() {
        let mut settings = settings();
        assert!(!main(&node(), &paths(), &settings).contains("replicaof"));
        settings.follows = Some("127.64.3.2:6379".parse().unwrap());
        settings.sync_set = SyncSet::any_half(Uuid::nil(), vec![Uuid::nil(), Uuid::max()]);
        let text = main(&node(), &paths(), &settings);
        assert!(text.contains("\nreplicaof 127.64.3.2 6379\n") && text.contains("\nmin-replicas-to-write 1\n"), "{text}");
    }

    #[test]
    fn only_the_key_and_what_is_granarys_own_is_secret() {
        let files = files(&node(), &paths(), &own(), &settings());
        let secret: Vec<_> = files.iter().filter(|file| file.secret).map(|file| file.name.as_str()).collect();
        assert_eq!(secret, ["primary.conf", "granary.acl", "server.key"]);
        assert_eq!(files.len(), 6);
        let text = |index: usize| String::from_utf8(files[index].content.clone()).unwrap();
        assert!(!text(0).contains("xyz"), "others than the server may read it");
        assert_eq!(text(1), "masteruser granary_replication\nmasterauth xyz\n");
        let users = text(2);
        assert!(users.starts_with("user default off resetpass ") && !users.contains("nopass"), "{users}");
        assert!(users.contains("\nuser granary_admin on sanitize-payload #ba7816bf"), "{users}");
        let replication = users.lines().find(|line| line.starts_with("user granary_replication ")).unwrap();
        assert!(replication.ends_with(" resetkeys resetchannels -@all +psync +replconf +ping"), "{users}");
    }
}
