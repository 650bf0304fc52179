//! From Finish to the first row over TLS through the endpoint.

use crate::{
    bare,
    browser::Browser,
    report::{Report, Samples, ms, ratio},
    served::Served,
};
use futures::future::join_all;
use std::time::{Duration, Instant};
use uuid::Uuid;

const TIMES: usize = 12;
const AT_ONCE: usize = 20;

pub(crate) async fn measure(report: &mut Report) {
    let mut bare = Vec::new();
    for _ in 0..TIMES {
        bare.push(bare::create().await);
    }
    let bare = Samples::new(bare);
    report.times("bare: initdb, start, role, database, row", &bare, "what the ratios stand on");
    let cold = Served::start(0).await;
    one_by_one(report, &cold, "Finish → first row, cold", &bare, "aim: at most 1.5 × bare", 0).await;
    drop(cold);
    let pool = Served::start(3).await;
    pool.spares(6).await;
    idle(report, &pool);
    one_by_one(report, &pool, "Finish → first row, from the pool", &bare, "aim: 250 ms, at most 0.4 × bare", 6).await;
    first_event(report, &pool).await;
    at_once(report, &pool, &bare).await;
}

async fn one_by_one(report: &mut Report, served: &Served, what: &str, bare: &Samples, aim: &str, spares: i64) {
    let (mut samples, mut finishes) = (Vec::new(), Vec::new());
    for n in 0..TIMES {
        served.spares(spares).await;
        let draft = served.draft(&format!("one-{n}")).await;
        let begun = Instant::now();
        let id = served.finish(draft).await;
        finishes.push(begun.elapsed());
        first_row(served, id).await;
        samples.push(begun.elapsed());
        if n + 1 == TIMES {
            steps(report, served, id, what).await;
        }
        served.delete(id).await;
    }
    report.times(&format!("{what}: of this the answer to Finish"), &Samples::new(finishes), "");
    let samples = Samples::new(samples);
    report.times(what, &samples, &format!("{:.2} × bare by median; {aim}", ratio(samples.median(), bare.median())));
}

/// Where the last one's time went.
async fn steps(report: &mut Report, served: &Served, id: Uuid, what: &str) {
    let jobs = granary::server::db::job_views::of_datastore(&served.app.db, id, 1).await.unwrap();
    let steps: Vec<String> = jobs[0].steps.iter().map(|s| format!("{} {}", s.label, s.duration_ms.unwrap_or_default())).collect();
    report.value(&format!("steps of the last one: {what}"), "", &steps.join(", "));
}

async fn first_row(served: &Served, id: Uuid) {
    let session = served.connection(id).await.connect().await.unwrap();
    session.client.batch_execute(bare::ROW).await.unwrap();
}

async fn at_once(report: &mut Report, served: &Served, bare: &Samples) {
    let mut drafts = Vec::new();
    for n in 0..AT_ONCE {
        drafts.push(served.draft(&format!("many-{n}")).await);
    }
    let begun = Instant::now();
    let each = drafts.into_iter().map(async |draft| {
        let id = served.finish(draft).await;
        first_row(served, id).await;
        (id, begun.elapsed())
    });
    let done = join_all(each).await;
    let all = begun.elapsed();
    let samples = Samples::new(done.iter().map(|(_, time)| *time).collect());
    let note = format!("all {AT_ONCE} after {}: {:.2} × bare for each", ms(all), ratio(all, bare.median()) / 20.0);
    report.times(&format!("{AT_ONCE} creations at once, each to its first row"), &samples, &note);
    for (id, _) in done {
        served.delete(id).await;
    }
}

/// From Finish to the first event of the page's stream.
async fn first_event(report: &mut Report, served: &Served) {
    let mut samples = Vec::new();
    for n in 0..TIMES {
        served.spares(6).await;
        let draft = served.draft(&format!("event-{n}")).await;
        let begun = Instant::now();
        let id = served.finish(draft).await;
        samples.push(event_after(&served.browser, id, begun).await);
        first_row(served, id).await;
        served.delete(id).await;
    }
    report.times("Finish → first event of the page's stream", &Samples::new(samples), "");
}

async fn event_after(browser: &Browser, id: Uuid, begun: Instant) -> Duration {
    let headers = [("accept", "text/event-stream")];
    let mut stream = browser.send(axum::http::Method::GET, &format!("/datastores/{id}/events"), &headers, None).await;
    let part = stream.chunk().await.unwrap().expect("an event");
    assert!(!part.is_empty());
    begun.elapsed()
}

fn idle(report: &mut Report, served: &Served) {
    report.value("memory of `granary serve`, pool filled, nobody there", &format!("{:.1} MB", rss_mb(served.pid())), "aim: at most 60 MB");
}

/// Resident memory as the kernel has it.
fn rss_mb(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1024.0
}
