//! How long the server takes for each page.

use crate::{
    report::{Report, Samples},
    served::Served,
};
use std::time::{Duration, Instant};

const TIMES: usize = 200;

pub(crate) async fn measure(report: &mut Report) {
    let served = Served::start(1).await;
    let draft = served.draft("orders").await;
    let id = served.finish(served.draft("shop").await).await;
    served.connection(id).await;
    report.times("answer without a page (/healthz)", &times(&served, "/healthz").await, "what the client and loopback cost");
    let new = ["databases", "configuration", "cloud-service", "resources", "preview"].map(|step| format!("/datastores/new/{draft}/{step}"));
    let tabs = ["", "/nodes", "/users", "/firewall", "/activity", "/settings", "/delete"].map(|tab| format!("/datastores/{id}{tab}"));
    for path in ["/datastores".to_owned()].into_iter().chain(new).chain(tabs) {
        let shown = path.replace(&draft.to_string(), "…").replace(&id.to_string(), "…");
        report.times(&format!("page {shown}"), &times(&served, &path).await, "");
    }
    served.delete(id).await;
}

async fn times(served: &Served, path: &str) -> Samples {
    let mut samples: Vec<Duration> = Vec::new();
    for _ in 0..TIMES {
        let begun = Instant::now();
        let answer = served.browser.get(path).await;
        samples.push(begun.elapsed());
        assert_eq!(answer.status, 200, "{path}");
    }
    Samples::new(samples)
}
