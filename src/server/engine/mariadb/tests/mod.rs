//! The engine against real servers.

mod access;
mod life;
mod replicas;

use super::{MariaDb, SERVICE, config};
use crate::{
    model::log::LogLevel,
    server::{
        crypto::{
            authority::{self, Authority, CertificateRequest},
            random,
        },
        engine::{
            Engine, Installed, Settings, Site, Tls,
            quorum::SyncSet,
            testing::{Direct, node},
        },
        platform::{File, Lease, NodeSpec, Platform, Presence},
    },
};
use secrecy::{ExposeSecret, SecretString};
use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt,
    process::Stdio,
    sync::LazyLock,
};
use time::OffsetDateTime;
use tokio::{io::AsyncWriteExt, process::Command};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

static ENGINE: LazyLock<MariaDb> = LazyLock::new(MariaDb::default);

/// A node, and what is known of it.
struct Node {
    platform: Direct,
    spec: NodeSpec,
    programs: Installed,
    authority: Authority,
}

impl Node {
    async fn new() -> Self {
        let programs = ENGINE.installed(&Direct::new()).await.into_iter().next().expect("MariaDB is installed on a machine that runs these tests");
        let spec = node();
        let spec = NodeSpec { address: SocketAddr::new(spec.address.ip(), 3306), ..spec };
        let made = Self { platform: Direct::new(), spec, programs, authority: Authority::create("shop", now()).unwrap() };
        made.platform.ensure_node(made.site().lease, &made.spec).await.unwrap();
        made
    }

    /// One whose server runs.
    async fn running() -> Self {
        let node = Self::new().await;
        node.run().await;
        node
    }

    async fn run(&self) {
        ENGINE.initialise(self.site()).await.unwrap();
        ENGINE.configure(self.site(), &self.settings()).await.unwrap();
        ENGINE.start(self.site()).await.unwrap();
        ENGINE.harden(self.site()).await.unwrap();
    }

    fn site(&self) -> Site<'_> {
        let lease = Lease { datastore: self.spec.datastore, token: 1 };
        Site { platform: &self.platform, lease, node: &self.spec, programs: &self.programs }
    }

    fn settings(&self) -> Settings {
        self.settings_of(&self.authority)
    }

    /// With a certificate of any authority; the node's own stays the one clients verify with.
    fn settings_of(&self, authority: &Authority) -> Settings {
        let request = CertificateRequest { common_name: "shop".to_owned(), names: Vec::new(), addresses: vec![self.spec.address.ip()] };
        let issued = authority::issue(&authority.certificate_pem, &authority.key_pem, &request, now()).unwrap();
        let tls = Tls { ca_pem: self.authority.certificate_pem.clone(), certificate_pem: issued.certificate_pem, key_pem: issued.key_pem };
        Settings { tls, replication: None, edge_source: HERE, follows: None, sync_set: SyncSet::default(), confirms: false }
    }

    /// A user with a password and a database.
    async fn tenant(&self, user: &str, database: &str) -> SecretString {
        let password = random::password();
        ENGINE.ensure_user(self.site(), user, &ENGINE.verifier(&password)).await.unwrap();
        ENGINE.ensure_database(self.site(), database, user).await.unwrap();
        password
    }

    /// What the real `mariadb` says to these statements, all of which are tried, as a client that verifies the server.
    async fn says(&self, user: &str, password: &str, more: &[&str], sql: &[&str]) -> (bool, String) {
        let ca = format!("--ssl-ca={}", self.platform.paths(&self.spec).config.join("ca.crt").display());
        let mut cli = Command::new("/usr/bin/mariadb");
        cli.args(["--no-defaults", "--batch", "--skip-column-names", "--force", "-h", &self.spec.address.ip().to_string()]);
        cli.args(["-P", &self.spec.address.port().to_string(), "-u", user, "--default-character-set=utf8mb4"]);
        if !more.contains(&"--skip-ssl") {
            cli.args([&ca, "--ssl-verify-server-cert"]);
        }
        cli.args(more);
        cli.env("MYSQL_PWD", password).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = cli.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        // One that is refused reads nothing.
        let _ = input.write_all((sql.join(";\n") + ";\n").as_bytes()).await;
        drop(input);
        let output = child.wait_with_output().await.unwrap();
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned())
    }

    async fn put(&self, name: &str, text: &str) {
        let file = File { name: name.to_owned(), content: text.as_bytes().to_vec(), secret: false };
        self.platform.put_files(self.site().lease, &self.spec, &[file]).await.unwrap();
    }

    async fn log(&self) -> String {
        self.platform.tail(&self.spec, SERVICE, 1_000_000).await
    }
}

/// A tenant's way to its server.
struct Tenant {
    node: Node,
    password: SecretString,
}

impl Tenant {
    async fn new() -> Self {
        let node = Node::running().await;
        let password = node.tenant("app", "orders").await;
        Self { node, password }
    }

    async fn says(&self, sql: &[&str]) -> (bool, String) {
        self.node.says("app", self.password.expose_secret(), &["orders"], sql).await
    }

    /// What it may do.
    async fn may(&self, sql: &[&str]) -> String {
        let (_, says) = self.says(sql).await;
        assert!(!says.contains("ERROR"), "{sql:?}: {says}");
        says
    }
}

fn now() -> OffsetDateTime {
    crate::server::state::Clock::System.now()
}

#[tokio::test]
async fn r005_r036_r042_a_server_goes_the_whole_way_and_each_act_can_be_repeated() {
    let node = Node::new().await;
    for _ in 0..2 {
        node.run().await;
    }
    node.tenant("app", "orders").await;
    let tenant = Tenant { password: node.tenant("app", "orders").await, node };
    let node = &tenant.node;
    assert_eq!(tenant.may(&["CREATE TABLE t (n INT PRIMARY KEY, x TEXT)", "INSERT INTO t VALUES (1, 'ä😀')", "SELECT x FROM t"]).await, "ä😀");
    let encrypted = tenant.may(&["SHOW STATUS LIKE 'Ssl_version'"]).await;
    assert!(encrypted.contains("TLSv1.3"), "{encrypted}");
    let health = ENGINE.check(&node.platform, &node.spec).await.unwrap();
    assert_eq!((health.version.as_str(), health.writable, health.read_only), (node.programs.full.as_str(), true, false));
    assert!((0..60).contains(&(now() - health.started_at).whole_seconds()), "{}", health.started_at);
    for _ in 0..2 {
        ENGINE.stop(node.site()).await.unwrap();
    }
    assert_eq!(node.platform.presence(&node.spec).await, Presence::Dead);
    assert!(ENGINE.check(&node.platform, &node.spec).await.is_err());
    ENGINE.initialise(node.site()).await.unwrap();
    ENGINE.start(node.site()).await.unwrap();
    assert_eq!(tenant.may(&["SELECT n FROM t"]).await, "1", "data and users stay");
    let log = ENGINE.log(&node.platform, &node.spec, 100_000).await;
    assert!(log.iter().any(|e| e.text.contains("ready for connections") && e.at.is_some_and(|at| (now() - at).whole_seconds().abs() < 60)));
    assert!(log.iter().all(|e| e.level != LogLevel::Error), "{log:#?}");
}

#[tokio::test]
async fn r005_installed_versions_are_found_once_each_newest_first() {
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let make = |name: &str, says: &str, companions: &[&str]| {
        let bin = home.path().join(name).join("bin");
        fs::create_dir_all(&bin).unwrap();
        for program in ["mariadbd"].iter().chain(companions) {
            fs::write(bin.join(program), format!("#!/bin/sh\necho 'mariadbd  Ver {says} for Linux'\n")).unwrap();
            fs::set_permissions(bin.join(program), fs::Permissions::from_mode(0o755)).unwrap();
        }
    };
    let all = ["mariadb-install-db", "mariadb-backup", "mbstream"];
    for (name, says) in [("a", "99.2.3-MariaDB"), ("b", "99.2.10-MariaDB-log"), ("c", "99.0.1-MariaDB"), ("d", "10.5.9-MariaDB"), ("e", "8.0.3")] {
        make(name, says, &all);
    }
    make("f", "99.3.1-MariaDB", &all[..1]);
    let found = MariaDb::new(vec![home.path().to_owned()]).installed(&Direct::new()).await;
    let versions: Vec<_> = found.iter().map(|i| i.full.as_str()).collect();
    assert_eq!(versions[..2], ["99.2.10", "99.0.1"]);
    assert!(versions.iter().all(|v| !v.starts_with("10.5") && !v.starts_with("99.3")), "{versions:?}");
    assert_eq!(found[0].major, "99.2");
}
