//! The same with Valkey, where its programs are: what differs from Redis is little, so that this is short.

use super::{real::Machine, redis_replicas::signal, replicas::primary};
use crate::{
    model::{drill::DrillKind, engine::EngineKind, status::Status},
    server::domain,
};
use std::time::Instant;

#[tokio::test(flavor = "multi_thread")]
async fn valkey_with_replicas_is_made_failed_over_from_drilled_and_deleted() {
    let machine = Machine::new().await;
    if !machine.app.installed.contains_key(&("local".to_owned(), EngineKind::Valkey)) {
        println!("skipped: Valkey is not there; INTO=var/engines MAJORS=valkey make engines fetches it");
        return;
    }
    let begun = Instant::now();
    let (id, view) = machine.replicated_as("valkey", "two-replicas", "quorum").await;
    println!("created after {:?}", begun.elapsed());
    assert_eq!((view.row.engine, view.endpoints[0].port), (EngineKind::Valkey, 6379));
    assert!(view.nodes[0].version.as_ref().is_some_and(|version| version.starts_with(&view.row.version)), "{:?}", view.nodes[0].version);
    while machine.redis(id, &["SET", "n", "7"]).await.is_err() {
        assert!(begun.elapsed().as_secs() < 30, "no replica is in step");
    }
    machine.until_each_says(id, &["GET", "n"], "7").await;
    signal(machine.server_of(id, 0).await, rustix::process::Signal::KILL);
    let led = machine.all_well(id, |v| primary(v) != primary(&view)).await;
    assert_eq!(machine.redis(id, &["GET", "n"]).await.unwrap(), "7");
    let drill = domain::drill::start(&machine.app, &machine.actor, id, DrillKind::Promotion).await.unwrap();
    let outcome = machine.drilled(id, drill).await;
    assert_eq!(outcome.lost, Some(0));
    machine.all_well(id, |v| v.row.status == Status::Running && primary(v) != primary(&led)).await;
    domain::datastore::delete(&machine.app, &machine.actor, id, "cache").await.unwrap();
    machine.until_gone(id).await;
}
