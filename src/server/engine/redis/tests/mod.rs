//! The engine against real servers.

mod access;
mod life;
mod replicas;

use super::{Redis, SERVICE, config};
use crate::{
    model::log::LogLevel,
    server::{
        crypto::{
            authority::{self, Authority, CertificateRequest},
            derived::Passwords,
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
    sync::LazyLock,
};
use time::OffsetDateTime;
use tokio::process::Command;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

static ENGINE: LazyLock<Redis> = LazyLock::new(|| Redis::new(Vec::new(), Some(Passwords::from_key(&[7; 32]))));

/// A node, and what is known of it.
struct Node {
    platform: Direct,
    spec: NodeSpec,
    programs: Installed,
    authority: Authority,
}

impl Node {
    async fn new() -> Self {
        let programs = ENGINE.installed(&Direct::new()).await.into_iter().next().expect("Redis is installed on a machine that runs these tests");
        let spec = node();
        let spec = NodeSpec { address: SocketAddr::new(spec.address.ip(), 6379), ..spec };
        let made = Self { platform: Direct::new(), spec, programs, authority: Authority::create("cache", now()).unwrap() };
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
        let request = CertificateRequest { common_name: "cache".to_owned(), names: Vec::new(), addresses: vec![self.spec.address.ip()] };
        let issued = authority::issue(&authority.certificate_pem, &authority.key_pem, &request, now()).unwrap();
        let tls = Tls { ca_pem: self.authority.certificate_pem.clone(), certificate_pem: issued.certificate_pem, key_pem: issued.key_pem };
        Settings { tls, replication: None, edge_source: HERE, follows: None, sync_set: SyncSet::default(), confirms: false }
    }

    /// A user with a password.
    async fn tenant(&self, user: &str) -> SecretString {
        let password = random::password();
        ENGINE.ensure_user(self.site(), user, &ENGINE.verifier(&password)).await.unwrap();
        ENGINE.ensure_database(self.site(), "0", user).await.unwrap();
        password
    }

    /// What the real `redis-cli` says, as a client that verifies the server. It ends well whatever the server says.
    async fn cli(&self, user: &str, password: &str, more: &[&str], words: &[&str]) -> String {
        self.cli_at(&self.spec, user, password, more, words).await
    }

    /// The same at another node of the platform.
    async fn cli_at(&self, node: &NodeSpec, user: &str, password: &str, more: &[&str], words: &[&str]) -> String {
        let ca = self.platform.paths(&self.spec).config.join("ca.crt");
        let mut cli = Command::new("/usr/bin/redis-cli");
        cli.args(["-h", &node.address.ip().to_string(), "-p", &node.address.port().to_string()]);
        if !more.contains(&"--plain") {
            cli.arg("--tls").arg("--cacert").arg(ca);
        }
        if !user.is_empty() {
            cli.args(["--user", user]).env("REDISCLI_AUTH", password);
        }
        cli.args(more.iter().filter(|word| **word != "--plain")).args(words);
        let output = cli.output().await.unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned()
    }

    /// The same, with commands that are typed.
    async fn typed(&self, user: &str, password: &str, commands: &str) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, commands).unwrap();
        let ca = self.platform.paths(&self.spec).config.join("ca.crt");
        let mut cli = Command::new("/usr/bin/redis-cli");
        cli.args(["--tls", "-h", &self.spec.address.ip().to_string(), "-p", &self.spec.address.port().to_string(), "--user", user, "--cacert"]);
        cli.arg(ca).env("REDISCLI_AUTH", password).stdin(fs::File::open(&file).unwrap());
        String::from_utf8(cli.output().await.unwrap().stdout).unwrap()
    }

    async fn put(&self, name: &str, text: &str) {
        let file = File { name: name.to_owned(), content: text.as_bytes().to_vec(), secret: false };
        self.platform.put_files(self.site().lease, &self.spec, &[file]).await.unwrap();
    }

    async fn log(&self) -> String {
        self.platform.tail(&self.spec, SERVICE, 1_000_000).await
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
    node.tenant("app").await;
    let password = node.tenant("app").await;
    let cli = async |words: &[&str]| node.cli("app", password.expose_secret(), &[], words).await;
    assert_eq!(cli(&["SET", "x", "ä"]).await, "OK");
    assert_eq!(cli(&["--raw", "GET", "x"]).await, "ä");
    assert_eq!(cli(&["-n", "15", "DBSIZE"]).await, "0");
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
    assert_eq!(cli(&["--raw", "GET", "x"]).await, "ä", "data and users stay");
    let log = ENGINE.log(&node.platform, &node.spec, 100_000).await;
    assert!(log.iter().any(|e| e.text.contains("Ready to accept connections") && e.at.is_some_and(|at| (now() - at).whole_seconds().abs() < 60)));
    assert!(log.iter().all(|e| e.level != LogLevel::Error), "{log:#?}");
}

#[tokio::test]
async fn r005_installed_versions_are_found_once_each_newest_first() {
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let make = |name: &str, says: &str| {
        let bin = home.path().join(name).join("bin");
        fs::create_dir_all(&bin).unwrap();
        fs::write(bin.join("redis-server"), format!("#!/bin/sh\necho 'Redis server v={says} sha=0'\n")).unwrap();
        fs::set_permissions(bin.join("redis-server"), fs::Permissions::from_mode(0o755)).unwrap();
    };
    for (name, says) in [("a", "99.2.3"), ("b", "99.2.10"), ("c", "99.0.1"), ("d", "6.2.14"), ("e", "255.255.255")] {
        make(name, says);
    }
    let found = Redis::new(vec![home.path().to_owned()], None).installed(&Direct::new()).await;
    let versions: Vec<_> = found.iter().map(|i| i.full.as_str()).collect();
    assert_eq!(versions[..2], ["99.2.10", "99.0.1"]);
    assert!(versions.iter().all(|v| !v.starts_with("6.") && !v.starts_with("255")), "{versions:?}");
    assert_eq!(found[0].major, "99.2");
}
