//! What Granary needs for a datastore beyond its database server: the edge, and what `granary serve` grows by.

use crate::{
    processes::{memory_mb, within},
    report::{Report, verdict},
    served::Served,
};
use rustix::process::Pid;
use std::time::Duration;

const DATASTORES: u32 = 6;
const MOST_MB: f64 = 8.0;
/// Everything is looked at, written down and measured a few times meanwhile.
const SETTLE: Duration = Duration::from_secs(40);

pub(crate) async fn measure(report: &mut Report) {
    let served = Served::start(0).await;
    let program = Pid::from_raw(served.pid().try_into().unwrap()).unwrap();
    let mut edges = Vec::new();
    let mut sizes = Vec::new();
    for n in 0..DATASTORES {
        let draft = served.draft(&format!("memory-{n}")).await;
        let id = served.finish(draft).await;
        served.connection(id).await;
        edges.push(served.home().join(format!("datastores/{id}/edge")));
        if n == 0 || n + 1 == DATASTORES {
            tokio::time::sleep(SETTLE).await;
            sizes.push(memory_mb(program));
        }
    }
    let edges: Vec<f64> = edges.iter().map(|edge| within(edge).into_iter().map(memory_mb).sum()).collect();
    let edge = edges.iter().sum::<f64>() / f64::from(DATASTORES);
    let growth = (sizes[1] - sizes[0]) / f64::from(DATASTORES - 1);
    report.value(
        "memory for a datastore beyond its server",
        &format!("{:.1} MB", edge + growth),
        &format!(
            "{}; the edge {edge:.1} MB, `granary serve` {growth:.2} MB (from {:.1} MB with one to {:.1} MB with {DATASTORES}; PSS)",
            verdict("at most 8 MB", edge + growth <= MOST_MB),
            sizes[0],
            sizes[1]
        ),
    );
}
