//! What happens when servers of a datastore with replicas die or freeze, for real.

use super::{real::Machine, replicas::primary, writer::Writer};
use crate::{
    model::{datastore::DatastoreView, status::Status},
    server::{db::plan::Plan, domain},
};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Everything of a slot's node, as its platform counts it.
async fn processes(machine: &Machine, id: Uuid, slot: usize) -> Vec<u32> {
    let first = machine.server_of(id, slot).await;
    let parent = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse::<u32>().ok()
    };
    let all = std::fs::read_dir("/proc").unwrap().filter_map(|e| e.ok()?.file_name().to_str()?.parse::<u32>().ok());
    [first].into_iter().chain(all.filter(|pid| parent(*pid) == Some(first))).collect()
}

fn signal(pids: &[u32], signal: rustix::process::Signal) {
    for pid in pids {
        let pid = rustix::process::Pid::from_raw(i32::try_from(*pid).unwrap()).unwrap();
        // One may have ended by itself meanwhile.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

impl Machine {
    fn slot(view: &DatastoreView, node: Uuid) -> usize {
        view.nodes.iter().position(|n| n.id == node).unwrap()
    }

    /// Waits until another node is the primary and all is well again.
    async fn until_led_by_another(&self, id: Uuid, than: Uuid) -> DatastoreView {
        self.until(id, |v| primary(v) != than && v.row.status == Status::Running && v.nodes.iter().all(|n| n.status == Status::Running)).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_write_is_lost_when_the_whole_primary_is_killed_or_frozen() {
    Machine::with_newest_and_oldest(async |machine| {
        let (id, mut view) = machine.replicated("two-replicas").await;
        // Commits wait for any of the two, once both have caught up.
        let synchronous = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'quorum'";
        let begun = Instant::now();
        while machine.session_of(id, 0, synchronous).await != 2 {
            assert!(begun.elapsed() < Duration::from_secs(20), "commits do not find both replicas");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let writer = Writer::start(machine, id).await;
        for blow in [rustix::process::Signal::KILL, rustix::process::Signal::STOP, rustix::process::Signal::KILL] {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let old = primary(&view);
            let pids = processes(machine, id, Machine::slot(&view, old)).await;
            writer.begin();
            let begun = Instant::now();
            signal(&pids, blow);
            view = machine.until_led_by_another(id, old).await;
            println!("{blow:?}: longest pause {:?}, all well after {:?}", writer.longest(), begun.elapsed());
        }
        let (acknowledged, lost, _) = writer.end(machine, id).await;
        assert!(acknowledged > 50 && lost.is_empty(), "{acknowledged} acknowledged, lost: {lost:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_postmaster_alone_is_replaced_and_a_frozen_replica_comes_back() {
    let machine = Machine::new().await;
    let (id, view) = machine.replicated("two-replicas").await;
    let (old, writer) = (primary(&view), Writer::start(&machine, id).await);
    signal(&[machine.server_of(id, 0).await], rustix::process::Signal::STOP);
    let view = machine.until_led_by_another(id, old).await;
    let replica = view.nodes.iter().position(|n| n.role == "replica").unwrap();
    signal(&processes(&machine, id, replica).await, rustix::process::Signal::STOP);
    machine.until(id, |v| v.row.status == Status::Degraded).await;
    let now = machine.until_running(id).await;
    assert_eq!(primary(&now), primary(&view));
    let (acknowledged, lost, _) = writer.end(&machine, id).await;
    assert!(acknowledged > 50 && lost.is_empty(), "{acknowledged} acknowledged, lost: {lost:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_freezes_during_a_copy_is_seen_to_and_the_copy_is_made_then() {
    let machine = Machine::new().await;
    let (id, view) = machine.replicated("two-replicas").await;
    machine.psql(id, "create table large as select repeat('x', 900) from generate_series(1, 100000)").await.unwrap();
    let (leaves, writer) = (view.nodes[2].id, Writer::start(&machine, id).await);
    let new = domain::membership::replace(&machine.app, &machine.actor, id, leaves).await.unwrap();
    machine.until(id, |v| v.job.as_ref().is_some_and(|job| job.steps.iter().any(|s| s.label == "Copy the data to the replicas"))).await;
    writer.begin();
    signal(&processes(&machine, id, 0).await, rustix::process::Signal::STOP);
    let now = machine.until(id, |v| v.row.status == Status::Running && v.nodes.iter().all(|n| n.id != leaves)).await;
    assert!(now.nodes.len() == 3 && now.nodes.iter().any(|n| n.id == new), "{now:#?}");
    // A copy of what stands still would wait for hours.
    println!("longest pause {:?}", writer.longest());
    assert!(writer.longest() < Duration::from_secs(45), "writers waited for the copy: {:?}", writer.longest());
    let (acknowledged, lost, _) = writer.end(&machine, id).await;
    assert!(acknowledged > 50 && lost.is_empty(), "{acknowledged} acknowledged, lost: {lost:?}");
}

/// A server that can never be started again.
async fn destroy(machine: &Machine, id: Uuid, slot: usize) {
    let plan = Plan::load(&machine.app.db, id).await.unwrap();
    let cluster = machine.platform().paths(&plan.node_spec(&plan.nodes[slot])).data.join("pgdata");
    std::fs::remove_file(cluster.join("global/pg_control")).unwrap();
    signal(&processes(machine, id, slot).await, rustix::process::Signal::KILL);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_too_few_left_writes_wait_for_a_decision() {
    let machine = Machine::new().await;
    let (id, view) = machine.replicated("two-replicas").await;
    machine.psql(id, "create table t (n int); insert into t values (1)").await.unwrap();
    destroy(&machine, id, 2).await;
    destroy(&machine, id, 0).await;
    let undecided = machine.until(id, |v| v.row.status == Status::NeedsDecision).await;
    assert!(undecided.detail.contains("not enough replicas are left"), "{}", undecided.detail);
    assert_eq!(primary(&undecided), view.nodes[0].id, "nobody was promoted");
    assert!(machine.psql(id, "insert into t values (2)").await.is_err());
    let refused = domain::datastore::promote(&machine.app, &machine.actor, id, view.nodes[1].id).await;
    assert!(refused.is_err(), "a planned promotion needs a primary");
    domain::membership::overrule(&machine.app, &machine.actor, id, view.nodes[1].id, "orders").await.unwrap();
    machine.until(id, |v| primary(v) == view.nodes[1].id && !matches!(v.row.status, Status::NeedsDecision | Status::Down)).await;
    let now = machine.until_running(id).await;
    assert!(now.nodes.iter().all(|n| n.status == Status::Running), "both were copied anew: {now:#?}");
    machine.psql(id, "insert into t values (2)").await.unwrap();
    machine.until_read(id, "select count(*) from t", "2").await;
}
