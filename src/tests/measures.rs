//! `/metrics`: each is there, is told as Prometheus wants it, and moves; the dashboard and the alerts use exactly these.

use super::{
    exposition::Exposition,
    site::{Browser, Site},
};
use crate::{
    model::{
        person::{Me, Role},
        status::Status,
        step::Step,
    },
    server::{
        domain::{self, Actor},
        jobs::{faults::Faults, kind::JobKind, runner::Runner},
        monitor,
    },
};
use axum::http::Method;
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(30);

async fn read(browser: &Browser) -> Exposition {
    let answer = browser.get("/metrics").await;
    assert!(answer.header("content-type").starts_with("text/plain; version=0.0.4"));
    Exposition::parse(&answer.text)
}

async fn until(browser: &Browser, what: impl Fn(&Exposition) -> bool) -> Exposition {
    let begun = Instant::now();
    loop {
        let read = read(browser).await;
        if what(&read) {
            return read;
        }
        assert!(begun.elapsed() < PATIENCE, "{read:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn make(site: &Site, browser: &Browser, name: &str) -> (Actor, Uuid) {
    let answer = browser.request(Method::GET, "/api/page/me", &[("accept", "application/json")], None).await;
    let me: Option<Me> = serde_json::from_str(&answer.text).unwrap();
    let actor = Actor { me: Me { role: Role::Owner, ..me.unwrap() }, address: None, request_id: "test".into() };
    let id = domain::wizard::start(&site.app, &actor).await.unwrap();
    let (mut draft, ..) = domain::wizard::show(&site.app, &actor, id).await.unwrap();
    name.clone_into(&mut draft.name);
    for step in Step::ALL {
        domain::wizard::save(&site.app, &actor, id, step, "", draft.clone()).await.unwrap();
    }
    let id = domain::wizard::finish(&site.app, &actor, id).await.unwrap();
    (actor, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_metric_is_there_and_moves_and_nothing_else_names_a_datastore() {
    let site = Site::new().await;
    let browser = site.signed_in("Ada", "ada@example.org").await;
    let empty = read(&browser).await;
    for state in ["queued", "running", "failed"] {
        for kind in JobKind::ALL {
            assert_eq!(empty.get("granary_jobs", &[("kind", kind.id()), ("state", state)]), Some(0.0));
        }
    }
    assert_eq!(empty.0["granary_datastores"].samples.len(), Status::ALL.len());
    assert_eq!(empty.get("granary_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), Some(1.0));
    assert_eq!((empty.get("granary_metadata_up", &[]), empty.get("granary_metadata_connections_max", &[])), (Some(1.0), Some(5.0)));
    assert_eq!(empty.get("granary_certificate_expiry_timestamp_seconds", &[]), None, "there is no certificate yet");

    assert_eq!(empty.get("granary_spares", &[]), Some(0.0));

    // A job waits: no worker runs yet.
    let (actor, id) = make(&site, &browser, "orders").await;
    sqlx::query("UPDATE jobs SET not_before = now() - interval '100 seconds'").execute(&site.app.db).await.unwrap();
    let waiting = read(&browser).await;
    assert_eq!(waiting.get("granary_jobs", &[("kind", "create"), ("state", "queued")]), Some(1.0));
    assert_eq!(waiting.get("granary_datastores", &[("status", "queued")]), Some(1.0));
    assert_eq!(waiting.get("granary_nodes", &[("state", "unknown")]), Some(1.0));
    assert!(waiting.get("granary_jobs_oldest_wait_seconds", &[]).unwrap() >= 100.0);

    // It is made.
    let steps =
        |read: &Exposition| read.get("granary_job_step_duration_seconds_count", &[("outcome", "done"), ("step", "verify")]).unwrap_or_default();
    let _runner = Runner::start(site.app.clone(), Faults::default()).await.unwrap();
    // The step that makes it run is counted when it is over.
    let is_made = |read: &Exposition| read.get("granary_datastores", &[("status", "running")]) == Some(1.0) && steps(read) > steps(&waiting);
    let made = until(&browser, is_made).await;
    assert_eq!(made.get("granary_jobs_oldest_wait_seconds", &[]), Some(0.0));
    let end = made.get("granary_certificate_expiry_timestamp_seconds", &[]).unwrap();
    let days = (end - f64::from(u32::try_from(site.app.clock.now().unix_timestamp()).unwrap())) / 86400.0;
    assert!((80.0..=91.0).contains(&days), "{days} days");

    // It is looked at, and when the monitor ends, no more.
    let stop = CancellationToken::new();
    let monitor = tokio::spawn(monitor::run::run(site.app.clone(), stop.clone()));
    until(&browser, |read| read.get("granary_nodes", &[("state", "healthy")]) == Some(1.0)).await;
    stop.cancel();
    monitor.await.unwrap();
    let age = |read: &Exposition, name| read.get(name, &[]).unwrap();
    let before = read(&browser).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let after = read(&browser).await;
    for name in ["granary_monitor_oldest_look_age_seconds", "granary_monitor_round_age_seconds"] {
        assert!(age(&after, name) >= age(&before, name) + 0.05, "{name}");
    }

    // A page is open, and closed.
    assert_eq!(after.get("granary_event_streams", &[]), Some(0.0));
    let stream = browser.send(Method::GET, &format!("/datastores/{id}/events"), &[], None).await;
    until(&browser, |read| read.get("granary_event_streams", &[]) == Some(1.0)).await;
    drop(stream);
    until(&browser, |read| read.get("granary_event_streams", &[]) == Some(0.0)).await;

    // A spare is counted as one, and as nothing else.
    let mut tx = site.app.db.begin().await.unwrap();
    let kind =
        "INSERT INTO datastores (id, project_id, name, engine, version, topology, region, flavor, flavor_ram_mb, flavor_vcpus, storage, storage_gb,
        host_id, lifecycle) VALUES (gen_random_uuid(), $1, 'spare', 'postgresql', '15', 'single', 'local', '1', 512, 1, 'ephemeral', 5, $2, 'spare')";
    sqlx::query(kind).bind(crate::server::db::spares::PROJECT).bind(site.app.host).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    let spare = read(&browser).await;
    assert_eq!(spare.get("granary_spares", &[]), Some(1.0));
    let all: f64 = spare.0["granary_datastores"].samples.iter().map(|(.., value)| value).sum();
    assert_eq!(Some(all), Some(1.0), "the one that somebody made");

    // A job fails: the datastore's node is gone from this machine's list of programs.
    sqlx::query("UPDATE jobs SET state = 'failed'").execute(&site.app.db).await.unwrap();
    let failed = read(&browser).await;
    assert_eq!(failed.get("granary_jobs", &[("kind", "create"), ("state", "failed")]), Some(1.0));

    // Connections: one that is held is in use.
    let connections = |read: &Exposition, state| read.get("granary_metadata_connections", &[("state", state)]).unwrap();
    let held = site.app.db.acquire().await.unwrap();
    let with_one = read(&browser).await;
    assert!(connections(&with_one, "in_use") >= 1.0);
    drop(held);
    until(&browser, |read| connections(read, "in_use") < connections(&with_one, "in_use") + f64::EPSILON && connections(read, "idle") >= 1.0).await;

    // Requests, those that were never heard of among them.
    let route = [("method", "GET"), ("route", "/healthz")];
    let asked = |read: &Exposition| read.get("granary_http_requests_total", &[route[0], route[1], ("status", "200")]).unwrap_or_default();
    let timed = |read: &Exposition| read.get("granary_http_request_duration_seconds_count", &route).unwrap_or_default();
    let before = read(&browser).await;
    browser.get("/healthz").await;
    browser.request(Method::from_bytes(b"BREW").unwrap(), &format!("/{id}"), &[("sec-fetch-site", "same-origin")], None).await;
    let after = read(&browser).await;
    assert!(asked(&after) > asked(&before) && timed(&after) > timed(&before));
    bounded(&after, &actor, id);

    is_used(&after, "deploy/grafana/granary.json", include_str!("../../deploy/grafana/granary.json"), &dashboard());
    is_used(&after, "deploy/prometheus/alerts.yml", include_str!("../../deploy/prometheus/alerts.yml"), &alerts());
    let shown = names(&dashboard()).into_iter().filter_map(|name| after.find(&name).map(|_| family(&after, &name))).collect::<BTreeSet<_>>();
    let all: BTreeSet<String> = after.0.keys().cloned().collect();
    assert_eq!(shown, all, "the dashboard shows what is measured, all of it");

    // Without metadata what only that knows is not told, and that it is away is.
    site.app.db.close().await;
    let away = read(&browser).await;
    assert_eq!(away.get("granary_metadata_up", &[]), Some(0.0));
    assert!(!away.0.contains_key("granary_jobs") && away.0.contains_key("granary_build_info"));
}

/// No label says which datastore, person or path.
fn bounded(read: &Exposition, actor: &Actor, id: Uuid) {
    for (name, family) in &read.0 {
        assert!(family.help.ends_with('.'), "{name} is described in a sentence");
        for (_, labels, _) in &family.samples {
            for (label, value) in labels {
                let known = ["method", "route", "status", "le", "step", "outcome", "kind", "state", "version"].contains(&label.as_str());
                let leads = [id.to_string(), actor.me.project.to_string(), actor.me.person.to_string(), "orders".into(), "BREW".into()];
                assert!(known && !leads.iter().any(|lead| value.contains(lead.as_str())), "{name} {labels:?}");
            }
        }
    }
    assert!(read.0["granary_http_requests_total"].samples.iter().any(|(_, labels, _)| labels["method"] == "other"));
}

/// Every expression of the dashboard.
fn dashboard() -> Vec<String> {
    let file: serde_json::Value = serde_json::from_str(include_str!("../../deploy/grafana/granary.json")).unwrap();
    let panels = file["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
}

/// Every expression of the rules; each rule has what a person needs who is woken by it.
fn alerts() -> Vec<String> {
    let text = include_str!("../../deploy/prometheus/alerts.yml");
    let rules: Vec<&str> = text.split("- alert: ").skip(1).collect();
    let mut names = BTreeSet::new();
    let of = |rule: &str| {
        for part in ["expr: ", "labels: {severity: ", "annotations:", "summary: ", "description: "] {
            assert_eq!(rule.matches(part).count(), 1, "{part} in {rule}");
        }
        rule.lines().find_map(|line| line.trim().strip_prefix("expr: ")).unwrap().to_owned()
    };
    let expressions: Vec<String> = rules.iter().map(|rule| of(rule)).collect();
    names.extend(rules.iter().map(|rule| rule.lines().next().unwrap()));
    assert_eq!(names.len(), rules.len());
    expressions
}

/// Names of metrics in expressions.
fn names(expressions: &[String]) -> BTreeSet<String> {
    let words = expressions.iter().flat_map(|e| e.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')));
    words.filter(|word| word.starts_with("granary_")).map(str::to_owned).collect()
}

fn family(read: &Exposition, name: &str) -> String {
    let (_, suffix) = read.find(name).unwrap();
    name.strip_suffix(suffix).unwrap().to_owned()
}

/// Every metric that an expression names is there, with the labels and values that it selects by.
fn is_used(read: &Exposition, file: &str, text: &str, expressions: &[String]) {
    assert!(!expressions.is_empty() && expressions.iter().all(|e| text.contains(&e.replace('"', "\\\"")) || text.contains(e.as_str())));
    for expression in expressions {
        assert_eq!(expression.matches('(').count(), expression.matches(')').count(), "{file}: {expression}");
        for name in names(std::slice::from_ref(expression)) {
            assert!(read.find(&name).is_some(), "{file}: there is no {name}, which “{expression}” wants");
            // A histogram without a suffix has no series of its own.
            assert!(read.0.get(&name).is_none_or(|family| family.kind != "histogram"), "{file}: {expression}");
        }
        for (name, selector) in expression.split("granary_").skip(1).filter_map(|part| part.split_once('{')) {
            let Some((family, _)) = read.find(&format!("granary_{name}")) else { continue };
            for (label, value) in selector.split('}').next().unwrap().split(',').filter_map(|pair| pair.split_once('=')) {
                let value = value.trim_start_matches('~').trim_matches('"');
                // Prometheus adds these itself; statuses of errors come when there are some.
                if ["job", "instance"].contains(&label) || value == "5.." {
                    continue;
                }
                for wanted in value.split('|') {
                    let has = family.samples.iter().any(|(_, labels, _)| labels.get(label).is_some_and(|v| v == wanted));
                    assert!(has || wanted == "failed", "{file}: {name} has no {label}={wanted}");
                }
            }
        }
    }
}
