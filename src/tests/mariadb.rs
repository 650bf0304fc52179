//! The whole on this machine with MariaDB: real servers, real HAProxy, the real `mariadb`.

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
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::process::Command;
use uuid::Uuid;

impl Machine {
    /// Asks for one on a small volume. Only the card is chosen: the version follows it.
    pub(super) async fn ask_mariadb(&self, name: &str, allow: &str) -> Uuid {
        self.ask_for(name, allow, |d| (d.engine, d.flavor, d.volume_gb) = ("mariadb".into(), "1".into(), "1".into())).await
    }

    /// What mariadb says, or the words with which it ended.
    pub(super) async fn mariadb(&self, id: Uuid, endpoint: EndpointKind, sql: &str) -> Result<String, String> {
        let output = tokio::time::timeout(Duration::from_secs(20), self.mariadb_command(id, endpoint).await.args(["-e", sql]).output()).await;
        let output = output.map_err(|_| "mariadb did not end".to_owned())?.unwrap();
        let said = |bytes| String::from_utf8(bytes).unwrap().trim().to_owned();
        if output.status.success() { Ok(said(output.stdout)) } else { Err(said(output.stderr)) }
    }

    /// mariadb as the connection assistant has it, with the CA in a file.
    async fn mariadb_command(&self, id: Uuid, endpoint: EndpointKind) -> Command {
        let c: Connection = domain::access::connection(&self.app, &self.actor, id, endpoint, true).await.unwrap();
        let ca = self.home.path().join(c.ca_file());
        std::fs::write(&ca, Plan::load(&self.app.db, id).await.unwrap().ca_pem.unwrap()).unwrap();
        let mut command = Command::new("mariadb");
        command.args(["--no-defaults", "--batch", "--skip-column-names", "--connect-timeout=5", "--ssl-verify-server-cert"]);
        command.arg(format!("--ssl-ca={}", ca.display())).args(["-h", &c.host, "-P", &c.port.to_string(), "-u", &c.user, &c.database]);
        command.env("MYSQL_PWD", c.password.unwrap()).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    async fn on_mariadb(&self, id: Uuid, sql: &str) -> Result<String, String> {
        self.mariadb(id, EndpointKind::Primary, sql).await
    }

    async fn in_mariadb_node(&self, id: Uuid, script: &str) -> String {
        let plan = Plan::load(&self.app.db, id).await.unwrap();
        let lease = Lease { datastore: id, token: db::jobs::next_token(&self.app.db).await.unwrap() };
        let shell = Program { path: "/bin/sh".into(), args: vec!["-c".to_owned(), script.to_owned()], env: Vec::new() };
        self.platform().run(lease, &plan.node_spec(&plan.nodes[0]), &shell, Duration::from_mins(1)).await.unwrap().stdout
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r017_r036_r042_a_finished_wizard_leads_to_a_mariadb_prompt_over_verified_tls() {
    let machine = Machine::new().await;
    let begun = Instant::now();
    let id = machine.ask_mariadb("shop", "127.0.0.1/32").await;
    let view = machine.until_running(id).await;
    println!("created in {:?}: {:#?}", begun.elapsed(), view.job.unwrap().steps.iter().map(|s| (s.label.clone(), s.duration_ms)).collect::<Vec<_>>());
    assert_eq!((view.row.engine, view.endpoints[0].port), (EngineKind::MariaDb, 3306));
    assert_eq!(machine.on_mariadb(id, "CREATE TABLE t (n INT); INSERT INTO t VALUES (7); SELECT n FROM t").await.unwrap(), "7");
    let encrypted = machine.on_mariadb(id, "SHOW STATUS LIKE 'Ssl_version'").await.unwrap();
    assert!(encrypted.contains("TLSv1."), "{encrypted}");
    // The server knows where its clients are, though all come through the edge.
    assert_eq!(machine.on_mariadb(id, "SELECT user()").await.unwrap(), "app_admin@127.0.0.1");
    let plan = Plan::load(&machine.app.db, id).await.unwrap();
    assert_ne!(plan.edge_spec().unwrap().source.to_string(), "127.0.0.1");
    assert!(machine.on_mariadb(id, "SELECT 1 INTO OUTFILE '/tmp/x'").await.unwrap_err().contains("Access denied"));

    // A restart keeps address, password and data.
    domain::datastore::restart(&machine.app, &machine.actor, id).await.unwrap();
    machine.until_running(id).await;
    assert_eq!(machine.on_mariadb(id, "SELECT n FROM t").await.unwrap(), "7");
    let logs = domain::logs::of_datastore(&machine.app, &machine.actor, id, &LogQuery::default()).await.unwrap();
    assert!(logs.entries.iter().any(|(_, e)| e.at.is_some() && e.text.contains("ready for connections")), "{logs:#?}");

    // From the machine itself its private address is reached, and nobody who is not the edge speaks for others.
    let private = plan.node_spec(&plan.nodes[0]).address;
    let forged = format!(
        "printf 'PROXY TCP4 9.9.9.9 {ip} 1 2\\r\\n' >p; (cat p; sleep 1) | timeout 5 bash -c 'exec 3<>/dev/tcp/{ip}/{port}; cat >&3; cat <&3' | tr -d '\\0'; rm p",
        ip = private.ip(),
        port = private.port()
    );
    let says = machine.in_mariadb_node(id, &forged).await;
    assert!(says.contains("roxy header is not accepted"), "{says}");
    domain::datastore::delete(&machine.app, &machine.actor, id, "shop").await.unwrap();
    machine.until_gone(id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r026_mariadb_is_refused_before_allowed_after_refused_and_cut_again() {
    let machine = Machine::new().await;
    let id = machine.ask_mariadb("shop", "").await;
    machine.until_running(id).await;
    machine.on_mariadb(id, "SELECT 1").await.unwrap_err();
    domain::firewall::add(&machine.app, &machine.actor, id, "127.0.0.1/32", "me", "").await.unwrap();
    machine.until_running(id).await;
    assert_eq!(machine.on_mariadb(id, "SELECT 1").await.unwrap(), "1");
    let mut session = machine.mariadb_command(id, EndpointKind::Primary).await.args(["-e", "SELECT sleep(60)"]).spawn().unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let source = domain::firewall::show(&machine.app, &machine.actor, id).await.unwrap().sources[0].id;
    domain::firewall::remove(&machine.app, &machine.actor, id, source).await.unwrap();
    let status = tokio::time::timeout(Duration::from_secs(10), session.wait()).await.expect("the session is cut").unwrap();
    assert!(!status.success());
    machine.on_mariadb(id, "SELECT 1").await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mariadb_server_or_its_edge_that_dies_is_started_again_with_its_data() {
    let machine = Machine::new().await;
    let id = machine.ask_mariadb("shop", "127.0.0.1/32").await;
    machine.until_running(id).await;
    machine.on_mariadb(id, "CREATE TABLE t SELECT seq AS n FROM seq_1_to_1000").await.unwrap();
    let Presence::Running { pid: Some(edge) } = machine.platform().edge_presence(id).await else { panic!("no edge") };
    for pid in [machine.server(id).await, edge] {
        let begun = Instant::now();
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        machine.until(id, |v| v.job.as_ref().is_some_and(|j| j.label == "Start again what stopped")).await;
        machine.until_running(id).await;
        println!("healed {:?} after the kill", begun.elapsed());
        assert_eq!(machine.on_mariadb(id, "SELECT count(*) FROM t").await.unwrap(), "1000");
        // The next death makes a job of its own.
        sqlx::query("DELETE FROM jobs WHERE kind = 'heal'").execute(&machine.app.db).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_is_read_only_before_its_volume_is_full_and_the_page_says_how_to_free_some() {
    let machine = Machine::new().await;
    let id = machine.ask_mariadb("shop", "127.0.0.1/32").await;
    machine.until_running(id).await;
    machine.on_mariadb(id, "CREATE TABLE t (n INT); INSERT INTO t VALUES (1)").await.unwrap();
    let plan = Plan::load(&machine.app.db, id).await.unwrap();
    let free = machine.platform().space(&plan.node_spec(&plan.nodes[0])).await.unwrap().free;
    let filler = machine.platform().paths(&plan.node_spec(&plan.nodes[0])).data.join("filler");
    machine.in_mariadb_node(id, &format!("fallocate -l {} {}", free - (60 << 20), filler.display())).await;
    let said = machine.until(id, |v| v.detail.contains("read-only") && v.job.as_ref().is_some_and(|j| j.state == JobState::Done)).await;
    assert!(said.detail.contains(EngineKind::MariaDb.frees_space_by()), "{}", said.detail);
    assert!(machine.on_mariadb(id, "INSERT INTO t VALUES (2)").await.unwrap_err().contains("READ ONLY"));
    machine.on_mariadb(id, "SET SESSION TRANSACTION READ WRITE; DELETE FROM t").await.unwrap();
    machine.in_mariadb_node(id, &format!("rm {}", filler.display())).await;
    machine.until(id, |v| v.detail == "answers as primary" && v.job.as_ref().is_some_and(|j| j.state == JobState::Done)).await;
    machine.on_mariadb(id, "INSERT INTO t VALUES (2)").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spare_of_mariadb_becomes_a_datastore_like_any_other() {
    let machine = Machine::new().await;
    let app = &machine.app;
    let nameless = NewDatastore {
        engine: EngineKind::MariaDb,
        version: app.installed[&("local".to_owned(), EngineKind::MariaDb)][0].major.clone(),
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
    let id = machine.ask_mariadb("shop", "127.0.0.1/32").await;
    assert_eq!(id, spare);
    let view = machine.until_running(id).await;
    println!("{:?}: {:?}", begun.elapsed(), view.job.unwrap().steps.iter().map(|s| (s.label.clone(), s.duration_ms)).collect::<Vec<_>>());
    assert_eq!(machine.on_mariadb(id, "SELECT user(); SHOW DATABASES").await.unwrap(), "app_admin@127.0.0.1\napp\ninformation_schema");
}
