//! Making, starting, reloading.

use super::{ENGINE, HERE, Node, majors};
use crate::{
    model::storage::Storage,
    server::{
        engine::{
            Engine, Replication,
            postgresql::{
                SERVICE, config, control, control_file,
                session::{MAINTENANCE, Session},
            },
            testing::Direct,
        },
        platform::{Dial, File, NodeSpec, Platform, Presence, Program},
    },
};
use secrecy::ExposeSecret;
use std::{
    fs,
    net::TcpListener,
    time::{Duration, Instant},
};
use tokio::time::sleep;

#[tokio::test]
async fn an_initialisation_killed_in_its_middle_is_repeated_from_nothing() {
    let node = Node::new().await;
    for milliseconds in [20, 80, 200] {
        // The future is dropped, as when Granary is killed: what it started goes on.
        let killed = tokio::time::timeout(Duration::from_millis(milliseconds), ENGINE.initialise(node.site())).await;
        assert!(killed.is_err(), "it was not over after {milliseconds} ms: {killed:?}");
        assert!(!node.platform.has_file(&node.spec, "initialised").await.unwrap());
    }
    node.run().await;
    assert!(ENGINE.check(&node.platform, &node.spec).await.unwrap().writable);
}

#[tokio::test]
async fn a_finished_cluster_that_was_damaged_is_kept_and_said() {
    let node = Node::new().await;
    ENGINE.initialise(node.site()).await.unwrap();
    let cluster = node.platform.paths(&node.spec).data.join("pgdata");
    fs::remove_file(cluster.join("global/pg_control")).unwrap();
    let failure = ENGINE.initialise(node.site()).await.unwrap_err().to_string();
    assert!(failure.contains("damaged"), "{failure}");
    assert!(cluster.join("PG_VERSION").exists());
}

#[tokio::test]
async fn a_system_without_the_wanted_locale_gets_the_plain_one() {
    let node = Node::new().await;
    control::make_cluster(node.site(), &[vec!["--locale=xx_XX.UTF-8"], vec!["--locale=C"]]).await.unwrap();
    let failure = control::make_cluster(node.site(), &[vec!["--locale=xx_XX.UTF-8"]]).await.unwrap_err();
    assert!(format!("{failure:#}").contains("invalid locale"), "{failure:#}");
}

#[tokio::test]
async fn r081_the_server_accepts_the_configuration_of_every_size() {
    let mut node = Node::new().await;
    ENGINE.initialise(node.site()).await.unwrap();
    for (ram_mb, vcpus, gb, connections) in [(512, 1, 1, "40"), (2048, 1, 20, "102"), (16384, 8, 160, "400")] {
        node.spec = NodeSpec { ram_mb, vcpus, storage: Storage::Ephemeral { gb }, ..node.spec };
        ENGINE.configure(node.site(), &node.settings(HERE)).await.unwrap();
        let paths = node.platform.paths(&node.spec);
        let file = format!("config_file={}", paths.config.join(config::MAIN).display());
        let args = ["-D", &paths.data.join("pgdata").display().to_string(), "-c", &file, "-C", "max_connections"].map(str::to_owned).to_vec();
        let ask = Program { path: node.programs.programs.join("postgres"), args, env: Vec::new() };
        let output = node.platform.run(node.site().lease, &node.spec, &ask, Duration::from_secs(10)).await.unwrap();
        assert_eq!(output.stdout.trim(), connections, "{}", output.stderr);
    }
}

#[tokio::test]
async fn a_start_that_cannot_be_says_why() {
    let node = Node::new().await;
    ENGINE.initialise(node.site()).await.unwrap();
    ENGINE.configure(node.site(), &node.settings(HERE)).await.unwrap();
    let taken = TcpListener::bind(node.spec.address).unwrap();
    let failure = ENGINE.start(node.site()).await.unwrap_err().to_string();
    assert!(failure.contains("Address already in use"), "{failure}");
    drop(taken);
    ENGINE.start(node.site()).await.unwrap();
}

#[tokio::test]
async fn a_killed_server_starts_again_though_its_lock_names_a_living_process() {
    let node = Node::running().await;
    let password = node.tenant("app", "orders").await;
    let rows = ["CREATE TABLE t AS SELECT generate_series(1, 1000) AS x"];
    assert!(node.psql("app", password.expose_secret(), "orders", &[], &rows).await.0);
    node.platform.fence(node.site().lease, &node.spec).await.unwrap();
    assert_eq!(node.platform.presence(&node.spec).await, Presence::Dead);
    // Another program of the same user has the number that the lock names.
    let sleep = Program { path: "/bin/sleep".into(), args: vec!["60".to_owned()], env: Vec::new() };
    let mut other = Direct::command(&sleep).kill_on_drop(true).spawn().unwrap();
    let paths = node.platform.paths(&node.spec);
    for lock in [paths.data.join("pgdata/postmaster.pid"), paths.run.join(".s.PGSQL.5432.lock")] {
        let text = fs::read_to_string(&lock).unwrap();
        let rest = text.split_once('\n').unwrap().1;
        fs::write(lock, format!("{}\n{rest}", other.id().unwrap())).unwrap();
    }
    ENGINE.start(node.site()).await.unwrap();
    assert_eq!(node.psql("app", password.expose_secret(), "orders", &[], &["SELECT count(*) FROM t"]).await, (true, "1000".to_owned()));
    other.kill().await.unwrap();
}

#[tokio::test]
async fn a_reload_tells_what_the_server_refuses_and_lets_wait_what_needs_a_restart() {
    let mut node = Node::running().await;
    let file = node.platform.paths(&node.spec).config.join("pg_hba.conf");
    let good = fs::read_to_string(&file).unwrap();
    node.put("pg_hba.conf", &(good.clone() + "hostssl all all 127.0.0.1/99 scram-sha-256\n")).await;
    let failure = ENGINE.reload(node.site()).await.unwrap_err().to_string();
    assert!(failure.contains("pg_hba.conf, line"), "{failure}");
    node.put("pg_hba.conf", &good).await;
    node.spec.ram_mb = 1024;
    ENGINE.configure(node.site(), &node.settings(HERE)).await.unwrap();
    ENGINE.reload(node.site()).await.unwrap();
    node.put("server.key", "nonsense").await;
    let failure = ENGINE.reload(node.site()).await.unwrap_err().to_string();
    assert!(failure.contains("server.key"), "{failure}");
    for (text, says) in [("nonsense = 1\n", "line 1: nonsense"), ("work_mem = many\n", "line 1: work_mem"), ("'\n", "line 1: syntax error")] {
        node.put(config::MAIN, text).await;
        let failure = ENGINE.reload(node.site()).await.unwrap_err().to_string();
        assert!(failure.contains(says), "{failure}");
    }
}

#[tokio::test]
async fn a_server_that_recovers_is_waited_for_longer_than_one_that_does_not_answer() {
    let node = Node::running().await;
    ENGINE.stop(node.site()).await.unwrap();
    // Each file that recovery asks the archive for takes a while.
    let main = fs::read_to_string(node.platform.paths(&node.spec).config.join(config::MAIN)).unwrap();
    node.put(config::MAIN, &(main + "restore_command = 'sleep 0.3; false'\n")).await;
    let signal = File { name: "data/pgdata/recovery.signal".to_owned(), content: Vec::new(), secret: false };
    node.platform.put_files(node.site().lease, &node.spec, &[signal]).await.unwrap();
    let started = Instant::now();
    let args = ["-D", &node.platform.paths(&node.spec).data.join("pgdata").display().to_string()].map(str::to_owned);
    let config = ["-c".to_owned(), format!("config_file={}", node.platform.paths(&node.spec).config.join(config::MAIN).display())];
    let server = Program { path: node.programs.programs.join("postgres"), args: [args, config].concat(), env: Vec::new() };
    node.platform.start(node.site().lease, &node.spec, SERVICE, &server).await.unwrap();
    while node.platform.dial(&node.spec, Dial::Socket(".s.PGSQL.5432")).await.is_err() {
        sleep(Duration::from_millis(5)).await;
    }
    let limit = Duration::from_millis(100);
    control::wait_until_it_answers(node.site(), limit).await.unwrap();
    assert!(started.elapsed() > 3 * limit, "it recovered for longer than the limit");
}

#[tokio::test]
async fn a_server_that_does_not_stop_is_killed_and_loses_nothing() {
    let node = Node::running().await;
    let password = node.tenant("app", "orders").await;
    assert!(node.psql("app", password.expose_secret(), "orders", &[], &["CREATE TABLE t ()"]).await.0);
    let Presence::Running { pid: Some(pid) } = node.platform.presence(&node.spec).await else { panic!("it runs") };
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap(), rustix::process::Signal::STOP).unwrap();
    control::stop_within(node.site(), Duration::from_millis(300)).await.unwrap();
    assert_eq!(node.platform.presence(&node.spec).await, Presence::Dead);
    ENGINE.start(node.site()).await.unwrap();
    assert_eq!(node.psql("app", password.expose_secret(), "orders", &[], &["SELECT count(*) FROM t"]).await, (true, "0".to_owned()));
}

#[tokio::test]
async fn the_end_of_a_stopped_servers_log_is_read_with_and_without_pg_controldata() {
    for programs in majors().await {
        let node = Node::of(programs).await;
        node.run().await;
        let session = Session::open(&node.platform, &node.spec, MAINTENANCE).await.unwrap();
        let here = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint";
        let written = u64::try_from(session.row(here, &[]).await.unwrap().unwrap().get::<_, i64>(0)).unwrap();
        drop(session);
        ENGINE.stop(node.site()).await.unwrap();
        let end = ENGINE.position(node.site()).await.unwrap();
        assert!(end.timeline == 1 && end.log >= written && end.log < written + (32 << 20), "{}: {end:?}, {written}", node.programs.full);
        let (bytes, words) = control_file::tests::both_ways(node.site()).await;
        assert_eq!(bytes.is_ok(), node.programs.major.parse::<u32>().unwrap() <= 17, "{}: {bytes:?}", node.programs.full);
        // Where both ways are there, they agree.
        for position in [bytes, words].into_iter().flatten() {
            assert_eq!(position, end, "{}", node.programs.full);
        }
    }
}
