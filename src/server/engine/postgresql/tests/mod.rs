//! The engine against real servers.

mod access;
mod attacks;
mod life;
mod probe;
mod trojans;

use super::{PostgreSql, SERVICE};
use crate::server::{
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
};
use secrecy::{ExposeSecret, SecretString};
use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    sync::LazyLock,
};
use time::OffsetDateTime;
use tokio::process::Command;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A node, and what is known of it.
struct Node {
    platform: Direct,
    spec: NodeSpec,
    programs: Installed,
    authority: Authority,
}

impl Node {
    /// One for the newest major that is installed.
    async fn new() -> Self {
        let programs = majors().await.remove(0);
        Self::of(programs).await
    }

    async fn of(programs: Installed) -> Self {
        let made = Self { platform: Direct::new(), spec: node(), programs, authority: Authority::create("orders", now()).unwrap() };
        made.platform.ensure_node(made.site().lease, &made.spec).await.unwrap();
        made
    }

    /// One whose server runs and admits this machine's clients.
    async fn running() -> Self {
        let node = Self::new().await;
        node.run().await;
        node
    }

    async fn run(&self) {
        ENGINE.initialise(self.site()).await.unwrap();
        ENGINE.configure(self.site(), &self.settings(HERE)).await.unwrap();
        ENGINE.start(self.site()).await.unwrap();
        ENGINE.harden(self.site()).await.unwrap();
    }

    fn site(&self) -> Site<'_> {
        let lease = Lease { datastore: self.spec.datastore, token: 1 };
        Site { platform: &self.platform, lease, node: &self.spec, programs: &self.programs }
    }

    fn certificate(&self, common_name: &str) -> authority::Issued {
        let request = CertificateRequest { common_name: common_name.to_owned(), names: Vec::new(), addresses: vec![self.spec.address.ip()] };
        authority::issue(&self.authority.certificate_pem, &self.authority.key_pem, &request, now()).unwrap()
    }

    fn settings(&self, edge_source: IpAddr) -> Settings {
        let issued = self.certificate("orders");
        let tls = Tls { ca_pem: self.authority.certificate_pem.clone(), certificate_pem: issued.certificate_pem, key_pem: issued.key_pem };
        Settings { tls, replication: None, edge_source, follows: None, sync_set: SyncSet::default(), confirms: false }
    }

    /// A user with a password, and its database.
    async fn tenant(&self, user: &str, database: &str) -> SecretString {
        let password = random::password();
        ENGINE.ensure_user(self.site(), user, &ENGINE.verifier(&password)).await.unwrap();
        ENGINE.ensure_database(self.site(), database, user).await.unwrap();
        password
    }

    /// What the real `psql` says, as a client that verifies the server in full.
    async fn psql(&self, user: &str, password: &str, database: &str, more: &[(&str, &str)], sql: &[&str]) -> (bool, String) {
        let ca = self.platform.paths(&self.spec).config.join("ca.crt");
        let mut psql = Command::new("/usr/bin/psql");
        psql.args(["-X", "-A", "-t", "-w", "-d", database]).args(sql.iter().flat_map(|sql| ["-c", sql])).env_clear();
        psql.env("PGHOST", self.spec.address.ip().to_string()).env("PGPORT", self.spec.address.port().to_string());
        psql.env("PGUSER", user).env("PGPASSWORD", password);
        psql.env("PGSSLMODE", "verify-full").env("PGSSLROOTCERT", ca).env("PGSSLCERT", "/nowhere").envs(more.iter().copied());
        let output = psql.output().await.unwrap();
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

static ENGINE: LazyLock<PostgreSql> = LazyLock::new(|| {
    // What `INTO=var/engines make engines` fetched for the tests of this clone.
    PostgreSql::new(vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("var/engines/postgresql")])
});

async fn majors() -> Vec<Installed> {
    let found = ENGINE.installed(&Direct::new()).await;
    assert!(!found.is_empty(), "PostgreSQL is installed on a machine that runs these tests");
    found
}

fn now() -> OffsetDateTime {
    crate::server::state::Clock::System.now()
}

#[tokio::test]
async fn r005_installed_majors_are_found_once_each_newest_first() {
    let found = majors().await;
    let numbers: Vec<u32> = found.iter().map(|i| i.major.parse().unwrap()).collect();
    assert!(numbers.is_sorted_by(|a, b| a > b), "{numbers:?}");
    for installed in found {
        assert!(installed.full.starts_with(&format!("{}.", installed.major)));
        assert!(installed.programs.join("initdb").exists());
    }
}

#[tokio::test]
async fn r005_a_server_without_its_companions_is_not_offered() {
    let home = tempfile::tempdir().unwrap();
    let real = majors().await.remove(0).programs;
    fs::create_dir_all(home.path().join("99/bin")).unwrap();
    fs::write(home.path().join("99/bin/postgres"), "#!/bin/sh\necho 'postgres (PostgreSQL) 99.1'\n").unwrap();
    let engine = PostgreSql::new(vec![home.path().to_owned()]);
    assert!(engine.installed(&Direct::new()).await.iter().all(|i| i.programs.parent() == real.parent() || i.major != "99"));
    assert_eq!(engine.installed(&Direct::new()).await.iter().filter(|i| i.major == "99").count(), 0);
}

#[tokio::test]
async fn r005_r036_r042_every_installed_major_goes_the_whole_way_and_each_act_can_be_repeated() {
    for programs in majors().await {
        let major = programs.major.clone();
        let node = Node::of(programs).await;
        for _ in 0..2 {
            node.run().await;
        }
        node.tenant("app", "orders").await;
        let password = node.tenant("app", "orders").await;
        let sql = [
            "CREATE TABLE t (x text)",
            "INSERT INTO t VALUES ('ä')",
            "SELECT x, lower('Ä'), current_user, pg_encoding_to_char(encoding) FROM t, pg_database WHERE datname = 'orders'",
        ];
        let (good, says) = node.psql("app", password.expose_secret(), "orders", &[], &sql).await;
        assert!(good && says.ends_with("ä|ä|app|UTF8"), "{major}: {says}");
        let (good, says) =
            node.psql("app", password.expose_secret(), "orders", &[], &["SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"]).await;
        assert!(good && says.starts_with("TLSv1."), "{major}: {says}");
        let health = ENGINE.check(&node.platform, &node.spec).await.unwrap();
        assert_eq!((health.version.as_str(), health.writable), (node.programs.full.as_str(), true));
        assert!((now() - health.started_at).whole_seconds() < 60);
        for _ in 0..2 {
            ENGINE.stop(node.site()).await.unwrap();
        }
        assert_eq!(node.platform.presence(&node.spec).await, Presence::Dead);
        assert!(ENGINE.check(&node.platform, &node.spec).await.is_err());
        ENGINE.initialise(node.site()).await.unwrap();
        ENGINE.start(node.site()).await.unwrap();
        assert_eq!(
            node.psql("app", password.expose_secret(), "orders", &[], &["SELECT x FROM t"]).await,
            (true, "ä".to_owned()),
            "{major}: data stays"
        );
    }
}
