//! Redis with replicas, for real.

use super::{real::Machine, replicas::primary};
use crate::{
    model::{
        datastore::{DatastoreView, EndpointKind},
        drill::{DrillKind, DrillState, Outcome},
        durability::Durability,
        status::Status,
    },
    server::{
        db::{self, plan::Plan},
        domain,
        engine::{Replication, Site},
        platform::Lease,
    },
};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_mins(1);

/// Appends numbers to a list through the primary endpoint, each by a redis-cli of its own, as the shell of a person would.
struct Writer {
    task: tokio::task::JoinHandle<Vec<i64>>,
    stop: Arc<AtomicBool>,
    longest: Arc<Mutex<Duration>>,
}

impl Writer {
    async fn start(machine: &Machine, id: Uuid) -> Self {
        let (stop, longest) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Duration::ZERO)));
        let (stopped, longer) = (stop.clone(), longest.clone());
        let mut command = machine.redis_command(id, EndpointKind::Primary).await;
        let writes = async move {
            let (mut acknowledged, mut last) = (Vec::new(), Instant::now());
            command.args(["-x", "RPUSH", "w"]);
            for n in 0.. {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let mut child = command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
                let mut input = child.stdin.take().unwrap();
                tokio::io::AsyncWriteExt::write_all(&mut input, format!("{n}").as_bytes()).await.unwrap();
                drop(input);
                let Ok(Ok(said)) = tokio::time::timeout(Duration::from_secs(2), child.wait_with_output()).await else { continue };
                if String::from_utf8_lossy(&said.stdout).trim().parse::<i64>().is_ok() {
                    let mut longest = longer.lock().unwrap();
                    *longest = longest.max(last.elapsed());
                    last = Instant::now();
                    acknowledged.push(n);
                }
            }
            acknowledged
        };
        Self { task: tokio::spawn(writes), stop, longest }
    }

    /// How many were acknowledged, which of them are not there any more, and the longest time without one.
    async fn end(self, machine: &Machine, id: Uuid) -> (usize, Vec<i64>, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        let acknowledged = self.task.await.unwrap();
        let there = machine.redis(id, &["LRANGE", "w", "0", "-1"]).await.unwrap();
        let there: BTreeSet<i64> = there.lines().map(|n| n.parse().unwrap()).collect();
        let longest = *self.longest.lock().unwrap();
        (acknowledged.len(), acknowledged.into_iter().filter(|n| !there.contains(n)).collect(), longest)
    }
}

impl Machine {
    async fn replicated_redis(&self, topology: &str, durability: &str) -> (Uuid, DatastoreView) {
        self.replicated_as("redis", topology, durability).await
    }

    pub(super) async fn replicated_as(&self, engine: &str, topology: &str, durability: &str) -> (Uuid, DatastoreView) {
        let id = self
            .ask_for("cache", "127.0.0.1/32", |d| {
                (d.engine, d.flavor, d.volume_gb) = (engine.into(), "1".into(), "1".into());
                (d.topology, d.durability) = (topology.into(), durability.into());
            })
            .await;
        (id, self.until_running(id).await)
    }

    /// Every node says this to the admin user, at its own public address or not: each knows the user.
    pub(super) async fn until_each_says(&self, id: Uuid, words: &[&str], wanted: &str) {
        let plan = Plan::load(&self.app.db, id).await.unwrap();
        for node in &plan.nodes {
            let address = plan.node_spec(node).address;
            let begun = Instant::now();
            loop {
                let mut command = self.redis_command(id, EndpointKind::Primary).await;
                command.args(["-h", &address.ip().to_string(), "-p", &address.port().to_string()]).args(words);
                let said = String::from_utf8(command.output().await.unwrap().stdout).unwrap();
                if said.trim() == wanted {
                    break;
                }
                assert!(begun.elapsed() < PATIENCE, "node {} says {said} instead of {wanted}", node.slot);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    /// What came of a drill, once it is over.
    pub(super) async fn drilled(&self, id: Uuid, drill: Uuid) -> Outcome {
        let begun = Instant::now();
        loop {
            let view = domain::drill::show(&self.app, &self.actor, id, drill).await.unwrap();
            if view.state != DrillState::Running {
                assert_eq!((view.state, view.error.as_deref()), (DrillState::Done, None), "{view:#?}");
                return view.outcome.unwrap();
            }
            assert!(begun.elapsed() < 3 * PATIENCE, "{view:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(super) async fn all_well(&self, id: Uuid, what: impl Fn(&DatastoreView) -> bool) -> DatastoreView {
        self.until_running(id).await;
        self.until(id, |v| what(v) && v.row.status == Status::Running && v.nodes.iter().all(|n| n.status == Status::Running)).await
    }
}

pub(super) fn signal(pid: u32, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

fn slot(view: &DatastoreView, node: Uuid) -> usize {
    view.nodes.iter().position(|n| n.id == node).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn r008_redis_with_replicas_is_read_from_promoted_without_loss_and_deleted() {
    let machine = Machine::new().await;
    let begun = Instant::now();
    let (id, view) = machine.replicated_redis("two-replicas", "asynchronous").await;
    println!(
        "created after {:?}: {:?}",
        begun.elapsed(),
        view.job.as_ref().unwrap().steps.iter().map(|s| (&s.label, s.duration_ms)).collect::<Vec<_>>()
    );
    assert_eq!(view.endpoints.iter().map(|e| e.kind).collect::<Vec<_>>(), [EndpointKind::Primary, EndpointKind::Replica]);
    assert_eq!(machine.redis(id, &["SET", "n", "7"]).await.unwrap(), "OK");
    machine.until_each_says(id, &["GET", "n"], "7").await;
    let reader = async |words: &[&str]| {
        let output = machine.redis_command(id, EndpointKind::Replica).await.args(words).output().await.unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(reader(&["GET", "n"]).await, "7");
    assert!(reader(&["SET", "n", "8"]).await.contains("READONLY"));
    let writer = Writer::start(&machine, id).await;
    for next in [view.nodes[2].id, view.nodes[0].id] {
        tokio::time::sleep(Duration::from_millis(500)).await;
        domain::datastore::promote(&machine.app, &machine.actor, id, next).await.unwrap();
        let now = machine.until(id, |v| primary(v) == next).await;
        assert_eq!(now.endpoints, view.endpoints, "addresses stay");
        machine.all_well(id, |v| primary(v) == next).await;
    }
    let jobs = db::job_views::of_datastore(&machine.app.db, id, 50).await.unwrap();
    for job in jobs.iter().filter(|job| job.label == "Promote a replica") {
        println!("{:?}", job.steps.iter().map(|s| (&s.label, s.duration_ms)).collect::<Vec<_>>());
    }
    let (acknowledged, lost, longest) = writer.end(&machine, id).await;
    println!("{acknowledged} acknowledged over two promotions, longest pause {longest:?}");
    assert!(acknowledged > 20 && lost.is_empty(), "{acknowledged} acknowledged, lost: {lost:?}");
    domain::datastore::restart(&machine.app, &machine.actor, id).await.unwrap();
    machine.all_well(id, |v| v.job.as_ref().is_some_and(|j| j.label == "Restart")).await;
    machine.until_each_says(id, &["GET", "n"], "7").await;
    domain::datastore::delete(&machine.app, &machine.actor, id, "cache").await.unwrap();
    machine.until_gone(id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_primary_that_is_killed_or_frozen_is_followed_at_once_and_comes_back() {
    let machine = Machine::new().await;
    let (id, mut view) = machine.replicated_redis("two-replicas", "asynchronous").await;
    let writer = Writer::start(&machine, id).await;
    for blow in [rustix::process::Signal::KILL, rustix::process::Signal::STOP, rustix::process::Signal::KILL] {
        tokio::time::sleep(Duration::from_millis(700)).await;
        let old = primary(&view);
        *writer.longest.lock().unwrap() = Duration::ZERO;
        signal(machine.server_of(id, slot(&view, old)).await, blow);
        let begun = Instant::now();
        view = machine.all_well(id, |v| primary(v) != old).await;
        println!("{blow:?}: longest pause {:?}, all well after {:?}", writer.longest.lock().unwrap(), begun.elapsed());
    }
    // A replica.
    let replica = view.nodes.iter().position(|n| n.role == "replica").unwrap();
    signal(machine.server_of(id, replica).await, rustix::process::Signal::KILL);
    machine.until(id, |v| v.row.status == Status::Degraded).await;
    machine.all_well(id, |v| primary(v) == primary(&view)).await;
    let (acknowledged, lost, _) = writer.end(&machine, id).await;
    println!("{acknowledged} acknowledged, {} lost", lost.len());
    // One is in flight at a time, and it is sent to replicas before the next begins: of three blows, three may be lost.
    assert!(acknowledged > 30 && lost.len() <= 3, "{acknowledged} acknowledged, lost: {lost:?}");
    machine.until_each_says(id, &["LLEN", "w"], &machine.redis(id, &["LLEN", "w"]).await.unwrap()).await;
    let events = domain::activity::of_datastore(&machine.app, &machine.actor, id).await.unwrap().events;
    assert_eq!(events.iter().filter(|e| e.action == "Fail over").count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_primary_that_lost_its_data_is_not_followed_into_nothing() {
    let mut machine = Machine::new().await;
    let (id, view) = machine.replicated_redis("one-replica", "asynchronous").await;
    machine.redis(id, &["SET", "n", "7"]).await.unwrap();
    machine.until_each_says(id, &["GET", "n"], "7").await;
    // Nobody sees that the replica was in step: with the next Granary both are dead.
    machine.rest().await;
    let plan = Plan::load(&machine.app.db, id).await.unwrap();
    let lease = Lease { datastore: id, token: db::jobs::next_token(&machine.app.db).await.unwrap() };
    for node in &plan.nodes {
        machine.platform().fence(lease, &plan.node_spec(node)).await.unwrap();
    }
    let data = machine.platform().paths(&plan.node_spec(&plan.nodes[0])).data;
    std::fs::remove_dir_all(data.join("appendonlydir")).unwrap();
    machine.start_again().await;
    machine.all_well(id, |v| primary(v) == view.nodes[1].id).await;
    assert_eq!(machine.redis(id, &["GET", "n"]).await.unwrap(), "7");
    machine.until_each_says(id, &["GET", "n"], "7").await;
    // A replica keeps its data while there is no primary to copy.
    machine.rest().await;
    let (primary, replica) = (plan.node_spec(&plan.nodes[1]), plan.node_spec(&plan.nodes[0]));
    let lease = Lease { datastore: id, token: db::jobs::next_token(&machine.app.db).await.unwrap() };
    machine.platform().fence(lease, &primary).await.unwrap();
    let (engine, programs) = (machine.app.engine(plan.engine).unwrap(), machine.app.programs(&plan.region, plan.engine, &plan.version).unwrap());
    let replicating: &dyn Replication = engine.replication().unwrap();
    for anew in [false, true] {
        let site = Site { platform: machine.platform(), lease, node: &replica, programs };
        let error = format!("{:#}", replicating.rejoin(site, &primary, anew).await.unwrap_err());
        assert!(error.contains("nothing was changed") && data.join("appendonlydir").exists(), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_redis_are_added_replaced_and_removed_and_writes_need_one_in_step() {
    let machine = Machine::new().await;
    let id = machine.ask_for("cache", "127.0.0.1/32", |d| (d.engine, d.flavor, d.volume_gb) = ("redis".into(), "1".into(), "1".into())).await;
    machine.until_running(id).await;
    machine.redis(id, &["SET", "n", "7"]).await.unwrap();
    let (app, actor) = (&machine.app, &machine.actor);
    for nodes in [2, 3] {
        domain::membership::add(app, actor, id).await.unwrap();
        machine.all_well(id, |v| v.nodes.len() == nodes && v.nodes.iter().all(|n| !n.in_transit)).await;
    }
    machine.until_each_says(id, &["GET", "n"], "7").await;
    domain::membership::set_durability(app, actor, id, Durability::Quorum.id()).await.unwrap();
    let view = machine.all_well(id, |v| v.durability == Durability::Quorum && v.job.as_ref().is_some_and(|j| j.label.contains("commits"))).await;
    let new = domain::membership::replace(app, actor, id, view.nodes[1].id).await.unwrap();
    let view = machine.all_well(id, |v| v.nodes.len() == 3 && v.nodes.iter().any(|n| n.id == new && !n.in_transit)).await;
    machine.until_each_says(id, &["GET", "n"], "7").await;
    assert_eq!(machine.redis(id, &["SET", "n", "8"]).await.unwrap(), "OK");

    // A failover of it: the one that is left is found in step before writes are admitted.
    let old = primary(&view);
    signal(machine.server_of(id, slot(&view, old)).await, rustix::process::Signal::KILL);
    let view = machine.all_well(id, |v| primary(v) != old).await;
    let begun = Instant::now();
    while machine.redis(id, &["SET", "n", "9"]).await.is_err() {
        assert!(begun.elapsed() < PATIENCE);
    }
    machine.until_each_says(id, &["GET", "n"], "9").await;
    let gone = view.nodes.iter().find(|n| n.role == "replica").unwrap().id;
    domain::membership::remove(app, actor, id, gone).await.unwrap();
    machine.all_well(id, |v| v.nodes.len() == 2).await;
    assert_eq!(machine.redis(id, &["SET", "n", "10"]).await.unwrap(), "OK");
    let last = domain::datastore::get(app, actor, id).await.unwrap().nodes.iter().find(|n| n.role == "replica").unwrap().id;
    let refused = domain::membership::remove(app, actor, id, last).await.unwrap_err().to_string();
    assert!(refused.contains("last replica"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn drills_of_redis_measure_and_leave_nothing() {
    let machine = Machine::new().await;
    let (id, _) = machine.replicated_redis("two-replicas", "asynchronous").await;
    let keys = machine.redis(id, &["-n", "15", "DBSIZE"]).await.unwrap();
    for kind in [DrillKind::Promotion, DrillKind::Kill] {
        let drill = domain::drill::start(&machine.app, &machine.actor, id, kind).await.unwrap();
        let begun = Instant::now();
        let outcome = machine.drilled(id, drill).await;
        let over = domain::drill::show(&machine.app, &machine.actor, id, drill).await.unwrap();
        println!("{kind:?}: {} ms without writes, {} acknowledged, lost {:?}", outcome.pause_ms, outcome.acknowledged, outcome.lost);
        assert!(outcome.reconnects >= 1 && outcome.acknowledged > 30, "{outcome:?}");
        assert_ne!(over.after, over.before, "another leads");
        if kind == DrillKind::Promotion {
            assert_eq!(outcome.lost, Some(0));
        } else {
            // What was in flight at the kill.
            assert!(outcome.lost.is_some_and(|lost| lost <= 2), "{outcome:?}");
        }
        let uncleaned = "SELECT count(*) FROM drills WHERE datastore_id = $1 AND cleaned_at IS NULL";
        while sqlx::query_scalar::<_, i64>(uncleaned).bind(id).fetch_one(&machine.app.db).await.unwrap() > 0 {
            assert!(begun.elapsed() < 3 * PATIENCE, "it is not tidied up");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        machine.all_well(id, |_| true).await;
        let plan = Plan::load(&machine.app.db, id).await.unwrap();
        for node in &plan.nodes {
            let users = machine.platform().paths(&plan.node_spec(node)).data.join("users.acl");
            assert!(!std::fs::read_to_string(users).unwrap().contains("user granary_probe "), "node {} knows the probe still", node.slot);
        }
        assert_eq!(machine.redis(id, &["-n", "15", "DBSIZE"]).await.unwrap(), keys);
    }
}
