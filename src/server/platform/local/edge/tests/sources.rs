//! Who is let in: rule 26.

use super::*;

#[tokio::test]
async fn r026_no_source_no_access() {
    let world = World::new().await;
    world.ensure(&[]).await.unwrap();
    let all: Vec<_> = world.spec.listeners.iter().map(|(kind, _)| (*kind, 0)).collect();
    world.route(1, &all).await.unwrap();
    for (kind, _) in &all {
        assert!(world.visit("127.0.0.1", *kind).await.is_none(), "{kind:?}");
    }
    world.trust(&["127.0.0.1/32"]).await;
    for (kind, _) in &all {
        assert_eq!(world.visit("127.0.0.1", *kind).await.unwrap().seen_as, world.spec.source, "{kind:?}");
        assert!(world.visit("127.0.0.2", *kind).await.is_none(), "{kind:?}");
    }
    world.end().await;
}

#[tokio::test]
async fn r026_a_source_that_is_removed_is_refused_and_cut() {
    let world = World::new().await;
    world.ensure(&["127.50.0.0/16", "127.51.0.1/32"]).await.unwrap();
    world.route(1, &[(PRIMARY, 0)]).await.unwrap();
    let mut stays = world.visit("127.51.0.1", PRIMARY).await.unwrap();
    let mut goes = Vec::new();
    for host in 1..=150 {
        goes.push(world.visit(&format!("127.50.0.{host}"), PRIMARY).await.unwrap());
    }
    world.trust(&["127.51.0.1/32"]).await;
    for client in &mut goes {
        assert!(!client.lives().await);
    }
    assert!(stays.lives().await);
    assert!(world.visit("127.50.0.1", PRIMARY).await.is_none());
    world.ensure(&[]).await.unwrap();
    assert!(!stays.lives().await, "ensure keeps to the sources too");
    world.end().await;
}

#[tokio::test]
async fn r026_many_sources_are_taken_over_whole() {
    let world = World::new().await;
    let sources: Vec<_> = (0..=255).flat_map(|a| [format!("10.{a}.0.0/16"), format!("127.60.{a}.0/24")]).collect();
    let sources: Vec<_> = sources.iter().map(String::as_str).collect();
    world.ensure(&[]).await.unwrap();
    world.route(1, &[(PRIMARY, 0)]).await.unwrap();
    world.trust(&sources).await;
    assert!(world.visit("127.60.0.1", PRIMARY).await.is_some() && world.visit("127.60.255.1", PRIMARY).await.is_some());
    assert!(world.visit("127.61.0.1", PRIMARY).await.is_none());
    world.end().await;
}

#[tokio::test]
async fn r026_refused_addresses_are_told_with_their_counts() {
    let world = World::new().await;
    world.ensure(&["127.0.0.1/32"]).await.unwrap();
    world.route(1, &[(PRIMARY, 0)]).await.unwrap();
    for (from, kind) in [("127.70.0.1", PRIMARY), ("127.70.0.1", REPLICA), ("127.0.0.1", PRIMARY)] {
        world.visit(from, kind).await;
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    world.visit("127.70.0.2", PRIMARY).await;
    let refused = world.edges.refused(world.spec.datastore).await.unwrap();
    let told: Vec<_> = refused.iter().map(|r| (r.address.to_string(), r.count)).collect();
    assert_eq!(told, [("127.70.0.2".to_owned(), 1), ("127.70.0.1".to_owned(), 2)]);
    assert!(refused[0].ago < refused[1].ago && refused[1].ago < Duration::from_secs(30), "{refused:?}");
    world.end().await;
}

#[tokio::test]
async fn r026_a_full_edge_still_obeys() {
    let world = World::new().await;
    world.ensure(&["127.0.0.0/8"]).await.unwrap();
    world.route(1, &[(PRIMARY, 0)]).await.unwrap();
    let mut clients = Vec::new();
    for _ in 0..config::MAX_CLIENTS {
        clients.push(world.visit("127.50.0.1", PRIMARY).await.unwrap());
    }
    world.trust(&["127.0.0.1/32"]).await;
    for client in &mut clients {
        assert!(!client.lives().await);
    }
    assert!(world.visit("127.0.0.1", PRIMARY).await.is_some());
    world.end().await;
}

/// HAProxy matches an IPv4 client against IPv6 networks as well, if it is let.
#[tokio::test]
async fn r026_a_source_of_one_family_lets_in_none_of_the_other() {
    let mut world = World::new().await;
    let port = world.listener(REPLICA).port();
    world.spec.listeners[1].1 = SocketAddr::new("::1".parse().unwrap(), port);
    world.ensure(&["::/0"]).await.unwrap();
    world.route(1, &[(PRIMARY, 0), (REPLICA, 1)]).await.unwrap();
    assert!(world.visit("127.0.0.1", PRIMARY).await.is_none());
    let mut v6 = world.visit("::1", REPLICA).await.unwrap();
    assert_eq!((v6.slot, v6.seen_as), (1, world.spec.source));
    world.trust(&["::1/128", "127.0.0.1/32"]).await;
    assert!(v6.lives().await && world.visit("127.0.0.1", PRIMARY).await.is_some());
    world.trust(&["0.0.0.0/0"]).await;
    assert!(!v6.lives().await);
    assert!(world.visit("::1", REPLICA).await.is_none() && world.visit("127.0.0.1", PRIMARY).await.is_some());
    let refused = world.edges.refused(world.spec.datastore).await.unwrap();
    assert_eq!(refused[0].address, "::1".parse::<IpAddr>().unwrap());
    world.end().await;
}
