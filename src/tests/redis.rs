//! The whole on this machine with Redis: real servers, real HAProxy, real redis-cli.

use super::real::Machine;
use crate::{
    model::{
        datastore::EndpointKind, draft::NewDatastore, durability::Durability, engine::EngineKind, job::JobState, log::LogQuery, snippet::Connection,
        storage::Storage, topology::Topology,
    },
    server::{
        db::{self, jobs::NewJob, plan::Plan},
        domain,
        jobs::kind::JobKind,
        platform::{Lease, Presence, Program},
    },
};
use std::{
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::{io::AsyncWriteExt, process::Command};
use uuid::Uuid;

impl Machine {
    /// Asks for one on the smallest volume. Only the card is chosen: the version follows it.
    async fn ask_redis(&self, name: &str, allow: &str) -> Uuid {
        self.ask_for(name, allow, |d| (d.engine, d.flavor, d.volume_gb) = ("redis".into(), "1".into(), "1".into())).await
    }

    /// What redis-cli says, or the words with which it ended.
    pub(super) async fn redis(&self, id: Uuid, words: &[&str]) -> Result<String, String> {
        let output = tokio::time::timeout(Duration::from_secs(10), self.redis_command(id, EndpointKind::Primary).await.args(words).output()).await;
        let output = output.expect("redis-cli ends").unwrap();
        let said = |bytes| String::from_utf8(bytes).unwrap().trim().to_owned();
        let (out, err) = (said(output.stdout), said(output.stderr));
        if output.status.success() && !is_refusal(&out) { Ok(out) } else { Err(format!("{out}{err}")) }
    }

    /// redis-cli as the connection assistant has it, with the CA in a file.
    pub(super) async fn redis_command(&self, id: Uuid, endpoint: EndpointKind) -> Command {
        let c: Connection = domain::access::connection(&self.app, &self.actor, id, endpoint, true).await.unwrap();
        assert_eq!(c.database, "0");
        let ca: PathBuf = self.home.path().join(c.ca_file());
        std::fs::write(&ca, Plan::load(&self.app.db, id).await.unwrap().ca_pem.unwrap()).unwrap();
        let mut command = Command::new("redis-cli");
        command.args(["--tls", "--raw", "-h", &c.host, "-p", &c.port.to_string(), "--user", &c.user, "--cacert"]).arg(ca);
        command.env("REDISCLI_AUTH", c.password.unwrap()).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    async fn in_node(&self, id: Uuid, script: &str) -> String {
        let plan = Plan::load(&self.app.db, id).await.unwrap();
        let lease = Lease { datastore: id, token: db::jobs::next_token(&self.app.db).await.unwrap() };
        let shell = Program { path: "/bin/sh".into(), args: vec!["-c".to_owned(), script.to_owned()], env: Vec::new() };
        self.platform().run(lease, &plan.node_spec(&plan.nodes[0]), &shell, Duration::from_mins(1)).await.unwrap().stdout
    }
}

/// redis-cli ends well whatever the server answers.
fn is_refusal(out: &str) -> bool {
    ["NOAUTH", "NOPERM", "NOREPLICAS", "READONLY", "OOM", "ERR", "MISCONF", "LOADING", "Could not connect"].iter().any(|word| out.starts_with(word))
}

#[tokio::test(flavor = "multi_thread")]
async fn r017_r036_r042_a_finished_wizard_leads_to_a_redis_prompt_over_verified_tls() {
    let machine = Machine::new().await;
    let begun = Instant::now();
    let id = machine.ask_redis("cache", "127.0.0.1/32").await;
    let view = machine.until_running(id).await;
    println!("created in {:?}: {:#?}", begun.elapsed(), view.job.unwrap().steps.iter().map(|s| (s.label.clone(), s.duration_ms)).collect::<Vec<_>>());
    assert_eq!((view.row.engine, view.row.version.as_str(), view.endpoints[0].port), (EngineKind::Redis, "7.0", 6379));
    assert_eq!(machine.redis(id, &["SET", "n", "7"]).await.unwrap(), "OK");
    assert!(machine.redis(id, &["CONFIG", "GET", "*"]).await.unwrap_err().contains("NOPERM"));
    let stranger = machine.redis(id, &["--cacert", "/etc/ssl/certs/ca-certificates.crt", "PING"]).await.unwrap_err();
    assert!(stranger.contains("certificate verify failed"), "{stranger}");

    // A restart keeps address, password and data.
    domain::datastore::restart(&machine.app, &machine.actor, id).await.unwrap();
    machine.until_running(id).await;
    assert_eq!(machine.redis(id, &["GET", "n"]).await.unwrap(), "7");
    let logs = domain::logs::of_datastore(&machine.app, &machine.actor, id, &LogQuery::default()).await.unwrap();
    assert!(logs.entries.iter().any(|(_, e)| e.at.is_some() && e.text.contains("Ready to accept connections")), "{logs:#?}");

    // From the machine itself its private address is reached, and says nothing to whoever has no password.
    let private = Plan::load(&machine.app.db, id).await.unwrap();
    let private = private.node_spec(&private.nodes[0]).address;
    let says = machine.in_node(id, &format!("redis-cli --tls --insecure -h {} -p {} PING", private.ip(), private.port())).await;
    assert!(says.contains("NOAUTH"), "{says}");
    domain::datastore::delete(&machine.app, &machine.actor, id, "cache").await.unwrap();
    machine.until_gone(id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r026_redis_is_refused_before_allowed_after_refused_and_cut_again() {
    let machine = Machine::new().await;
    let id = machine.ask_redis("cache", "").await;
    machine.until_running(id).await;
    machine.redis(id, &["PING"]).await.unwrap_err();
    domain::firewall::add(&machine.app, &machine.actor, id, "127.0.0.1/32", "me", "").await.unwrap();
    machine.until_running(id).await;
    assert_eq!(machine.redis(id, &["PING"]).await.unwrap(), "PONG");
    let mut session = machine.redis_command(id, EndpointKind::Primary).await.args(["BLPOP", "nothing", "60"]).stdout(Stdio::piped()).spawn().unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let source = domain::firewall::show(&machine.app, &machine.actor, id).await.unwrap().sources[0].id;
    domain::firewall::remove(&machine.app, &machine.actor, id, source).await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), session.wait()).await.expect("the session is cut").unwrap();
    machine.redis(id, &["PING"]).await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_server_or_its_edge_that_dies_is_started_again_with_its_data() {
    let machine = Machine::new().await;
    let id = machine.ask_redis("cache", "127.0.0.1/32").await;
    machine.until_running(id).await;
    machine.redis(id, &["EVAL", "for n = 1, 1000 do redis.call('SET', n, n) end", "0"]).await.unwrap();
    // See the catalogue: what is younger may be lost.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let Presence::Running { pid: Some(edge) } = machine.platform().edge_presence(id).await else { panic!("no edge") };
    for pid in [machine.server(id).await, edge] {
        let begun = Instant::now();
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        machine.until(id, |v| v.job.as_ref().is_some_and(|j| j.label == "Start again what stopped")).await;
        machine.until_running(id).await;
        println!("healed {:?} after the kill", begun.elapsed());
        assert_eq!(machine.redis(id, &["DBSIZE"]).await.unwrap(), "1000");
        // The next death makes a job of its own.
        sqlx::query("DELETE FROM jobs WHERE kind = 'heal'").execute(&machine.app.db).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_read_only_before_its_volume_is_full_and_the_page_says_how_to_free_some() {
    let machine = Machine::new().await;
    let id = machine.ask_redis("cache", "127.0.0.1/32").await;
    machine.until_running(id).await;
    assert_eq!(machine.redis(id, &["SET", "a", "1"]).await.unwrap(), "OK");
    let plan = Plan::load(&machine.app.db, id).await.unwrap();
    let free = machine.platform().space(&plan.node_spec(&plan.nodes[0])).await.unwrap().free;
    machine.in_node(id, &format!("fallocate -l {} filler", free - (60 << 20))).await;
    let said = machine.until(id, |v| v.detail.contains("read-only") && v.job.as_ref().is_some_and(|j| j.state == JobState::Done)).await;
    assert!(said.detail.contains(EngineKind::Redis.frees_space_by()), "{}", said.detail);
    assert!(machine.redis(id, &["SET", "b", "1"]).await.unwrap_err().contains("OOM"));
    assert_eq!(machine.redis(id, &["DEL", "a"]).await.unwrap(), "1");
    assert!(machine.redis(id, &["BGREWRITEAOF"]).await.unwrap().contains("started"));
    machine.in_node(id, "rm filler").await;
    machine.until(id, |v| v.detail == "answers as primary" && v.job.as_ref().is_some_and(|j| j.state == JobState::Done)).await;
    assert_eq!(machine.redis(id, &["SET", "b", "1"]).await.unwrap(), "OK");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spare_of_redis_becomes_a_datastore_like_any_other() {
    let machine = Machine::new().await;
    let app = &machine.app;
    let nameless = NewDatastore {
        engine: EngineKind::Redis,
        version: "7.0".to_owned(),
        name: String::new(),
        tags: Vec::new(),
        topology: Topology::Single,
        durability: Durability::Asynchronous,
        region: "local".to_owned(),
        flavor: app.catalogue.flavor("1").unwrap().clone(),
        storage: Storage::Volume { volume_type: "dynamic".to_owned(), gb: 1 },
        database: "spare".to_owned(),
        user: "spare".to_owned(),
        allow: None,
    };
    let mut tx = app.db.begin().await.unwrap();
    let spare = db::creation::spare(&mut tx, app.host, &nameless).await.unwrap();
    let project = db::spares::PROJECT;
    let job = NewJob { project, datastore: spare, host: app.host, kind: JobKind::Prepare, requested_by: None, request_id: None };
    db::jobs::enqueue(&mut tx, job).await.unwrap();
    tx.commit().await.unwrap();
    let begun = Instant::now();
    while db::spares::ready(&app.db, app.host).await.unwrap() < 1 {
        assert!(begun.elapsed() < Duration::from_mins(1));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let begun = Instant::now();
    let id = machine.ask_redis("cache", "127.0.0.1/32").await;
    assert_eq!(id, spare);
    let view = machine.until_running(id).await;
    println!("{:?}: {:?}", begun.elapsed(), view.job.unwrap().steps.iter().map(|s| (s.label.clone(), s.duration_ms)).collect::<Vec<_>>());
    assert_eq!(machine.redis(id, &["ACL", "WHOAMI"]).await.unwrap(), "app_admin");
    assert_eq!(machine.redis(id, &["DBSIZE"]).await.unwrap(), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_redis_is_found_again_by_the_next_granary() {
    let mut machine = Machine::new().await;
    let id = machine.ask_redis("cache", "127.0.0.1/32").await;
    machine.until_running(id).await;
    let before = machine.server(id).await;
    machine.rest().await;
    machine.start_again().await;
    let mut session = machine.redis_command(id, EndpointKind::Primary).await.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    session.stdin.take().unwrap().write_all(b"PING\n").await.unwrap();
    let output = session.wait_with_output().await.unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "PONG");
    machine.until(id, |v| v.detail == "answers as primary").await;
    assert_eq!(machine.server(id).await, before, "it went on");
}
