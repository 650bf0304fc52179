//! MariaDB with replicas, for real.

use super::{real::Machine, replicas::primary};
use crate::{
    model::{
        datastore::{DatastoreView, EndpointKind},
        drill::{DrillKind, DrillState},
        status::Status,
    },
    server::{db::plan::Plan, domain},
};
use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_mins(1);

impl Machine {
    async fn replicated_mariadb(&self, topology: &str, durability: &str) -> (Uuid, DatastoreView) {
        let ask = self.ask_for("shop", "127.0.0.1/32", |d| {
            (d.engine, d.flavor, d.volume_gb) = ("mariadb".into(), "1".into(), "1".into());
            (d.topology, d.durability) = (topology.into(), durability.into());
        });
        let id = ask.await;
        (id, self.until_running(id).await)
    }

    async fn on_primary(&self, id: Uuid, sql: &str) -> Result<String, String> {
        self.mariadb(id, EndpointKind::Primary, sql).await
    }

    /// What a reader of the replica endpoint sees, once it is this.
    async fn until_replica_says(&self, id: Uuid, sql: &str, wanted: &str) {
        let begun = Instant::now();
        loop {
            let says = self.mariadb(id, EndpointKind::Replica, sql).await;
            if says.as_deref() == Ok(wanted) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{says:?} instead of {wanted}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Writes numbers one by one while `act` goes on, and returns those that were acknowledged and the longest pause between two.
    async fn while_somebody_writes(&self, id: Uuid, act: impl Future<Output = ()>) -> (Vec<u32>, Duration) {
        self.on_primary(id, "CREATE TABLE IF NOT EXISTS w (n INT PRIMARY KEY)").await.unwrap();
        let (over, written) = (AtomicBool::new(false), Mutex::new((Vec::new(), Duration::ZERO)));
        let write = async {
            let (mut n, mut last) = (0, Instant::now());
            while !over.load(Ordering::Relaxed) {
                n += 1;
                if self.on_primary(id, &format!("INSERT INTO w VALUES ({n})")).await.is_ok() {
                    let mut written = written.lock().unwrap();
                    written.0.push(n);
                    written.1 = written.1.max(last.elapsed());
                    last = Instant::now();
                }
            }
        };
        let act = async {
            act.await;
            tokio::time::sleep(Duration::from_millis(500)).await;
            over.store(true, Ordering::Relaxed);
        };
        tokio::join!(write, act);
        written.into_inner().unwrap()
    }

    async fn lost(&self, id: Uuid, acknowledged: &[u32]) -> Vec<u32> {
        let there = self.on_primary(id, "SELECT n FROM w").await.unwrap();
        let there: std::collections::BTreeSet<u32> = there.lines().map(|n| n.parse().unwrap()).collect();
        acknowledged.iter().copied().filter(|n| !there.contains(n)).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r008_replicas_of_mariadb_follow_and_what_dies_comes_back() {
    let machine = Machine::new().await;
    let begun = Instant::now();
    let (id, view) = machine.replicated_mariadb("two-replicas", "quorum").await;
    println!("created in {:?}: {:?}", begun.elapsed(), view.job.unwrap().steps.iter().map(|s| (s.label.clone(), s.duration_ms)).collect::<Vec<_>>());
    assert_eq!(view.nodes.iter().map(|n| n.role.as_str()).collect::<Vec<_>>(), ["primary", "replica", "replica"]);
    machine.on_primary(id, "CREATE TABLE t (n INT); INSERT INTO t VALUES (1)").await.unwrap();
    machine.until_replica_says(id, "SELECT count(*) FROM t", "1").await;
    let refused = machine.mariadb(id, EndpointKind::Replica, "INSERT INTO t VALUES (2)").await.unwrap_err();
    assert!(refused.contains("--read-only"), "{refused}");
    let followed = machine.until(id, |v| v.nodes.iter().filter(|n| n.lag.is_some()).count() == 2).await;
    assert!(followed.nodes.iter().all(|n| n.status == Status::Running), "{followed:#?}");

    // A replica.
    let replica = machine.server_of(id, 1).await;
    Machine::kill(replica);
    machine.on_primary(id, "INSERT INTO t VALUES (2)").await.unwrap();
    machine.until_done(id, "Bring replicas back", 1).await;
    assert_ne!(machine.server_of(id, 1).await, replica);
    machine.until_replica_says(id, "SELECT count(*) FROM t", "2").await;

    // The primary.
    let begun = Instant::now();
    Machine::kill(machine.server_of(id, 0).await);
    while machine.on_primary(id, "INSERT INTO t VALUES (3)").await.is_err() {
        assert!(begun.elapsed() < PATIENCE);
    }
    println!("writes again {:?} after the kill", begun.elapsed());
    machine.until_running(id).await;
    machine.until_replica_says(id, "SELECT count(*) FROM t", "3").await;

    // All, on request.
    domain::datastore::restart(&machine.app, &machine.actor, id).await.unwrap();
    machine.until_done(id, "Restart", 1).await;
    machine.on_primary(id, "INSERT INTO t VALUES (4)").await.unwrap();
    machine.until_replica_says(id, "SELECT count(*) FROM t", "4").await;
    domain::datastore::delete(&machine.app, &machine.actor, id, "shop").await.unwrap();
    machine.until_gone(id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn planned_promotions_of_mariadb_lose_no_acknowledged_row() {
    let machine = Machine::new().await;
    let (id, view) = machine.replicated_mariadb("two-replicas", "quorum").await;
    let (first, second) = (primary(&view), view.nodes[2].id);
    let promote = async {
        for (times, next) in [(1, second), (2, first)] {
            tokio::time::sleep(Duration::from_millis(500)).await;
            domain::datastore::promote(&machine.app, &machine.actor, id, next).await.unwrap();
            machine.until_done(id, "Promote a replica", times).await;
            let now = machine.until(id, |v| v.nodes.iter().filter(|n| n.role == "replica" && n.status == Status::Running).count() == 2).await;
            assert_eq!(primary(&now), next);
            assert_eq!(now.endpoints, view.endpoints, "addresses stay");
        }
    };
    let (acknowledged, longest) = Box::pin(machine.while_somebody_writes(id, promote)).await;
    println!("{} rows acknowledged over two promotions, longest pause {longest:?}", acknowledged.len());
    let lost = machine.lost(id, &acknowledged).await;
    assert!(acknowledged.len() > 20 && lost.is_empty(), "{} acknowledged, lost: {lost:?}", acknowledged.len());
    machine.until_replica_says(id, "SELECT count(*) > 0 FROM w", "1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mariadb_primary_that_cannot_be_started_again_is_followed_by_a_replica_without_loss() {
    let machine = Machine::new().await;
    let (id, view) = machine.replicated_mariadb("two-replicas", "quorum").await;
    let plan = Plan::load(&machine.app.db, id).await.unwrap();
    let tables = machine.platform().paths(&plan.node_spec(&plan.nodes[0])).data.join("mariadb");
    let strike = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        std::fs::remove_file(tables.join("ibdata1")).unwrap();
        Machine::kill(machine.server_of(id, 0).await);
        machine.until_done(id, "Fail over to a replica", 1).await;
        machine.until(id, |v| v.nodes.iter().all(|n| n.status == Status::Running)).await;
    };
    let (acknowledged, longest) = Box::pin(machine.while_somebody_writes(id, strike)).await;
    println!("{} rows acknowledged over a failover, longest pause {longest:?}", acknowledged.len());
    let lost = machine.lost(id, &acknowledged).await;
    assert!(acknowledged.len() > 10 && lost.is_empty(), "{} acknowledged, lost: {lost:?}", acknowledged.len());
    let now = machine.until_running(id).await;
    assert_ne!(primary(&now), primary(&view));
    assert_eq!(now.endpoints, view.endpoints);
    machine.until_replica_says(id, "SELECT count(*) > 0 FROM w", "1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_of_mariadb_reports_what_was_lost_and_leaves_nothing() {
    let machine = Machine::new().await;
    let (id, _) = machine.replicated_mariadb("two-replicas", "quorum").await;
    for kind in DrillKind::ALL {
        let drill = machine.drill(id, kind).await;
        let over = machine.until_over(id, drill).await;
        assert_eq!((over.state, over.error.as_deref()), (DrillState::Done, None), "{over:#?}");
        let outcome = over.outcome.unwrap();
        println!("{kind:?}: {outcome:?}");
        assert_eq!(outcome.lost, Some(0));
        assert!(outcome.reconnects >= 1 && outcome.acknowledged > 30, "{outcome:?}");
        machine.until_running(id).await;
    }
    let begun = Instant::now();
    let uncleaned = "SELECT count(*) FROM drills WHERE datastore_id = $1 AND cleaned_at IS NULL";
    while sqlx::query_scalar::<_, i64>(uncleaned).bind(id).fetch_one(&machine.app.db).await.unwrap() > 0 {
        assert!(begun.elapsed() < PATIENCE, "it is not tidied up");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
