//! What the processes of a datastore can reach of this machine: its own storage to its end, and nothing of others.

use super::real::Machine;
use crate::{
    model::{datastore::EndpointKind, draft::Draft, job::JobState},
    server::{
        db::{self, plan::Plan},
        domain,
        platform::{Lease, NodeSpec, Program},
    },
};
use std::{path::Path, time::Duration};
use uuid::Uuid;

impl Machine {
    async fn node(&self, id: Uuid) -> NodeSpec {
        let plan = Plan::load(&self.app.db, id).await.unwrap();
        plan.node_spec(&plan.nodes[0])
    }

    /// Runs a script as the node's own user, as somebody would who broke out of its server.
    async fn inside(&self, id: Uuid, script: &str) -> Result<String, String> {
        let lease = Lease { datastore: id, token: db::jobs::next_token(&self.app.db).await.unwrap() };
        let shell = Program { path: "/bin/sh".into(), args: vec!["-c".to_owned(), script.to_owned()], env: Vec::new() };
        let output = self.platform().run(lease, &self.node(id).await, &shell, Duration::from_mins(1)).await;
        output.map(|o| o.stdout).map_err(|e| format!("{e:#}"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_datastores_processes_reach_neither_another_nor_granarys_keys() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only as root has each datastore a user of its own");
        return;
    }
    let machine = Machine::new().await;
    let (id, other) = (machine.ask("orders", "127.0.0.1/32").await, machine.ask("theirs", "127.0.0.1/32").await);
    machine.until_running(id).await;
    machine.until_running(other).await;
    let (home, theirs) = (machine.home.path().canonicalize().unwrap(), machine.node(other).await);
    let own = machine.inside(id, "id -u; cat /proc/self/cgroup | wc -l").await.unwrap();
    assert_ne!(own.lines().next(), Some("0"));
    let paths = machine.platform().paths(&theirs);
    let volume = home.join("volumes").join(theirs.volume.unwrap().to_string());
    let key = machine.app.config.key_file();
    assert!(key.is_file() && paths.data.is_dir());
    let read = |path: &Path| format!("cat {}", path.display());
    let list = |path: &Path| format!("ls {}", path.display());
    let pid = machine.server(other).await;
    for script in [
        read(&key),
        list(key.parent().unwrap()),
        list(&home),
        list(&home.join("datastores")),
        list(&home.join("volumes")),
        read(&home.join("host-id")),
        list(&paths.data),
        list(&paths.config),
        list(&paths.run),
        list(&paths.log),
        read(&volume.join("image")),
        format!("echo x >>{}", volume.join("image").display()),
        read(&home.join("locks").join(other.to_string())),
        format!("kill -0 {pid}"),
        format!("cat /proc/{pid}/environ"),
        format!("ls /proc/{pid}/fd"),
        format!("cat /proc/{}/environ", std::process::id()),
        "head -c 1 /dev/loop0".to_owned(),
        "echo 0 >/sys/fs/cgroup/cgroup.procs || mount -t tmpfs tmpfs .".to_owned(),
    ] {
        let says = machine.inside(id, &script).await;
        assert!(says.is_err(), "{script}: {says:?}");
    }
    // Granary's own database is behind a socket that is nobody's but its own.
    let metadata = machine.app.db.connect_options().get_socket().unwrap().display().to_string();
    let says = machine.inside(id, &format!("psql -w -h {metadata} -U granary -d postgres -c 'select 1'")).await.unwrap_err();
    assert!(says.contains("Permission denied"), "{says}");
    // Their private address is on a loopback that any process reaches: their server refuses whoever is not their edge.
    let c = domain::access::connection(&machine.app, &machine.actor, other, EndpointKind::Primary, true).await.unwrap();
    for user in [c.user.as_str(), "granary_admin"] {
        let url = format!("'host={} port={} user={user} dbname={} sslmode=require'", theirs.address.ip(), theirs.address.port(), c.database);
        let script = format!("PGPASSWORD='{}' PGCONNECT_TIMEOUT=10 psql -w -c 'select 1' {url}", c.password.as_ref().unwrap());
        let says = machine.inside(id, &script).await.unwrap_err();
        assert!(says.contains("no pg_hba.conf entry") || says.contains("rejects connection"), "{user}: {says}");
    }
}

/// Takes all but so much of a node's storage, and gives it back.
async fn is_guarded(change: impl FnOnce(&mut Draft), left_mb: u64) {
    let machine = Machine::new().await;
    let id = machine.ask_for("orders", "127.0.0.1/32", change).await;
    machine.until_running(id).await;
    machine.psql(id, "create table t (n int)").await.unwrap();
    let free = machine.platform().space(&machine.node(id).await).await.unwrap().free;
    machine.inside(id, &format!("fallocate -l {} filler", free - (left_mb << 20))).await.unwrap();
    let said = machine.until(id, |v| v.detail.contains("read-only") && v.job.as_ref().is_some_and(|j| j.state == JobState::Done)).await;
    assert_eq!(said.job.unwrap().label, "Fit writes to the storage");
    let refused = machine.psql(id, "insert into t values (1)").await.unwrap_err();
    assert!(refused.contains("read-only transaction"), "{refused}");
    assert_eq!(machine.psql(id, "select count(*) from t").await.unwrap(), "0");
    machine.psql(id, "set transaction read write; insert into t values (1)").await.unwrap();
    domain::datastore::restart(&machine.app, &machine.actor, id).await.unwrap();
    machine.until(id, |v| v.detail.contains("read-only") && v.job.as_ref().is_some_and(|j| j.state == JobState::Done && j.label == "Restart")).await;
    assert!(machine.psql(id, "insert into t values (1)").await.is_err(), "a restart does not forget it");
    machine.inside(id, "rm filler").await.unwrap();
    machine.until(id, |v| v.detail == "answers as primary" && v.job.as_ref().is_some_and(|j| j.state == JobState::Done)).await;
    machine.psql(id, "insert into t values (1)").await.unwrap();
    let events = domain::activity::of_datastore(&machine.app, &machine.actor, id).await.unwrap().events;
    assert_eq!(events.iter().filter(|e| e.action == "Stop or admit writes").count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_is_read_only_before_it_is_full() {
    is_guarded(|draft| draft.volume_gb = "1".into(), 60).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ephemeral_storage_is_watched_and_read_only_before_it_is_full() {
    is_guarded(|draft| (draft.storage, draft.flavor) = ("ephemeral".into(), "1".into()), 100).await;
}
