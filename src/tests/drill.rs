//! Failover drills, for real.

use super::{real::Machine, writer::Writer};
use crate::{
    error::AppError,
    model::{
        drill::{DrillKind, DrillState, DrillView},
        person::Role,
        status::Status,
    },
    server::{
        db::{self, plan::Plan},
        domain::{self, Actor},
        jobs::kind::JobKind,
    },
    tests::world,
};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// A drill gives up after 2 minutes each for its preparation and for all to be well.
const PATIENCE: Duration = Duration::from_mins(3);

impl Machine {
    pub(super) async fn drill(&self, id: Uuid, kind: DrillKind) -> Uuid {
        domain::drill::start(&self.app, &self.actor, id, kind).await.unwrap()
    }

    pub(super) async fn until_over(&self, id: Uuid, drill: Uuid) -> DrillView {
        let begun = Instant::now();
        loop {
            let view = domain::drill::show(&self.app, &self.actor, id, drill).await.unwrap();
            if view.state != DrillState::Running {
                return view;
            }
            assert!(begun.elapsed() < PATIENCE, "{view:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn primary_slot(&self, id: Uuid) -> usize {
        Plan::load(&self.app.db, id).await.unwrap().nodes.iter().position(|node| node.primary).unwrap()
    }

    /// Whether the edge trusts where the probe comes from: it lets a connection stand, or cuts it at once.
    async fn trusts_the_probe(&self, id: Uuid) -> bool {
        let plan = Plan::load(&self.app.db, id).await.unwrap();
        let endpoint = plan.address(db::plan::Purpose::Listener(crate::server::platform::ListenerKind::Primary)).unwrap();
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((plan.probe_address().unwrap(), 0).into()).unwrap();
        let Ok(stream) = socket.connect(endpoint).await else { return false };
        let cut = tokio::time::timeout(Duration::from_millis(500), stream.readable()).await.is_ok();
        !cut
    }

    /// Waits until nothing is left of any drill; a second one must find everything as the first did.
    async fn until_tidy(&self, id: Uuid) {
        let begun = Instant::now();
        let uncleaned = "SELECT count(*) FROM drills WHERE datastore_id = $1 AND cleaned_at IS NULL";
        while sqlx::query_scalar::<_, i64>(uncleaned).bind(id).fetch_one(&self.app.db).await.unwrap() > 0 {
            assert!(begun.elapsed() < PATIENCE, "it is not tidied up");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.until_running(id).await;
        let primary = self.primary_slot(id).await;
        let left = "SELECT (SELECT count(*) FROM pg_roles WHERE rolname = 'granary_probe') + (SELECT count(*) FROM pg_namespace WHERE nspname = 'granary_probe')
             + (SELECT count(*) FROM pg_database WHERE datacl::text LIKE '%granary_probe%')";
        assert_eq!(self.session_of(id, primary, left).await, 0, "something of the probe is left in the server");
        assert!(!self.trusts_the_probe(id).await, "the probe's address is still trusted");
        assert!(db::secrets::get(&self.app.db, id, db::secrets::PROBE_PASSWORD).await.unwrap().is_none(), "its password is still there");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_of_a_planned_promotion_loses_nothing_and_leaves_nothing() {
    let machine = Machine::new().await;
    let (id, view) = machine.replicated("two-replicas").await;
    let writer = Writer::start(&machine, id).await;
    let drill = machine.drill(id, DrillKind::Promotion).await;

    for kind in DrillKind::ALL {
        let refused = domain::drill::start(&machine.app, &machine.actor, id, kind).await.unwrap_err();
        assert!(matches!(refused, AppError::Busy(_)), "{refused:?}");
    }
    let listed = domain::drill::list(&machine.app, &machine.actor, id).await.unwrap();
    assert!(listed.refused.is_some_and(|why| why.contains("under way")) && listed.drills[0].state == DrillState::Running);

    let over = machine.until_over(id, drill).await;
    assert_eq!((over.state, over.error.as_deref()), (DrillState::Done, None), "{over:#?}");
    let outcome = over.outcome.unwrap();
    println!("promotion: {outcome:?}");
    assert_eq!(outcome.lost, Some(0));
    assert!(outcome.reconnects >= 1 && outcome.acknowledged > 30, "{outcome:?}");
    assert_eq!(u64::from(outcome.samples.iter().sum::<u32>()), outcome.acknowledged);
    // The pause is where the blow was.
    let struck = outcome.struck_at_ms.unwrap();
    assert!(struck >= 900 && outcome.pause_at_ms + outcome.pause_ms >= struck, "{outcome:?}");
    assert_eq!(over.before.as_deref(), Some("orders-1"));
    assert_ne!(over.after, over.before);
    machine.until_tidy(id).await;

    let now = machine.until_running(id).await;
    assert_eq!(now.endpoints, view.endpoints);
    let primary = now.nodes.iter().find(|n| n.role == "primary").unwrap();
    assert_eq!(Some(&primary.name), over.after.as_ref());
    let (acknowledged, lost, longest) = writer.end(&machine, id).await;
    println!("an application: {acknowledged} rows, longest pause {longest:?}");
    assert!(lost.is_empty(), "an application of its own lost {lost:?}");
    let events = domain::activity::of_datastore(&machine.app, &machine.actor, id).await.unwrap().events;
    assert!(events.iter().any(|e| e.action == "Failover drill" && e.actor == "Ada" && e.detail == "Planned promotion"));
    assert!(events.iter().any(|e| e.action == "Promote" && e.actor == "Granary"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_that_kills_the_primary_reports_what_was_lost() {
    let machine = Machine::new().await;
    let (id, _) = machine.replicated("one-replica").await;
    let before = machine.server_of(id, 0).await;
    let drill = machine.drill(id, DrillKind::Kill).await;

    // Rows that vanish stand for rows that were lost: the test removes some that were acknowledged, and knows how many.
    let begun = Instant::now();
    let taken = loop {
        let primary = machine.primary_slot(id).await;
        let rows = machine.try_session_of(id, primary, "SELECT count(*) FROM granary_probe.written").await;
        if rows.is_some_and(|rows| rows >= 10) {
            let take = "WITH gone AS (DELETE FROM granary_probe.written WHERE number <= 5 RETURNING 1) SELECT count(*) FROM gone";
            break machine.session_of(id, primary, take).await;
        }
        assert!(begun.elapsed() < PATIENCE, "the probe does not write");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(taken, 5, "the first five rows were acknowledged, or later ones would not be there");
    assert!(machine.trusts_the_probe(id).await);

    let over = machine.until_over(id, drill).await;
    assert_eq!((over.state, over.error.as_deref()), (DrillState::Done, None), "{over:#?}");
    let outcome = over.outcome.unwrap();
    println!("kill: {outcome:?}, {:?} -> {:?}", over.before, over.after);
    if over.after == over.before {
        // Started again in its place, it has every row it acknowledged but those.
        assert_eq!(outcome.lost, Some(5));
        assert_ne!(machine.server_of(id, 0).await, before, "it was not killed");
    } else {
        assert!(outcome.lost.is_some_and(|lost| lost >= 5), "{outcome:?}");
    }
    assert!(outcome.reconnects >= 1 && outcome.pause_ms >= 20, "{outcome:?}");
    let jobs = db::job_views::of_datastore(&machine.app.db, id, 50).await.unwrap();
    let monitor = |label: &str| label == JobKind::Revive.label() || label == JobKind::Failover.label();
    assert!(jobs.iter().any(|job| monitor(&job.label) && job.requested_by == "Granary"), "the monitor acted by itself: {jobs:#?}");
    machine.until_tidy(id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_whose_granary_stops_is_interrupted_and_tidied_up() {
    let mut machine = Machine::new().await;
    let (id, _) = machine.replicated("one-replica").await;
    let drill = machine.drill(id, DrillKind::Promotion).await;
    let begun = Instant::now();
    while machine.try_session_of(id, 0, "SELECT count(*) FROM granary_probe.written").await.is_none_or(|rows| rows < 5) {
        assert!(begun.elapsed() < PATIENCE, "the probe does not write");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    machine.rest().await;
    assert_eq!(domain::drill::show(&machine.app, &machine.actor, id, drill).await.unwrap().state, DrillState::Running, "nobody is there to say so");
    machine.start_again().await;
    let over = machine.until_over(id, drill).await;
    assert_eq!((over.state, over.outcome), (DrillState::Interrupted, None));
    assert!(over.error.is_some_and(|why| why.contains("stopped")));
    machine.until_tidy(id).await;
    // The next one finds everything as it should be.
    let drill = machine.drill(id, DrillKind::Promotion).await;
    let over = machine.until_over(id, drill).await;
    assert_eq!((over.state, over.outcome.unwrap().lost), (DrillState::Done, Some(0)), "{:?}", over.error);
    machine.until_tidy(id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_ends_when_its_datastore_is_deleted() {
    let machine = Machine::new().await;
    let (id, _) = machine.replicated("one-replica").await;
    let drill = machine.drill(id, DrillKind::Kill).await;
    domain::datastore::delete(&machine.app, &machine.actor, id, "orders").await.unwrap();
    machine.until_gone(id).await;
    let begun = Instant::now();
    let state = || async { sqlx::query_scalar::<_, String>("SELECT state FROM drills WHERE id = $1").bind(drill).fetch_one(&machine.app.db).await };
    while state().await.unwrap() == "running" {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(state().await.unwrap(), "interrupted");
    let hidden = domain::drill::show(&machine.app, &machine.actor, id, drill).await.unwrap_err();
    assert_eq!(hidden, AppError::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_is_refused_where_it_could_only_do_harm() {
    let machine = Machine::new().await;
    let single = machine.ask_ephemeral("single").await;
    machine.until_running(single).await;
    let (id, view) = machine.replicated("one-replica").await;
    let start = async |actor: &Actor, id| domain::drill::start(&machine.app, actor, id, DrillKind::Kill).await.unwrap_err();

    let refused = start(&machine.actor, single).await;
    assert!(matches!(&refused, AppError::Conflict(why) if why.contains("replicas")), "{refused:?}");
    let mut viewer = machine.actor.clone();
    viewer.me.role = Role::Viewer;
    assert_eq!(start(&viewer, id).await, AppError::Forbidden);
    let stranger = world::person(&machine.app).await;
    assert_eq!(start(&stranger, id).await, AppError::NotFound);
    assert_eq!(domain::drill::list(&machine.app, &stranger, id).await.unwrap_err(), AppError::NotFound);

    domain::datastore::promote(&machine.app, &machine.actor, id, view.nodes[1].id).await.unwrap();
    let refused = start(&machine.actor, id).await;
    assert!(matches!(&refused, AppError::Busy(why) if why.contains("promotion")), "{refused:?}");
    machine.until(id, |v| v.row.status == Status::Running && v.nodes[1].role == "primary").await;
    machine.until_running(id).await;

    sqlx::query("UPDATE datastores SET observed = 'degraded' WHERE id = $1").bind(id).execute(&machine.app.db).await.unwrap();
    let refused = start(&machine.actor, id).await;
    assert!(matches!(&refused, AppError::Conflict(why) if why.contains("all its nodes are running")), "{refused:?}");
    let none: i64 = sqlx::query_scalar("SELECT count(*) FROM drills").fetch_one(&machine.app.db).await.unwrap();
    assert_eq!(none, 0);
}
