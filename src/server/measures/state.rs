//! What is, as it is when somebody asks: read afresh each time, so that nothing stale is ever told.

use crate::{
    model::status::Status,
    server::{
        db::counts::{self, Counts},
        jobs::kind::JobKind,
        web::Web,
    },
};
use metrics::{describe_gauge, gauge, with_local_recorder};
use metrics_exporter_prometheus::PrometheusBuilder;
use std::time::Duration;
use tokio::time::timeout;

/// How long the metadata database may take, well below the ten seconds after which Prometheus gives a target up.
const LIMIT: Duration = Duration::from_secs(4);

const BUILD: &str = "granary_build_info";
const METADATA_UP: &str = "granary_metadata_up";
const CONNECTIONS: &str = "granary_metadata_connections";
const MOST_CONNECTIONS: &str = "granary_metadata_connections_max";
const JOBS: &str = "granary_jobs";
const OLDEST_WAIT: &str = "granary_jobs_oldest_wait_seconds";
const DATASTORES: &str = "granary_datastores";
const NODES: &str = "granary_nodes";
const SPARES: &str = "granary_spares";
const CERTIFICATE: &str = "granary_certificate_expiry_timestamp_seconds";
const OLDEST_LOOK: &str = "granary_monitor_oldest_look_age_seconds";
const ROUND: &str = "granary_monitor_round_age_seconds";
const STREAMS: &str = "granary_event_streams";

/// States of jobs that are not over.
const JOB_STATES: [&str; 3] = ["queued", "running", "failed"];
/// What a check can have seen of a node.
const NODE_STATES: [&str; 4] = ["unknown", "healthy", "unreachable", "down"];

/// All of it, in Prometheus' text format. What only the metadata database knows is left out while that does not answer.
pub async fn render(web: &Web) -> String {
    let counts = timeout(LIMIT, counts::read(&web.app.db, web.app.host)).await;
    let counts = match counts {
        Ok(Ok(counts)) => Some(counts),
        Ok(Err(error)) => {
            tracing::debug!(%error, "the metadata database could not be counted");
            None
        }
        Err(_) => None,
    };
    // Of this answer alone: series that are gone are not remembered.
    let recorder = PrometheusBuilder::new().build_recorder();
    with_local_recorder(&recorder, || {
        describe();
        process(web);
        gauge!(METADATA_UP).set(if counts.is_some() { 1.0 } else { 0.0 });
        if let Some(counts) = &counts {
            metadata(counts);
        }
    });
    recorder.handle().render()
}

fn describe() {
    describe_gauge!(BUILD, "Always 1; its label says which version of Granary answers.");
    describe_gauge!(METADATA_UP, "1 when the metadata database answered this very question, else 0.");
    describe_gauge!(CONNECTIONS, "Connections of this process to the metadata database, by state (in_use, idle).");
    describe_gauge!(MOST_CONNECTIONS, "Most connections that this process opens to the metadata database.");
    describe_gauge!(JOBS, "Jobs of this host that are not over, by kind and state; failed ones wait for a person.");
    describe_gauge!(OLDEST_WAIT, "How long the job of this host that waits longest could have run already; 0 when none waits.");
    describe_gauge!(DATASTORES, "Datastores of this host, by the status that their page shows.");
    describe_gauge!(NODES, "Nodes of this host, by what the last check saw (unknown, healthy, unreachable, down).");
    describe_gauge!(SPARES, "Datastores of this host that are prepared and wait for somebody to ask for one.");
    describe_gauge!(CERTIFICATE, "When the first certificate of a datastore of this host ends, in seconds since 1970.");
    describe_gauge!(OLDEST_LOOK, "Age of the last look at the datastore that was looked at longest ago; 0 when there is none.");
    describe_gauge!(ROUND, "How long ago the monitor ended a round over all datastores of this host.");
    describe_gauge!(STREAMS, "Live pages that are open now.");
}

/// What this process knows by itself.
fn process(web: &Web) {
    let app = &web.app;
    gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    let (size, idle) = (app.db.size(), u32::try_from(app.db.num_idle()).unwrap_or(u32::MAX));
    gauge!(CONNECTIONS, "state" => "idle").set(idle);
    gauge!(CONNECTIONS, "state" => "in_use").set(size.saturating_sub(idle));
    gauge!(MOST_CONNECTIONS).set(app.db.options().get_max_connections());
    gauge!(OLDEST_LOOK).set(app.pulse.oldest_look().as_secs_f64());
    gauge!(ROUND).set(app.pulse.since_round().as_secs_f64());
    gauge!(STREAMS).set(web.streams.count());
}

/// What the metadata database knows. What is not there counts as 0, so that a graph of it does not end.
fn metadata(counts: &Counts) {
    for kind in JobKind::ALL {
        for state in JOB_STATES {
            let count = counts.jobs.iter().find(|(k, s, _)| k == kind.id() && s == state).map_or(0, |(.., n)| *n);
            gauge!(JOBS, "kind" => kind.id(), "state" => state).set(number(count));
        }
    }
    gauge!(OLDEST_WAIT).set(counts.oldest_wait.as_secs_f64());
    for status in Status::ALL {
        let count = counts.datastores.iter().find(|(s, _)| *s == format!("{status:?}")).map_or(0, |(_, n)| *n);
        gauge!(DATASTORES, "status" => status.word().to_lowercase().replace(' ', "_")).set(number(count));
    }
    for state in NODE_STATES {
        let count = counts.nodes.iter().find(|(s, _)| s == state).map_or(0, |(_, n)| *n);
        gauge!(NODES, "state" => state).set(number(count));
    }
    gauge!(SPARES).set(number(counts.spares));
    if let Some(end) = counts.first_certificate_end {
        gauge!(CERTIFICATE).set(number(end.unix_timestamp()));
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts and times far below 2^52")]
fn number(count: i64) -> f64 {
    count as f64
}
