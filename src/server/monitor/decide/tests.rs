//! What is decided, case by case.

use super::*;
use crate::server::engine::Follower;
use time::OffsetDateTime;

const RUNS: Presence = Presence::Running { pid: None };
const BOUND: u64 = 1 << 20;

fn id(slot: u8) -> Uuid {
    Uuid::from_u128(u128::from(slot) + 1)
}

fn health(primary: bool) -> Health {
    let started_at = OffsetDateTime::UNIX_EPOCH;
    Health {
        version: "15.1".into(),
        writable: primary,
        receives: !primary,
        deaf: Duration::ZERO,
        followers: Vec::new(),
        read_only: false,
        started_at,
    }
}

fn node(slot: u8) -> NodeSeen {
    let space = Some(Space { used: 1 << 30, free: 4 << 30 });
    let (primary, answer) = (slot == 0, Some(Ok(health(slot == 0))));
    NodeSeen { id: id(slot), slot, primary, presence: RUNS, answer, silence: Silence::default(), deaf: Duration::ZERO, lag: None, space }
}

fn routes(slots: &[u8]) -> Vec<Route> {
    let listener = |slot| if slot == 0 { ListenerKind::Primary } else { ListenerKind::Replica };
    slots.iter().map(|slot| Route { listener: listener(*slot), slot: *slot }).collect()
}

/// So many nodes, all well, asynchronous.
fn well(nodes: u8) -> Seen {
    let slots: Vec<u8> = (0..nodes).collect();
    let nodes = slots.iter().map(|slot| node(*slot)).collect();
    Seen {
        engine: EngineKind::PostgreSql,
        nodes,
        sync_sets: vec![SyncSet::nobody(id(0))],
        failed: Vec::new(),
        storage: Storage::Ephemeral { gb: 5 },
        edge: RUNS,
        open: Some(routes(&slots)),
        wanted: routes(&slots),
    }
}

/// All are well but the one of this slot; routes are wanted to those that serve.
fn but(nodes: u8, slot: u8, change: impl FnOnce(&mut NodeSeen)) -> Seen {
    changed(well(nodes), slot, change)
}

fn changed(mut seen: Seen, slot: u8, change: impl FnOnce(&mut NodeSeen)) -> Seen {
    change(&mut seen.nodes[usize::from(slot)]);
    let serving: Vec<u8> = seen.nodes.iter().filter(|node| serves(node, seen.open.as_deref(), BOUND)).map(|node| node.slot).collect();
    seen.wanted = routes(&serving);
    seen
}

/// So many nodes, all well, whose commits wait for replicas.
fn quorum(nodes: u8) -> Seen {
    let mut seen = well(nodes);
    let replicas: Vec<Uuid> = (1..nodes).map(id).collect();
    let followers = replicas.iter().map(|node| Follower { node: *node, lag_bytes: 0, synchronous: true }).collect();
    seen.nodes[0].answer = Some(Ok(Health { followers, ..health(true) }));
    seen.sync_sets = vec![SyncSet::any_half(id(0), replicas)];
    seen
}

fn dead(node: &mut NodeSeen) {
    (node.presence, node.answer) = (Presence::Dead, None);
}

fn stopped_for(node: &mut NodeSeen, time: Duration) {
    node.answer = Some(Err("no".into()));
    node.silence = Silence { unanswered: time, stopped: time, idle: time };
}

#[test]
fn status_is_what_was_checked() {
    for nodes in 1..=3 {
        let verdict = decide(&well(nodes));
        assert_eq!((verdict.note.state, verdict.note.detail.as_str(), verdict.intent), ("healthy", PRIMARY, None));
        assert!(verdict.nodes.iter().all(|note| note.state == "healthy") && verdict.nodes.len() == usize::from(nodes));
        let silent = decide(&but(nodes, 0, |node| node.answer = Some(Err("no".into()))));
        assert_eq!((silent.note.state, silent.note.detail.as_str(), silent.intent), ("unreachable", "no", None), "silence is not death");
        assert_eq!(decide(&but(nodes, 0, |node| node.answer = None)).note.state, "unreachable");
        assert_eq!(decide(&but(nodes, 0, |node| node.presence = Presence::Unknown("?".into()))).intent, None);
    }
}

#[test]
fn what_died_is_started_again() {
    let verdict = decide(&but(1, 0, dead));
    assert_eq!((verdict.note.state, verdict.intent), ("down", Some(Intent::Heal("the server stopped"))));
    assert!(decide(&Seen { edge: Presence::Dead, ..well(1) }).intent.is_some());
    assert!(decide(&Seen { open: Some(vec![]), ..well(1) }).intent.is_some(), "an edge that was started again has no route");
    assert!(decide(&Seen { open: None, ..well(1) }).intent.is_none(), "an edge that does not answer at once is not dead");

    let verdict = decide(&but(3, 2, dead));
    assert_eq!((verdict.note.state, verdict.intent), ("degraded", Some(Intent::Lead("the nodes that serve are others"))), "readers first");
    assert_eq!(verdict.note.detail, "answers as primary; node 3: the server's processes are gone");
    assert_eq!(decide(&Seen { open: Some(routes(&[0, 1])), ..but(3, 2, dead) }).intent, Some(Intent::Rejoin("a replica stopped")));
    assert_eq!(decide(&changed(but(2, 0, dead), 1, dead)).intent, Some(Intent::Heal("the server stopped")));
    let leaderless = |node: &mut NodeSeen| (node.presence, node.answer) = (Presence::Leaderless("12 (postgres, S)".into()), None);
    assert_eq!(decide(&but(1, 0, leaderless)).intent, Some(Intent::Heal("the server stopped")), "what is left is killed before");
}

#[test]
fn a_replica_has_more_than_a_primary_that_writes_down_after_it_has_answered() {
    let redis = |seen: Seen| Seen { engine: EngineKind::Redis, ..seen };
    let deaf = |seconds: u64| {
        move |node: &mut NodeSeen| (node.answer, node.deaf) = (Some(Ok(Health { receives: false, ..health(false) })), Duration::from_secs(seconds))
    };
    let failed = |seen: Seen, failed: &[JobKind]| Seen { failed: failed.to_vec(), ..seen };
    let over = Some(Intent::FailOver("the server stopped"));
    let again = Some(Intent::Heal("the server stopped"));
    for nodes in 2..=3 {
        assert_eq!(decide(&redis(but(nodes, 0, dead))).intent, over, "the only copy of the last moments is a replica's");
        assert_eq!(decide(&redis(changed(quorum(nodes), 0, dead))).intent, over, "writes are admitted by replicas, not kept by them");
        assert_eq!(decide(&redis(changed(but(nodes, 0, dead), 1, deaf(1)))).intent, over);
    }
    assert_eq!(decide(&redis(but(1, 0, dead))).intent, again);
    assert_eq!(decide(&redis(changed(but(2, 0, dead), 1, deaf(3)))).intent, again, "it lacks more than the primary will");
    assert_eq!(decide(&redis(changed(but(2, 0, dead), 1, |node| node.deaf = Duration::MAX))).intent, again, "nor one that was started again");
    assert_eq!(decide(&redis(changed(but(2, 0, dead), 1, dead))).intent, again);
    assert_eq!(decide(&redis(changed(changed(but(3, 0, dead), 1, deaf(60)), 2, deaf(0)))).intent, over, "one is enough");
    // Where the primary's own data cannot be had, what a replica has is better than nothing.
    let alone = changed(but(2, 0, dead), 1, deaf(60));
    assert_eq!(decide(&redis(failed(alone, &[JobKind::Revive]))).intent, Some(Intent::FailOver("the primary could not be started again")));
    assert_eq!(decide(&redis(but(2, 0, |node| stopped_for(node, FROZEN)))).intent, Some(Intent::FailOver("the server is frozen")));
    // Nobody is asked to decide about what was never promised.
    assert_eq!(decide(&redis(failed(changed(quorum(2), 0, dead), &[JobKind::Failover]))).note.state, "down");
}

#[test]
fn where_commits_wait_for_replicas_one_takes_over_at_once() {
    assert_eq!(decide(&quorum(3)).intent, None);
    assert_eq!(decide(&changed(quorum(3), 0, dead)).intent, Some(Intent::FailOver("the server stopped")));
    assert_eq!(decide(&but(3, 0, dead)).intent, Some(Intent::Heal("the server stopped")), "asynchronous: starting it again loses nothing");
    assert_eq!(decide(&changed(quorum(2), 0, dead)).intent, Some(Intent::Heal("the server stopped")), "its commits would find no other");
    let one_left = changed(changed(quorum(3), 0, dead), 2, dead);
    assert_eq!(decide(&one_left).intent, Some(Intent::Heal("the server stopped")), "one of two may lack what the other acknowledged");
    // Whoever is heard of the new set alone is not enough for the old one.
    let mut amid = changed(quorum(3), 0, dead);
    amid.sync_sets.insert(0, SyncSet::any_half(id(0), vec![id(1), id(8)]));
    assert_eq!(decide(&amid).intent, Some(Intent::Heal("the server stopped")));
}

#[test]
fn what_cannot_be_started_is_followed_or_waits_for_a_decision() {
    let tried = |seen: Seen, failed: &[JobKind]| Seen { failed: failed.to_vec(), ..seen };
    for nodes in 2..=3 {
        let over = decide(&tried(but(nodes, 0, dead), &[JobKind::Revive]));
        assert_eq!(over.intent, Some(Intent::FailOver("the primary could not be started again")));
    }
    assert_eq!(decide(&tried(but(1, 0, dead), &[JobKind::Heal])).intent, Some(Intent::Heal("the server stopped")), "nobody could take over");
    let undecided = decide(&tried(changed(changed(quorum(3), 0, dead), 2, dead), &[JobKind::Failover]));
    assert_eq!((undecided.note.state, undecided.note.detail.as_str()), ("undecided", UNDECIDED));
    assert_eq!(undecided.intent, Some(Intent::FailOver("the primary could not be started again")), "it is tried on and on");
    assert_eq!(decide(&tried(but(3, 0, dead), &[JobKind::Failover])).note.state, "down", "nothing was promised");
}

#[test]
fn writes_that_find_no_replica_are_told_of() {
    let alone = |failed: &[JobKind]| {
        let mut seen = changed(quorum(2), 1, dead);
        seen.nodes[0].answer = Some(Ok(health(true)));
        (seen.open, seen.failed) = (Some(routes(&[0])), failed.to_vec());
        decide(&seen)
    };
    let waits = alone(&[]);
    assert_eq!((waits.note.state, waits.intent), ("degraded", Some(Intent::Rejoin("a replica stopped"))));
    assert!(waits.note.detail.ends_with("writes wait for 1 of the replicas, 0 follow"), "{}", waits.note.detail);
    assert_eq!((alone(&[JobKind::Rejoin]).note.state, alone(&[JobKind::Rejoin]).note.detail.as_str()), ("undecided", BLOCKED));
}

#[test]
fn a_frozen_server_is_lost_and_a_slow_one_is_not() {
    let frozen = |time| decide(&changed(quorum(3), 0, |node| stopped_for(node, time)));
    assert_eq!(frozen(FROZEN).intent, Some(Intent::FailOver("the server is frozen")));
    assert_eq!((frozen(FROZEN).note.state, frozen(FROZEN).nodes[0].detail.as_str()), ("down", "the server is frozen"));
    assert_eq!(frozen(FROZEN / 2).intent, None);
    assert_eq!(decide(&but(1, 0, |node| stopped_for(node, FROZEN))).intent, Some(Intent::Heal("the server is frozen")));
    assert_eq!(
        decide(&Seen { open: Some(routes(&[0, 1])), ..but(3, 2, |node| stopped_for(node, FROZEN)) }).intent,
        Some(Intent::Rejoin("the server is frozen"))
    );
    let silent = |unanswered, idle| {
        decide(&changed(quorum(3), 0, |node| {
            node.answer = Some(Err("no".into()));
            node.silence = Silence { unanswered, stopped: Duration::ZERO, idle };
        }))
        .intent
    };
    assert_eq!(silent(HUNG * 100, Duration::ZERO), None, "it is busy");
    assert_eq!(silent(HUNG, HUNG), Some(Intent::FailOver("the server hangs")));
    assert_eq!(silent(HUNG, HUNG / 2), None);
}

#[test]
fn silence_counts_from_the_last_answer_and_work_ends_it() {
    let second = Duration::from_secs(1);
    let mut silence = Silence::default();
    for _ in 0..5 {
        silence = silence.after(second, false, Some(Activity::Stopped), false);
    }
    assert_eq!(silence, Silence { unanswered: 5 * second, stopped: 5 * second, idle: 5 * second });
    let goes_on = silence.after(second, false, Some(Activity::Waiting), false);
    assert_eq!((goes_on.stopped, goes_on.idle), (Duration::ZERO, 6 * second));
    assert_eq!(silence.after(second, false, Some(Activity::Waiting), true).idle, Duration::ZERO, "it has used CPU time");
    assert_eq!(silence.after(second, false, Some(Activity::Busy), false).idle, Duration::ZERO);
    assert_eq!(silence.after(second, false, None, false).idle, Duration::ZERO, "what cannot be known is not held against it");
    assert_eq!(silence.after(second, true, None, false), Silence::default());
    assert_eq!(silence.after(Duration::ZERO, false, Some(Activity::Stopped), false), silence, "the monitor itself was late");
}

#[test]
fn endpoints_lead_to_replicas_that_follow_and_to_no_other() {
    let deaf = |node: &mut NodeSeen| {
        node.answer = Some(Ok(Health { receives: false, ..health(false) }));
        node.deaf = DEAF;
    };
    let waits = decide(&but(3, 1, |node| {
        deaf(node);
        node.deaf = DEAF / 2;
    }));
    assert_eq!((waits.note.state, waits.intent), ("healthy", None), "not at once: a primary that restarts is back soon");
    let verdict = decide(&but(3, 1, deaf));
    assert_eq!((verdict.note.state, verdict.nodes[1].state), ("degraded", "unreachable"));
    assert_eq!(verdict.intent, Some(Intent::Lead("the nodes that serve are others")), "readers must not see what is old");
    let led = Seen { open: Some(routes(&[0, 2])), ..but(3, 1, deaf) };
    assert_eq!(decide(&led).intent, None);
    let mut lost = led;
    lost.nodes[1].deaf = LOST;
    assert_eq!(decide(&lost).intent, Some(Intent::Rejoin("a replica has lost the primary")));
    lost.nodes[0].answer = Some(Err("no".into()));
    assert_eq!(decide(&lost).intent, None, "there is nobody to follow");
    assert_eq!(decide(&Seen { open: Some(routes(&[0, 2])), ..well(3) }).intent, Some(Intent::Lead("the nodes that serve are others")));
    assert_eq!(decide(&Seen { open: Some(routes(&[1, 2])), ..well(3) }).note.state, "down", "the primary endpoint is closed");
}

#[test]
fn a_replica_too_far_behind_is_not_read_from_until_it_is_well_within_the_bound() {
    let behind = |lag: u64, open: &[u8]| serves(&NodeSeen { lag: Some(lag), ..node(1) }, Some(&routes(open)), BOUND);
    assert!(behind(BOUND, &[0, 1]) && !behind(BOUND + 1, &[0, 1]));
    assert!(!behind(BOUND, &[0]) && !behind(BOUND / 2 + 1, &[0]) && behind(BOUND / 2, &[0]), "not back and forth");
    assert!(serves(&node(1), None, BOUND), "while the primary is away nobody tells how far it is");
    assert_eq!(decide(&but(2, 1, |node| node.lag = Some(2 * BOUND))).intent, Some(Intent::Lead("the nodes that serve are others")));
}

#[test]
fn a_replica_that_takes_writes_is_never_led_to() {
    let astray = but(2, 1, |node| node.answer = Some(Ok(health(true))));
    assert!(!serves(&astray.nodes[1], None, BOUND));
    let verdict = decide(&astray);
    assert_eq!((verdict.note.state, verdict.nodes[1].state), ("degraded", "unreachable"));
    let closed = Seen { open: Some(routes(&[0])), ..astray };
    assert_eq!(decide(&closed).intent, Some(Intent::Rejoin("a replica takes writes of its own")));
    assert!(!serves(&but(2, 0, |node| node.answer = Some(Ok(health(false)))).nodes[0], None, BOUND), "nor a primary that takes none");
}

#[test]
fn work_that_is_done_by_now_is_given_up_and_what_gave_way_goes_on() {
    let all = [JobKind::Revive, JobKind::Failover, JobKind::Rejoin, JobKind::AddNode, JobKind::Create];
    let seen = Seen { failed: all.to_vec(), ..well(2) };
    assert_eq!(decide(&seen).settled, [JobKind::Revive, JobKind::Failover, JobKind::Rejoin]);
    assert_eq!(decide(&seen).intent, Some(Intent::GoOn(JobKind::AddNode)));
    assert_eq!(decide(&Seen { failed: all.to_vec(), ..but(2, 1, dead) }).settled, [JobKind::Revive, JobKind::Failover]);
    assert!(decide(&Seen { failed: all.to_vec(), ..but(2, 0, dead) }).settled.is_empty());
}

#[test]
fn writes_are_refused_before_the_storage_is_full_and_admitted_again_with_room_to_spare() {
    let now = |mb: u64, read_only: bool| {
        decide(&but(1, 0, |node| {
            node.answer = Some(Ok(Health { read_only, ..health(true) }));
            node.space = Some(Space { used: 0, free: mb << 20 });
        }))
    };
    // A twentieth of 5 GB is 256 MB.
    assert_eq!(now(257, false).intent, None);
    assert_eq!(now(255, false).intent, Some(Intent::Guard("the storage is nearly full")));
    assert_eq!(now(255, true).intent, None);
    assert_eq!(now(511, true).intent, None, "not back and forth");
    assert_eq!(now(513, true).intent, Some(Intent::Guard("the storage has room again")));
    assert!(now(255, true).note.detail.contains("read-only") && !now(513, false).note.detail.contains("read-only"));
    assert_eq!(decide(&but(1, 0, |node| node.space = None)).intent, None, "what was not measured changes nothing");
    let small = Storage::Volume { volume_type: "dynamic".into(), gb: 1 };
    let free = |mb: u64| Space { used: 0, free: mb << 20 };
    assert!(must_be_read_only(&free(127), &small, false) && !must_be_read_only(&free(129), &small, false));
}
