//! Create.

use crate::{
    model::{
        datastore::EndpointKind,
        job::{JobState, StepState},
        status::Status,
    },
    server::{
        db,
        platform::{ListenerKind, Platform, Route},
    },
    tests::world::World,
};

#[tokio::test]
async fn r017_a_creation_is_shown_step_by_step_until_it_runs() {
    let world = World::new().await;
    let id = world.ask("orders", |d| d.allow = "127.0.0.1/32".into()).await;
    let before = world.get(id).await;
    assert_eq!(before.row.status, Status::Queued);
    assert!(before.job.as_ref().unwrap().steps.iter().all(|s| s.state == StepState::Waiting));
    assert!(before.endpoints.is_empty(), "nothing is promised that does not work yet");
    let runner = world.work().await;
    world.until(id, Status::Running).await;
    let job = world.until_job(id, JobState::Done).await;
    let view = world.get(id).await;
    runner.shut_down(std::time::Duration::from_secs(5)).await;
    assert_eq!(job.steps.len(), 10);
    assert!(job.steps.iter().all(|s| s.state == StepState::Done && s.attempts == 1 && s.duration_ms.is_some()));
    assert_eq!(view.endpoints.len(), 1, "a single node has no replica endpoint");
    assert_eq!(view.endpoints[0].port, 5432);
    assert_eq!(view.ca.unwrap().fingerprint.len(), 95);
    let open = world.platform.routes_open(id).await.unwrap();
    assert!(open.contains(&Route { listener: ListenerKind::Primary, slot: 0 }) && open.len() == 2, "{open:?}");
    assert_eq!(world.platform.sources(id), ["127.0.0.1/32".parse().unwrap()]);
}

#[tokio::test]
async fn r042_the_first_user_gets_a_verifier_and_the_password_stays_sealed() {
    let world = World::new().await;
    let _runner = world.work().await;
    let id = world.ask("orders", |d| (d.user, d.database) = ("boss".into(), "shop".into())).await;
    let view = world.until(id, Status::Running).await;
    let node = view.nodes[0].id;
    {
        let state = world.engine.0.lock().unwrap();
        assert_eq!(state.users[&node][0].0, "boss");
        assert!(state.users[&node][0].1.starts_with("verifier of"), "the engine gets no password");
        assert_eq!(state.databases[&node], [("shop".to_owned(), "boss".to_owned())]);
    }
    let sealed = db::secrets::get(&world.app.db, id, db::secrets::ADMIN_PASSWORD).await.unwrap().unwrap();
    let hidden = crate::server::domain::access::connection(&world.app, &world.actor, id, EndpointKind::Primary, false).await.unwrap();
    assert_eq!(hidden.password, None);
    let shown = crate::server::domain::access::connection(&world.app, &world.actor, id, EndpointKind::Primary, true).await.unwrap().password.unwrap();
    assert!(shown.len() >= 20 && !sealed.windows(shown.len()).any(|w| w == shown.as_bytes()));
}

#[tokio::test]
async fn two_datastores_never_share_an_address() {
    let world = World::new().await;
    let _runner = world.work().await;
    let (one, two) = (world.ask("one", |_| ()).await, world.ask("two", |_| ()).await);
    world.until(one, Status::Running).await;
    world.until(two, Status::Running).await;
    let distinct: i64 = sqlx::query_scalar("SELECT count(DISTINCT (address, port)) FROM addresses").fetch_one(&world.app.db).await.unwrap();
    assert_eq!(distinct, 16);
}

#[tokio::test]
async fn an_address_that_another_program_holds_is_left_alone() {
    let world = World::new().await;
    for last in 0..16 {
        let host = std::net::IpAddr::from([127, u8::try_from(2 + world.app.host.as_u128() % 252).unwrap(), 0, last]);
        world.platform.take(std::net::SocketAddr::new(host, 5432));
    }
    let _runner = world.work().await;
    let id = world.ask("orders", |_| ()).await;
    let view = world.until(id, Status::Running).await;
    assert!(view.endpoints[0].host.ends_with(".0.18"), "the next block: {}", view.endpoints[0].host);
}
