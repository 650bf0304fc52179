//! Each step of each job, run twice: the second time changes nothing.

use crate::{
    model::{
        drill::{DrillKind, DrillState},
        status::Status,
        topology::Topology,
    },
    server::{
        db,
        domain::membership,
        engine::{Engine, quorum::SyncSet},
        jobs::{kind::JobKind, owner::Owner, steps},
        monitor::spares::{Act, round},
        platform::{ListenerKind, NodeSpec, Platform, Presence, Route},
    },
    tests::world::World,
};
use uuid::Uuid;

/// Claims the next job and does each of its steps twice, as a worker that died between effect and commit would.
async fn twice(world: &World, kind: JobKind) {
    let worker = Uuid::now_v7();
    db::workers::enter(&world.app.db, worker, world.app.host, &Owner::me().unwrap()).await.unwrap();
    let job = db::jobs::claim(&world.app.db, world.app.host, worker).await.unwrap().unwrap();
    assert_eq!(job.kind, kind.id());
    for step in kind.steps() {
        for time in ["first", "second"] {
            steps::run(&world.app, &job, *step).await.unwrap_or_else(|e| panic!("{step}, {time} time: {e:#}"));
        }
    }
    let mut tx = world.app.db.begin().await.unwrap();
    db::jobs::end(&mut tx, job.id, "done", None).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn each_step_of_a_datastore_with_replicas_can_be_done_twice() {
    let world = World::new().await;
    let id = world.ask("orders", |d| (d.allow, d.topology) = ("127.0.0.1/32".into(), "two-replicas".into())).await;
    twice(&world, JobKind::CreateReplicated).await;
    world.until(id, Status::Running).await;
    assert_eq!(world.platform.routes_open(id).await.unwrap().len(), 6, "each node's own, the primary's, two of the replicas'");
    for kind in
        [JobKind::Restart, JobKind::RestartInTurn, JobKind::Revive, JobKind::Rejoin, JobKind::Lead, JobKind::Renew, JobKind::Guard, JobKind::Resync]
    {
        enqueue(&world, id, kind).await;
        twice(&world, kind).await;
        world.until(id, Status::Running).await;
        assert_eq!(world.platform.routes_open(id).await.unwrap().len(), 6, "{kind}");
    }
    let nodes = world.get(id).await.nodes;
    drilled_twice(&world, id).await;
    crate::server::domain::datastore::promote(&world.app, &world.actor, id, nodes[1].id).await.unwrap();
    twice(&world, JobKind::Promote).await;
    is_primary(&world, id, nodes[1].id, 1).await;
    world.platform.set_presence(nodes[1].id, Presence::Dead);
    enqueue(&world, id, JobKind::Failover).await;
    twice(&world, JobKind::Failover).await;
    is_primary(&world, id, nodes[2].id, 2).await;
    enqueue(&world, id, JobKind::Rejoin).await;
    twice(&world, JobKind::Rejoin).await;
    // What is dead is no primary any more; what somebody decided is done whatever was heard.
    world.platform.set_presence(nodes[2].id, Presence::Dead);
    db::observed::datastore(&world.app.db, id, "undecided", "").await.unwrap();
    membership::overrule(&world.app, &world.actor, id, nodes[0].id, "orders").await.unwrap();
    twice(&world, JobKind::Overrule).await;
    is_primary(&world, id, nodes[0].id, 3).await;
    crate::server::domain::datastore::delete(&world.app, &world.actor, id, "orders").await.unwrap();
    twice(&world, JobKind::Delete).await;
    world.until_gone(id).await;
    assert!(world.platform.is_empty());
}

#[tokio::test]
async fn each_step_by_which_nodes_come_and_go_can_be_done_twice() {
    let world = World::new().await;
    let id = world.ask("orders", |d| (d.allow, d.topology, d.durability) = ("127.0.0.1/32".into(), "one-replica".into(), "quorum".into())).await;
    twice(&world, JobKind::CreateReplicated).await;
    let (app, actor) = (&world.app, &world.actor);
    let before = world.until(id, Status::Running).await;
    waits_for(&world, id, &[1], 1).await;

    let added = membership::add(app, actor, id).await.unwrap();
    assert!(membership::add(app, actor, id).await.unwrap_err().to_string().contains("under way"));
    waits_for(&world, id, &[1], 1).await;
    twice(&world, JobKind::AddNode).await;
    waits_for(&world, id, &[1, 2], 1).await;
    let view = world.get(id).await;
    assert_eq!((view.nodes.len(), view.row.topology, view.nodes[2].id), (3, Topology::TwoReplicas, added));
    assert_eq!(view.endpoints, before.endpoints, "addresses stay");
    assert!(membership::add(app, actor, id).await.unwrap_err().to_string().contains("cannot have more"));

    let old = view.nodes[1].id;
    let new = membership::replace(app, actor, id, old).await.unwrap();
    twice(&world, JobKind::ReplaceNode).await;
    let view = world.get(id).await;
    assert!(view.nodes.iter().all(|n| n.id != old) && view.nodes.iter().any(|n| n.id == new) && view.nodes.len() == 3, "{view:#?}");
    waits_for(&world, id, &[2, 3], 1).await;
    assert!(membership::replace(app, actor, id, view.nodes[0].id).await.unwrap_err().to_string().contains("primary"));

    membership::remove(app, actor, id, new).await.unwrap();
    twice(&world, JobKind::RemoveNode).await;
    waits_for(&world, id, &[2], 1).await;
    assert_eq!(world.get(id).await.row.topology, Topology::OneReplica);
    assert!(membership::remove(app, actor, id, added).await.unwrap_err().to_string().contains("last replica"));

    membership::set_durability(app, actor, id, "asynchronous").await.unwrap();
    twice(&world, JobKind::Resync).await;
    waits_for(&world, id, &[], 0).await;
    membership::remove(app, actor, id, added).await.unwrap();
    twice(&world, JobKind::RemoveNode).await;
    let alone = world.get(id).await;
    assert_eq!((alone.nodes.len(), alone.row.topology, alone.endpoints.len()), (1, Topology::Single, 1));

    // What was asked for and cannot be done is undone.
    let added = membership::add(app, actor, id).await.unwrap();
    let worker = Uuid::now_v7();
    db::workers::enter(&app.db, worker, app.host, &Owner::me().unwrap()).await.unwrap();
    let job = db::jobs::claim(&app.db, app.host, worker).await.unwrap().unwrap();
    for step in JobKind::AddNode.undo().unwrap() {
        for time in ["first", "second"] {
            steps::run(app, &job, *step).await.unwrap_or_else(|e| panic!("{step}, {time} time: {e:#}"));
        }
    }
    assert!(world.get(id).await.nodes.iter().all(|n| n.id != added));
}

/// Commits of the first slot's node wait for so many of these slots' nodes: as recorded, once, and as its server knows it.
async fn waits_for(world: &World, id: Uuid, slots: &[u8], acks: usize) {
    let plan = db::plan::Plan::load(&world.app.db, id).await.unwrap();
    let mut members: Vec<Uuid> = plan.nodes.iter().filter(|n| slots.contains(&n.slot)).map(|n| n.id).collect();
    members.sort_unstable();
    assert_eq!(plan.sync_sets, [SyncSet { primary: plan.nodes[0].id, members: members.clone(), acks }]);
    assert_eq!(world.engine.0.lock().unwrap().waits_for[&plan.nodes[0].id].members, members);
}

/// A drill that kills, driven by hand: nothing of it is left when it is over.
async fn drilled_twice(world: &World, id: Uuid) {
    let probe: ipnet::IpNet = db::plan::Plan::load(&world.app.db, id).await.unwrap().probe_address().unwrap().into();
    let node = world.get(id).await.nodes[0].id;
    let has_role = || world.engine.0.lock().unwrap().probed.contains(&node);
    crate::server::domain::drill::start(&world.app, &world.actor, id, DrillKind::Kill).await.unwrap();
    twice(world, JobKind::DrillBegin).await;
    assert!(has_role() && world.platform.sources(id).contains(&probe));
    // Nobody drives it yet, so nothing is killed.
    let runs = async || matches!(world.platform.presence(&plan_node(world, id).await).await, Presence::Running { .. });
    enqueue(world, id, JobKind::DrillStrike).await;
    twice(world, JobKind::DrillStrike).await;
    assert!(runs().await, "killed for a drill that nobody drives");
    let worker = Uuid::now_v7();
    db::workers::enter(&world.app.db, worker, world.app.host, &Owner::me().unwrap()).await.unwrap();
    let drill = db::drills::claim(&world.app.db, world.app.host, worker).await.unwrap().unwrap();
    // Its clean-up takes nothing away while it goes on.
    enqueue(world, id, JobKind::DrillEnd).await;
    twice(world, JobKind::DrillEnd).await;
    assert!(has_role() && world.platform.sources(id).contains(&probe));
    enqueue(world, id, JobKind::DrillStrike).await;
    twice(world, JobKind::DrillStrike).await;
    assert!(!runs().await, "the primary lives");
    enqueue(world, id, JobKind::Revive).await;
    twice(world, JobKind::Revive).await;
    let ended = db::drills::Ended { state: DrillState::Done, error: None, outcome: None, primary: Some(0) };
    db::drills::end(&world.app.db, &drill, &ended).await.unwrap();
    enqueue(world, id, JobKind::DrillEnd).await;
    twice(world, JobKind::DrillEnd).await;
    assert!(!has_role() && !world.platform.sources(id).contains(&probe));
    assert_eq!(db::secrets::get(&world.app.db, id, db::secrets::PROBE_PASSWORD).await.unwrap(), None);
    assert_eq!(db::drills::left(&world.app.db, world.app.host, 30).await.unwrap(), []);
}

async fn plan_node(world: &World, id: Uuid) -> NodeSpec {
    let plan = db::plan::Plan::load(&world.app.db, id).await.unwrap();
    plan.node_spec(&plan.nodes[0])
}

/// This node alone takes writes, and the endpoint leads to it, after so many promotions.
async fn is_primary(world: &World, id: Uuid, node: Uuid, promotions: i64) {
    let view = world.get(id).await;
    let primaries: Vec<_> = view.nodes.iter().filter(|n| n.role == "primary").map(|n| n.id).collect();
    assert_eq!(primaries, [node]);
    let plan = db::plan::Plan::load(&world.app.db, id).await.unwrap();
    assert_eq!((plan.epoch, plan.wanted_primary), (promotions + 1, None));
    let mut writable = Vec::new();
    for planned in &plan.nodes {
        let health = world.engine.check(&*world.platform, &plan.node_spec(planned)).await;
        writable.extend(health.is_ok_and(|health| health.writable).then_some(planned.id));
    }
    assert_eq!(writable, [node]);
    let slot = plan.nodes.iter().find(|n| n.id == node).unwrap().slot;
    let open = world.platform.routes_open(id).await.unwrap();
    let led: Vec<_> = open.iter().filter(|route| route.listener == ListenerKind::Primary).map(|route| route.slot).collect();
    assert_eq!(led, [slot]);
}

async fn enqueue(world: &World, id: Uuid, kind: JobKind) {
    let mut tx = world.app.db.begin().await.unwrap();
    let job = db::jobs::NewJob { project: world.actor.me.project, datastore: id, host: world.app.host, kind, requested_by: None, request_id: None };
    db::jobs::enqueue(&mut tx, job).await.unwrap();
    tx.commit().await.unwrap();
}

/// One spare whose preparation waits.
async fn spare(world: &World) -> Uuid {
    assert!(matches!(round(&world.app, 1, true).await.unwrap(), Some(Act::Make(_))));
    let mut tx = world.app.db.begin().await.unwrap();
    db::spares::all(&mut tx, world.app.host).await.unwrap()[0].id
}

#[tokio::test]
async fn each_step_of_each_job_can_be_done_twice() {
    let world = World::new().await;
    let id = world.ask("orders", |d| d.allow = "127.0.0.1/32".into()).await;
    twice(&world, JobKind::Create).await;
    let view = world.until(id, Status::Running).await;
    let ca = view.ca.clone().unwrap();
    for kind in [JobKind::Restart, JobKind::Trust, JobKind::Heal, JobKind::Lead, JobKind::Renew, JobKind::Guard] {
        enqueue(&world, id, kind).await;
        twice(&world, kind).await;
        let now = world.until(id, Status::Running).await;
        assert_eq!(now.endpoints, view.endpoints, "{kind}: addresses stay");
        assert_eq!(now.ca.unwrap().fingerprint, ca.fingerprint, "{kind}: the CA stays");
        assert!(world.platform.routes_open(id).await.unwrap().contains(&Route { listener: ListenerKind::Primary, slot: 0 }), "{kind}");
    }
    {
        let state = world.engine.0.lock().unwrap();
        assert_eq!(state.users[&view.nodes[0].id].len(), 1);
        assert_eq!(state.databases[&view.nodes[0].id].len(), 1);
    }
    let spare = spare(&world).await;
    twice(&world, JobKind::Prepare).await;
    let mut tx = world.app.db.begin().await.unwrap();
    let spares = db::spares::all(&mut tx, world.app.host).await.unwrap();
    assert!(spares.len() == 1 && spares[0].id == spare && !spares[0].busy && !spares[0].failed, "{spares:?}");
    tx.commit().await.unwrap();
    round(&world.app, 0, false).await.unwrap();
    twice(&world, JobKind::Delete).await;
    crate::server::domain::datastore::delete(&world.app, &world.actor, id, "orders").await.unwrap();
    twice(&world, JobKind::Delete).await;
    world.until_gone(id).await;
    assert!(world.platform.is_empty());
}
