//! `make bench`: what Granary costs, as ratios in one run against the bare engine. Everything is real: the program as users
//! run it, PostgreSQL, HAProxy, TLS. `make bench ONLY=create` runs the parts whose name contains the word.

#![expect(clippy::unwrap_used, reason = "a benchmark that fails ends")]

mod bare;
#[path = "../../src/tests/browser.rs"]
#[expect(dead_code, reason = "it is written for the tests, which use all of it")]
mod browser;
mod client;
mod cluster;
mod create;
mod datastore;
mod failover;
mod list;
mod memory;
mod pages;
mod payload;
mod peers;
mod processes;
mod report;
mod served;
mod speed;
mod writer;

use report::Report;

#[tokio::main]
async fn main() {
    let only = std::env::args().skip(1).find(|a| !a.starts_with('-')).unwrap_or_default();
    let wanted = |part: &str| part.contains(&only);
    let mut report = Report::default();
    if wanted("payload") {
        payload::measure(&mut report);
    }
    if wanted("create") {
        create::measure(&mut report).await;
    }
    if wanted("pages") {
        pages::measure(&mut report).await;
    }
    if wanted("list") {
        list::measure(&mut report).await;
    }
    if wanted("failover") {
        failover::kill(&mut report).await;
    }
    if wanted("frozen") {
        failover::freeze(&mut report).await;
    }
    if wanted("switchover") {
        failover::switch(&mut report).await;
    }
    if wanted("replicas") {
        failover::create(&mut report).await;
    }
    if wanted("pgbench") {
        speed::measure(&mut report).await;
    }
    if wanted("memory") {
        memory::measure(&mut report).await;
    }
    print!("{report}");
}
