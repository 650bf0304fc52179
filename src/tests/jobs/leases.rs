//! Leases: who is dead loses them, who is late is refused.

use crate::{
    model::status::Status,
    server::{
        db::{self, jobs::Leased},
        jobs::{faults::Faults, owner::Owner, runner::Runner},
        platform::{
            Platform, Stale,
            fake::{Effect, Fault},
        },
    },
    tests::world::World,
};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// A process that has ended, entered as a worker that holds the first job.
async fn dead_worker_with_a_job(world: &World) -> Leased {
    let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
    let owner = Owner { pid: i32::try_from(child.id()).unwrap(), ..Owner::me().unwrap() };
    child.wait().unwrap();
    let worker = Uuid::now_v7();
    db::workers::enter(&world.app.db, worker, world.app.host, &owner).await.unwrap();
    db::jobs::claim(&world.app.db, world.app.host, worker).await.unwrap().unwrap()
}

#[tokio::test]
async fn work_of_a_process_that_is_proved_dead_goes_on_within_two_seconds() {
    let world = World::new().await;
    let id = world.ask("orders", |_| ()).await;
    let old = dead_worker_with_a_job(&world).await;
    let begun = Instant::now();
    let _runner = world.work().await;
    world.until(id, Status::Running).await;
    assert!(begun.elapsed() < Duration::from_secs(2) + Duration::from_secs(1), "{:?}", begun.elapsed());
    let mut tx = world.app.db.begin().await.unwrap();
    assert!(!db::jobs::hold(&mut tx, old.datastore, old.id, old.token).await.unwrap(), "the dead one's lease is void");
}

#[tokio::test]
async fn a_worker_that_comes_back_late_is_refused_by_database_and_platform() {
    let world = World::new().await;
    let id = world.ask("orders", |_| ()).await;
    let old = dead_worker_with_a_job(&world).await;
    let _runner = world.work().await;
    let view = world.until(id, Status::Running).await;
    let plan = db::plan::Plan::load(&world.app.db, id).await.unwrap();
    let node = plan.node_spec(&plan.nodes[0]);
    let late = crate::server::platform::Lease { datastore: id, token: old.token };
    let refused = world.platform.fence(late, &node).await.unwrap_err();
    assert!(refused.is::<Stale>(), "{refused:#}");
    assert_eq!(world.get(id).await.row.status, view.row.status);
}

#[tokio::test]
async fn two_workers_share_the_work_and_do_nothing_twice() {
    let world = World::new().await;
    let _one = world.work().await;
    let _two = Runner::start(world.twin(), Faults::default()).await.unwrap();
    let mut ids = Vec::new();
    for n in 0..12 {
        ids.push(world.ask(&format!("db-x{n}"), |d| d.volume_gb = "1".into()).await);
    }
    for id in ids {
        let job = world.until(id, Status::Running).await.job.unwrap();
        assert!(job.steps.iter().all(|s| s.attempts == 1), "{job:#?}");
    }
    assert_eq!(world.acts("initialise"), 12);
}

#[tokio::test]
async fn a_worker_that_stops_gives_its_job_back_between_two_steps() {
    let world = World::new().await;
    let runner = world.work().await;
    world.platform.fail(Effect::EnsureNode, Fault::Hang, 1);
    let id = world.ask("orders", |_| ()).await;
    while world.platform.done(Effect::EnsureNode) == 0 && world.get(id).await.job.unwrap().steps[2].attempts == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The hanging step is not waited for longer than asked, and the next worker takes over.
    let begun = Instant::now();
    runner.shut_down(Duration::from_millis(300)).await;
    assert!(begun.elapsed() < Duration::from_secs(2));
}
