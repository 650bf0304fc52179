//! What a client sees when the primary goes away: Granary and its peers, in one run.

use crate::{
    cluster::{self, Cluster as _},
    datastore::{self, Datastore},
    peers::{auto_failover::AutoFailover, patroni::Patroni},
    report::{Report, Samples, ratio, verdict},
    served::Served,
    writer::Outcome,
};
use std::time::Duration;

const TIMES: usize = 10;
/// Patroni waits for its `ttl` of 20 s each time.
const TIMES_FROZEN: usize = 5;
const TIMES_CREATED_BY_PATRONI: usize = 3;

const KILL: &str = "kill -9 of the primary → first acknowledged row";
const KILL_MEDIAN: Duration = Duration::from_millis(250);
const KILL_WORST: Duration = Duration::from_secs(1);
const KILL_RATIO: f64 = 8.0;
const FREEZE: &str = "primary's node frozen → first acknowledged row";
const FREEZE_WORST: Duration = Duration::from_millis(3500);
const SWITCH: &str = "planned switchover: longest time without an acknowledged row";
const SWITCH_WORST: Duration = Duration::from_millis(300);
const CREATE: &str = "create with two replicas → a row is on both";
const CREATE_WORST: Duration = Duration::from_millis(2500);

/// `kill -9`.
pub(crate) async fn kill(report: &mut Report) {
    let (granary, outcome) = cluster::killed(&Datastore::new().await, TIMES).await;
    let met = granary.median() <= KILL_MEDIAN && granary.worst() <= KILL_WORST && outcome.lost == 0;
    row(report, KILL, "Granary", &granary, &outcome, &verdict("median 250 ms, worst 1 s, no row lost", met));
    if let Some(peer) = there(report, KILL, Patroni::new().await) {
        let (samples, outcome) = cluster::killed(&peer, TIMES).await;
        let aim = verdict("at least 8 ×", ratio(samples.median(), granary.median()) >= KILL_RATIO);
        row(report, KILL, &peer.name(), &samples, &outcome, &format!("{}; {aim}", than_granary(&samples, &granary)));
    }
}

/// SIGSTOP.
pub(crate) async fn freeze(report: &mut Report) {
    let (granary, outcome) = cluster::frozen(&Datastore::new().await, TIMES_FROZEN).await;
    let met = granary.worst() <= FREEZE_WORST && outcome.lost == 0;
    row(report, FREEZE, "Granary", &granary, &outcome, &verdict("3.5 s, no row lost", met));
    if let Some(peer) = there(report, FREEZE, AutoFailover::new().await) {
        let (samples, outcome) = cluster::frozen(&peer, TIMES_FROZEN).await;
        row(report, FREEZE, &peer.name(), &samples, &outcome, &than_granary(&samples, &granary));
    }
    if let Some(peer) = there(report, FREEZE, Patroni::new().await) {
        let (samples, outcome) = cluster::frozen(&peer, TIMES_FROZEN).await;
        row(report, FREEZE, &peer.name(), &samples, &outcome, &than_granary(&samples, &granary));
    }
}

/// A planned change.
pub(crate) async fn switch(report: &mut Report) {
    let (granary, outcome) = cluster::switched(&Datastore::new().await, TIMES).await;
    let met = granary.worst() <= SWITCH_WORST && outcome.lost == 0 && outcome.errors.is_empty();
    row(report, SWITCH, "Granary", &granary, &outcome, &verdict("300 ms, no row lost, no error", met));
    if let Some(peer) = there(report, SWITCH, Patroni::new().await) {
        let (samples, outcome) = cluster::switched(&peer, TIMES).await;
        row(report, SWITCH, &peer.name(), &samples, &outcome, &than_granary(&samples, &granary));
    }
    if let Some(peer) = there(report, SWITCH, AutoFailover::new().await) {
        let (samples, outcome) = cluster::switched(&peer, TIMES).await;
        row(report, SWITCH, &peer.name(), &samples, &outcome, &than_granary(&samples, &granary));
    }
}

/// From nothing to three nodes.
pub(crate) async fn create(report: &mut Report) {
    let mut samples = Vec::new();
    let served = Served::start(0).await;
    for n in 0..TIMES {
        samples.push(datastore::create(&served, &format!("three-{n}")).await);
    }
    drop(served);
    let granary = Samples::new(samples);
    report.times(&format!("{CREATE}: Granary"), &granary, &verdict("2.5 s", granary.worst() <= CREATE_WORST));
    let (mut samples, mut name) = (Vec::new(), String::new());
    for _ in 0..TIMES_CREATED_BY_PATRONI {
        let Some((peer, time)) = there(report, CREATE, Patroni::created().await) else { return };
        name = peer.name();
        samples.push(time);
    }
    let samples = Samples::new(samples);
    report.times(&format!("{CREATE}: {name}"), &samples, &than_granary(&samples, &granary));
}

fn row(report: &mut Report, what: &str, whose: &str, samples: &Samples, outcome: &Outcome, note: &str) {
    report.times(&format!("{what}: {whose}"), samples, &format!("{note}; {}", outcome.words()));
}

fn than_granary(samples: &Samples, granary: &Samples) -> String {
    format!("{:.1} × Granary by median", ratio(samples.median(), granary.median()))
}

/// A peer that cannot be had is named in the table.
fn there<T>(report: &mut Report, what: &str, peer: Result<T, String>) -> Option<T> {
    peer.inspect_err(|why| report.value(what, "not measured", why)).ok()
}
