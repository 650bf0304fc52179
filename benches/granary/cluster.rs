//! A primary with two replicas, whoever looks after it: what is done to Granary's and to its peers' alike.

use crate::{
    client::Endpoint,
    processes,
    report::Samples,
    writer::{Outcome, Writer},
};
use rustix::process::Signal;
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// Rows that are written in peace before each outage, beside this time.
const ROWS: usize = 100;
const PEACE: Duration = Duration::from_secs(2);
/// All of them look at their nodes in rounds of a second; an outage begins anywhere in one.
const ROUND: Duration = Duration::from_secs(1);
/// Before an outage is over for good: a second pause after the first would count as well.
const AFTER: Duration = Duration::from_secs(2);

/// Where the primary runs.
pub(crate) struct Primary {
    /// In it lie the working directories of its database's processes.
    pub(crate) server: PathBuf,
    /// And in this one those of all its processes, the one that looks after the database included.
    pub(crate) node: PathBuf,
}

/// Three nodes.
pub(crate) trait Cluster {
    /// Whose it is, for the table.
    fn name(&self) -> String;

    /// Where a client writes: an address that leads to the primary, or all nodes.
    async fn endpoint(&self) -> Vec<Endpoint>;

    /// The primary, as soon as all three nodes are there, in step, and nothing is under way.
    async fn whole(&self) -> Primary;

    /// Has the primary change places with a replica; when that was asked for. Returns when it is done.
    async fn switch_over(&self) -> Instant;
}

/// `kill -9` of every process of the primary's database at once: the time to the first acknowledged row.
pub(crate) async fn killed(cluster: &impl Cluster, times: usize) -> (Samples, Outcome) {
    let writer = Writer::start(cluster.endpoint().await).await;
    let mut samples = Vec::new();
    for _ in 0..times {
        let primary = in_peace(cluster, &writer).await;
        let so_far = writer.sessions();
        let begun = processes::signal(&primary.server, Signal::KILL);
        samples.push(writer.next_session(so_far).await - begun);
    }
    cluster.whole().await;
    (Samples::new(samples), writer.end().await)
}

/// Every process of the primary's node stands still: the time to the first acknowledged row. Then they may go on.
pub(crate) async fn frozen(cluster: &impl Cluster, times: usize) -> (Samples, Outcome) {
    let writer = Writer::start(cluster.endpoint().await).await;
    let mut samples = Vec::new();
    for _ in 0..times {
        let primary = in_peace(cluster, &writer).await;
        let so_far = writer.sessions();
        let begun = processes::freeze(&primary.node);
        samples.push(writer.next_session(so_far).await - begun);
        sleep(AFTER).await;
        processes::thaw(&primary.node);
    }
    cluster.whole().await;
    (Samples::new(samples), writer.end().await)
}

/// A planned change of the primary: the longest time without an acknowledged row.
pub(crate) async fn switched(cluster: &impl Cluster, times: usize) -> (Samples, Outcome) {
    let writer = Writer::start(cluster.endpoint().await).await;
    let mut samples = Vec::new();
    for _ in 0..times {
        in_peace(cluster, &writer).await;
        let begun = cluster.switch_over().await;
        cluster.whole().await;
        sleep(AFTER).await;
        samples.push(writer.longest_pause(begun));
    }
    (Samples::new(samples), writer.end().await)
}

async fn in_peace(cluster: &impl Cluster, writer: &Writer) -> Primary {
    cluster.whole().await;
    writer.rows(ROWS).await;
    sleep(PEACE + ROUND.mul_f64(rand::random())).await;
    cluster.whole().await
}
