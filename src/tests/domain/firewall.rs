//! Trusted sources.

use crate::{
    error::AppError,
    model::{firewall::Exposure, job::JobState, status::Status},
    server::domain::{self, firewall::CONSENT},
    tests::world::World,
};

#[tokio::test]
async fn r026_no_source_no_access_and_each_change_reaches_the_edge() {
    let world = World::new().await;
    let _runner = world.work().await;
    let id = world.ask("orders", |_| ()).await;
    world.until(id, Status::Running).await;
    let shown = domain::firewall::show(&world.app, &world.actor, id).await.unwrap();
    assert_eq!(shown.your_address, Some(("127.0.0.1/32".to_owned(), false)));
    assert!(shown.sources.is_empty() && shown.exposure == Exposure::Closed);
    domain::firewall::add(&world.app, &world.actor, id, "127.0.0.1/32", "me", "").await.unwrap();
    world.until_job(id, JobState::Done).await;
    let shown = domain::firewall::show(&world.app, &world.actor, id).await.unwrap();
    assert_eq!(shown.your_address, Some(("127.0.0.1/32".to_owned(), true)));
    assert!(shown.sources[0].in_effect && shown.sources[0].added_by == "Ada");
    assert_eq!(world.platform.sources(id), ["127.0.0.1/32".parse().unwrap()]);
    domain::firewall::remove(&world.app, &world.actor, id, shown.sources[0].id).await.unwrap();
    world.until_job(id, JobState::Done).await;
    assert!(world.platform.sources(id).is_empty());
}

#[tokio::test]
async fn r026_bad_sources_are_refused_beside_their_field() {
    let world = World::new().await;
    let id = world.ask("orders", |_| ()).await;
    for (cidr, says) in [("300.1.1.1/8", "300"), ("10.0.0.0/33", "0 to 32"), ("10.1.2.3/8", "10.0.0.0/8"), ("", "such as")] {
        let refused = domain::firewall::add(&world.app, &world.actor, id, cidr, "", "").await;
        assert!(matches!(&refused, Err(AppError::Invalid(e)) if e.of("cidr").is_some_and(|m| m.contains(says))), "{cidr}: {refused:?}");
    }
    domain::firewall::add(&world.app, &world.actor, id, "2001:db8::/48", "v6", "").await.unwrap();
    let twice = domain::firewall::add(&world.app, &world.actor, id, "2001:db8::/48", "v6", "").await;
    assert!(matches!(twice, Err(AppError::Invalid(e)) if e.of("cidr").unwrap().contains("already")));
    for everyone in ["0.0.0.0/0", "::/0"] {
        let refused = domain::firewall::add(&world.app, &world.actor, id, everyone, "", "yes").await;
        assert!(matches!(refused, Err(AppError::Invalid(e)) if e.of("consent").is_some()));
        domain::firewall::add(&world.app, &world.actor, id, everyone, "", CONSENT).await.unwrap();
    }
}
