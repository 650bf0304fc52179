//! A whole Granary in a test: a real metadata database, a platform in memory, an engine that pretends.

use super::{pretend::Pretend, support};
use crate::{
    model::{
        datastore::DatastoreView,
        draft::Draft,
        engine::EngineKind,
        job::{JobState, JobView},
        person::{Me, Role},
        status::Status,
    },
    server::{
        config,
        crypto::keyring::Keyring,
        db::changes::Changes,
        domain::{self, Actor},
        engine::Engine,
        jobs::{faults::Faults, runner::Runner},
        monitor::pulse::Pulse,
        platform::{Platform, fake::Fake},
        state::{App, Clock, Inner},
    },
};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use uuid::Uuid;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// The whole.
pub(crate) struct World {
    pub(crate) app: App,
    pub(crate) platform: Arc<Fake>,
    pub(crate) engine: Pretend,
    pub(crate) actor: Actor,
    pub(crate) home: tempfile::TempDir,
    db: support::TestDb,
}

impl World {
    /// A fresh one, with one person in one project; no worker runs yet.
    pub(crate) async fn new() -> Self {
        let (db, home) = (support::database().await, support::home());
        let (platform, engine) = (Arc::new(Fake::default()), Pretend::default());
        let app = app(&db, &home, platform.clone(), engine.clone());
        let actor = person(&app).await;
        Self { app, platform, engine, actor, home, db }
    }

    /// Another Granary process over the same database, home and machine.
    pub(crate) fn twin(&self) -> App {
        let app = app(&self.db, &self.home, self.platform.clone(), self.engine.clone());
        assert_eq!(app.host, self.app.host);
        app
    }

    /// Begins to work.
    pub(crate) async fn work(&self) -> Runner {
        Runner::start(self.app.clone(), Faults::default()).await.unwrap()
    }

    /// Asks for a datastore as the wizard does; the proposals can be changed before Finish.
    pub(crate) async fn ask(&self, name: &str, change: impl FnOnce(&mut Draft)) -> Uuid {
        let id = domain::wizard::start(&self.app, &self.actor).await.unwrap();
        let (mut draft, ..) = domain::wizard::show(&self.app, &self.actor, id).await.unwrap();
        draft.name = name.to_owned();
        change(&mut draft);
        for step in crate::model::step::Step::ALL {
            domain::wizard::save(&self.app, &self.actor, id, step, "", draft.clone()).await.unwrap();
        }
        domain::wizard::finish(&self.app, &self.actor, id).await.unwrap()
    }

    pub(crate) async fn get(&self, id: Uuid) -> DatastoreView {
        domain::datastore::get(&self.app, &self.actor, id).await.unwrap()
    }

    /// Waits for a status.
    pub(crate) async fn until(&self, id: Uuid, status: Status) -> DatastoreView {
        let begun = Instant::now();
        loop {
            let view = self.get(id).await;
            if view.row.status == status {
                return view;
            }
            assert!(begun.elapsed() < PATIENCE, "{:?} instead of {status:?}: {:#?}", view.row.status, view.job);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until the newest job is in a state.
    pub(crate) async fn until_job(&self, id: Uuid, state: JobState) -> JobView {
        let begun = Instant::now();
        loop {
            let job = crate::server::db::job_views::of_datastore(&self.app.db, id, 1).await.unwrap().pop();
            if let Some(job) = job.as_ref().filter(|j| j.state == state) {
                return job.clone();
            }
            assert!(begun.elapsed() < PATIENCE, "not {state:?}: {job:#?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until it is no more.
    pub(crate) async fn until_gone(&self, id: Uuid) {
        let begun = Instant::now();
        while let Ok(view) = domain::datastore::get(&self.app, &self.actor, id).await {
            assert!(begun.elapsed() < PATIENCE, "{:?}: {:#?}", view.row.status, view.job);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// How often the engine did an act.
    pub(crate) fn acts(&self, act: &'static str) -> u32 {
        self.engine.0.lock().unwrap().acts.get(act).copied().unwrap_or_default()
    }
}

fn app(db: &support::TestDb, home: &tempfile::TempDir, platform: Arc<Fake>, engine: Pretend) -> App {
    let values = BTreeMap::from([("GRANARY_HOME".to_owned(), home.path().display().to_string())]);
    let host = Uuid::from_u128(u128::from(home.path().as_os_str().len() as u64));
    App::new(Inner {
        config: config::Config::from_values(&values).unwrap(),
        db: db.pool.clone(),
        catalogue: config::catalogue::load(None).unwrap(),
        platforms: BTreeMap::from([("local".to_owned(), platform as Arc<dyn Platform>)]),
        installed: BTreeMap::from([(("local".to_owned(), EngineKind::PostgreSql), vec![Pretend::version(), Pretend::old_version()])]),
        engines: BTreeMap::from([(EngineKind::PostgreSql, Arc::new(engine) as Arc<dyn Engine>)]),
        keyring: Keyring::open(&home.path().join("master.key")).unwrap(),
        clock: Clock::System,
        changes: Changes::start(&db.pool),
        pulse: Pulse::default(),
        host,
    })
}

/// A person of another project than everyone else's.
pub(crate) async fn person(app: &App) -> Actor {
    let (person, project) = (Uuid::now_v7(), Uuid::now_v7());
    let quota = app.catalogue.personal_quota;
    sqlx::query("INSERT INTO projects (id, name, quota_instances, quota_ram_mb, quota_storage_gb) VALUES ($1, 'test', $2, $3, $4)")
        .bind(project)
        .bind(i32::try_from(quota.instances).unwrap())
        .bind(i64::try_from(quota.ram_mb).unwrap())
        .bind(i64::try_from(quota.storage_gb).unwrap())
        .execute(&app.db)
        .await
        .unwrap();
    sqlx::query("INSERT INTO people (id, issuer, subject, name, personal_project) VALUES ($1, 'test', $1::text, 'Ada', $2)")
        .bind(person)
        .bind(project)
        .execute(&app.db)
        .await
        .unwrap();
    let me = Me { person, name: "Ada".into(), project, project_name: "test".into(), role: Role::Owner, single_tenant: false, development: true };
    Actor { me, address: Some([127, 0, 0, 1].into()), request_id: "test".into() }
}
