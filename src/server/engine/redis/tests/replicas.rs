//! Replicas: copied, turned, promoted, and never led by who has less.

use super::{ENGINE, Node, now};
use crate::server::{
    crypto::authority::{self, CertificateRequest},
    engine::{
        Engine, Health, Replication, Settings, Site, Tls,
        probing::{Access, Probing},
        quorum::SyncSet,
    },
    platform::{Dial, NodeSpec, Platform, Presence},
};
use secrecy::ExposeSecret;
use std::{
    fs,
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::time::sleep;
use uuid::Uuid;

/// Nodes of one datastore, the first of them its first primary.
struct Group {
    first: Node,
    others: Vec<NodeSpec>,
}

impl Group {
    /// A primary that runs and replicas that have been copied from it.
    async fn of(nodes: u8) -> Self {
        let first = Node::running().await;
        let other = |n: u8| {
            let [a, b, c, d] = match first.spec.address.ip() {
                std::net::IpAddr::V4(it) => it.octets(),
                std::net::IpAddr::V6(_) => panic!("loopback addresses are of IPv4 here"),
            };
            let address = SocketAddr::from(([a, b, c.wrapping_add(n), d], first.spec.address.port()));
            NodeSpec { id: Uuid::new_v4(), slot: n, address, ..first.spec.clone() }
        };
        let group = Self { others: (1..nodes).map(other).collect(), first };
        for node in &group.others {
            group.first.platform.ensure_node(group.site(node).lease, node).await.unwrap();
            group.configure(node, Some(&group.first.spec), 0).await;
            ENGINE.copy(group.site(node), &group.first.spec).await.unwrap();
        }
        group
    }

    fn site<'a>(&'a self, node: &'a NodeSpec) -> Site<'a> {
        Site { node, ..self.first.site() }
    }

    fn settings(&self, node: &NodeSpec, follows: Option<&NodeSpec>, acks: usize) -> Settings {
        let request = CertificateRequest { common_name: "cache".to_owned(), names: Vec::new(), addresses: vec![node.address.ip()] };
        let authority = &self.first.authority;
        let issued = authority::issue(&authority.certificate_pem, &authority.key_pem, &request, now()).unwrap();
        let tls = Tls { ca_pem: authority.certificate_pem.clone(), certificate_pem: issued.certificate_pem, key_pem: issued.key_pem };
        let sync_set = SyncSet { primary: Uuid::nil(), members: Vec::new(), acks };
        Settings { follows: follows.map(|primary| primary.address), sync_set, tls, ..self.first.settings() }
    }

    async fn configure(&self, node: &NodeSpec, follows: Option<&NodeSpec>, acks: usize) {
        ENGINE.configure(self.site(node), &self.settings(node, follows, acks)).await.unwrap();
    }

    async fn health(&self, node: &NodeSpec) -> Health {
        ENGINE.check(&self.first.platform, node).await.unwrap()
    }

    async fn cli(&self, node: &NodeSpec, password: &str, words: &[&str]) -> String {
        self.first.cli_at(node, "app", password, &["--raw"], words).await
    }

    /// Waits until a node says this.
    async fn until(&self, node: &NodeSpec, password: &str, words: &[&str], says: &str) {
        let begun = Instant::now();
        loop {
            let said = self.cli(node, password, words).await;
            if said == says {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "{words:?}: {said} instead of {says}");
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn kill(&self, node: &NodeSpec) {
        self.first.platform.fence(self.site(node).lease, node).await.unwrap();
        assert_eq!(self.first.platform.presence(node).await, Presence::Dead);
    }
}

fn two(group: &Group) -> [&NodeSpec; 2] {
    [&group.others[0], &group.others[1]]
}

#[tokio::test]
async fn r008_replicas_have_data_and_users_and_take_no_writes_of_their_own() {
    let begun = Instant::now();
    let group = Group::of(3).await;
    println!("a primary and two replicas after {:?}", begun.elapsed());
    let (primary, replica) = (&group.first.spec, &group.others[0]);
    let password = group.first.tenant("app").await;
    let secret = password.expose_secret();
    // Users are not replicated: whoever makes one has it made everywhere.
    assert!(group.cli(replica, secret, &["PING"]).await.contains("WRONGPASS"));
    for node in &group.others {
        for _ in 0..2 {
            ENGINE.share_users(group.site(node), primary).await.unwrap();
            ENGINE.copy(group.site(node), primary).await.unwrap();
            ENGINE.follow(group.site(node), primary).await.unwrap();
        }
    }
    assert_eq!(group.cli(primary, secret, &["SET", "x", "1"]).await, "OK");
    for node in &group.others {
        group.until(node, secret, &["GET", "x"], "1").await;
        assert!(group.cli(node, secret, &["SET", "x", "2"]).await.contains("READONLY"));
        let health = group.health(node).await;
        assert!(health.receives && !health.writable && health.deaf == Duration::ZERO, "{health:?}");
    }
    let health = group.health(primary).await;
    let mut known: Vec<Uuid> = health.followers.iter().map(|follower| follower.node).collect();
    let mut ids: Vec<Uuid> = group.others.iter().map(|node| node.id).collect();
    known.sort_unstable();
    ids.sort_unstable();
    assert!(health.writable && known == ids && health.followers.iter().all(|f| !f.synchronous), "{health:?}");

    // With what a replica comes to its primary, tenants cannot read, nor does any process show it.
    let own = ENGINE.own(replica).unwrap();
    for words in [&["CONFIG", "GET", "masterauth"][..], &["ACL", "GETUSER", "granary_replication"], &["REPLICAOF", "NO", "ONE"]] {
        assert!(group.cli(replica, secret, words).await.contains("NOPERM"), "{words:?}");
    }
    assert!(!group.cli(replica, secret, &["INFO", "everything"]).await.contains(own.replication.expose_secret()));
    let replication = own.replication.expose_secret();
    let Presence::Running { pid: Some(pid) } = group.first.platform.presence(replica).await else { panic!("it runs") };
    let shown = ["cmdline", "environ"].map(|file| fs::read(format!("/proc/{pid}/{file}")).unwrap()).concat();
    assert!(!String::from_utf8_lossy(&shown).contains(replication));
    let says = group.first.cli_at(primary, "granary_replication", replication, &[], &["GET", "x"]).await;
    assert!(says.contains("NOPERM"), "it fetches everything or nothing: {says}");
    for node in [primary, replica] {
        let log = group.first.platform.tail(node, super::SERVICE, 1_000_000).await;
        assert!(!log.contains(replication));
    }
    // It survives its own death, users and data, and a user that is gone is gone everywhere.
    group.kill(replica).await;
    ENGINE.start(group.site(replica)).await.unwrap();
    group.until(replica, secret, &["GET", "x"], "1").await;
    let mut client = ENGINE.sign_in(&group.first.platform, primary).await.unwrap();
    client.ask(&["ACL", "DELUSER", "app"]).await.unwrap();
    ENGINE.share_users(group.site(replica), primary).await.unwrap();
    assert!(group.cli(replica, secret, &["PING"]).await.contains("WRONGPASS"));
}

#[tokio::test]
async fn a_stopped_primarys_last_words_are_known_and_a_replica_with_them_leads_the_others() {
    let group = Group::of(3).await;
    let (old, [next, other]) = (&group.first.spec, two(&group));
    let password = group.first.tenant("app").await;
    let secret = password.expose_secret();
    for node in [next, other] {
        ENGINE.share_users(group.site(node), old).await.unwrap();
    }
    assert_eq!(group.cli(old, secret, &["EVAL", "for n = 1, 1000 do redis.call('SET', n, n) end return 1", "0"]).await, "1");
    assert!(ENGINE.last_word(group.site(next)).await.is_err(), "it receives still");
    for _ in 0..2 {
        ENGINE.stop(group.site(old)).await.unwrap();
    }
    let last = ENGINE.position(group.site(old)).await.unwrap();
    assert!(last.log > 10_000, "{last:?}");
    for node in [next, other] {
        assert!(ENGINE.position(group.site(node)).await.unwrap() >= last);
        assert!(ENGINE.last_word(group.site(node)).await.unwrap() >= last);
    }
    for _ in 0..2 {
        ENGINE.promote(group.site(next)).await.unwrap();
        ENGINE.follow(group.site(other), next).await.unwrap();
    }
    assert_eq!(group.cli(next, secret, &["SET", "new", "1"]).await, "OK");
    group.until(other, secret, &["GET", "new"], "1").await;
    let log = group.first.platform.tail(other, super::SERVICE, 100_000).await;
    assert!(log.contains("Successful partial resynchronization"), "what it has is not copied again: {log}");
    // The old one comes back as a replica, twice, and anew.
    group.configure(old, Some(next), 0).await;
    for anew in [false, false, true] {
        ENGINE.rejoin(group.site(old), next, anew).await.unwrap();
        ENGINE.start(group.site(old)).await.unwrap();
        assert!(group.health(old).await.receives);
        assert_eq!(group.cli(old, secret, &["DBSIZE"]).await, "1001");
    }
    group.kill(old).await;
    let unknown = format!("{:#}", ENGINE.position(group.site(old)).await.unwrap_err());
    assert!(unknown.contains("not stopped cleanly"), "{unknown}");
}

#[tokio::test]
async fn one_that_has_nothing_or_was_started_again_counts_less_than_one_that_ran_on() {
    let group = Group::of(3).await;
    let (primary, [one, two]) = (&group.first.spec, two(&group));
    let password = group.first.tenant("app").await;
    let secret = password.expose_secret();
    assert_eq!(group.cli(primary, secret, &["SET", "x", "1"]).await, "OK");
    group.kill(two).await;
    assert_eq!(group.cli(primary, secret, &["SET", "x", "2"]).await, "OK");
    group.kill(primary).await;
    ENGINE.start(group.site(two)).await.unwrap();
    let words = [ENGINE.last_word(group.site(one)).await.unwrap(), ENGINE.last_word(group.site(two)).await.unwrap()];
    assert!(words[0] > words[1], "{words:?}");
    assert_eq!(group.health(two).await.deaf, Duration::MAX);
    // One that is being copied for the first time has nothing.
    let data = group.first.platform.paths(two).data;
    fs::remove_file(data.join("initialised")).unwrap();
    assert!(ENGINE.last_word(group.site(two)).await.unwrap_err().to_string().contains("whole copy"));
    // Nothing is changed while there is no primary to copy from.
    fs::write(data.join("initialised"), "").unwrap();
    for anew in [false, true] {
        let refused = format!("{:#}", ENGINE.rejoin(group.site(two), primary, anew).await.unwrap_err());
        assert!(refused.contains("nothing was changed") && data.join("appendonlydir").exists(), "{refused}");
    }
    // A primary whose data is gone does not begin with nothing: its replicas would, too.
    fs::remove_dir_all(group.first.platform.paths(primary).data.join("appendonlydir")).unwrap();
    let refused = ENGINE.start(group.site(primary)).await.unwrap_err().to_string();
    assert!(refused.contains("data is gone"), "{refused}");
    assert_eq!(group.first.platform.presence(primary).await, Presence::Dead);
}

#[tokio::test]
async fn writes_are_refused_while_no_replica_is_in_step_where_that_was_chosen() {
    let group = Group::of(2).await;
    let (primary, replica) = (&group.first.spec, &group.others[0]);
    let set = |acks| SyncSet { primary: Uuid::nil(), members: Vec::new(), acks };
    let password = group.first.tenant("app").await;
    let secret = password.expose_secret();
    assert!(ENGINE.waits_for(group.site(primary), &set(0)).await.unwrap());
    for _ in 0..2 {
        group.configure(primary, None, 1).await;
        ENGINE.reload(group.site(primary)).await.unwrap();
    }
    assert!(ENGINE.waits_for(group.site(primary), &set(1)).await.unwrap() && !ENGINE.waits_for(group.site(primary), &set(0)).await.unwrap());
    let begun = Instant::now();
    while !group.health(primary).await.followers.first().is_some_and(|follower| follower.synchronous) {
        assert!(begun.elapsed() < Duration::from_secs(10));
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(group.cli(primary, secret, &["SET", "x", "1"]).await, "OK");
    group.kill(replica).await;
    group.until(primary, secret, &["SET", "x", "2"], "NOREPLICAS Not enough good replicas to write.").await;
    assert_eq!(group.cli(primary, secret, &["GET", "x"]).await, "1");
    ENGINE.start(group.site(replica)).await.unwrap();
    group.until(primary, secret, &["SET", "x", "2"], "OK").await;
}

#[tokio::test]
async fn the_probe_writes_to_its_one_key_is_known_everywhere_and_leaves_nothing() {
    let group = Group::of(2).await;
    let (primary, replica) = (&group.first.spec, &group.others[0]);
    let password = crate::server::crypto::random::password();
    let secret = password.expose_secret();
    for _ in 0..2 {
        ENGINE.make_probe(group.site(primary), &password).await.unwrap();
        ENGINE.share_users(group.site(replica), primary).await.unwrap();
    }
    let access =
        |node: &NodeSpec| Access { server: node.address.ip(), ca_pem: group.first.authority.certificate_pem.clone(), password: password.clone() };
    let open = async |node: &NodeSpec| {
        let stream = group.first.platform.dial(node, Dial::Port(node.address.port())).await.unwrap();
        ENGINE.open_probe(stream, &access(node)).await
    };
    let probe = open(primary).await.unwrap();
    for number in 1..=3 {
        assert!(probe.write(number).await.unwrap());
    }
    assert_eq!(probe.read().await.unwrap(), [1, 2, 3]);
    for words in [&["SET", "granary_probe", "1"][..], &["GET", "x"], &["DEL", "granary_probe"], &["INFO"], &["KEYS", "*"]] {
        let says = group.first.cli_at(primary, "granary_probe", secret, &["-n", "15"], words).await;
        assert!(says.contains("NOPERM"), "{words:?}: {says}");
    }
    // It is there after the server was killed, and on whoever takes over.
    group.kill(primary).await;
    assert!(probe.write(4).await.is_err());
    ENGINE.promote(group.site(replica)).await.unwrap();
    assert!(open(replica).await.unwrap().write(5).await.unwrap());
    ENGINE.start(group.site(primary)).await.unwrap();
    open(primary).await.unwrap();
    for _ in 0..2 {
        ENGINE.remove_probe(group.site(replica)).await.unwrap();
    }
    assert!(open(replica).await.is_err());
    // Whoever is at the endpoint's address without its certificate learns no password.
    let stream = group.first.platform.dial(replica, Dial::Port(replica.address.port())).await.unwrap();
    let wrong = Access { server: primary.address.ip(), ..access(replica) };
    let refused = format!("{:#}", ENGINE.open_probe(stream, &wrong).await.err().unwrap());
    assert!(refused.contains("certificate"), "{refused}");
}
