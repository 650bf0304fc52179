//! A kill around each step by which nodes come and go, or are restarted: the others serve meanwhile, nothing is left over.

use super::{
    Serving,
    failover::{Replicated, until_well, writable},
    faults,
    luck::psql,
};
use granary::server::{domain, jobs::kind::JobKind};

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_around_each_step_of_a_replacement_changes_nothing() {
    let home = super::Home::new();
    let Replicated { app, actor, mut serving, id, mut view } = Replicated::new(&home).await;
    let psql = psql(&home, &app, &actor, id).await;
    assert!(psql("create table t (n int)"));
    for (n, fault) in faults(JobKind::ReplaceNode).iter().enumerate() {
        drop(serving);
        let mut doomed = Serving(home.serve(Some(fault)));
        let old = view.nodes.iter().find(|node| node.role == "replica").unwrap().id;
        let new = domain::membership::replace(&app, &actor, id, old).await.unwrap();
        doomed.dies();
        assert!(psql(&format!("insert into t values ({n})")), "{fault}: clients are served meanwhile");
        serving = Serving(home.serve(None));
        view = until_well(&app, &actor, id).await;
        let ids: Vec<_> = view.nodes.iter().map(|node| node.id).collect();
        assert!(ids.len() == 2 && ids.contains(&new) && !ids.contains(&old), "{fault}: {view:#?}");
        let kept = std::fs::read_dir(home.path().join("datastores").join(id.to_string()).join("nodes")).unwrap().count();
        assert_eq!(kept, 2, "{fault}: something of the old node is left");
        assert!(psql(&format!("do $$ begin assert (select count(*) from t) = {}; end $$", n + 1)), "{fault}: rows are lost");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_around_each_restart_in_turn_changes_nothing() {
    let home = super::Home::new();
    let Replicated { app, actor, mut serving, id, view: _ } = Replicated::new(&home).await;
    for fault in faults(JobKind::RestartInTurn).iter().filter(|fault| fault.contains("restart-")) {
        drop(serving);
        let mut doomed = Serving(home.serve(Some(fault)));
        domain::datastore::restart(&app, &actor, id).await.unwrap();
        doomed.dies();
        serving = Serving(home.serve(None));
        until_well(&app, &actor, id).await;
        assert_eq!(writable(&app, id).await, 1, "{fault}");
    }
}
