//! Nodes that follow one another.

use super::{ENGINE, HERE, now};
use crate::server::{
    crypto::authority::{self, Authority, CertificateRequest},
    engine::{
        ClientTls, Engine, Installed, Replication, Settings, Site, Tls,
        mariadb::session::Session,
        quorum::SyncSet,
        testing::{Direct, node},
    },
    platform::{File, Lease, NodeSpec, Platform},
};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// A primary and a replica.
struct Pair {
    platform: Direct,
    nodes: [NodeSpec; 2],
    programs: Installed,
    authority: Authority,
    acks: usize,
}

impl Pair {
    /// Of which the second follows the first.
    async fn running(acks: usize) -> Self {
        let (one, two) = (node(), node());
        let at = |spec: NodeSpec, slot| NodeSpec { address: SocketAddr::new(spec.address.ip(), 3306), datastore: one.datastore, slot, ..spec };
        let nodes = [at(one.clone(), 0), at(two, 1)];
        let programs = ENGINE.installed(&Direct::new()).await.into_iter().next().expect("MariaDB is installed on a machine that runs these tests");
        let pair = Self { platform: Direct::new(), nodes, programs, authority: Authority::create("shop", now()).unwrap(), acks };
        for node in &pair.nodes {
            pair.platform.ensure_node(pair.site(0).lease, node).await.unwrap();
        }
        pair.configure(0, 0).await;
        ENGINE.initialise(pair.site(0)).await.unwrap();
        ENGINE.start(pair.site(0)).await.unwrap();
        ENGINE.harden(pair.site(0)).await.unwrap();
        ENGINE.ensure_user(pair.site(0), "app", &ENGINE.verifier(&"secret".into())).await.unwrap();
        ENGINE.ensure_database(pair.site(0), "orders", "app").await.unwrap();
        pair.configure(1, 0).await;
        for _ in 0..2 {
            ENGINE.copy(pair.site(1), &pair.nodes[0]).await.unwrap();
            ENGINE.start(pair.site(1)).await.unwrap();
        }
        pair.until_it_follows(1).await;
        pair.act(0, "CREATE TABLE orders.t (n INT PRIMARY KEY)").await;
        pair
    }

    fn site(&self, at: usize) -> Site<'_> {
        let lease = Lease { datastore: self.nodes[0].datastore, token: 1 };
        Site { platform: &self.platform, lease, node: &self.nodes[at], programs: &self.programs }
    }

    /// As it is under a primary.
    async fn configure(&self, at: usize, primary: usize) {
        let issue = |common_name: &str| {
            let addresses = vec![self.nodes[at].address.ip()];
            let request = CertificateRequest { common_name: common_name.to_owned(), names: Vec::new(), addresses };
            authority::issue(&self.authority.certificate_pem, &self.authority.key_pem, &request, now()).unwrap()
        };
        let (server, client) = (issue("shop"), issue(ENGINE.user()));
        let tls = Tls { ca_pem: self.authority.certificate_pem.clone(), certificate_pem: server.certificate_pem, key_pem: server.key_pem };
        let replication = Some(ClientTls { certificate_pem: client.certificate_pem, key_pem: client.key_pem });
        let follows = (at != primary).then_some(self.nodes[primary].address);
        let sync_set = SyncSet { primary: self.nodes[at].id, members: vec![self.nodes[1 - at].id], acks: self.acks };
        let settings = Settings { tls, replication, edge_source: HERE, follows, sync_set, confirms: follows.is_some() && self.acks > 0 };
        ENGINE.configure(self.site(at), &settings).await.unwrap();
    }

    async fn session(&self, at: usize) -> Session {
        Session::open(&self.platform, &self.nodes[at]).await.unwrap()
    }

    async fn act(&self, at: usize, sql: &str) {
        self.session(at).await.act(sql).await.unwrap();
    }

    async fn rows(&self, at: usize) -> String {
        self.session(at).await.ask("SELECT group_concat(n ORDER BY n) AS n FROM orders.t").await.unwrap().get("n").unwrap().to_owned()
    }

    async fn until_it_follows(&self, at: usize) {
        let begun = Instant::now();
        while !ENGINE.check(&self.platform, &self.nodes[at]).await.unwrap().receives {
            assert!(begun.elapsed() < Duration::from_secs(20));
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn until_rows(&self, at: usize, wanted: &str) {
        let begun = Instant::now();
        while self.rows(at).await != wanted {
            assert!(begun.elapsed() < Duration::from_secs(20), "{} instead of {wanted}", self.rows(at).await);
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn fence(&self, at: usize) {
        self.platform.fence(self.site(at).lease, &self.nodes[at]).await.unwrap();
    }

    fn set(&self) -> SyncSet {
        SyncSet { primary: self.nodes[0].id, members: vec![self.nodes[1].id], acks: self.acks }
    }
}

#[tokio::test]
async fn what_a_replica_confirmed_outlives_both_servers_though_it_was_not_applied() {
    let pair = Pair::running(1).await;
    assert!(ENGINE.waits_for(pair.site(0), &pair.set()).await.unwrap() && ENGINE.waits_for(pair.site(1), &pair.set()).await.unwrap());
    assert!(!ENGINE.waits_for(pair.site(0), &SyncSet::nobody(pair.nodes[0].id)).await.unwrap());
    let health = ENGINE.check(&pair.platform, &pair.nodes[0]).await.unwrap();
    assert_eq!(health.followers.iter().map(|f| (f.node, f.synchronous)).collect::<Vec<_>>(), [(pair.nodes[1].id, true)]);
    pair.act(1, "STOP SLAVE SQL_THREAD").await;
    for n in 1..=3 {
        pair.act(0, &format!("INSERT INTO orders.t VALUES ({n})")).await;
    }
    pair.fence(0).await;
    pair.fence(1).await;
    ENGINE.start(pair.site(1)).await.unwrap();
    assert!(!ENGINE.check(&pair.platform, &pair.nodes[1]).await.unwrap().writable);
    let word = ENGINE.last_word(pair.site(1)).await.unwrap();
    assert!(word.log >= 4, "{word:?}");
    for _ in 0..2 {
        ENGINE.promote(pair.site(1)).await.unwrap();
    }
    assert_eq!(pair.rows(1).await, "1,2,3");
    assert!(ENGINE.waits_for(pair.site(1), &pair.set()).await.unwrap(), "its commits wait from the first on");

    // Nobody confirms, so a commit is not acknowledged; the copy that is to become a replica comes about all the same.
    let mut held = pair.session(1).await;
    let commit = held.act("INSERT INTO orders.t VALUES (4)");
    let rejoin = async {
        sleep(Duration::from_millis(300)).await;
        pair.configure(0, 1).await;
        ENGINE.rejoin(pair.site(0), &pair.nodes[1], true).await.unwrap();
        ENGINE.start(pair.site(0)).await.unwrap();
        pair.until_it_follows(0).await;
    };
    let (held, ()) = tokio::join!(commit, rejoin);
    held.unwrap_err();
    pair.act(1, "INSERT INTO orders.t VALUES (5)").await;
    pair.until_rows(0, "1,2,3,4,5").await;
}

#[tokio::test]
async fn an_old_primary_goes_on_from_its_log_and_one_that_diverged_is_copied_anew() {
    let pair = Pair::running(0).await;
    pair.act(0, "INSERT INTO orders.t VALUES (1)").await;
    pair.until_rows(1, "1").await;
    let mark = |at: usize| (pair.site(at), File { name: "data/kept".to_owned(), content: Vec::new(), secret: false });
    for at in 0..2 {
        let (site, file) = mark(at);
        pair.platform.put_files(site.lease, site.node, &[file]).await.unwrap();
    }

    // A planned change: what the primary wrote last is known though it is stopped.
    ENGINE.replication().unwrap().settle(pair.site(0)).await.unwrap();
    ENGINE.stop(pair.site(0)).await.unwrap();
    let last = ENGINE.position(pair.site(0)).await.unwrap();
    assert_eq!(ENGINE.position(pair.site(1)).await.unwrap(), last);
    ENGINE.promote(pair.site(1)).await.unwrap();
    pair.act(1, "INSERT INTO orders.t VALUES (2)").await;
    pair.configure(0, 1).await;
    ENGINE.rejoin(pair.site(0), &pair.nodes[1], false).await.unwrap();
    ENGINE.start(pair.site(0)).await.unwrap();
    pair.until_rows(0, "1,2").await;
    assert!(pair.platform.has_file(&pair.nodes[0], "kept").await.unwrap(), "it went on with its own data");

    // The new primary writes what the other never gets, dies, and comes back when the other leads.
    pair.act(0, "STOP SLAVE").await;
    pair.act(1, "INSERT INTO orders.t VALUES (3)").await;
    pair.fence(1).await;
    assert!(ENGINE.position(pair.site(1)).await.is_err(), "how far a killed server's log goes is not known");
    ENGINE.promote(pair.site(0)).await.unwrap();
    pair.act(0, "INSERT INTO orders.t VALUES (4)").await;
    pair.configure(1, 0).await;
    ENGINE.rejoin(pair.site(1), &pair.nodes[0], false).await.unwrap();
    ENGINE.start(pair.site(1)).await.unwrap();
    pair.until_rows(1, "1,2,4").await;
    assert!(!pair.platform.has_file(&pair.nodes[1], "kept").await.unwrap(), "what it had is replaced");
}
