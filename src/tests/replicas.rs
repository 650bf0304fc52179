//! Datastores with replicas, for real.

use super::{real::Machine, writer::Writer};
use crate::{
    model::{
        datastore::{DatastoreView, EndpointKind},
        engine::EngineKind,
        job::JobState,
        status::Status,
    },
    server::{
        db::{self, plan::Plan},
        domain,
        engine::Site,
        platform::{Lease, Presence},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_mins(1);

impl Machine {
    /// Does it with the newest and, where there is more than one, the oldest major of PostgreSQL that is installed, each on a
    /// machine of its own.
    pub(super) async fn with_newest_and_oldest(test: impl AsyncFn(&Self)) {
        let app = Self::new().await.app.clone();
        let majors: Vec<_> = app.installed[&("local".to_owned(), EngineKind::PostgreSql)].iter().map(|i| &i.major).collect();
        let oldest = majors[1..].last();
        for major in majors.first().into_iter().chain(oldest) {
            println!("with PostgreSQL {major}");
            let mut machine = Self::new().await;
            machine.major = Some((*major).clone());
            test(&machine).await;
        }
    }

    pub(super) async fn replicated(&self, topology: &str) -> (Uuid, DatastoreView) {
        let id = self.ask_for("orders", "127.0.0.1/32", |d| (d.topology, d.volume_gb) = (topology.to_owned(), "1".to_owned())).await;
        (id, self.until_running(id).await)
    }

    /// What a reader of the replica endpoint sees, once it is this.
    pub(super) async fn until_read(&self, id: Uuid, sql: &str, wanted: &str) {
        let begun = Instant::now();
        loop {
            let says = self.psql_at(id, EndpointKind::Replica, sql).await;
            if says.as_deref() == Ok(wanted) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{says:?} instead of {wanted}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until work of this name was done so many times, and all is well.
    pub(super) async fn until_done(&self, id: Uuid, label: &str, times: usize) {
        let begun = Instant::now();
        loop {
            let jobs = db::job_views::of_datastore(&self.app.db, id, 50).await.unwrap();
            if jobs.iter().filter(|job| job.label == label && job.state == JobState::Done).count() >= times {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "{jobs:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.until_running(id).await;
    }

    /// What Granary's own session on a slot's node counts.
    pub(super) async fn session_of(&self, id: Uuid, slot: usize, sql: &str) -> i64 {
        self.try_session_of(id, slot, sql).await.expect("it counts")
    }

    /// The same; `None` when the server refuses.
    pub(super) async fn try_session_of(&self, id: Uuid, slot: usize, sql: &str) -> Option<i64> {
        let plan = Plan::load(&self.app.db, id).await.unwrap();
        let run = self.platform().paths(&plan.node_spec(&plan.nodes[slot])).run;
        let mut psql = tokio::process::Command::new("psql");
        psql.arg("-h").arg(run).args(["-U", "granary_admin", "-d", "postgres", "-Atc", sql]);
        let output = psql.output().await.unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse().ok()
    }

    /// Which servers the readers of the replica endpoint meet.
    async fn met(&self, id: Uuid) -> BTreeSet<String> {
        let mut met = BTreeSet::new();
        for _ in 0..12 {
            met.insert(self.psql_at(id, EndpointKind::Replica, "select host(inet_server_addr())").await.unwrap());
        }
        met
    }

    pub(super) fn kill(pid: u32) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
}

/// Segments of System V shared memory, and who made and how many hold each.
fn all_shared_memory() -> BTreeMap<u32, (u32, u32)> {
    let list = std::fs::read_to_string("/proc/sysvipc/shm").unwrap();
    let segment = |line: &str| {
        let fields: Vec<u32> =
            line.split_ascii_whitespace().take(7).map_while(|field| field.parse::<i64>().ok()?.unsigned_abs().try_into().ok()).collect();
        let [_, id, _, _, creator, _, held] = fields[..] else { return None };
        Some((id, (creator, held)))
    };
    list.lines().filter_map(segment).collect()
}

/// Those that these processes made, and hold.
fn shared_memory_of(creators: &[u32]) -> BTreeSet<u32> {
    all_shared_memory().into_iter().filter(|(_, (creator, held))| creators.contains(creator) && *held > 0).map(|(id, _)| id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn r008_replicas_follow_and_are_read_from() {
    Machine::with_newest_and_oldest(async |machine| {
        let (id, view) = machine.replicated("two-replicas").await;
        assert_eq!(view.nodes.iter().map(|n| n.role.as_str()).collect::<Vec<_>>(), ["primary", "replica", "replica"]);
        assert_eq!(view.endpoints.iter().map(|e| e.kind).collect::<Vec<_>>(), [EndpointKind::Primary, EndpointKind::Replica]);
        assert_eq!(view.job.unwrap().label, "Create datastore");
        machine.psql(id, "create table t (n int); insert into t values (1)").await.unwrap();
        machine.until_read(id, "select n from t", "1").await;
        let refused = machine.psql_at(id, EndpointKind::Replica, "insert into t values (2)").await.unwrap_err();
        assert!(refused.contains("read-only transaction"), "{refused}");
        assert_eq!(machine.met(id).await.len(), 2, "readers are spread");
        let followed = machine.until(id, |v| v.nodes.iter().filter(|n| n.lag.is_some()).count() == 2).await;
        assert!(followed.nodes.iter().all(|n| n.status == Status::Running), "{followed:#?}");
        // What is replicated crosses the machine's loopback encrypted and by certificate.
        let by_certificate =
            "select count(*) from pg_stat_replication join pg_stat_ssl s using (pid) where s.ssl and s::text like '%granary_replication%'";
        assert_eq!(machine.session_of(id, 0, by_certificate).await, 2);
        let seen = "select count(*) from pg_stat_replication where coalesce(state, client_addr::text) is not null";
        assert_eq!((machine.session_of(id, 0, seen).await, machine.psql(id, seen).await.as_deref()), (2, Ok("0")), "a tenant sees nothing of it");

        let servers = [machine.server_of(id, 0).await, machine.server_of(id, 1).await, machine.server_of(id, 2).await];
        let segments = shared_memory_of(&servers);
        assert_eq!(segments.len(), 3);
        domain::datastore::delete(&machine.app, &machine.actor, id, "orders").await.unwrap();
        machine.until_gone(id).await;
        assert!(segments.is_disjoint(&all_shared_memory().into_keys().collect()), "a machine has room for 4096 segments");
        assert_eq!(std::fs::read_dir(machine.home.path().join("datastores")).unwrap().count(), 0);
        assert_eq!(std::fs::read_dir(machine.home.path().join("volumes")).unwrap().count(), 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r008_what_dies_of_a_datastore_with_replicas_comes_back_and_follows() {
    Machine::with_newest_and_oldest(async |machine| {
        let (id, _) = machine.replicated("one-replica").await;
        machine.psql(id, "create table t (n int); insert into t values (1)").await.unwrap();
        machine.until_read(id, "select n from t", "1").await;

        // A replica.
        let replica = machine.server_of(id, 1).await;
        Machine::kill(replica);
        machine.psql(id, "insert into t values (2)").await.unwrap();
        machine.until_done(id, "Bring replicas back", 1).await;
        assert_ne!(machine.server_of(id, 1).await, replica);
        machine.until_read(id, "select count(*) from t", "2").await;

        // The primary.
        Machine::kill(machine.server_of(id, 0).await);
        machine.until_done(id, "Start the primary again", 1).await;
        machine.psql(id, "insert into t values (3)").await.unwrap();
        machine.until_read(id, "select count(*) from t", "3").await;

        // Both, on request.
        domain::datastore::restart(&machine.app, &machine.actor, id).await.unwrap();
        machine.until_done(id, "Restart", 1).await;
        machine.psql(id, "insert into t values (4)").await.unwrap();
        machine.until_read(id, "select count(*) from t", "4").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r008_a_replica_that_hears_nothing_is_not_read_from_and_then_again() {
    let machine = Machine::new().await;
    let (id, _) = machine.replicated("two-replicas").await;
    assert_eq!(machine.met(id).await.len(), 2);
    // Its receiver cannot come to the primary any more.
    let plan = Plan::load(&machine.app.db, id).await.unwrap();
    let node = plan.node_spec(&plan.nodes[2]);
    let conf = machine.platform().paths(&node).config.join("postgresql.conf");
    let was = std::fs::read_to_string(&conf).unwrap();
    std::fs::write(&conf, was.replace("granary_replication", "nobody")).unwrap();
    let Presence::Running { pid: Some(pid) } = machine.platform().presence(&node).await else { panic!("it does not run") };
    let reload = || {
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    };
    reload();
    let view = machine.until(id, |v| v.row.status == Status::Degraded).await;
    assert!(view.detail.contains("node 3: the server answers, but receives nothing"), "{}", view.detail);
    machine.until(id, |v| v.job.as_ref().is_some_and(|j| j.state == JobState::Done && j.label == "Lead the endpoints")).await;
    assert_eq!(machine.met(id).await.len(), 1, "what it shows is old");
    std::fs::write(&conf, was).unwrap();
    reload();
    machine.until_running(id).await;
    let begun = Instant::now();
    while machine.met(id).await.len() < 2 {
        assert!(begun.elapsed() < PATIENCE, "it follows again and is not read from");
    }
}

pub(super) fn primary(view: &DatastoreView) -> Uuid {
    view.nodes.iter().find(|n| n.role == "primary").unwrap().id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planned_promotion_loses_no_acknowledged_row() {
    Machine::with_newest_and_oldest(async |machine| {
        let (id, view) = machine.replicated("two-replicas").await;
        let writer = Writer::start(machine, id).await;
        let (first, second) = (primary(&view), view.nodes[2].id);
        for (times, next) in [(1, second), (2, first)] {
            tokio::time::sleep(Duration::from_millis(500)).await;
            domain::datastore::promote(&machine.app, &machine.actor, id, next).await.unwrap();
            machine.until_done(id, "Promote a replica", times).await;
            let now = machine.until_running(id).await;
            assert_eq!(primary(&now), next);
            assert_eq!(now.endpoints, view.endpoints, "addresses stay");
            assert_eq!(now.nodes.iter().filter(|n| n.role == "replica" && n.status == Status::Running).count(), 2, "{now:#?}");
        }
        let kept: i64 = machine.session_of(id, 2, "SELECT count(*) FROM pg_replication_slots").await;
        assert_eq!(kept, 0, "one that was a primary keeps nothing for others any more");
        let (acknowledged, lost, longest) = writer.end(machine, id).await;
        println!("{acknowledged} rows acknowledged over two promotions, longest pause {longest:?}");
        assert!(acknowledged > 50 && lost.is_empty(), "{acknowledged} acknowledged, lost: {lost:?}");
        machine.until_read(id, "select count(*) > 0 from w", "t").await;
        let refused = domain::datastore::promote(&machine.app, &machine.actor, id, first).await.unwrap_err();
        assert!(refused.to_string().contains("primary already"), "{refused}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_cannot_be_started_again_is_followed_by_its_replica() {
    let machine = Machine::new().await;
    let (id, view) = machine.replicated("one-replica").await;
    machine.psql(id, "create table t (n int); insert into t values (1)").await.unwrap();
    machine.until_read(id, "select n from t", "1").await;
    let plan = Plan::load(&machine.app.db, id).await.unwrap();
    let cluster = machine.platform().paths(&plan.node_spec(&plan.nodes[0])).data.join("pgdata");
    std::fs::remove_file(cluster.join("global/pg_control")).unwrap();
    let begun = Instant::now();
    Machine::kill(machine.server_of(id, 0).await);
    machine.until(id, |v| primary(v) == view.nodes[1].id && v.row.status != Status::Down).await;
    while machine.psql(id, "insert into t values (2)").await.is_err() {
        assert!(begun.elapsed() < PATIENCE);
    }
    println!("writes again after {:?}", begun.elapsed());
    machine.until_done(id, "Fail over to a replica", 1).await;
    let now = machine.until_running(id).await;
    assert_eq!(now.endpoints, view.endpoints);
    assert!(now.nodes.iter().all(|n| n.status == Status::Running), "{now:#?}");
    machine.until_read(id, "select count(*) from t", "2").await;
    let events = domain::activity::of_datastore(&machine.app, &machine.actor, id).await.unwrap().events;
    assert!(events.iter().any(|e| e.action == "Fail over"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_keeps_its_data_while_there_is_no_primary_to_copy() {
    let mut machine = Machine::new().await;
    let (id, _) = machine.replicated("one-replica").await;
    machine.rest().await;
    let plan = Plan::load(&machine.app.db, id).await.unwrap();
    let (primary, replica) = (plan.node_spec(&plan.nodes[0]), plan.node_spec(&plan.nodes[1]));
    let lease = Lease { datastore: id, token: db::jobs::next_token(&machine.app.db).await.unwrap() };
    machine.platform().fence(lease, &primary).await.unwrap();
    let engine = machine.app.engine(plan.engine).unwrap();
    let programs = machine.app.programs(&plan.region, plan.engine, &plan.version).unwrap();
    for anew in [false, true] {
        let site = Site { platform: machine.platform(), lease, node: &replica, programs };
        let error = engine.replication().unwrap().rejoin(site, &primary, anew).await.unwrap_err();
        assert!(format!("{error:#}").contains("nothing was changed"), "{error:#}");
        assert!(machine.platform().has_file(&replica, "pgdata/global/pg_control").await.unwrap(), "the last copy is gone");
    }
}
