//! A machine that has no time: nobody is failed over, restarted or brought back for being slow.

use super::{Serving, failover::until_well};
use granary::{model::status::Status, server::domain};
use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Programs that want a processor for each that there is.
const TIMES: usize = 20;

/// Busy programs that are ended by their own ids.
struct Load(Vec<Child>);

impl Load {
    fn new() -> Self {
        let cores = std::thread::available_parallelism().unwrap().get();
        let busy = |_| Command::new("/bin/sh").args(["-c", "while :; do :; done"]).stdin(Stdio::null()).spawn().unwrap();
        Self((0..cores * TIMES).map(busy).collect())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "ten minutes in which the machine does nothing else: LOAD_SECONDS=600 make chaos"]
async fn load_alone_makes_nobody_fail_over() {
    let seconds = std::env::var("LOAD_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(600);
    let home = super::Home::new();
    let app = super::app(&home).await;
    let actor = super::actor(&app).await;
    let serving = Serving(home.serve(None));
    let id = super::create_replicated(&app, &actor, "two-replicas").await;
    let before = until_well(&app, &actor, id).await;
    let jobs =
        async || sqlx::query_as::<_, (String, i64)>("SELECT kind, count(*) FROM jobs GROUP BY kind ORDER BY kind").fetch_all(&app.db).await.unwrap();
    let done = jobs().await;
    let (load, begun) = (Load::new(), Instant::now());
    let mut other = 0;
    while begun.elapsed() < Duration::from_secs(seconds) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        other += usize::from(domain::datastore::get(&app, &actor, id).await.unwrap().row.status != Status::Running);
    }
    drop(load);
    let after = until_well(&app, &actor, id).await;
    let now = jobs().await;
    println!("{seconds} s at {TIMES} times the processors: jobs {now:?}, other than Running at {other} looks");
    assert_eq!(after.nodes.iter().map(|n| (n.id, &n.role)).collect::<Vec<_>>(), before.nodes.iter().map(|n| (n.id, &n.role)).collect::<Vec<_>>());
    assert_eq!(now, done, "something was done about servers that were only slow");
    drop(serving);
}
