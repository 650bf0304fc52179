//! The edge's process: its start, its death, its end.

use super::*;

#[tokio::test]
async fn a_killed_edge_comes_back_with_every_route_closed() {
    let world = World::new().await;
    world.ensure(&["127.0.0.0/8"]).await.unwrap();
    world.route(5, &[(PRIMARY, 0)]).await.unwrap();
    let first = world.pid().await;
    kill(first);
    assert!(world.route(6, &[(PRIMARY, 1)]).await.unwrap_err().to_string().contains("does not run"));
    assert!(world.open().await.is_empty() && world.edges.refused(world.spec.datastore).await.unwrap().is_empty());

    world.ensure(&["127.0.0.1/32"]).await.unwrap();
    assert_ne!(world.pid().await, first);
    assert!(world.open().await.is_empty() && world.visit("127.0.0.1", PRIMARY).await.is_none());
    assert!(world.route(4, &[(PRIMARY, 0)]).await.is_err(), "the epoch is remembered");
    world.route(5, &[(PRIMARY, 0)]).await.unwrap();
    assert!(world.visit("127.0.0.1", PRIMARY).await.is_some() && world.visit("127.0.0.2", PRIMARY).await.is_none());
    world.end().await;
}

#[tokio::test]
async fn ensured_twice_it_is_one_process_and_keeps_its_sessions() {
    let world = World::new().await;
    world.ensure(&["127.0.0.0/8"]).await.unwrap();
    let pid = world.pid().await;
    world.route(1, &[(PRIMARY, 0)]).await.unwrap();
    let mut client = world.visit("127.0.0.1", PRIMARY).await.unwrap();
    world.ensure(&["127.0.0.0/8"]).await.unwrap();
    assert_eq!((world.pid().await, world.open().await), (pid, routes_of(&[(PRIMARY, 0)])));
    assert!(client.lives().await);
    world.end().await;
}

#[tokio::test]
async fn an_edge_that_lost_its_socket_is_replaced() {
    let world = World::new().await;
    world.ensure(&[]).await.unwrap();
    let pid = world.pid().await;
    std::fs::remove_file(world.edges.edge(world.spec.datastore).room.socket()).unwrap();
    world.ensure(&[]).await.unwrap();
    assert_ne!(world.pid().await, pid);
    world.end().await;
}

#[tokio::test]
async fn an_edge_that_hangs_is_an_error_in_time_and_is_left_alone() {
    let world = World::new().await;
    world.ensure(&[]).await.unwrap();
    let pid = world.pid().await;
    let signal = |signal| rustix::process::kill_process(rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap(), signal).unwrap();
    signal(rustix::process::Signal::STOP);
    let begun = std::time::Instant::now();
    assert!(world.edges.routes_open(world.spec.datastore).await.is_err());
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert!(world.ensure(&[]).await.is_err());
    signal(rustix::process::Signal::CONT);
    world.ensure(&[]).await.unwrap();
    assert_eq!(world.pid().await, pid);
    world.end().await;
}

#[tokio::test]
async fn a_taken_address_is_named_and_nothing_stays() {
    let world = World::new().await;
    let taken = world.listener(REPLICA);
    let other = TcpListener::bind(taken).await.unwrap();
    let error = world.ensure(&[]).await.unwrap_err().to_string();
    assert!(error.contains(&format!("cannot listen on {taken} (Address already in use)")), "{error}");
    assert_eq!(world.edges.presence(world.spec.datastore).await, Presence::Dead);
    drop(other);
    world.ensure(&[]).await.unwrap();

    let mut second = world.spec.clone();
    second.datastore = Uuid::new_v4();
    world.edges.dirs.datastore(second.datastore).ensure().unwrap();
    let error = world.edges.ensure(&second, &[]).await.unwrap_err().to_string();
    assert!(error.contains(&taken.to_string()), "two edges never share an address: {error}");
    world.edges.destroy(second.datastore).await.unwrap();
    world.end().await;
}

#[tokio::test]
async fn a_missing_program_is_said() {
    let mut world = World::new().await;
    world.edges.programs = vec!["/nonexistent/haproxy".into()];
    let error = world.ensure(&[]).await.unwrap_err().to_string();
    assert!(error.starts_with("HAProxy is not installed: there is no haproxy in /nonexistent."), "{error}");
    world.end().await;
}

#[tokio::test]
async fn destroyed_nothing_of_it_is_left() {
    let world = World::new().await;
    world.ensure(&["127.0.0.1/32"]).await.unwrap();
    let pid = world.pid().await;
    let room = world.edges.edge(world.spec.datastore).room;
    assert!(room.own.path().exists() && room.socket().exists());
    world.edges.destroy(world.spec.datastore).await.unwrap();
    assert!(!crate::server::platform::local::proc::lives(pid));
    assert!(!room.own.path().exists() && !room.sockets.path().exists());
    let free = TcpListener::bind(world.listener(PRIMARY)).await.unwrap();
    drop(free);
    world.edges.destroy(world.spec.datastore).await.unwrap();
    world.end().await;
}
