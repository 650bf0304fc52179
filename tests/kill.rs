//! `kill -9` of Granary before and after each step of create and delete: the next start goes on, nothing is done twice,
//! nothing is left over. With the real program, a real PostgreSQL and a real HAProxy.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

#[path = "kill/chaos.rs"]
mod chaos;
#[path = "kill/drill.rs"]
mod drill;
#[path = "kill/failover.rs"]
mod failover;
#[path = "kill/load.rs"]
mod load;
#[path = "kill/luck.rs"]
mod luck;
#[path = "kill/membership.rs"]
mod membership;

use granary::{
    model::{
        datastore::DatastoreView,
        job::JobState,
        person::{Me, Role},
        status::Status,
    },
    server::{
        assemble,
        config::Config,
        db::{self, metadata},
        domain::{self, Actor},
        jobs::kind::{JobKind, Step},
        state::App,
    },
};
use std::{
    collections::BTreeMap,
    net::TcpListener,
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use uuid::Uuid;

/// Enough for a start after a kill and a whole creation on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A home in which Granary is started and killed; everything of it is stopped at the end, whatever the end is.
struct Home {
    directory: tempfile::TempDir,
    listen: String,
}

impl Home {
    fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("granary-kill-").tempdir().unwrap();
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { directory, listen: format!("127.0.0.1:{port}") }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_granary"));
        command
            .arg(verb)
            .env("GRANARY_HOME", self.path())
            .env("GRANARY_LISTEN", &self.listen)
            .env("GRANARY_PUBLIC_URL", format!("http://{}", self.listen))
            .env_remove("DATABASE_URL")
            .envs(chaos::clock::environment(self.path()))
            .stdout(Stdio::null())
            .stderr(Stdio::from(std::fs::File::options().create(true).append(true).open(self.path().join("granary.log")).unwrap()));
        command
    }

    /// Another process over the same home, with a port and a log of its own.
    fn second(&self) -> Child {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = self.command("serve");
        command.env("GRANARY_LISTEN", format!("127.0.0.1:{port}")).env("GRANARY_PUBLIC_URL", format!("http://127.0.0.1:{port}"));
        command.stderr(std::fs::File::create(self.path().join("second.log")).unwrap()).spawn().unwrap()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path().join("granary.log")).unwrap_or_default()
    }

    fn serve(&self, fault: Option<&str>) -> Child {
        self.serve_with(fault, 0)
    }

    fn serve_with(&self, fault: Option<&str>, spares: usize) -> Child {
        let mut command = self.command("serve");
        command.env("GRANARY_SPARES", spares.to_string()).args(fault.iter().flat_map(|fault| ["--die", fault]));
        command.spawn().unwrap()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = self.command("down").status();
        if std::thread::panicking() {
            eprintln!("{}\n{}", self.log(), std::fs::read_to_string(self.path().join("second.log")).unwrap_or_default());
        }
    }
}

/// A process that is ended by its own id when the test is over.
struct Serving(Child);

impl Serving {
    /// Waits until it has killed itself.
    fn dies(&mut self) {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                assert_eq!(status.signal(), Some(9), "it should have died by its fault: {status}");
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "it never came to the step at which it should die");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The same home seen from the test: use cases are called as pages call them, the work is done by the program.
async fn app(home: &Home) -> App {
    let values = BTreeMap::from([
        ("GRANARY_HOME".to_owned(), home.path().display().to_string()),
        ("GRANARY_LISTEN".to_owned(), home.listen.clone()),
        ("GRANARY_PUBLIC_URL".to_owned(), format!("http://{}", home.listen)),
    ]);
    let config = Config::from_values(&values).unwrap();
    let options = metadata::reach(&config).await.unwrap();
    metadata::migrate(&options).await.unwrap();
    assemble::assemble(config, options).await.unwrap()
}

async fn actor(app: &App) -> Actor {
    let (person, project) = (Uuid::now_v7(), Uuid::now_v7());
    sqlx::query("INSERT INTO projects (id, name, quota_instances, quota_ram_mb, quota_storage_gb) VALUES ($1, 'test', 100, 1000000, 10000)")
        .bind(project)
        .execute(&app.db)
        .await
        .unwrap();
    sqlx::query("INSERT INTO people (id, issuer, subject, personal_project) VALUES ($1, 'test', $2, $3)")
        .bind(person)
        .bind(person.to_string())
        .bind(project)
        .execute(&app.db)
        .await
        .unwrap();
    let me = Me { person, name: "Test".into(), project, project_name: "test".into(), role: Role::Owner, single_tenant: false, development: true };
    Actor { me, address: Some([127, 0, 0, 1].into()), request_id: "test".into() }
}

async fn create(app: &App, actor: &Actor) -> Uuid {
    let draft = domain::wizard::start(app, actor).await.unwrap();
    domain::wizard::finish(app, actor, draft).await.unwrap()
}

async fn create_replicated(app: &App, actor: &Actor, topology: &str) -> Uuid {
    let id = domain::wizard::start(app, actor).await.unwrap();
    let (mut draft, ..) = domain::wizard::show(app, actor, id).await.unwrap();
    (draft.topology, draft.volume_gb) = (topology.to_owned(), "1".to_owned());
    for step in [granary::model::step::Step::Configuration, granary::model::step::Step::Resources] {
        domain::wizard::save(app, actor, id, step, "", draft.clone()).await.unwrap();
    }
    domain::wizard::finish(app, actor, id).await.unwrap()
}

async fn until_running(app: &App, actor: &Actor, id: Uuid) -> DatastoreView {
    let begun = Instant::now();
    loop {
        let view = domain::datastore::get(app, actor, id).await.unwrap();
        if view.row.status == Status::Running && view.job.as_ref().is_some_and(|j| j.state == JobState::Done) {
            return view;
        }
        assert!(begun.elapsed() < PATIENCE, "{:?}: {:#?}", view.row.status, view.job);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn until_gone(app: &App, actor: &Actor, id: Uuid) {
    let begun = Instant::now();
    while let Ok(view) = domain::datastore::get(app, actor, id).await {
        assert!(begun.elapsed() < PATIENCE, "{:?}: {:#?}", view.row.status, view.job);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Processes whose working directory or command line lies in the home's datastores.
fn processes(home: &Path) -> Vec<String> {
    let datastores = home.join("datastores");
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|e| e.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit()))
        .filter_map(|e| {
            let line = String::from_utf8_lossy(&std::fs::read(e.path().join("cmdline")).ok()?).replace('\0', " ");
            let inside = std::fs::read_link(e.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(&datastores));
            (inside || line.contains(&*datastores.to_string_lossy())).then_some(line)
        })
        .collect()
}

fn entries(directory: PathBuf) -> usize {
    std::fs::read_dir(directory).map_or(0, Iterator::count)
}

async fn count(app: &App, sql: &'static str, id: Uuid) -> i64 {
    sqlx::query_scalar(sql).bind(id).fetch_one(&app.db).await.unwrap()
}

/// Exactly one of everything.
async fn assert_whole(home: &Home, app: &App, id: Uuid) {
    assert_whole_with(home, app, id, 1, 10).await;
}

/// Exactly one of everything, and so many nodes, made in so many steps.
async fn assert_whole_with(home: &Home, app: &App, id: Uuid, nodes: usize, steps: i64) {
    let servers = processes(home.path()).into_iter().filter(|p| p.contains("bin/postgres ")).count();
    let edges = processes(home.path()).into_iter().filter(|p| p.contains("haproxy ")).count();
    assert_eq!((servers, edges), (nodes, 1), "{:#?}", processes(home.path()));
    assert_eq!(entries(home.path().join("datastores")), 1);
    assert_eq!(entries(home.path().join("volumes")), nodes);
    let real = app.platform("local").unwrap().enforcement().volumes;
    assert_eq!(mounts(home.path()).len(), if real { 2 * nodes } else { 0 }, "a mount and its loop device each: {:?}", mounts(home.path()));
    assert_eq!(count(app, "SELECT count(*) FROM addresses WHERE datastore_id = $1", id).await, 7 + i64::try_from(nodes).unwrap());
    assert_eq!(count(app, "SELECT count(*) FROM secrets WHERE datastore_id = $1", id).await, 4 + 2 * i64::try_from(nodes).unwrap());
    assert_eq!(count(app, "SELECT count(*) FROM jobs WHERE datastore_id = $1", id).await, 1);
    assert_eq!(
        count(app, "SELECT count(*) FROM job_steps s JOIN jobs j ON j.id = s.job_id WHERE j.datastore_id = $1 AND s.state = 'done'", id).await,
        steps
    );
}

/// What is mounted under the home, and the files in it that loop devices hold.
fn mounts(home: &Path) -> Vec<String> {
    let home = home.canonicalize().unwrap().display().to_string();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mounts: Vec<String> = mounts.lines().filter_map(|l| l.split(' ').nth(4)).filter(|at| at.starts_with(&home)).map(str::to_owned).collect();
    let loops = std::fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let files = loops.filter_map(|e| std::fs::read_to_string(e.path().join("loop/backing_file")).ok());
    mounts.into_iter().chain(files.filter(|file| file.starts_with(&home))).collect()
}

/// Control groups that are named after one of these.
fn groups(ids: [Uuid; 2]) -> String {
    let [node, datastore] = ids.map(|id| format!("*{id}*"));
    let found = Command::new("find").args(["/sys/fs/cgroup", "-type", "d", "(", "-name", &node, "-o", "-name", &datastore, ")"]).output().unwrap();
    String::from_utf8(found.stdout).unwrap()
}

/// Nothing is left but the audit.
async fn assert_nothing_left(home: &Home, app: &App, id: Uuid, node: Uuid) {
    assert_eq!(groups([node, id]), "");
    assert_eq!(processes(home.path()), Vec::<String>::new());
    assert_eq!(entries(home.path().join("datastores")), 0);
    assert_eq!(entries(home.path().join("volumes")), 0);
    assert_eq!(entries(home.path().join("s")), 0, "socket directories");
    // A Granary that has just started tries out whether volumes can be made: that goes away by itself.
    let begun = Instant::now();
    while !mounts(home.path()).is_empty() && begun.elapsed() < Duration::from_secs(5) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(mounts(home.path()), Vec::<String>::new());
    let user = format!("Granary datastore {id}");
    assert!(!std::fs::read_to_string("/etc/passwd").unwrap().contains(&user), "{user} is still there");
    for table in ["addresses", "secrets", "nodes", "volumes", "trusted_sources"] {
        let sql = match table {
            "addresses" => "SELECT count(*) FROM addresses WHERE datastore_id = $1",
            "secrets" => "SELECT count(*) FROM secrets WHERE datastore_id = $1",
            "nodes" => "SELECT count(*) FROM nodes WHERE datastore_id = $1",
            "volumes" => "SELECT count(*) FROM volumes WHERE datastore_id = $1",
            _ => "SELECT count(*) FROM trusted_sources WHERE datastore_id = $1",
        };
        assert_eq!(count(app, sql, id).await, 0, "{table}");
    }
    assert!(count(app, "SELECT count(*) FROM events WHERE datastore_id = $1", id).await >= 2, "the audit stays");
}

/// All there is of spares.
async fn until_spares(app: &App, wanted: i64) {
    let begun = Instant::now();
    let all = || async { sqlx::query_scalar::<_, i64>("SELECT count(*) FROM nodes").fetch_one(&app.db).await.unwrap() };
    while db::spares::ready(&app.db, app.host).await.unwrap() != wanted || all().await != wanted {
        assert!(
            begun.elapsed() < PATIENCE,
            "{} spares of {} are ready, not {wanted}",
            db::spares::ready(&app.db, app.host).await.unwrap(),
            all().await
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn faults(kind: JobKind) -> Vec<String> {
    kind.steps().iter().flat_map(|step: &Step| [format!("before:{step}"), format!("after:{step}")]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn r017_r022_a_kill_around_each_step_of_create_and_delete_changes_nothing() {
    let home = Home::new();
    let app = app(&home).await;
    let actor = actor(&app).await;
    let mut deletes = faults(JobKind::Delete).into_iter().cycle();
    for fault in faults(JobKind::Create) {
        let id = {
            let mut doomed = Serving(home.serve(Some(&fault)));
            let id = create(&app, &actor).await;
            doomed.dies();
            id
        };
        let serving = Serving(home.serve(None));
        let node = until_running(&app, &actor, id).await.nodes[0].id;
        assert_whole(&home, &app, id).await;
        drop(serving);

        let fault = deletes.next().unwrap();
        let mut doomed = Serving(home.serve(Some(&fault)));
        let name = domain::datastore::get(&app, &actor, id).await.unwrap().row.name;
        domain::datastore::delete(&app, &actor, id, &name).await.unwrap();
        doomed.dies();
        let _serving = Serving(home.serve(None));
        until_gone(&app, &actor, id).await;
        assert_nothing_left(&home, &app, id, node).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r008_a_kill_around_each_step_with_replicas_changes_nothing() {
    let home = Home::new();
    let app = app(&home).await;
    let actor = actor(&app).await;
    // The other steps are those of a datastore without replicas.
    for fault in
        faults(JobKind::CreateReplicated).into_iter().filter(|f| ["start-primary", "copy-to-replicas", "verify"].iter().any(|s| f.ends_with(s)))
    {
        let mut doomed = Serving(home.serve(Some(&fault)));
        let id = create_replicated(&app, &actor, "one-replica").await;
        doomed.dies();
        let serving = Serving(home.serve(None));
        let node = until_running(&app, &actor, id).await.nodes[0].id;
        assert_whole_with(&home, &app, id, 2, 11).await;
        let name = domain::datastore::get(&app, &actor, id).await.unwrap().row.name;
        domain::datastore::delete(&app, &actor, id, &name).await.unwrap();
        until_gone(&app, &actor, id).await;
        assert_nothing_left(&home, &app, id, node).await;
        drop(serving);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_around_each_step_of_preparing_a_spare_changes_nothing() {
    let home = Home::new();
    let app = app(&home).await;
    for fault in faults(JobKind::Prepare) {
        Serving(home.serve_with(Some(&fault), 1)).dies();
        let serving = Serving(home.serve_with(None, 1));
        until_spares(&app, 2).await;
        assert_eq!(processes(home.path()), Vec::<String>::new(), "{fault}: a spare runs nothing");
        assert_eq!((entries(home.path().join("datastores")), entries(home.path().join("volumes"))), (2, 1), "{fault}");
        for table in ["addresses", "secrets"] {
            let left: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"))).fetch_one(&app.db).await.unwrap();
            assert_eq!(left, 0, "{fault}: {table}");
        }
        drop(serving);
        let _serving = Serving(home.serve_with(None, 0));
        until_spares(&app, 0).await;
        assert_eq!((entries(home.path().join("datastores")), entries(home.path().join("volumes"))), (0, 0), "{fault}");
        assert_eq!(entries(home.path().join("s")), 0, "{fault}: socket directories");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_everything_is_stopped_no_volume_of_a_spare_stays_attached() {
    let home = Home::new();
    let app = app(&home).await;
    let serving = Serving(home.serve_with(None, 1));
    until_spares(&app, 2).await;
    let real = app.platform("local").unwrap().enforcement().volumes;
    assert_eq!(mounts(home.path()).len(), if real { 2 } else { 0 }, "it is attached while it waits");
    drop(serving);
    assert!(home.command("down").status().unwrap().success());
    assert_eq!(mounts(home.path()), Vec::<String>::new());
}
