//! Delete.

use crate::{
    error::AppError,
    model::{job::JobState, status::Status},
    server::{
        domain,
        platform::fake::{Effect, Fault},
    },
    tests::world::World,
};

#[tokio::test]
async fn r022_deleting_frees_everything_but_the_audit() {
    let world = World::new().await;
    let _runner = world.work().await;
    let id = world.ask("orders", |d| d.allow = "10.0.0.0/8".into()).await;
    world.until(id, Status::Running).await;
    domain::datastore::delete(&world.app, &world.actor, id, "orders").await.unwrap();
    world.until_gone(id).await;
    assert!(world.platform.is_empty(), "nothing is left on the platform");
    for sql in [
        "SELECT count(*) FROM addresses",
        "SELECT count(*) FROM secrets",
        "SELECT count(*) FROM nodes",
        "SELECT count(*) FROM volumes",
        "SELECT count(*) FROM trusted_sources",
    ] {
        assert_eq!(sqlx::query_scalar::<_, i64>(sql).fetch_one(&world.app.db).await.unwrap(), 0, "{sql}");
    }
    let actions: Vec<String> = sqlx::query_scalar("SELECT action FROM events ORDER BY id").fetch_all(&world.app.db).await.unwrap();
    assert_eq!(actions, ["Create datastore", "Delete datastore"]);
    world.ask("orders", |_| ()).await;
}

#[tokio::test]
async fn r022_the_name_must_be_typed_and_protection_refuses() {
    let world = World::new().await;
    let id = world.ask("orders", |_| ()).await;
    assert!(matches!(domain::datastore::delete(&world.app, &world.actor, id, "order").await, Err(AppError::Invalid(e)) if e.of("confirm").is_some()));
    domain::datastore::protect(&world.app, &world.actor, id, true).await.unwrap();
    assert!(matches!(domain::datastore::delete(&world.app, &world.actor, id, "orders").await, Err(AppError::Conflict(_))));
    domain::datastore::protect(&world.app, &world.actor, id, false).await.unwrap();
    domain::datastore::delete(&world.app, &world.actor, id, "orders").await.unwrap();
    assert_eq!(world.get(id).await.row.status, Status::Deleting);
}

#[tokio::test]
async fn a_deletion_ends_a_creation_that_fails_again_and_again() {
    let world = World::new().await;
    world.platform.fail(Effect::EnsureNode, Fault::Before, 100);
    let _runner = world.work().await;
    let id = world.ask("orders", |_| ()).await;
    world.until(id, Status::Failed).await;
    domain::datastore::delete(&world.app, &world.actor, id, "orders").await.unwrap();
    world.until_gone(id).await;
    assert!(world.platform.is_empty());
}

#[tokio::test]
async fn a_deletion_that_fails_says_so_and_can_be_tried_again() {
    let world = World::new().await;
    let _runner = world.work().await;
    let id = world.ask("orders", |_| ()).await;
    world.until(id, Status::Running).await;
    world.platform.fail(Effect::DestroyNode, Fault::Before, 3);
    domain::datastore::delete(&world.app, &world.actor, id, "orders").await.unwrap();
    let job = world.until_job(id, JobState::Failed).await;
    assert_eq!(world.get(id).await.row.status, Status::DeleteFailed);
    assert!(job.can_retry && job.abandon.is_none(), "what is half deleted cannot be kept");
    domain::work::retry(&world.app, &world.actor, id, job.id).await.unwrap();
    world.until_gone(id).await;
    assert!(world.platform.is_empty());
}
