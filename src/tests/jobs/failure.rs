//! What fails: attempts, log excerpt, Retry, Abandon, Cancel.

use crate::{
    error::AppError,
    model::{
        job::{JobState, StepState},
        status::Status,
    },
    server::{
        domain,
        platform::fake::{Effect, Fault},
    },
    tests::world::World,
};

#[tokio::test]
async fn a_step_that_fails_once_is_tried_again() {
    let world = World::new().await;
    world.platform.fail(Effect::EnsureNode, Fault::After, 1);
    let _runner = world.work().await;
    let id = world.ask("orders", |_| ()).await;
    let job = world.until(id, Status::Running).await.job.unwrap();
    assert_eq!(job.steps[2].attempts, 2, "{:?}", job.steps[2]);
    assert_eq!(job.steps[2].log_excerpt, None, "what went well in the end shows no old error");
}

#[tokio::test]
async fn a_step_that_fails_for_good_shows_why_and_retry_goes_on_from_it() {
    let world = World::new().await;
    world.platform.fail(Effect::Start, Fault::Before, 3);
    let _runner = world.work().await;
    let id = world.ask("orders", |_| ()).await;
    let failed = world.until(id, Status::Failed).await.job.unwrap();
    let step = failed.steps.iter().find(|s| s.state == StepState::Failed).unwrap();
    assert_eq!((step.label.as_str(), step.attempts), ("Start the server", 3));
    assert!(step.log_excerpt.as_ref().is_some_and(|e| !e.is_empty()) && failed.error.is_some());
    assert!(failed.can_retry && failed.abandon.is_some());
    domain::work::retry(&world.app, &world.actor, id, failed.id).await.unwrap();
    world.until(id, Status::Running).await;
    assert_eq!(world.acts("initialise"), 1, "steps that were done are not done again");
    let again = domain::work::retry(&world.app, &world.actor, id, failed.id).await;
    assert!(matches!(again, Err(AppError::Conflict(_))), "there is nothing to retry any more");
}

#[tokio::test]
async fn work_is_that_of_the_request_which_asked_for_it_last() {
    let world = World::new().await;
    world.platform.fail(Effect::Start, Fault::Before, 3);
    let asked_by = || async { sqlx::query_scalar::<_, Option<String>>("SELECT request_id FROM jobs").fetch_one(&world.app.db).await.unwrap() };
    let id = world.ask("orders", |_| ()).await;
    assert_eq!(asked_by().await.as_deref(), Some(world.actor.request_id.as_str()));
    let _runner = world.work().await;
    let failed = world.until(id, Status::Failed).await.job.unwrap();
    let later = |request_id: &str| domain::Actor { request_id: request_id.to_owned(), ..world.actor.clone() };
    world.platform.fail(Effect::Start, Fault::Before, 3);
    domain::work::retry(&world.app, &later("the second"), id, failed.id).await.unwrap();
    assert_eq!(asked_by().await.as_deref(), Some("the second"));
    world.until(id, Status::Failed).await;
    domain::work::abandon(&world.app, &later("the third"), id, failed.id).await.unwrap();
    assert_eq!(asked_by().await.as_deref(), Some("the third"));
}

#[tokio::test]
async fn a_missing_program_is_named_and_retry_works_once_it_is_there() {
    let world = World::new().await;
    let id = world.ask("orders", |_| ()).await;
    // As after an upgrade of the machine that took the old major away.
    sqlx::query("UPDATE datastores SET version = '9'").execute(&world.app.db).await.unwrap();
    let _runner = world.work().await;
    let failed = world.until(id, Status::Failed).await.job.unwrap();
    assert!(failed.error.as_ref().is_some_and(|e| e.contains("PostgreSQL 9") && e.contains("not installed")), "{:?}", failed.error);
    sqlx::query("UPDATE datastores SET version = '15'").execute(&world.app.db).await.unwrap();
    domain::work::retry(&world.app, &world.actor, id, failed.id).await.unwrap();
    world.until(id, Status::Running).await;
}

#[tokio::test]
async fn abandon_undoes_what_was_made() {
    let world = World::new().await;
    world.platform.fail(Effect::Start, Fault::Before, 3);
    let _runner = world.work().await;
    let id = world.ask("orders", |_| ()).await;
    let failed = world.until(id, Status::Failed).await.job.unwrap();
    domain::work::abandon(&world.app, &world.actor, id, failed.id).await.unwrap();
    world.until_gone(id).await;
    assert!(world.platform.is_empty());
    let job = world.until_job(id, JobState::Abandoned).await;
    assert!(job.undoing && job.steps.iter().filter(|s| s.label.starts_with("Undo")).all(|s| s.state == StepState::Done));
}

#[tokio::test]
async fn a_waiting_creation_that_is_cancelled_leaves_nothing() {
    let world = World::new().await;
    let id = world.ask("orders", |_| ()).await;
    let job = world.get(id).await.job.unwrap();
    assert!(job.can_cancel);
    domain::work::cancel(&world.app, &world.actor, id, job.id).await.unwrap();
    let _runner = world.work().await;
    world.until_gone(id).await;
    assert!(world.platform.is_empty());
    assert_eq!(world.acts("initialise"), 0);
}

#[tokio::test]
async fn a_running_creation_stops_after_its_step_and_is_undone() {
    let world = World::new().await;
    world.platform.fail(Effect::Start, Fault::Before, 1);
    let runner = world.work().await;
    let id = world.ask("orders", |_| ()).await;
    // It pauses after the failed attempt: asked to stop now, it is undone instead of tried again.
    let job = loop {
        let job = world.get(id).await.job.unwrap();
        if job.error.is_some() {
            break job;
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    };
    domain::work::cancel(&world.app, &world.actor, id, job.id).await.unwrap();
    world.until_gone(id).await;
    assert!(world.platform.is_empty());
    runner.shut_down(std::time::Duration::from_secs(5)).await;
}

#[tokio::test]
async fn others_jobs_do_not_exist() {
    let world = World::new().await;
    let id = world.ask("orders", |_| ()).await;
    let job = world.get(id).await.job.unwrap().id;
    let stranger = crate::tests::world::person(&world.app).await;
    assert_eq!(domain::work::cancel(&world.app, &stranger, id, job).await, Err(AppError::NotFound));
    assert_eq!(domain::work::retry(&world.app, &stranger, id, job).await, Err(AppError::NotFound));
    let other = world.ask("other", |_| ()).await;
    assert_eq!(domain::work::cancel(&world.app, &world.actor, other, job).await, Err(AppError::NotFound), "a job of another datastore");
}
