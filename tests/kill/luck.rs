//! Worse luck than a kill: a process that is stopped and goes on later, and metadata that is gone for half a minute.

use super::{Home, PATIENCE, Serving, actor, app, assert_whole, create, processes, until_running};
use granary::{
    model::datastore::EndpointKind,
    server::{
        db::metadata::process::{Process, working_in},
        domain,
        state::App,
    },
};
use rustix::process::Signal;
use std::{
    os::unix::process::ExitStatusExt,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Signals a process that this test started.
fn signal(child: &Child, signal: Signal) {
    let process = Process::find(i32::try_from(child.id()).unwrap()).unwrap();
    assert!(process.signal(signal).unwrap());
}

fn until_stopped(child: &Child) {
    let begun = Instant::now();
    while !std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap().contains(") T ") {
        assert!(begun.elapsed() < PATIENCE, "it never stopped itself");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// How often a job's steps were begun, the greatest number last.
async fn attempts(app: &App, id: uuid::Uuid) -> Vec<i32> {
    sqlx::query_scalar("SELECT s.attempts FROM job_steps s JOIN jobs j ON j.id = s.job_id WHERE j.datastore_id = $1 ORDER BY 1")
        .bind(id)
        .fetch_all(&app.db)
        .await
        .unwrap()
}

/// One process is stopped around a step, another takes over after ten seconds of silence, the first goes on: it is refused,
/// and it is of use again.
async fn late(fault: &str, refused_by: &str) {
    let home = Home::new();
    let app = app(&home).await;
    let actor = actor(&app).await;
    let first = Serving(home.command("serve").args(["--freeze", fault]).spawn().unwrap());
    let id = create(&app, &actor).await;
    until_stopped(&first.0);
    let second = Serving(home.second());
    until_running(&app, &actor, id).await;
    assert_whole(&home, &app, id).await;
    assert_eq!(attempts(&app, id).await, [1, 1, 1, 1, 1, 1, 1, 1, 1, 2], "one step was begun twice, and no other");

    signal(&first.0, Signal::CONT);
    let begun = Instant::now();
    let refusal = format!("{refused_by} refused it: lease ");
    while !home.log().lines().any(|line| line.contains(&refusal) && line.contains(" was overtaken by ")) {
        assert!(begun.elapsed() < PATIENCE, "the late one was not refused:\n{}", home.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_whole(&home, &app, id).await;
    let lock = std::fs::read_to_string(home.path().join("locks").join(id.to_string())).unwrap();
    let last: u32 = lock.split_ascii_whitespace().nth(1).unwrap().parse().unwrap();
    assert_eq!(last, second.0.id(), "the late one did something after it went on");

    drop(second);
    let next = create(&app, &actor).await;
    until_running(&app, &actor, next).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_stopped_before_an_effect_is_refused_by_the_platform() {
    late("before:start-server", "the datastore's lock").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_stopped_after_an_effect_is_refused_by_the_database() {
    late("after:create-database", "the metadata database").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_stopped_in_the_middle_of_an_effect_dies_by_who_takes_over() {
    let home = Home::new();
    let app = app(&home).await;
    let actor = actor(&app).await;
    let mut first = Serving(home.serve(None));
    let id = create(&app, &actor).await;
    let begun = Instant::now();
    // It holds the datastore's lock while initdb runs.
    while !initdb_runs(&home) {
        assert!(begun.elapsed() < PATIENCE, "initdb was not seen");
    }
    signal(&first.0, Signal::STOP);
    let _second = Serving(home.second());
    until_running(&app, &actor, id).await;
    assert_whole(&home, &app, id).await;
    assert_eq!(first.0.wait().unwrap().signal(), Some(9));
    assert_eq!(attempts(&app, id).await, [1, 1, 1, 1, 1, 1, 1, 1, 1, 2]);
}

/// Whether a cluster is made on one of the home's volumes.
fn initdb_runs(home: &Home) -> bool {
    let volumes = home.path().join("volumes").display().to_string();
    let lines = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|e| std::fs::read(e.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).into_owned()).any(|line| line.contains("bin/initdb") && line.contains(&volumes))
}

/// What the probe for readiness says, and a page to whoever has a session: `curl` is not needed for one line of HTTP.
async fn ask(home: &Home, path: &str) -> (u16, String) {
    let request = reqwest::Client::new().get(format!("http://{}{path}", home.listen));
    let cookie = format!("granary={}", tower_sessions::session::Id::default());
    let Ok(answer) = request.header("cookie", cookie).header("accept", "text/html").send().await else { return (0, String::new()) };
    assert!(answer.status() != 503 || answer.headers().contains_key("retry-after"), "{answer:?}");
    (answer.status().as_u16(), answer.text().await.unwrap_or_default())
}

async fn until_ready(home: &Home) {
    let begun = Instant::now();
    while ask(home, "/readyz").await.0 != 200 {
        assert!(begun.elapsed() < PATIENCE, "it does not heal");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn postgres(home: &Home) -> usize {
    processes(home.path()).iter().filter(|line| line.contains("bin/postgres ")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_that_dies_in_a_creation_and_is_gone_for_half_a_minute_changes_nothing() {
    let home = Home::new();
    let app = app(&home).await;
    let actor = actor(&app).await;
    let _serving = Serving(home.serve(None));
    until_ready(&home).await;
    let metadata = home.path().join("metadata");
    let kill = || working_in(&metadata.join("data")).iter().for_each(|process| drop(process.signal(Signal::KILL)));
    let id = create(&app, &actor).await;
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        kill();
        until_ready(&home).await;
    }
    until_running(&app, &actor, id).await;
    assert_whole(&home, &app, id).await;
    let psql = psql(&home, &app, &actor, id).await;
    assert!(psql("create table t as select 1"));

    // Nobody can start it while this lock is held, as if its programs were gone.
    let lock = Command::new("flock").arg("--no-fork").arg(metadata.join("lock")).args(["sleep", "600"]).stdout(Stdio::null()).spawn().unwrap();
    let lock = Serving(lock);
    tokio::time::sleep(Duration::from_millis(300)).await;
    kill();
    let begun = Instant::now();
    let (status, page) = ask(&home, "/datastores").await;
    assert_eq!(status, 503);
    assert!(page.contains("Your databases go on") && begun.elapsed() < Duration::from_secs(14), "{:?}: {page}", begun.elapsed());
    assert!(psql("insert into t values (2)"), "a database depends on the metadata");
    // Nothing is decided meanwhile: what dies stays dead.
    let server = processes_of_server(&home);
    assert!(server.signal(Signal::KILL).unwrap());
    while server.is_alive() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    while begun.elapsed() < Duration::from_secs(30) {
        assert_eq!(postgres(&home), 0, "started without metadata");
        assert_ne!(ask(&home, "/readyz").await.0, 200);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    drop(lock);
    until_ready(&home).await;
    until_running(&app, &actor, id).await;
    let begun = Instant::now();
    let left = || async {
        sqlx::query_scalar::<_, i64>("SELECT count(*) FROM jobs WHERE state NOT IN ('done', 'cancelled')").fetch_one(&app.db).await.unwrap()
    };
    while postgres(&home) == 0 || !psql("insert into t values (3)") || left().await > 0 {
        assert!(begun.elapsed() < PATIENCE, "the datastore is not started again, or a job is left");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The first process of the only datastore's server.
fn processes_of_server(home: &Home) -> Process {
    let pidfile = Command::new("find").arg(home.path().join("volumes")).args(["-name", "postmaster.pid"]).output().unwrap();
    let path = String::from_utf8(pidfile.stdout).unwrap();
    let text = std::fs::read_to_string(path.trim()).unwrap();
    Process::find(text.lines().next().unwrap().trim().parse().unwrap()).unwrap()
}

/// Runs a statement as the connection assistant says.
pub(super) async fn psql(home: &Home, app: &App, actor: &domain::Actor, id: uuid::Uuid) -> impl Fn(&str) -> bool {
    domain::firewall::add(app, actor, id, "127.0.0.1/32", "me", "").await.unwrap();
    let begun = Instant::now();
    loop {
        let open: i64 = sqlx::query_scalar("SELECT count(*) FROM jobs WHERE state IN ('running', 'queued')").fetch_one(&app.db).await.unwrap();
        if open == 0 {
            break;
        }
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let c = domain::access::connection(app, actor, id, EndpointKind::Primary, true).await.unwrap();
    let ca = home.path().join(c.ca_file());
    let pem: String = sqlx::query_scalar("SELECT ca_certificate FROM datastores WHERE id = $1").bind(id).fetch_one(&app.db).await.unwrap();
    std::fs::write(&ca, pem).unwrap();
    let url =
        format!("postgresql://{}@{}:{}/{}?sslmode=verify-full&sslrootcert={}&connect_timeout=5", c.user, c.host, c.port, c.database, ca.display());
    move |sql: &str| {
        let mut command = Command::new("psql");
        command.arg(&url).args(["-qAtc", sql]).env("PGPASSWORD", c.password.as_deref().unwrap_or_default());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
    }
}
