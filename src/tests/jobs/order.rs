//! Order: one datastore's work in order, different ones in parallel, and the queue is visible.

use crate::{
    model::{job::JobState, status::Status},
    server::{
        domain,
        platform::fake::{Effect, Fault},
    },
    tests::world::World,
};
use std::time::Duration;

#[tokio::test]
async fn r020_work_of_one_datastore_waits_for_earlier_work_and_says_so() {
    let world = World::new().await;
    let id = world.ask("orders", |_| ()).await;
    domain::firewall::add(&world.app, &world.actor, id, "10.0.0.0/8", "office", "").await.unwrap();
    let jobs = domain::activity::of_datastore(&world.app, &world.actor, id).await.unwrap().jobs;
    assert_eq!(jobs[0].label, "Apply trusted sources");
    assert_eq!(jobs[0].waits_for.as_deref(), Some("Waits for 1 earlier job of this datastore."));
    assert_eq!(jobs[1].waits_for.as_deref(), Some("Waits for a free worker."));
    let _runner = world.work().await;
    world.until_job(id, JobState::Done).await;
    let in_order: bool = sqlx::query_scalar(
        "SELECT bool_and(coalesce(a.finished_at <= b.started_at, true)) FROM jobs a JOIN jobs b ON a.datastore_id = b.datastore_id AND a.seq < b.seq",
    )
    .fetch_one(&world.app.db)
    .await
    .unwrap();
    assert!(in_order);
}

#[tokio::test]
async fn r020_one_datastore_that_hangs_does_not_hold_up_others() {
    let world = World::new().await;
    world.platform.fail(Effect::EnsureNode, Fault::Hang, 1);
    let _runner = world.work().await;
    let stuck = world.ask("stuck", |_| ()).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let free = world.ask("free", |_| ()).await;
    world.until(free, Status::Running).await;
    assert_eq!(world.get(stuck).await.row.status, Status::Creating);
}

#[tokio::test]
async fn a_second_restart_is_refused_while_one_is_under_way() {
    let world = World::new().await;
    let runner = world.work().await;
    let id = world.ask("orders", |_| ()).await;
    world.until(id, Status::Running).await;
    runner.shut_down(Duration::from_secs(5)).await;
    domain::datastore::restart(&world.app, &world.actor, id).await.unwrap();
    assert_eq!(world.get(id).await.row.status, Status::Restarting);
    assert!(matches!(domain::datastore::restart(&world.app, &world.actor, id).await, Err(crate::error::AppError::Busy(_))));
    let _runner = world.work().await;
    world.until(id, Status::Running).await;
    assert_eq!(world.acts("stop"), 1);
    assert_eq!(world.acts("start"), 2);
}
