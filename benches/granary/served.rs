//! A Granary of its own, served by the program as users run it, with somebody signed in.

use crate::{browser::Browser, client::Endpoint};
use granary::{
    model::{
        datastore::EndpointKind,
        draft::Draft,
        person::{Me, Role},
    },
    server::{
        assemble,
        config::Config,
        db::{changes::Change, metadata, plan::Plan},
        domain::{self, Actor},
        state::App,
    },
};
use std::{
    collections::BTreeMap,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use uuid::Uuid;

/// Longest that anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// The program, its home, and the same home as the benchmark sees it.
pub(crate) struct Served {
    pub(crate) app: App,
    pub(crate) browser: Browser,
    pub(crate) actor: Actor,
    program: Child,
    values: BTreeMap<String, String>,
    home: tempfile::TempDir,
}

impl Served {
    pub(crate) async fn start(spares: usize) -> Self {
        let home = tempfile::Builder::new().prefix("granary-bench-").tempdir().unwrap();
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        // The quota is not what is measured.
        let catalogue = home.path().join("catalogue.toml");
        let text = include_str!("../../src/catalogue.toml");
        let text = text
            .replace("instances = 20", "instances = 20000")
            .replace("ram_mb = 65536", "ram_mb = 100000000")
            .replace("storage_gb = 500", "storage_gb = 10000000");
        let text = text.replace("ram_overcommit = 2.0", "ram_overcommit = 100.0").replace("storage_overcommit = 4.0", "storage_overcommit = 100.0");
        std::fs::write(&catalogue, text).unwrap();
        let values: BTreeMap<String, String> = [
            ("GRANARY_HOME", home.path().display().to_string()),
            ("GRANARY_LISTEN", listen.clone()),
            ("GRANARY_CATALOGUE", catalogue.display().to_string()),
            ("GRANARY_SPARES", spares.to_string()),
            ("GRANARY_LOG", "warn".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        let program = command(&values, "serve").spawn().unwrap();
        let url = format!("http://{listen}");
        until_it_answers(&listen).await;
        let browser = Browser::new(&url);
        let page = browser.sign_in("/", "Ada", "ada@example.org").await;
        assert_eq!(page.status, 200, "{page:?}");
        let app = app(&values).await;
        let actor = actor(&app).await;
        Self { app, browser, actor, program, values, home }
    }

    /// Process id of the program.
    pub(crate) fn pid(&self) -> u32 {
        self.program.id()
    }

    /// Where everything of it lies.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Waits until so many spares are ready.
    pub(crate) async fn spares(&self, wanted: i64) {
        let begun = Instant::now();
        while granary::server::db::spares::ready(&self.app.db, self.app.host).await.unwrap() < wanted {
            assert!(begun.elapsed() < PATIENCE, "the spares are not made");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// A draft that only needs Finish, with this machine trusted.
    pub(crate) async fn draft(&self, name: &str) -> Uuid {
        self.draft_with(name, |_| ()).await
    }

    /// The same, with some of what is proposed changed.
    pub(crate) async fn draft_with(&self, name: &str, change: impl FnOnce(&mut Draft)) -> Uuid {
        let id = domain::wizard::start(&self.app, &self.actor).await.unwrap();
        let (mut draft, ..) = domain::wizard::show(&self.app, &self.actor, id).await.unwrap();
        (draft.name, draft.allow) = (name.to_owned(), "127.0.0.1/32".to_owned());
        change(&mut draft);
        for step in granary::model::step::Step::ALL {
            domain::wizard::save(&self.app, &self.actor, id, step, "", draft.clone()).await.unwrap();
        }
        id
    }

    /// Presses Finish, as the page does; the new datastore's id.
    pub(crate) async fn finish(&self, draft: Uuid) -> Uuid {
        let answer = self.browser.post("/api/wizard/finish", &[("id", &draft.to_string())]).await;
        answer.location().unwrap_or_else(|| panic!("{answer:?}")).rsplit_once('/').unwrap().1.parse().unwrap()
    }

    /// How a client connects: verified TLS, through the endpoint. Waits until the page would show it, as the page does: it is
    /// told of changes, and asks nothing meanwhile.
    pub(crate) async fn connection(&self, id: Uuid) -> Endpoint {
        let mut changes = self.app.changes.subscribe();
        let active = async {
            while !self.is_active(id).await {
                while !matches!(changes.next().await, Change::Datastore { datastore, .. } if datastore == id) {}
            }
        };
        let told = tokio::time::timeout(PATIENCE, active).await;
        assert!(told.is_ok(), "{:#?}", domain::datastore::get(&self.app, &self.actor, id).await);
        let connection = domain::access::connection(&self.app, &self.actor, id, EndpointKind::Primary, true).await.unwrap();
        let ca = Plan::load(&self.app.db, id).await.unwrap().ca_pem.unwrap();
        let (user, password, database) = (connection.user, connection.password.unwrap(), connection.database);
        Endpoint { host: connection.host, port: connection.port, user, password, database, ca_pem: Some(ca) }
    }

    async fn is_active(&self, id: Uuid) -> bool {
        let active = sqlx::query_scalar::<_, bool>("SELECT lifecycle = 'active' FROM datastores WHERE id = $1").bind(id);
        active.fetch_one(&self.app.db).await.unwrap()
    }

    /// Deletes it and waits until it is gone.
    pub(crate) async fn delete(&self, id: Uuid) {
        let name = domain::datastore::get(&self.app, &self.actor, id).await.unwrap().row.name;
        domain::datastore::delete(&self.app, &self.actor, id, &name).await.unwrap();
        let begun = Instant::now();
        while domain::datastore::get(&self.app, &self.actor, id).await.is_ok() {
            assert!(begun.elapsed() < PATIENCE, "it is not deleted");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It asks the program to end too.
        let ended = command(&self.values, "down").stdout(Stdio::null()).status();
        if !ended.is_ok_and(|s| s.success()) {
            eprintln!("{} could not be stopped", self.home.path().display());
        }
        let _ = self.program.wait();
    }
}

fn command(values: &BTreeMap<String, String>, verb: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_granary"));
    command.arg(verb).envs(values).env_remove("DATABASE_URL").stdout(Stdio::null());
    command
}

async fn until_it_answers(listen: &str) {
    let begun = Instant::now();
    while tokio::net::TcpStream::connect(listen).await.is_err() || !is_ready(listen).await {
        assert!(begun.elapsed() < PATIENCE, "granary serve does not answer");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn is_ready(listen: &str) -> bool {
    reqwest::get(format!("http://{listen}/readyz")).await.is_ok_and(|r| r.status().is_success())
}

async fn app(values: &BTreeMap<String, String>) -> App {
    let config = Config::from_values(values).unwrap();
    let options = metadata::reach(&config).await.unwrap();
    assemble::assemble(config, options).await.unwrap()
}

/// Who signed in with the browser.
async fn actor(app: &App) -> Actor {
    let (person, project): (Uuid, Uuid) = sqlx::query_as("SELECT id, personal_project FROM people").fetch_one(&app.db).await.unwrap();
    let me = Me { person, name: "Ada".into(), project, project_name: "Ada".into(), role: Role::Owner, single_tenant: false, development: true };
    Actor { me, address: Some([127, 0, 0, 1].into()), request_id: "bench".into() }
}
