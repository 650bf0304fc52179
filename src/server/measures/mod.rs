//! Numbers for Prometheus. What happens is counted where it happens, in this process's recorder; what *is* (queues, states,
//! ages) is read when somebody asks, see [`state`]. Labels are of small, fixed sets: a datastore's name or id is never one.

pub mod state;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::sync::OnceLock;

/// Requests by method, route and status.
pub const REQUESTS: &str = "granary_http_requests_total";
/// How long they took, by method and route.
pub const REQUEST_TIMES: &str = "granary_http_request_duration_seconds";
/// How long steps of jobs took, by step and outcome.
pub const STEP_TIMES: &str = "granary_job_step_duration_seconds";

/// Seconds that tell a quick answer from a slow one.
const REQUEST_BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 10.0, 30.0];
/// The same of a step: most take milliseconds, a large database's crash recovery takes minutes.
const STEP_BUCKETS: [f64; 12] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0, 600.0];

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// Begins to record; `None` when something else of this process records already.
pub fn recorder() -> Option<&'static PrometheusHandle> {
    if RECORDER.get().is_none() {
        let of = |name: &str| Matcher::Full(name.to_owned());
        let builder = PrometheusBuilder::new().set_buckets_for_metric(of(REQUEST_TIMES), &REQUEST_BUCKETS).ok()?;
        let handle = builder.set_buckets_for_metric(of(STEP_TIMES), &STEP_BUCKETS).ok()?.install_recorder().ok()?;
        metrics::describe_counter!(REQUESTS, "Answered HTTP requests, by method, route and status.");
        metrics::describe_histogram!(REQUEST_TIMES, "Time until the answer to an HTTP request began, by method and route.");
        metrics::describe_histogram!(STEP_TIMES, "Time that a step of a job took, by step and outcome (done, failed).");
        let _ = RECORDER.set(handle);
    }
    RECORDER.get()
}
