//! Making, starting, reloading, refusing writes.

use super::{ENGINE, Node, config, now};
use crate::server::{
    crypto::authority::Authority,
    engine::{Engine, service},
    platform::{NodeSpec, Platform, Presence, Signal},
};
use secrecy::ExposeSecret;
use std::{
    fs,
    net::TcpListener,
    time::{Duration, Instant},
};
use tokio::time::sleep;

#[tokio::test]
async fn a_finished_directory_without_its_users_is_kept_and_said() {
    let node = Node::running().await;
    ENGINE.stop(node.site()).await.unwrap();
    let data = node.platform.paths(&node.spec).data;
    fs::remove_file(data.join(config::USERS)).unwrap();
    let failure = ENGINE.initialise(node.site()).await.unwrap_err().to_string();
    assert!(failure.contains("list of users is gone"), "{failure}");
    assert!(data.join("appendonlydir").exists());
}

#[tokio::test]
async fn r081_the_server_accepts_the_configuration_of_every_size() {
    let mut node = Node::new().await;
    ENGINE.initialise(node.site()).await.unwrap();
    for ram_mb in [512, 4096, 16384] {
        node.spec = NodeSpec { ram_mb, ..node.spec };
        ENGINE.configure(node.site(), &node.settings()).await.unwrap();
        ENGINE.start(node.site()).await.unwrap();
        let password = node.tenant("app").await;
        let info = node.cli("app", password.expose_secret(), &["--raw"], &["INFO"]).await;
        for says in [format!("maxmemory:{}", ram_mb << 19), "maxmemory_policy:noeviction".to_owned(), "aof_enabled:1".to_owned()] {
            assert!(info.lines().any(|line| line.trim() == says), "{says} is not in {info}");
        }
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
    node.put(config::MAIN, "nonsense yes\n").await;
    let failure = ENGINE.start(node.site()).await.unwrap_err().to_string();
    assert!(failure.contains("nonsense"), "{failure}");
}

#[tokio::test]
async fn a_killed_server_starts_again_with_what_it_had_written_down() {
    let node = Node::running().await;
    let password = node.tenant("app").await;
    let cli = async |words: &[&str]| node.cli("app", password.expose_secret(), &["--raw"], words).await;
    let fill = "for n = 1, 1000 do redis.call('SET', 'key:' .. n, n) end return redis.call('DBSIZE')";
    assert_eq!(cli(&["EVAL", fill, "0"]).await, "1000");
    assert!(node.typed("app", password.expose_secret(), "MULTI\nSET a 1\nSET b 2\nEXEC\n").await.contains("QUEUED"));
    // While the disk is busy with one second's changes, those of the next wait in the server: so much a crash may cost.
    let begun = Instant::now();
    while !cli(&["INFO", "persistence"]).await.contains("aof_buffer_length:0") {
        assert!(begun.elapsed() < Duration::from_secs(5));
        sleep(Duration::from_millis(10)).await;
    }
    for _ in 0..2 {
        node.platform.fence(node.site().lease, &node.spec).await.unwrap();
        assert_eq!(node.platform.presence(&node.spec).await, Presence::Dead);
        ENGINE.start(node.site()).await.unwrap();
        assert_eq!(cli(&["DBSIZE"]).await, "1002", "what scripts and transactions wrote is there, too");
    }
    // A write that was cut in its middle is left out, and says so.
    ENGINE.stop(node.site()).await.unwrap();
    let directory = node.platform.paths(&node.spec).data.join("appendonlydir");
    let log = fs::read_dir(directory).unwrap().map(|e| e.unwrap().path()).find(|p| p.display().to_string().contains(".incr.")).unwrap();
    let length = fs::metadata(&log).unwrap().len();
    fs::File::options().write(true).open(log).unwrap().set_len(length - 3).unwrap();
    ENGINE.start(node.site()).await.unwrap();
    assert!(node.log().await.contains("truncat"), "{}", node.log().await);
    assert!(ENGINE.check(&node.platform, &node.spec).await.unwrap().writable);
}

#[tokio::test]
async fn r036_a_reload_takes_up_a_new_certificate_while_sessions_live_and_refuses_a_bad_one() {
    let node = Node::running().await;
    let password = node.tenant("app").await;
    let ping = async || node.cli("app", password.expose_secret(), &[], &["PING"]).await;
    assert_eq!(ping().await, "PONG");
    // A certificate of another authority: whoever verifies with the old one must refuse it.
    let other = Authority::create("other", now()).unwrap();
    ENGINE.configure(node.site(), &node.settings_of(&other)).await.unwrap();
    assert_eq!(ping().await, "PONG", "not before it is told");
    ENGINE.reload(node.site()).await.unwrap();
    assert!(ping().await.contains("certificate verify failed"));
    ENGINE.configure(node.site(), &node.settings()).await.unwrap();
    ENGINE.reload(node.site()).await.unwrap();
    assert_eq!(ping().await, "PONG");
    node.put("server.key", "nonsense").await;
    let failure = format!("{:#}", ENGINE.reload(node.site()).await.unwrap_err());
    assert!(failure.contains("keeps its certificate") && failure.contains("server.key"), "{failure}");
    assert_eq!(ping().await, "PONG");
}

#[tokio::test]
async fn writes_are_refused_but_for_those_that_free_space_also_after_a_restart() {
    let node = Node::running().await;
    let password = node.tenant("app").await;
    let cli = async |words: &[&str]| node.cli("app", password.expose_secret(), &["--raw"], words).await;
    assert_eq!(cli(&["MSET", "a", "1", "b", "2"]).await, "OK");
    for _ in 0..2 {
        ENGINE.set_read_only(node.site(), true).await.unwrap();
    }
    assert!(ENGINE.check(&node.platform, &node.spec).await.unwrap().read_only);
    ENGINE.configure(node.site(), &node.settings()).await.unwrap();
    ENGINE.stop(node.site()).await.unwrap();
    ENGINE.start(node.site()).await.unwrap();
    let health = ENGINE.check(&node.platform, &node.spec).await.unwrap();
    assert!(health.read_only && health.writable, "a restart does not forget it");
    for words in [&["SET", "c", "3"][..], &["LPUSH", "l", "1"], &["APPEND", "a", "x"], &["EVAL", "return redis.call('SET', 'c', '3')", "0"]] {
        let says = cli(words).await;
        assert!(says.contains("OOM"), "{words:?}: {says}");
    }
    assert_eq!(cli(&["GET", "a"]).await, "1");
    assert_eq!(cli(&["DEL", "a"]).await, "1");
    assert_eq!(cli(&["EXPIRE", "b", "1000"]).await, "1");
    assert!(cli(&["BGREWRITEAOF"]).await.contains("started"));
    assert_eq!(cli(&["FLUSHALL"]).await, "OK");
    for _ in 0..2 {
        ENGINE.set_read_only(node.site(), false).await.unwrap();
    }
    assert!(!ENGINE.check(&node.platform, &node.spec).await.unwrap().read_only);
    assert_eq!(cli(&["SET", "c", "3"]).await, "OK");
    ENGINE.stop(node.site()).await.unwrap();
    ENGINE.start(node.site()).await.unwrap();
    assert_eq!(cli(&["SET", "c", "4"]).await, "OK");
}

#[tokio::test]
async fn what_rewriting_the_log_frees_is_free_again() {
    let node = Node::running().await;
    let password = node.tenant("app").await;
    let cli = async |words: &[&str]| node.cli("app", password.expose_secret(), &["--raw"], words).await;
    let directory = node.platform.paths(&node.spec).data.join("appendonlydir");
    let size = || fs::read_dir(&directory).unwrap().filter_map(|e| e.unwrap().metadata().ok()).map(|m| m.len()).sum::<u64>();
    let fill = "for n = 1, 2000 do redis.call('SET', n, string.rep('x', 10000)) end";
    cli(&["EVAL", fill, "0"]).await;
    assert!(size() > 20_000_000);
    ENGINE.set_read_only(node.site(), true).await.unwrap();
    assert_eq!(cli(&["FLUSHALL"]).await, "OK");
    assert!(size() > 20_000_000, "what was deleted still stands in the log of changes");
    assert!(cli(&["BGREWRITEAOF"]).await.contains("started"));
    let begun = Instant::now();
    while size() > 1_000_000 {
        assert!(begun.elapsed() < Duration::from_secs(20), "{}", size());
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_server_that_does_not_stop_is_killed_and_loses_nothing() {
    let node = Node::running().await;
    let password = node.tenant("app").await;
    assert_eq!(node.cli("app", password.expose_secret(), &[], &["SET", "x", "1"]).await, "OK");
    let Presence::Running { pid: Some(pid) } = node.platform.presence(&node.spec).await else { panic!("it runs") };
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap(), rustix::process::Signal::STOP).unwrap();
    service::stop(node.site(), Signal::Terminate, Duration::from_millis(300)).await.unwrap();
    assert_eq!(node.platform.presence(&node.spec).await, Presence::Dead);
    ENGINE.start(node.site()).await.unwrap();
    assert_eq!(node.cli("app", password.expose_secret(), &[], &["GET", "x"]).await, "1");
}
