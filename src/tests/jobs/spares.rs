//! Spares: prepared before anybody asks, and then whose they are.

use crate::{
    model::{job::JobState, status::Status},
    server::{
        db::{self, spares::Spare},
        jobs::owner::Owner,
        monitor::spares::{Act, Why, round},
        platform::fake::{Effect, Fault},
    },
    tests::world::World,
};
use std::time::{Duration, Instant};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(20);

async fn spares(world: &World) -> Vec<Spare> {
    let mut tx = world.app.db.begin().await.unwrap();
    db::spares::all(&mut tx, world.app.host).await.unwrap()
}

/// Goes round until nothing is left to do.
async fn settle(world: &World, wanted: usize) -> Vec<Spare> {
    let begun = Instant::now();
    loop {
        // In this order: what was busy at the round may be done after it.
        let busy: i64 = sqlx::query_scalar("SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')").fetch_one(&world.app.db).await.unwrap();
        let act = round(&world.app, wanted, true).await.unwrap();
        let spares = spares(world).await;
        if act.is_none() && busy == 0 {
            return spares;
        }
        assert!(begun.elapsed() < PATIENCE, "{spares:#?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn who_asks_gets_a_spare_and_it_is_theirs_alone() {
    let world = World::new().await;
    let _runner = world.work().await;
    let ready = settle(&world, 1).await;
    assert_eq!(ready.len(), 2, "one for each kind of storage: {ready:?}");
    assert_eq!(db::spares::ready(&world.app.db, world.app.host).await.unwrap(), 2);
    let made = world.acts("initialise");
    let spare = ready.iter().find(|s| s.storage == "volume").unwrap().id;

    let id = world.ask("orders", |d| (d.user, d.database, d.volume_gb) = ("boss".into(), "shop".into(), "12".into())).await;
    assert_eq!(id, spare);
    let view = world.until(id, Status::Running).await;
    assert_eq!((view.row.name.as_str(), view.storage.gb(), view.first.user.as_str()), ("orders", 12, "boss"));
    assert_eq!(world.until_job(id, JobState::Done).await.steps.len(), 10);
    assert_eq!(db::job_views::of_datastore(&world.app.db, id, 10).await.unwrap().len(), 1, "how it was prepared is nobody's activity");
    assert!(world.acts("initialise") > made, "the step is an ensure: it looked");
    let node = view.nodes[0].id;
    assert_eq!(world.engine.0.lock().unwrap().databases[&node], [("shop".to_owned(), "boss".to_owned())]);
    for table in ["nodes", "volumes", "addresses", "secrets", "first_databases", "jobs"] {
        let sql = format!("SELECT count(*) FROM {table} WHERE datastore_id = $1 AND project_id <> $2");
        let strangers: i64 =
            sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(id).bind(world.actor.me.project).fetch_one(&world.app.db).await.unwrap();
        assert_eq!(strangers, 0, "{table}");
    }
    assert!(spares(&world).await.iter().all(|s| s.id != id));
}

#[tokio::test]
async fn who_asks_for_less_than_a_spare_has_gets_one_of_their_own() {
    let world = World::new().await;
    let _runner = world.work().await;
    let ready = settle(&world, 1).await;
    let id = world.ask("small", |d| d.volume_gb = "9".into()).await;
    assert!(ready.iter().all(|s| s.id != id), "a volume never shrinks");
    assert_eq!(world.until(id, Status::Running).await.storage.gb(), 9);
}

#[tokio::test]
async fn two_who_ask_never_get_the_same() {
    let world = World::new().await;
    let runner = world.work().await;
    settle(&world, 1).await;
    runner.shut_down(PATIENCE).await;
    let one = world.ask("one", |_| ()).await;
    let two = world.ask("two", |_| ()).await;
    assert_ne!(one, two);
    let _runner = world.work().await;
    world.until(one, Status::Running).await;
    world.until(two, Status::Running).await;
}

#[tokio::test]
async fn a_spare_is_nobodys_and_takes_from_no_quota() {
    let world = World::new().await;
    let _runner = world.work().await;
    let spare = settle(&world, 1).await[0].id;
    crate::server::domain::datastore::get(&world.app, &world.actor, spare).await.unwrap_err();
    let listed = crate::server::domain::datastore::list(&world.app, &world.actor, crate::model::datastore::ListQuery::default()).await.unwrap();
    assert_eq!(listed.all, 0);
    let mut tx = world.app.db.begin().await.unwrap();
    assert_eq!(db::usage::promised(&mut tx, world.app.host, "local", false).await.unwrap(), (0, 0));
    for table in ["addresses", "secrets"] {
        let sql = format!("SELECT count(*) FROM {table} WHERE datastore_id = $1");
        let left: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(spare).fetch_one(&mut *tx).await.unwrap();
        assert_eq!(left, 0, "{table}");
    }
}

#[tokio::test]
async fn none_is_begun_while_peoples_work_waits() {
    let world = World::new().await;
    let id = world.ask("orders", |_| ()).await;
    assert_eq!(round(&world.app, 1, true).await.unwrap(), None);
    // Nor is one done that was begun before.
    let _runner = world.work().await;
    world.until(id, Status::Running).await;
    assert_eq!(settle(&world, 1).await.len(), 2);
}

#[tokio::test]
async fn preparing_waits_for_what_runs() {
    let world = World::new().await;
    assert!(round(&world.app, 1, true).await.unwrap().is_some());
    let worker = Uuid::now_v7();
    db::workers::enter(&world.app.db, worker, world.app.host, &Owner::me().unwrap()).await.unwrap();
    let id = world.ask("orders", |_| ()).await;
    let first = db::jobs::claim(&world.app.db, world.app.host, worker).await.unwrap().unwrap();
    assert_eq!((first.kind.as_str(), first.datastore), ("create", id), "who asked comes first");
    assert!(db::jobs::claim(&world.app.db, world.app.host, worker).await.unwrap().is_none());
    let mut tx = world.app.db.begin().await.unwrap();
    db::jobs::end(&mut tx, first.id, "done", None).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(db::jobs::claim(&world.app.db, world.app.host, worker).await.unwrap().unwrap().kind, "prepare");
}

#[tokio::test]
async fn what_cannot_be_prepared_is_removed_with_all_it_had() {
    let world = World::new().await;
    let _runner = world.work().await;
    world.platform.fail(Effect::Start, Fault::Before, 3);
    assert!(matches!(round(&world.app, 1, true).await.unwrap(), Some(Act::Make(_))));
    let begun = Instant::now();
    while !spares(&world).await.iter().any(|s| s.failed) {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(matches!(round(&world.app, 1, true).await.unwrap(), Some(Act::Remove(_, Why::Failed))));
    assert!(settle(&world, 0).await.is_empty());
    assert!(world.platform.is_empty());
}

#[tokio::test]
async fn too_many_are_removed_with_all_they_had() {
    let world = World::new().await;
    let _runner = world.work().await;
    assert_eq!(settle(&world, 2).await.len(), 4);
    assert_eq!(settle(&world, 1).await.len(), 2);
    assert!(settle(&world, 0).await.is_empty());
    assert!(world.platform.is_empty());
}
