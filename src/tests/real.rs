//! The whole on this machine: real PostgreSQL, real HAProxy, real psql; only the browser is missing.

use super::{support, world};
use crate::{
    model::{
        datastore::{DatastoreView, EndpointKind},
        draft::Draft,
        job::JobState,
        snippet::Connection,
        status::Status,
    },
    server::{
        assemble,
        config::Config,
        db::{self, plan::Plan},
        domain::{self, Actor},
        jobs::{faults::Faults, runner::Runner, stop_all},
        monitor,
        platform::{Platform, Presence},
        state::App,
    },
};
use sqlx::postgres::PgConnectOptions;
use std::{
    collections::BTreeMap,
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::{io::AsyncWriteExt, process::Command};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_mins(1);

/// A running Granary without its pages.
pub(super) struct Machine {
    pub(super) app: App,
    pub(super) actor: Actor,
    pub(super) home: tempfile::TempDir,
    /// Instead of the major that the wizard proposes.
    pub(super) major: Option<String>,
    runner: Option<Runner>,
    stop: CancellationToken,
}

impl Machine {
    pub(super) async fn new() -> Self {
        let (db, home) = (support::database().await, support::home());
        // What `make engines` fetched for the tests of this clone; without that the link leads nowhere.
        std::os::unix::fs::symlink(concat!(env!("CARGO_MANIFEST_DIR"), "/var/engines"), home.path().join("engines")).unwrap();
        let app = Self::assemble(home.path(), db.options.clone()).await;
        let actor = world::person(&app).await;
        let mut machine = Self { app, actor, home, major: None, runner: None, stop: CancellationToken::new() };
        machine.begin().await;
        machine
    }

    async fn assemble(home: &std::path::Path, options: PgConnectOptions) -> App {
        let values = BTreeMap::from([("GRANARY_HOME".to_owned(), home.display().to_string())]);
        assemble::assemble(Config::from_values(&values).unwrap(), options).await.unwrap()
    }

    /// Begins to work and to watch.
    async fn begin(&mut self) {
        self.stop = CancellationToken::new();
        self.runner = Some(Runner::start(self.app.clone(), Faults::default()).await.unwrap());
        tokio::spawn(monitor::run::run(self.app.clone(), self.stop.clone()));
    }

    /// Stops working and watching.
    pub(super) async fn rest(&mut self) {
        self.stop.cancel();
        if let Some(runner) = self.runner.take() {
            runner.shut_down(PATIENCE).await;
        }
    }

    /// A new process of Granary goes on.
    pub(super) async fn start_again(&mut self) {
        let options = (*self.app.db.connect_options()).clone();
        self.app = Self::assemble(self.home.path(), options).await;
        self.begin().await;
    }

    /// Asks for a datastore whose storage is the node's own.
    pub(super) async fn ask_ephemeral(&self, name: &str) -> Uuid {
        self.ask_for(name, "127.0.0.1/32", |d| "ephemeral".clone_into(&mut d.storage)).await
    }

    pub(super) async fn ask(&self, name: &str, allow: &str) -> Uuid {
        self.ask_for(name, allow, |_| ()).await
    }

    /// Asks for one; the proposals can be changed before Finish.
    pub(super) async fn ask_for(&self, name: &str, allow: &str, change: impl FnOnce(&mut Draft)) -> Uuid {
        let id = domain::wizard::start(&self.app, &self.actor).await.unwrap();
        let (mut draft, ..) = domain::wizard::show(&self.app, &self.actor, id).await.unwrap();
        (draft.name, draft.allow) = (name.to_owned(), allow.to_owned());
        draft.version = self.major.clone().unwrap_or(draft.version);
        change(&mut draft);
        for step in crate::model::step::Step::ALL {
            domain::wizard::save(&self.app, &self.actor, id, step, "", draft.clone()).await.unwrap();
        }
        domain::wizard::finish(&self.app, &self.actor, id).await.unwrap()
    }

    pub(super) async fn until(&self, id: Uuid, what: impl Fn(&DatastoreView) -> bool) -> DatastoreView {
        let begun = Instant::now();
        loop {
            let view = domain::datastore::get(&self.app, &self.actor, id).await.unwrap();
            if what(&view) {
                return view;
            }
            assert!(begun.elapsed() < PATIENCE, "{view:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(super) async fn until_running(&self, id: Uuid) -> DatastoreView {
        self.until(id, |v| v.row.status == Status::Running && v.job.as_ref().is_some_and(|j| j.state == JobState::Done)).await
    }

    pub(super) async fn until_gone(&self, id: Uuid) {
        let begun = Instant::now();
        while domain::datastore::get(&self.app, &self.actor, id).await.is_ok() {
            assert!(begun.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Process id of the first node's server.
    pub(super) async fn server(&self, id: Uuid) -> u32 {
        self.server_of(id, 0).await
    }

    /// Process id of a slot's server.
    pub(super) async fn server_of(&self, id: Uuid, slot: usize) -> u32 {
        let plan = Plan::load(&self.app.db, id).await.unwrap();
        match self.platform().presence(&plan.node_spec(&plan.nodes[slot])).await {
            Presence::Running { pid } => pid.unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// What is mounted under the home, and the files in it that loop devices hold.
    fn mounts(&self) -> Vec<String> {
        let home = self.home.path().canonicalize().unwrap().display().to_string();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mounts = mounts.lines().filter_map(|l| l.split(' ').nth(4)).filter(|at| at.starts_with(&home)).map(str::to_owned).collect::<Vec<_>>();
        let loops = std::fs::read_dir("/sys/block").into_iter().flatten().flatten();
        let files = loops.filter_map(|e| std::fs::read_to_string(e.path().join("loop/backing_file")).ok());
        mounts.into_iter().chain(files.filter(|file| file.starts_with(&home))).collect()
    }

    pub(super) fn platform(&self) -> &dyn Platform {
        self.app.platform("local").unwrap()
    }

    pub(super) async fn psql(&self, id: Uuid, sql: &str) -> Result<String, String> {
        self.psql_at(id, EndpointKind::Primary, sql).await
    }

    pub(super) async fn psql_at(&self, id: Uuid, endpoint: EndpointKind, sql: &str) -> Result<String, String> {
        let output = self.psql_command(id, endpoint).await.args(["-Atc", sql]).output().await.unwrap();
        if output.status.success() {
            Ok(String::from_utf8(output.stdout).unwrap().trim().to_owned())
        } else {
            Err(String::from_utf8(output.stderr).unwrap())
        }
    }

    /// psql as the connection assistant has it, with the CA in a file.
    async fn psql_command(&self, id: Uuid, endpoint: EndpointKind) -> Command {
        let c: Connection = domain::access::connection(&self.app, &self.actor, id, endpoint, true).await.unwrap();
        let ca = self.home.path().join(c.ca_file());
        std::fs::write(&ca, Plan::load(&self.app.db, id).await.unwrap().ca_pem.unwrap()).unwrap();
        let url = format!(
            "postgresql://{}@{}:{}/{}?sslmode=verify-full&sslrootcert={}&connect_timeout=5",
            c.user,
            c.host,
            c.port,
            c.database,
            ca.display()
        );
        let mut command = Command::new("psql");
        command.arg(url).env("PGPASSWORD", c.password.unwrap()).stdin(Stdio::null()).kill_on_drop(true);
        command
    }
}

/// A file system of its own on a directory; taken off at the end.
pub(super) struct Small<'a>(&'a std::path::Path);

impl<'a> Small<'a> {
    pub(super) fn mount(path: &'a std::path::Path, options: &str) -> Self {
        let status = std::process::Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(path).status().unwrap();
        assert!(status.success());
        Self(path)
    }

    fn grow(&self, options: &str) {
        assert!(std::process::Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(self.0).status().unwrap().success());
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_a_failed_step_with_its_reason_and_retry_works_once_there_is_room() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can mount a small disk");
        return;
    }
    let machine = Machine::new().await;
    let volumes = machine.home.path().join("volumes");
    std::fs::create_dir_all(&volumes).unwrap();
    let disk = Small::mount(&volumes, "size=12m,mode=0711");
    let id = machine.ask("orders", "127.0.0.1/32").await;
    let view = machine.until(id, |v| v.row.status == Status::Failed).await;
    let job = view.job.unwrap();
    let reason = job.steps.iter().find_map(|s| s.log_excerpt.clone()).unwrap();
    assert!(reason.contains("No space left on device"), "{reason}");
    disk.grow("size=800m");
    domain::work::retry(&machine.app, &machine.actor, id, job.id).await.unwrap();
    machine.until_running(id).await;
    assert_eq!(machine.psql(id, "select 1").await.unwrap(), "1");
    domain::datastore::delete(&machine.app, &machine.actor, id, "orders").await.unwrap();
    machine.until_gone(id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_named_and_retry_works_once_it_is_free() {
    let machine = Machine::new().await;
    let id = machine.ask("orders", "127.0.0.1/32").await;
    machine.until_running(id).await;
    let c = domain::access::connection(&machine.app, &machine.actor, id, EndpointKind::Primary, false).await.unwrap();
    // Whoever is quicker: the test takes the endpoint before the monitor starts the edge again, which may also come in between.
    let thief = loop {
        stop_all::stop_all(&machine.app).await.unwrap();
        if let Ok(thief) = std::net::TcpListener::bind((c.host.as_str(), c.port)) {
            break thief;
        }
    };
    let view = machine.until(id, |v| v.job.as_ref().is_some_and(|j| j.error.as_ref().is_some_and(|e| e.contains(&c.host)))).await;
    assert!(view.job.unwrap().steps.iter().any(|s| s.log_excerpt.as_ref().is_some_and(|e| e.contains("5432"))));
    drop(thief);
    machine.until_running(id).await;
    assert_eq!(machine.psql(id, "select 1").await.unwrap(), "1");
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.stop.cancel();
        let app = self.app.clone();
        // On a thread of its own: the test's runtime may be ending.
        let _ = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
                let plans =
                    sqlx::query_scalar::<_, Uuid>("SELECT id FROM datastores WHERE deleted_at IS NULL").fetch_all(&app.db).await.unwrap_or_default();
                for id in plans {
                    let Ok(plan) = Plan::load(&app.db, id).await else { continue };
                    let Ok(token) = db::jobs::next_token(&app.db).await else { continue };
                    let lease = crate::server::platform::Lease { datastore: id, token };
                    let platform = app.platform("local").unwrap();
                    let _ = platform.destroy_edge(lease, id).await;
                    for node in &plan.nodes {
                        let _ = platform.destroy_node(lease, &plan.node_spec(node)).await;
                    }
                    let _ = platform.destroy_datastore(lease).await;
                }
            });
        })
        .join();
        // What a worker attached while its datastore was being removed.
        for at in self.mounts() {
            let _ = std::process::Command::new("umount").arg(at).stderr(Stdio::null()).status();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r017_r036_a_finished_wizard_leads_to_a_psql_prompt_over_verified_tls() {
    let machine = Machine::new().await;
    let begun = Instant::now();
    let id = machine.ask("orders", "127.0.0.1/32").await;
    let view = machine.until_running(id).await;
    println!("created in {:?}: {:#?}", begun.elapsed(), view.job.unwrap().steps.iter().map(|s| (s.label.clone(), s.duration_ms)).collect::<Vec<_>>());
    assert_eq!(machine.psql(id, "select 1").await.unwrap(), "1");
    assert_eq!(machine.psql(id, "create table t (n int); insert into t values (7); select n from t").await.unwrap(), "CREATE TABLE\nINSERT 0 1\n7");
    assert_eq!(machine.psql(id, "select ssl from pg_stat_ssl where pid = pg_backend_pid()").await.unwrap(), "t");
    assert!(machine.psql(id, "copy t to program 'id'").await.is_err());

    // A restart keeps address, password and data.
    domain::datastore::restart(&machine.app, &machine.actor, id).await.unwrap();
    machine.until_running(id).await;
    assert_eq!(machine.psql(id, "select n from t").await.unwrap(), "7");

    assert_eq!(machine.mounts().len(), if machine.platform().enforcement().volumes { 2 } else { 0 }, "one mount and its loop device");
    domain::datastore::delete(&machine.app, &machine.actor, id, "orders").await.unwrap();
    machine.until_gone(id).await;
    assert_eq!(machine.mounts(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spare_becomes_a_datastore_like_any_other_and_never_the_twin_of_another() {
    let machine = Machine::new().await;
    let begun = Instant::now();
    while db::spares::ready(&machine.app.db, machine.app.host).await.unwrap() < 4 {
        monitor::spares::round(&machine.app, 2, true).await.unwrap();
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let begun = Instant::now();
    let ids = [machine.ask("orders", "127.0.0.1/32").await, machine.ask("shop", "127.0.0.1/32").await];
    let mut systems = Vec::new();
    for id in ids {
        let view = machine.until_running(id).await;
        println!("{:?}: {:?}", begun.elapsed(), view.job.unwrap().steps.iter().map(|s| (s.label.clone(), s.duration_ms)).collect::<Vec<_>>());
        let made = "select pg_get_userbyid(datdba), current_user, current_database() from pg_database where datname = current_database()";
        assert_eq!(machine.psql(id, made).await.unwrap(), "app_admin|app_admin|app");
        assert_eq!(
            machine.psql(id, "create table t (n int); insert into t values (7); select n from t").await.unwrap(),
            "CREATE TABLE\nINSERT 0 1\n7"
        );
        // Neither the spare's role nor its database is left beside it.
        assert_eq!(machine.psql(id, "select count(*) from pg_roles where rolname = 'granary_spare'").await.unwrap(), "0");
        assert_eq!(machine.psql(id, "select count(*) from pg_database").await.unwrap(), "4");
        let priority = std::fs::read_to_string(format!("/proc/{}/stat", machine.server(id).await)).unwrap();
        assert_eq!(priority.rsplit_once(')').unwrap().1.split_whitespace().nth(16), Some("0"), "what somebody waits for runs at full priority");
        systems.push(machine.psql(id, "select system_identifier from pg_control_system()").await.unwrap());
    }
    assert_ne!(systems[0], systems[1], "each has a directory that was initialised for it alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn r026_refused_before_allowed_after_refused_and_cut_again() {
    let machine = Machine::new().await;
    let id = machine.ask("orders", "").await;
    machine.until_running(id).await;
    machine.psql(id, "select 1").await.unwrap_err();
    let refused = domain::firewall::show(&machine.app, &machine.actor, id).await.unwrap().refused;
    assert_eq!(refused[0].address, "127.0.0.1");

    domain::firewall::add(&machine.app, &machine.actor, id, "127.0.0.1/32", "me", "").await.unwrap();
    machine.until_running(id).await;
    assert_eq!(machine.psql(id, "select 1").await.unwrap(), "1");

    let mut session = machine.psql_command(id, EndpointKind::Primary).await.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = session.stdin.take().unwrap();
    input.write_all(b"select 'in', pg_sleep(60);\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let source = domain::firewall::show(&machine.app, &machine.actor, id).await.unwrap().sources[0].id;
    domain::firewall::remove(&machine.app, &machine.actor, id, source).await.unwrap();
    let status = tokio::time::timeout(Duration::from_secs(10), session.wait()).await.expect("the session is cut").unwrap();
    assert!(!status.success());
    machine.psql(id, "select 1").await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_or_an_edge_that_dies_is_started_again_with_its_data() {
    let machine = Machine::new().await;
    let id = machine.ask("orders", "127.0.0.1/32").await;
    machine.until_running(id).await;
    machine.psql(id, "create table t as select generate_series(1, 1000) as n").await.unwrap();
    let Presence::Running { pid: Some(edge) } = machine.platform().edge_presence(id).await else { panic!("no edge") };
    for pid in [machine.server(id).await, edge] {
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        machine.until(id, |v| v.job.as_ref().is_some_and(|j| j.label == "Start again what stopped")).await;
        machine.until_running(id).await;
        assert_eq!(machine.psql(id, "select count(*) from t").await.unwrap(), "1000");
        // The next death makes a job of its own.
        sqlx::query("DELETE FROM jobs WHERE kind = 'heal'").execute(&machine.app.db).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_down_stopped_comes_back_by_itself_as_after_a_reboot() {
    let machine = Machine::new().await;
    let id = machine.ask("orders", "127.0.0.1/32").await;
    machine.until_running(id).await;
    machine.psql(id, "create table t as select 1 as n").await.unwrap();
    assert_eq!(stop_all::stop_all(&machine.app).await.unwrap(), 0);
    machine.psql(id, "select n from t").await.unwrap_err();
    machine.until(id, |v| v.job.as_ref().is_some_and(|j| j.label == "Start again what stopped")).await;
    machine.until_running(id).await;
    assert_eq!(machine.psql(id, "select n from t").await.unwrap(), "1");
}
