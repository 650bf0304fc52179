//! The wizard's use cases.

use crate::{
    error::AppError,
    model::{
        datastore::ListQuery,
        draft::{Draft, first_incomplete, validate_step},
        engine::EngineKind,
        step::Step,
    },
    server::domain,
    tests::world::{World, person},
};

#[tokio::test]
async fn r016_five_times_continue_makes_a_datastore_and_a_second_finish_the_same() {
    let world = World::new().await;
    let id = domain::wizard::start(&world.app, &world.actor).await.unwrap();
    let (draft, offer, own) = domain::wizard::show(&world.app, &world.actor, id).await.unwrap();
    assert_eq!(first_incomplete(&draft, &offer), Step::Preview, "the proposals work as they are");
    assert_eq!(own.as_deref(), Some("127.0.0.1/32"));
    assert_eq!(draft.allow, "", "no access is given that was not asked for");
    let mut at = Step::Databases;
    while at != Step::Preview {
        at = domain::wizard::save(&world.app, &world.actor, id, at, "", draft.clone()).await.unwrap();
    }
    let (one, two) = tokio::join!(domain::wizard::finish(&world.app, &world.actor, id), domain::wizard::finish(&world.app, &world.actor, id));
    assert_eq!(one.as_ref().unwrap(), two.as_ref().unwrap());
    let list = domain::datastore::list(&world.app, &world.actor, ListQuery::default()).await.unwrap();
    assert_eq!(list.total, 1);
    let late = domain::wizard::save(&world.app, &world.actor, id, Step::Databases, "", draft).await;
    assert!(matches!(late, Err(AppError::Conflict(_))));
}

#[tokio::test]
async fn r004_every_engine_has_a_card_and_what_cannot_run_says_why() {
    let world = World::new().await;
    let id = domain::wizard::start(&world.app, &world.actor).await.unwrap();
    let (_, offer, _) = domain::wizard::show(&world.app, &world.actor, id).await.unwrap();
    assert_eq!(offer.engines.iter().map(|e| e.kind).collect::<Vec<_>>(), EngineKind::ALL);
    assert!(offer.engines[0].unavailable.is_none() && offer.engines[1..].iter().all(|e| e.unavailable.is_some()));
    let versions: Vec<_> = offer.engines[0].versions.iter().map(|v| (v.major.as_str(), v.end_of_support.as_deref(), v.past_support)).collect();
    assert_eq!(versions, [("15", Some("2027-11-11"), false), ("11", Some("2023-11-09"), true)], "r005");
}

#[tokio::test]
async fn r016_wrong_fields_are_kept_as_typed_and_keep_the_step() {
    let world = World::new().await;
    let id = domain::wizard::start(&world.app, &world.actor).await.unwrap();
    let (draft, ..) = domain::wizard::show(&world.app, &world.actor, id).await.unwrap();
    for name in ["", "a'b", "a\"b", "a\\b", "a;--", "x🐘", &"n".repeat(65)] {
        let typed = Draft { name: name.into(), tags: "one".into(), ..draft.clone() };
        assert_eq!(domain::wizard::save(&world.app, &world.actor, id, Step::Configuration, "", typed).await.unwrap(), Step::Configuration);
        let (kept, offer, _) = domain::wizard::show(&world.app, &world.actor, id).await.unwrap();
        assert_eq!((kept.name.as_str(), kept.tags.as_str()), (name, "one"));
        assert!(validate_step(&kept, &offer, Step::Configuration).of("name").is_some());
    }
    for size in ["0", "51", "1.5", "x", ""] {
        let typed = Draft { volume_gb: size.into(), ..draft.clone() };
        assert_eq!(domain::wizard::save(&world.app, &world.actor, id, Step::Resources, "", typed).await.unwrap(), Step::Resources, "r080 {size}");
        let (kept, ..) = domain::wizard::show(&world.app, &world.actor, id).await.unwrap();
        assert_eq!(kept.volume_gb, size);
    }
    let back = domain::wizard::save(&world.app, &world.actor, id, Step::Resources, "cloud-service", draft.clone()).await.unwrap();
    assert_eq!(back, Step::CloudService, "Back goes back, whatever is wrong");
    let finish = domain::wizard::finish(&world.app, &world.actor, id).await;
    assert!(matches!(finish, Err(AppError::Invalid(e)) if e.of("name").is_some()), "an invalid step cannot be passed");
}

#[tokio::test]
async fn r012_ephemeral_storage_has_the_flavors_size_whatever_is_posted() {
    let world = World::new().await;
    let id = world.ask("orders", |d| (d.storage, d.volume_gb) = ("ephemeral".into(), "49".into())).await;
    let view = world.get(id).await;
    assert_eq!(view.storage, crate::model::storage::Storage::Ephemeral { gb: 5 });
}

#[tokio::test]
async fn a_name_is_taken_in_any_case_of_letters_and_only_within_the_project() {
    let world = World::new().await;
    world.ask("orders", |_| ()).await;
    let id = domain::wizard::start(&world.app, &world.actor).await.unwrap();
    let (draft, ..) = domain::wizard::show(&world.app, &world.actor, id).await.unwrap();
    domain::wizard::save(&world.app, &world.actor, id, Step::Configuration, "", Draft { name: "ORDERS".into(), ..draft }).await.unwrap();
    let refused = domain::wizard::finish(&world.app, &world.actor, id).await;
    assert!(matches!(refused, Err(AppError::Invalid(e)) if e.of("name").unwrap().contains("already")));
    let stranger = person(&world.app).await;
    let theirs = domain::wizard::start(&world.app, &stranger).await.unwrap();
    let (draft, ..) = domain::wizard::show(&world.app, &stranger, theirs).await.unwrap();
    domain::wizard::save(&world.app, &stranger, theirs, Step::Configuration, "", Draft { name: "orders".into(), ..draft }).await.unwrap();
    domain::wizard::finish(&world.app, &stranger, theirs).await.unwrap();
}

#[tokio::test]
async fn r071_over_quota_is_refused_before_anything_is_built() {
    let world = World::new().await;
    sqlx::query("UPDATE projects SET quota_instances = 1, quota_ram_mb = 600").execute(&world.app.db).await.unwrap();
    world.ask("one", |_| ()).await;
    let id = domain::wizard::start(&world.app, &world.actor).await.unwrap();
    let (draft, offer, _) = domain::wizard::show(&world.app, &world.actor, id).await.unwrap();
    assert!(offer.catalogue.flavors.iter().all(|f| offer.flavor_refused(f, 1).is_some()));
    assert_eq!(draft.flavor, "", "nothing is proposed that would be refused");
    assert!(matches!(domain::wizard::finish(&world.app, &world.actor, id).await, Err(AppError::Invalid(_))));
}

#[tokio::test]
async fn others_drafts_do_not_exist() {
    let world = World::new().await;
    let id = domain::wizard::start(&world.app, &world.actor).await.unwrap();
    let stranger = person(&world.app).await;
    assert!(matches!(domain::wizard::show(&world.app, &stranger, id).await, Err(AppError::NotFound)));
    assert_eq!(domain::wizard::save(&world.app, &stranger, id, Step::Databases, "", Draft::default()).await, Err(AppError::NotFound));
    assert_eq!(domain::wizard::finish(&world.app, &stranger, id).await, Err(AppError::NotFound));
}
