//! Where the endpoints lead.

use super::*;

#[tokio::test]
async fn a_closed_route_ends_a_client_at_once() {
    let world = World::new().await;
    world.ensure(&["127.0.0.0/8"]).await.unwrap();
    assert!(world.open().await.is_empty());
    for (kind, _) in &world.spec.listeners {
        let begun = std::time::Instant::now();
        assert!(world.visit("127.0.0.1", *kind).await.is_none());
        assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    }
    world.end().await;
}

#[tokio::test]
async fn a_new_route_cuts_the_sessions_of_the_old_one_alone() {
    let world = World::new().await;
    world.ensure(&["127.0.0.0/8"]).await.unwrap();
    world.route(1, &[(PRIMARY, 0), (REPLICA, 0), (REPLICA, 1)]).await.unwrap();
    let mut old = world.visit("127.0.0.1", PRIMARY).await.unwrap();
    assert_eq!(old.slot, 0);
    let mut reads = Vec::new();
    for _ in 0..4 {
        reads.push(world.visit("127.0.0.1", REPLICA).await.unwrap());
    }
    assert!(reads.iter().any(|c| c.slot == 0) && reads.iter().any(|c| c.slot == 1), "spread over the replicas");

    world.route(2, &[(PRIMARY, 1), (REPLICA, 1)]).await.unwrap();
    assert!(!old.lives().await);
    for client in &mut reads {
        assert_eq!(client.lives().await, client.slot == 1, "slot {}", client.slot);
    }
    assert_eq!(world.visit("127.0.0.1", PRIMARY).await.unwrap().slot, 1);
    assert_eq!(world.open().await, routes_of(&[(PRIMARY, 1), (REPLICA, 1)]));

    world.route(2, &[]).await.unwrap();
    assert!(world.open().await.is_empty() && world.visit("127.0.0.1", PRIMARY).await.is_none());
    world.end().await;
}

#[tokio::test]
async fn an_older_epoch_is_refused_and_changes_nothing() {
    let world = World::new().await;
    world.ensure(&["127.0.0.0/8"]).await.unwrap();
    world.route(7, &[(PRIMARY, 1)]).await.unwrap();
    let mut client = world.visit("127.0.0.1", PRIMARY).await.unwrap();
    let error = world.route(6, &[(PRIMARY, 0)]).await.unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&OldEpoch { epoch: 6, seen: 7 }));
    assert!(client.lives().await && world.open().await == routes_of(&[(PRIMARY, 1)]));
    world.route(7, &[(PRIMARY, 1)]).await.unwrap();
    assert!(client.lives().await, "the same routes again cut nobody");
    world.end().await;
}

#[tokio::test]
async fn a_slot_that_gets_another_address_leaves_the_old_node() {
    let mut world = World::new().await;
    world.ensure(&["127.0.0.0/8"]).await.unwrap();
    world.route(1, &[(PRIMARY, 0)]).await.unwrap();
    let mut old = world.visit("127.0.0.1", PRIMARY).await.unwrap();
    world.spec.nodes[0].1 = world.spec.nodes[1].1;
    world.route(2, &[(PRIMARY, 0)]).await.unwrap();
    assert!(!old.lives().await);
    assert_eq!(world.visit("127.0.0.1", PRIMARY).await.unwrap().slot, 1);
    world.end().await;
}

#[tokio::test]
async fn nodes_may_have_ipv6_addresses() {
    let mut world = World::new().await;
    world.spec.source = "::1".parse().unwrap();
    world.spec.nodes.clear();
    world.ensure(&["127.0.0.1/32"]).await.unwrap();
    let listener = TcpListener::bind("[::1]:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    world.nodes.push(node(3, address).await);
    world.spec.nodes.push((3, address));
    world.route(1, &[(PRIMARY, 3)]).await.unwrap();
    let client = world.visit("127.0.0.1", PRIMARY).await.unwrap();
    assert_eq!((client.slot, client.seen_as), (3, world.spec.source));
    world.end().await;
}

#[tokio::test]
async fn routes_that_cannot_be_are_refused_before_anything_closes() {
    let mut world = World::new().await;
    world.ensure(&["127.0.0.0/8"]).await.unwrap();
    world.route(1, &[(PRIMARY, 0)]).await.unwrap();
    let error = world.route(2, &[(PRIMARY, 3)]).await.unwrap_err().to_string();
    assert!(error.contains("primary/n3 is no route"), "{error}");
    let listeners = world.spec.listeners.clone();
    world.spec.listeners.retain(|(kind, _)| *kind != REPLICA);
    assert!(world.route(2, &[(REPLICA, 0)]).await.is_err());
    let error = world.route(2, &[(PRIMARY, 1)]).await.unwrap_err().to_string();
    assert!(error.contains("runs with other addresses"), "{error}");
    assert!(world.ensure(&[]).await.is_err(), "nor does ensure reload it");
    world.spec.listeners = listeners;
    assert_eq!(world.open().await, routes_of(&[(PRIMARY, 0)]));
    assert!(world.visit("127.0.0.1", PRIMARY).await.is_some());
    world.end().await;
}
