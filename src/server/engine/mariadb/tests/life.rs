//! Making, starting, reloading, refusing writes.

use super::{ENGINE, Node, Tenant, config, now};
use crate::server::{
    crypto::authority::Authority,
    engine::Engine,
    platform::{NodeSpec, Platform, Presence},
};
use secrecy::ExposeSecret;
use std::{fs, net::TcpListener};

#[tokio::test]
async fn a_half_done_directory_is_made_anew_and_a_finished_one_that_is_damaged_is_kept_and_said() {
    let node = Node::new().await;
    let data = node.platform.paths(&node.spec).data;
    node.put("data/rubbish", "half done").await;
    ENGINE.initialise(node.site()).await.unwrap();
    assert!(!data.join("rubbish").exists());
    fs::remove_file(data.join("mariadb/ibdata1")).unwrap();
    let failure = ENGINE.initialise(node.site()).await.unwrap_err().to_string();
    assert!(failure.contains("damaged or gone"), "{failure}");
    assert!(data.join("mariadb/mysql").exists());
}

#[tokio::test]
async fn r081_the_server_accepts_the_configuration_of_every_size() {
    let mut node = Node::new().await;
    ENGINE.initialise(node.site()).await.unwrap();
    for (ram_mb, pool) in [(512, 160_u64), (4096, 1952), (16384, 8096)] {
        node.spec = NodeSpec { ram_mb, ..node.spec };
        ENGINE.configure(node.site(), &node.settings()).await.unwrap();
        ENGINE.start(node.site()).await.unwrap();
        let password = node.tenant("app", "orders").await;
        let sizes = "SELECT @@innodb_buffer_pool_size, @@innodb_flush_log_at_trx_commit, @@sync_binlog, @@character_set_database";
        let (_, says) = node.says("app", password.expose_secret(), &["orders"], &[sizes]).await;
        assert_eq!(says, format!("{}\t1\t1\tutf8mb4", pool << 20));
        ENGINE.stop(node.site()).await.unwrap();
    }
}

#[tokio::test]
async fn a_start_that_cannot_be_says_why() {
    let node = Node::new().await;
    ENGINE.initialise(node.site()).await.unwrap();
    ENGINE.configure(node.site(), &node.settings()).await.unwrap();
    let taken = TcpListener::bind(node.spec.address).unwrap();
    let failure = ENGINE.start(node.site()).await.unwrap_err().to_string();
    assert!(failure.contains("Address already in use"), "{failure}");
    drop(taken);
    ENGINE.start(node.site()).await.unwrap();
    ENGINE.stop(node.site()).await.unwrap();
    let was = fs::read_to_string(node.platform.paths(&node.spec).config.join(config::MAIN)).unwrap();
    node.put(config::MAIN, &was.replace("skip-name-resolve", "nonsense")).await;
    let failure = ENGINE.start(node.site()).await.unwrap_err().to_string();
    assert!(failure.contains("nonsense"), "{failure}");
}

#[tokio::test]
async fn a_killed_server_starts_again_with_all_it_had_acknowledged() {
    let tenant = Tenant::new().await;
    let node = &tenant.node;
    tenant.may(&["CREATE TABLE t (n INT PRIMARY KEY)", "INSERT INTO t SELECT seq FROM seq_1_to_1000", "CREATE TEMPORARY TABLE x (n INT)"]).await;
    for more in 1..=2 {
        tenant.may(&[&format!("INSERT INTO t VALUES ({})", 1000 + more)]).await;
        node.platform.fence(node.site().lease, &node.spec).await.unwrap();
        assert_eq!(node.platform.presence(&node.spec).await, Presence::Dead);
        ENGINE.start(node.site()).await.unwrap();
        assert_eq!(tenant.may(&["SELECT count(*) FROM t"]).await, (1000 + more).to_string());
    }
    assert!(ENGINE.check(&node.platform, &node.spec).await.unwrap().writable);
}

#[tokio::test]
async fn r036_a_reload_takes_up_a_new_certificate_and_refuses_a_bad_one() {
    let tenant = Tenant::new().await;
    let node = &tenant.node;
    let one = async || tenant.says(&["SELECT 1"]).await;
    assert_eq!(one().await.1, "1");
    // A certificate of another authority: whoever verifies with the old one must refuse it.
    let other = Authority::create("other", now()).unwrap();
    ENGINE.configure(node.site(), &node.settings_of(&other)).await.unwrap();
    assert_eq!(one().await.1, "1", "not before it is told");
    ENGINE.reload(node.site()).await.unwrap();
    let (_, refused) = one().await;
    assert!(refused.contains("TLS/SSL error") || refused.contains("certificate"), "{refused}");
    ENGINE.configure(node.site(), &node.settings()).await.unwrap();
    ENGINE.reload(node.site()).await.unwrap();
    assert_eq!(one().await.1, "1");
    node.put("server.key", "nonsense").await;
    let failure = format!("{:#}", ENGINE.reload(node.site()).await.unwrap_err());
    assert!(failure.contains("keeps its certificate"), "{failure}");
    assert_eq!(one().await.1, "1");
}

#[tokio::test]
async fn writes_are_refused_but_for_those_that_free_space_also_after_a_restart() {
    let tenant = Tenant::new().await;
    let node = &tenant.node;
    tenant.may(&["CREATE TABLE t (n INT PRIMARY KEY)", "INSERT INTO t VALUES (1), (2)"]).await;
    let waits = tenant.says(&["SELECT sleep(30)", "INSERT INTO t VALUES (3)"]);
    let close = async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        for _ in 0..2 {
            ENGINE.set_read_only(node.site(), true).await.unwrap();
        }
    };
    let ((_, cut), ()) = tokio::join!(waits, close);
    assert!(cut.contains("ERROR"), "a session that was there is cut: {cut}");
    assert!(ENGINE.check(&node.platform, &node.spec).await.unwrap().read_only);
    ENGINE.configure(node.site(), &node.settings()).await.unwrap();
    ENGINE.stop(node.site()).await.unwrap();
    ENGINE.start(node.site()).await.unwrap();
    let health = ENGINE.check(&node.platform, &node.spec).await.unwrap();
    assert!(health.read_only && health.writable, "a restart does not forget it");
    for sql in ["INSERT INTO t VALUES (3)", "CREATE TABLE u (n INT)", "UPDATE t SET n = 7 WHERE n = 1"] {
        let (_, says) = tenant.says(&[sql]).await;
        assert!(says.contains("READ ONLY transaction"), "{sql}: {says}");
    }
    assert_eq!(tenant.may(&["SELECT count(*) FROM t"]).await, "2");
    tenant.may(&["SET SESSION TRANSACTION READ WRITE", "DELETE FROM t WHERE n = 1", "DROP TABLE IF EXISTS u"]).await;
    // What Granary sets up it still can.
    node.tenant("late", "later").await;
    for _ in 0..2 {
        ENGINE.set_read_only(node.site(), false).await.unwrap();
    }
    assert!(!ENGINE.check(&node.platform, &node.spec).await.unwrap().read_only);
    assert_eq!(tenant.may(&["INSERT INTO t VALUES (3)", "SELECT count(*) FROM t"]).await, "2");
}

#[tokio::test]
async fn a_stop_cuts_who_is_connected() {
    let tenant = Tenant::new().await;
    let node = &tenant.node;
    let stop = async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let begun = std::time::Instant::now();
        ENGINE.stop(node.site()).await.unwrap();
        begun.elapsed()
    };
    let ((_, says), took) = tokio::join!(tenant.says(&["SELECT sleep(60)"]), stop);
    assert!(says.contains("ERROR") && took.as_secs() < 20, "{says} {took:?}");
    assert!(node.log().await.contains("Shutdown complete"), "{}", node.log().await);
}
