//! Clocks that jump: nothing is held, and nothing is freed, because of them. What depends on the metadata database's clock
//! is moved in its rows, which looks the same as moving the clock the other way.

use crate::{
    model::status::Status,
    server::{
        db,
        jobs::{faults::Faults, owner::Owner, runner::Runner},
        monitor,
        platform::{
            Presence,
            fake::{Effect, Fault},
        },
    },
    tests::world::World,
};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

#[tokio::test]
async fn a_clock_that_is_set_back_holds_no_backoff_and_no_new_job() {
    let world = World::new().await;
    let worker = Uuid::now_v7();
    db::workers::enter(&world.app.db, worker, world.app.host, &Owner::me().unwrap()).await.unwrap();
    let claim = || async { db::jobs::claim(&world.app.db, world.app.host, worker).await.unwrap() };
    let set = |attempt: i32, pause: &'static str| {
        let db = world.app.db.clone();
        async move {
            sqlx::query("UPDATE jobs SET state = 'queued', worker_id = NULL, attempt = $1, not_before = now() + $2::text::interval")
                .bind(attempt)
                .bind(pause)
                .execute(&db)
                .await
                .unwrap();
        }
    };
    world.ask("orders", |_| ()).await;
    // A pause that may be: it is kept.
    set(1, "20 seconds").await;
    assert!(claim().await.is_none());
    assert!(db::jobs::next_pause(&world.app.db, world.app.host).await.unwrap().is_some_and(|p| p <= Duration::from_secs(20)));
    // One that was made before the clock went back by an hour.
    set(1, "1 hour 20 seconds").await;
    assert_eq!(db::jobs::next_pause(&world.app.db, world.app.host).await.unwrap(), None);
    assert!(claim().await.is_some());
    // A new job, before the clock went back by a little.
    set(0, "20 seconds").await;
    assert!(claim().await.is_some());
    // Forwards, a pause ends.
    set(3, "-1 hour").await;
    assert!(claim().await.is_some());
}

#[tokio::test]
async fn a_clock_that_jumps_frees_no_lease_and_holds_none() {
    let world = World::new().await;
    world.platform.fail(Effect::EnsureNode, Fault::Hang, 1);
    let _one = world.work().await;
    let id = world.ask("orders", |_| ()).await;
    let lease = || async {
        sqlx::query_as::<_, (Option<Uuid>, i64)>("SELECT worker_id, lease_token FROM jobs WHERE state = 'running' AND datastore_id = $1")
            .bind(id)
            .fetch_optional(&world.app.db)
            .await
            .unwrap()
    };
    let begun = Instant::now();
    let held = loop {
        if let Some(held) = lease().await {
            break held;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "the job was never begun");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let _two = Runner::start(world.twin(), Faults::default()).await.unwrap();
    for jump in ["1 hour", "-2 hours"] {
        for table in [
            "UPDATE workers SET started_at = started_at + $1::text::interval",
            "UPDATE jobs SET created_at = created_at + $1::text::interval, started_at = started_at + $1::text::interval, not_before = not_before + $1::text::interval",
            "UPDATE job_steps SET started_at = started_at + $1::text::interval",
        ] {
            sqlx::query(table).bind(jump).execute(&world.app.db).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(2500)).await;
        assert_eq!(lease().await, Some(held), "after a jump of {jump}");
    }
}

#[tokio::test]
async fn a_check_from_before_or_after_the_jump_says_nothing_until_the_next_one() {
    let world = World::new().await;
    let runner = world.work().await;
    let id = world.ask("orders", |_| ()).await;
    world.until(id, Status::Running).await;
    runner.shut_down(Duration::from_secs(5)).await;
    for jump in ["1 hour", "-1 hour"] {
        for table in ["UPDATE datastores SET observed_at = now() + $1::text::interval", "UPDATE nodes SET observed_at = now() + $1::text::interval"] {
            sqlx::query(table).bind(jump).execute(&world.app.db).await.unwrap();
        }
        let view = world.get(id).await;
        assert_eq!(view.row.status, Status::Unknown, "after a jump of {jump}");
    }
    let stop = CancellationToken::new();
    tokio::spawn(monitor::run::run(world.app.clone(), stop.clone()));
    world.until(id, Status::Running).await;
    stop.cancel();
}

#[tokio::test]
async fn a_start_that_failed_for_good_is_tried_again_by_itself() {
    let world = World::new().await;
    let runner = world.work().await;
    let id = world.ask("orders", |_| ()).await;
    let view = world.until(id, Status::Running).await;
    runner.shut_down(Duration::from_secs(5)).await;
    world.platform.set_presence(view.nodes[0].id, Presence::Dead);
    let stop = CancellationToken::new();
    tokio::spawn(monitor::run::run(world.app.clone(), stop.clone()));
    let begun = Instant::now();
    while sqlx::query("UPDATE jobs SET state = 'failed', step = 'start-server', attempt = 8 WHERE kind = 'heal' AND state = 'queued'")
        .execute(&world.app.db)
        .await
        .unwrap()
        .rows_affected()
        == 0
    {
        assert!(begun.elapsed() < Duration::from_secs(20), "the monitor asked for no start");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (failed, _runner) = (Instant::now(), world.work().await);
    world.until(id, Status::Down).await;
    let jobs = || async { sqlx::query_scalar::<_, String>("SELECT state FROM jobs WHERE kind = 'heal'").fetch_all(&world.app.db).await.unwrap() };
    while jobs().await != ["done"] {
        assert!(failed.elapsed() < Duration::from_mins(1), "{:?}", jobs().await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(failed.elapsed() >= Duration::from_secs(25), "tried again at once: {:?}", failed.elapsed());
    world.until(id, Status::Running).await;
    stop.cancel();
}
