//! Failover drills and the death of Granary in their middle: the drill is over, nothing of it is left, no primary is killed for nobody.

use super::{Home, PATIENCE, Serving, actor, app, create_replicated, faults, until_running};
use granary::{
    model::drill::{DrillKind, DrillState},
    server::{
        db::plan::Plan,
        domain::{self, Actor},
        jobs::kind::JobKind,
        platform::{ListenerKind, Presence},
        state::App,
    },
};
use std::{
    path::Path,
    time::{Duration, Instant},
};
use uuid::Uuid;

async fn count(app: &App, sql: &'static str, id: Uuid) -> i64 {
    sqlx::query_scalar(sql).bind(id).fetch_one(&app.db).await.unwrap()
}

/// Waits until no drill runs, all is tidied up, and the datastore is whole and without work.
async fn until_tidy(app: &App, actor: &Actor, id: Uuid, fault: &str) {
    let begun = Instant::now();
    let open = "SELECT (SELECT count(*) FROM drills WHERE datastore_id = $1 AND (state = 'running' OR cleaned_at IS NULL))
         + (SELECT count(*) FROM jobs WHERE datastore_id = $1 AND state IN ('queued', 'running', 'failed'))";
    while count(app, open, id).await > 0 {
        assert!(begun.elapsed() < PATIENCE * 3, "{fault}: not tidied up");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    until_running(app, actor, id).await;
}

/// What Granary's own session says of the probe's role, its schema and its right to connect, on the primary.
async fn left_in_the_server(app: &App, id: Uuid) -> String {
    let plan = Plan::load(&app.db, id).await.unwrap();
    let primary = plan.node_spec(plan.nodes.iter().find(|node| node.primary).unwrap());
    let run = app.platform(&plan.region).unwrap().paths(&primary).run;
    let sql = "SELECT rolname FROM pg_roles WHERE rolname = 'granary_probe' UNION SELECT nspname FROM pg_namespace WHERE nspname = 'granary_probe'
         UNION SELECT datname FROM pg_database WHERE datacl::text LIKE '%granary_probe%'";
    let psql = std::process::Command::new("psql").arg("-h").arg::<&Path>(&run).args(["-U", "granary_admin", "-d", "postgres", "-Atc", sql]).output();
    let psql = psql.unwrap();
    assert!(psql.status.success(), "{}", String::from_utf8_lossy(&psql.stderr));
    String::from_utf8(psql.stdout).unwrap()
}

/// Whether somebody who comes from where the probe did is let in.
async fn is_trusted(app: &App, id: Uuid) -> bool {
    let plan = Plan::load(&app.db, id).await.unwrap();
    let endpoint = plan.edge_spec().unwrap().listeners.into_iter().find(|(kind, _)| *kind == ListenerKind::Primary).unwrap().1;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind((plan.probe_address().unwrap(), 0).into()).unwrap();
    let Ok(stream) = socket.connect(endpoint).await else { return false };
    tokio::time::timeout(Duration::from_millis(500), stream.readable()).await.is_err()
}

async fn primary_pid(app: &App, id: Uuid) -> Option<u32> {
    let plan = Plan::load(&app.db, id).await.unwrap();
    let primary = plan.node_spec(plan.nodes.iter().find(|node| node.primary).unwrap());
    match app.platform(&plan.region).unwrap().presence(&primary).await {
        Presence::Running { pid } => pid,
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_around_each_step_of_a_drill_ends_it_and_leaves_nothing() {
    let home = Home::new();
    let app = app(&home).await;
    let actor = actor(&app).await;
    let mut serving = Serving(home.serve(None));
    let id = create_replicated(&app, &actor, "one-replica").await;
    until_running(&app, &actor, id).await;
    let kinds = [JobKind::DrillBegin, JobKind::DrillStrike, JobKind::DrillEnd];
    let mut all: Vec<String> = kinds.into_iter().flat_map(faults).collect();
    // Of the steps that are in two of them the first is met.
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 8, "{all:?}");
    for fault in all {
        let before = primary_pid(&app, id).await;
        drop(serving);
        let mut doomed = Serving(home.serve(Some(&fault)));
        let drill = domain::drill::start(&app, &actor, id, DrillKind::Kill).await.unwrap();
        doomed.dies();
        let struck = primary_pid(&app, id).await != before;
        serving = Serving(home.serve(None));
        until_tidy(&app, &actor, id, &fault).await;
        let over = domain::drill::show(&app, &actor, id, drill).await.unwrap();
        let ended = if fault.ends_with("remove-probe") { DrillState::Done } else { DrillState::Interrupted };
        assert_eq!(over.state, ended, "{fault}: {over:#?}");
        if !struck && ended == DrillState::Interrupted {
            assert_eq!(primary_pid(&app, id).await, before, "{fault}: the primary was killed for a drill that nobody drives");
        }
        assert_eq!(left_in_the_server(&app, id).await, "", "{fault}");
        assert!(!is_trusted(&app, id).await, "{fault}: the probe's address is still trusted");
        assert_eq!(count(&app, "SELECT count(*) FROM secrets WHERE datastore_id = $1 AND purpose = 'probe-password'", id).await, 0, "{fault}");
    }
    let drill = domain::drill::start(&app, &actor, id, DrillKind::Promotion).await.unwrap();
    until_tidy(&app, &actor, id, "none").await;
    let over = domain::drill::show(&app, &actor, id, drill).await.unwrap();
    assert_eq!((over.state, over.outcome.unwrap().lost), (DrillState::Done, Some(0)), "{:?}", over.error);
}
