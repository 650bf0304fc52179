//! A kill around each step by which a replica becomes the primary: one primary, no acknowledged row lost, all nodes there.

use super::{Home, PATIENCE, Serving, actor, app, create_replicated, faults, luck::psql, until_running};
use granary::{
    model::{datastore::DatastoreView, job::JobState, status::Status},
    server::{
        db::plan::Plan,
        domain::{self, Actor},
        jobs::kind::JobKind,
        platform::Presence,
        state::App,
    },
};
use rustix::process::{Pid, Signal, kill_process};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// A datastore with a replica, and who looks after it.
pub(super) struct Replicated {
    pub(super) app: App,
    pub(super) actor: Actor,
    pub(super) serving: Serving,
    pub(super) id: Uuid,
    pub(super) view: DatastoreView,
}

impl Replicated {
    pub(super) async fn new(home: &Home) -> Self {
        let app = app(home).await;
        let actor = actor(&app).await;
        let serving = Serving(home.serve(None));
        let id = create_replicated(&app, &actor, "one-replica").await;
        let view = until_running(&app, &actor, id).await;
        Self { app, actor, serving, id, view }
    }
}

fn role(view: &DatastoreView, role: &str) -> Uuid {
    view.nodes.iter().find(|node| node.role == role).unwrap().id
}

/// Waits until this node is the primary, the other follows, and no work is left.
async fn until_led_by(app: &App, actor: &Actor, id: Uuid, node: Uuid) -> DatastoreView {
    until(app, actor, id, |view| role(view, "primary") == node).await
}

/// Waits until all nodes are well and no work is left.
pub(super) async fn until_well(app: &App, actor: &Actor, id: Uuid) -> DatastoreView {
    until(app, actor, id, |_| true).await
}

async fn until(app: &App, actor: &Actor, id: Uuid, what: impl Fn(&DatastoreView) -> bool) -> DatastoreView {
    let begun = Instant::now();
    loop {
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')").fetch_one(&app.db).await.unwrap();
        let view = domain::datastore::get(app, actor, id).await.unwrap();
        let well = view.row.status == Status::Running && view.nodes.iter().all(|n| n.status == Status::Running);
        let done = view.job.as_ref().is_some_and(|job| job.state == JobState::Done);
        if well && done && left == 0 && what(&view) {
            return view;
        }
        assert!(begun.elapsed() < PATIENCE, "{view:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// How many of the datastore's servers take writes now.
pub(super) async fn writable(app: &App, id: Uuid) -> usize {
    let plan = Plan::load(&app.db, id).await.unwrap();
    let (platform, engine) = (app.platform(&plan.region).unwrap(), app.engine(plan.engine).unwrap());
    let mut writable = 0;
    for node in &plan.nodes {
        writable += usize::from(engine.check(platform, &plan.node_spec(node)).await.is_ok_and(|health| health.writable));
    }
    writable
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_around_each_step_of_a_promotion_changes_nothing() {
    let home = Home::new();
    let Replicated { app, actor, mut serving, id, mut view } = Replicated::new(&home).await;
    let psql = psql(&home, &app, &actor, id).await;
    assert!(psql("create table t (n int)"));
    let faults = faults(JobKind::Promote);
    for (n, fault) in faults.iter().enumerate() {
        drop(serving);
        let mut doomed = Serving(home.serve(Some(fault)));
        let next = role(&view, "replica");
        domain::datastore::promote(&app, &actor, id, next).await.unwrap();
        doomed.dies();
        assert!(writable(&app, id).await <= 1, "{fault}: two primaries");
        serving = Serving(home.serve(None));
        view = until_led_by(&app, &actor, id, next).await;
        assert_eq!(writable(&app, id).await, 1, "{fault}");
        assert!(psql(&format!("insert into t values ({n})")), "{fault}: the endpoint does not lead to it");
        assert!(psql(&format!("do $$ begin assert (select count(*) from t) = {}; end $$", n + 1)), "{fault}: rows are lost");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_around_each_step_of_a_failover_changes_nothing() {
    let home = Home::new();
    let Replicated { app, actor, mut serving, id, mut view } = Replicated::new(&home).await;
    let psql = psql(&home, &app, &actor, id).await;
    assert!(psql("create table t (n int)"));
    // The other steps are those of starting the primary again, which comes first and would die of them.
    let faults = faults(JobKind::Failover).into_iter().filter(|f| ["fence-primary", "elect", "promote-replica"].iter().any(|s| f.ends_with(s)));
    for (n, fault) in faults.enumerate() {
        assert!(psql(&format!("insert into t values ({n})")), "{fault}");
        let next = role(&view, "replica");
        until_all_arrived(&app, id).await;
        drop(serving);
        let mut doomed = Serving(home.serve(Some(&fault)));
        destroy_primary(&app, id).await;
        doomed.dies();
        assert!(writable(&app, id).await <= 1, "{fault}: two primaries");
        if fault == "before:promote-replica" {
            // The one that was elected dies, too.
            kill(&app, id, next).await;
        }
        serving = Serving(home.serve(None));
        view = until_led_by(&app, &actor, id, next).await;
        assert_eq!(writable(&app, id).await, 1, "{fault}");
        assert!(psql(&format!("do $$ begin assert (select count(*) from t) = {}; end $$", n + 1)), "{fault}: rows are lost");
    }
}

/// Waits until the replica lacks nothing.
async fn until_all_arrived(app: &App, id: Uuid) {
    let plan = Plan::load(&app.db, id).await.unwrap();
    let primary = plan.nodes.iter().find(|node| node.primary).unwrap();
    let (platform, engine, begun) = (app.platform(&plan.region).unwrap(), app.engine(plan.engine).unwrap(), Instant::now());
    loop {
        let followers = engine.check(platform, &plan.node_spec(primary)).await.unwrap().followers;
        if followers.len() == 1 && followers[0].lag_bytes == 0 {
            return;
        }
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Its server dies and can never be started again.
async fn destroy_primary(app: &App, id: Uuid) {
    let plan = Plan::load(&app.db, id).await.unwrap();
    let node = plan.nodes.iter().find(|node| node.primary).unwrap();
    std::fs::remove_file(app.platform(&plan.region).unwrap().paths(&plan.node_spec(node)).data.join("pgdata/global/pg_control")).unwrap();
    kill(app, id, node.id).await;
}

/// Its server dies.
async fn kill(app: &App, id: Uuid, node: Uuid) {
    let plan = Plan::load(&app.db, id).await.unwrap();
    let node = plan.node_spec(plan.nodes.iter().find(|n| n.id == node).unwrap());
    let Presence::Running { pid: Some(pid) } = app.platform(&plan.region).unwrap().presence(&node).await else { panic!("it does not run") };
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_was_killed_goes_on_with_the_data_that_it_has() {
    let home = Home::new();
    let Replicated { app, actor, serving: _serving, id, view } = Replicated::new(&home).await;
    let plan = Plan::load(&app.db, id).await.unwrap();
    let node = plan.nodes.iter().find(|node| node.id == role(&view, "replica")).unwrap();
    // No copy keeps what was never part of the primary.
    let mark = app.platform(&plan.region).unwrap().paths(&plan.node_spec(node)).data.join("pgdata/mark");
    std::fs::write(&mark, "").unwrap();
    kill(&app, id, node.id).await;
    until(&app, &actor, id, |view| view.job.as_ref().is_some_and(|job| job.label == "Bring replicas back")).await;
    assert!(mark.exists(), "it was copied anew");
}
