//! A datastore that is mistreated, who looks after it, and who watches.

use super::{
    super::{Home, Serving, actor, app, create_replicated, luck::psql, until_running},
    Counts,
    checker::Checker,
    clock,
    writer::Writer,
};
use granary::{
    model::{datastore::DatastoreView, status::Status},
    server::{
        db::plan::Plan,
        domain::{self, Actor},
        platform::{Activity, NodeSpec, Platform},
        state::App,
    },
};
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

/// After so long all must be well again.
const LIMIT: Duration = Duration::from_mins(2);
/// For so long it must have been: what was done a moment ago may not have been noticed yet.
const STEADY: Duration = Duration::from_millis(1200);
const POLL: Duration = Duration::from_millis(100);

/// See the module's documentation.
pub(super) struct Arena<'a> {
    home: &'a Home,
    pub(super) app: App,
    pub(super) actor: Actor,
    granary: Option<Serving>,
    pub(super) id: Uuid,
    pub(super) writer: Writer,
    pub(super) checker: Checker,
    decisions: usize,
}

impl<'a> Arena<'a> {
    pub(super) async fn new(home: &'a Home, topology: &str) -> Self {
        let app = app(home).await;
        let actor = actor(&app).await;
        let granary = Some(Serving(home.serve(None)));
        let id = create_replicated(&app, &actor, topology).await;
        until_running(&app, &actor, id).await;
        // It has this machine trusted.
        drop(psql(home, &app, &actor, id).await);
        let writer = Writer::start(&app, &actor, id).await;
        let mut arena = Self { home, app, actor, granary, id, writer, checker: Checker::new(), decisions: 0 };
        arena.until_well().await;
        arena
    }

    pub(super) fn platform(&self) -> &dyn Platform {
        self.app.platform("local").unwrap()
    }

    pub(super) async fn plan(&self) -> Plan {
        Plan::load(&self.app.db, self.id).await.unwrap()
    }

    pub(super) async fn primary(&self) -> NodeSpec {
        let plan = self.plan().await;
        plan.node_spec(plan.nodes.iter().find(|node| node.primary).unwrap())
    }

    /// By slot.
    pub(super) async fn replicas(&self) -> Vec<NodeSpec> {
        let plan = self.plan().await;
        plan.nodes.iter().filter(|node| !node.primary).map(|node| plan.node_spec(node)).collect()
    }

    pub(super) fn kill_granary(&mut self) {
        // With it goes the process.
        self.granary = None;
    }

    /// Sets Granary's clock by so many seconds off the machine's.
    pub(super) fn jump(&self, seconds: i64) {
        if clock::can_jump() {
            clock::set(self.home.path(), seconds);
        } else {
            println!("            skipped: no clock to set");
        }
    }

    pub(super) fn start_granary(&mut self) {
        self.granary.get_or_insert_with(|| Serving(self.home.serve(None)));
    }

    pub(super) async fn view(&self) -> DatastoreView {
        domain::datastore::get(&self.app, &self.actor, self.id).await.unwrap()
    }

    /// Waits until Granary says that all is well and no work is left, each server itself says the same, and clients write.
    pub(super) async fn until_well(&mut self) {
        self.start_granary();
        let (begun, mut well_since, mut undecided) = (Instant::now(), None, false);
        loop {
            let trouble = self.trouble().await;
            match &trouble {
                None => {
                    let since = *well_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= STEADY && self.writer.last() > since {
                        return;
                    }
                }
                Some((status, _)) => {
                    well_since = None;
                    // Nothing here is beyond mending, so nobody needs to decide: it must come out of this by itself.
                    if *status == Status::NeedsDecision && !undecided {
                        println!("            asks for a decision after {:.1} s", begun.elapsed().as_secs_f64());
                        (undecided, self.decisions) = (true, self.decisions + 1);
                    }
                }
            }
            if begun.elapsed() >= LIMIT {
                self.explain().await;
                panic!("not well after {LIMIT:?}: {trouble:#?}");
            }
            sleep(POLL).await;
        }
    }

    /// Waits until Granary says that it cannot be sure. One that finds another way needs nobody.
    pub(super) async fn until_undecided(&self) {
        let begun = Instant::now();
        while self.view().await.row.status != Status::NeedsDecision && begun.elapsed() < LIMIT / 4 {
            sleep(POLL).await;
        }
    }

    /// What is not well.
    async fn trouble(&mut self) -> Option<(Status, String)> {
        let plan = self.plan().await;
        for node in &plan.nodes {
            self.checker.watch(&self.app, &plan.region, &plan.node_spec(node));
        }
        let view = self.view().await;
        let trouble = |what: String| Some((view.row.status, what));
        if view.row.status != Status::Running || view.nodes.iter().any(|node| node.status != Status::Running) {
            return trouble(view.detail.clone());
        }
        let unfinished = "SELECT count(*) FROM jobs WHERE datastore_id = $1 AND state IN ('queued', 'running', 'failed')";
        let left: i64 = sqlx::query_scalar(unfinished).bind(self.id).fetch_one(&self.app.db).await.unwrap();
        if left > 0 {
            return trouble(format!("{left} jobs are not finished"));
        }
        for node in &plan.nodes {
            let spec = plan.node_spec(node);
            // Sessions that are there go on when the first process is frozen.
            if !self.platform().vitals(&spec).await.is_ok_and(|vitals| vitals.activity != Activity::Stopped) {
                return trouble(format!("node {} is frozen or gone", node.slot));
            }
            let check = self.app.engine(plan.engine).unwrap().check(self.platform(), &spec);
            let Ok(Ok(health)) = timeout(Duration::from_secs(1), check).await else { return trouble(format!("node {} is silent", node.slot)) };
            if (health.writable, health.receives) != (node.primary, !node.primary) {
                return trouble(format!("node {} is not what it should be: {health:?}", node.slot));
            }
        }
        None
    }

    /// What there is to know of a failure.
    async fn explain(&self) {
        println!("{:#?}", self.view().await);
        let sql = "SELECT kind || ' ' || state || ' ' || coalesce(step, '') || ' ' || attempt || ': ' || coalesce(error, '')
            FROM jobs WHERE datastore_id = $1 ORDER BY seq DESC LIMIT 12";
        let jobs: Vec<String> = sqlx::query_scalar(sql).bind(self.id).fetch_all(&self.app.db).await.unwrap();
        println!("{jobs:#?}");
        let plan = self.plan().await;
        println!("{:#?}\n{:#?}", plan.sync_sets, plan.nodes);
        for node in &plan.nodes {
            println!("--- node {}:\n{}", node.slot, self.platform().tail(&plan.node_spec(node), "postgresql", 4000).await);
        }
    }

    pub(super) async fn end(self) -> Counts {
        let (acknowledged, lost) = self.writer.end().await;
        Counts { acknowledged, lost, doubles: self.checker.doubles(), decisions: self.decisions }
    }
}
