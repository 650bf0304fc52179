//! What the log of the real program has of a whole creation, at its most talkative: who asked for each line of work, and
//! nothing that is secret or a tenant's.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

mod common;

use base64::{Engine, engine::general_purpose::STANDARD};
use common::{Home, Visitor, until_status};
use granary::{
    model::{
        datastore::EndpointKind,
        person::{Me, Role},
    },
    server::{
        db,
        domain::{self, Actor},
        jobs::kind::JobKind,
        state::App,
    },
};
use secrecy::ExposeSecret;
use serde_json::Value;
use std::{fmt::Write, process::Command};
use uuid::Uuid;

const TOKEN: &str = "metrics-token-of-this-test";

/// Signs in and makes a datastore as a browser without scripts does; its id, and the id of the request that asked for it.
async fn create(visitor: &mut Visitor) -> (Uuid, String) {
    let page = visitor.post("/api/wizard/start", &[]).await.location.unwrap();
    let draft = page.split('/').nth_back(1).unwrap().to_owned();
    let finished = visitor.post("/api/wizard/finish", &[("id", &draft)]).await;
    let page = finished.location.unwrap();
    (page.rsplit('/').next().unwrap().parse().unwrap(), finished.request_id)
}

async fn actor(app: &App) -> Actor {
    let (person, project): (Uuid, Uuid) = sqlx::query_as("SELECT id, personal_project FROM people").fetch_one(&app.db).await.unwrap();
    let me = Me { person, name: "Ada".into(), project, project_name: "test".into(), role: Role::Owner, single_tenant: false, development: true };
    Actor { me, address: Some([127, 0, 0, 1].into()), request_id: "by the test itself".into() }
}

/// Writes and reads a row as a tenant does; a statement fails too, since errors like to repeat what they were given.
async fn live(app: &App, actor: &Actor, id: Uuid, row: &str) -> String {
    let c = domain::access::connection(app, actor, id, EndpointKind::Primary, true).await.unwrap();
    let password = c.password.clone().unwrap();
    let url = format!("postgresql://{}@{}:{}/{}?sslmode=require&connect_timeout=10", c.user, c.host, c.port, c.database);
    let sql = format!("CREATE TABLE t (x text); INSERT INTO t VALUES ('{row}'); SELECT * FROM t; SELECT '{row}'::integer");
    let output = Command::new("psql").arg(url).args(["-Atc", &sql]).env("PGPASSWORD", &password).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains(row), "{output:?}");
    password
}

/// All that must not be in the log, with its name.
async fn secrets(home: &Home, app: &App, visitor: &Visitor, id: Uuid) -> Vec<(String, String)> {
    let mut secrets = vec![("metrics token".to_owned(), TOKEN.to_owned())];
    secrets.extend(visitor.cookies.iter().map(|(name, value)| (format!("cookie {name}"), value.clone())));
    let master = std::fs::read(home.path().join("keys/master.key")).unwrap();
    let hex = master.iter().fold(String::new(), |mut hex, byte| write!(hex, "{byte:02x}").map(|()| hex).unwrap());
    secrets.extend([("master key".to_owned(), STANDARD.encode(&master)), ("master key".to_owned(), hex)]);
    let purposes: Vec<String> = sqlx::query_scalar("SELECT purpose FROM secrets WHERE datastore_id = $1").bind(id).fetch_all(&app.db).await.unwrap();
    for purpose in purposes.into_iter().filter(|purpose| !purpose.contains("certificate")) {
        let sealed = db::secrets::get(&app.db, id, &purpose).await.unwrap().unwrap();
        let plain = app.keyring.open_sealed(&db::secrets::context(id, &purpose), &sealed).unwrap();
        // Of a key in many lines, each.
        let lines = plain.expose_secret().lines().filter(|line| line.len() > 12 && !line.starts_with("---"));
        secrets.extend(lines.map(|line| (purpose.clone(), line.to_owned())));
    }
    secrets.extend([("a verifier".into(), "SCRAM-SHA-256$".into()), ("a private key".into(), "PRIVATE KEY".into())]);
    secrets
}

/// Everything that a line says, those it stands in included.
fn said(line: &Value) -> Vec<(&String, &Value)> {
    let spans = line["spans"].as_array().into_iter().flatten();
    spans.chain([line]).filter_map(Value::as_object).flatten().collect()
}

fn has(line: &Value, name: &str, value: &str) -> bool {
    said(line).iter().any(|(n, v)| *n == name && v.as_str() == Some(value))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_a_job_says_who_asked_and_no_line_says_a_secret_or_a_tenants_data() {
    let home = Home::new("granary-logs-");
    let serving = home.serve(&[("GRANARY_LOG", "trace,tokio_postgres=trace"), ("GRANARY_LOG_FORMAT", "json"), ("GRANARY_METRICS_TOKEN", TOKEN)]);
    let mut visitor = Visitor::new(&home).await;
    let mut addresses = visitor.sign_in().await;
    let (id, request_id) = create(&mut visitor).await;
    let app = home.app().await;
    let actor = actor(&app).await;
    until_status(&app, id, "Running").await;
    assert_eq!(visitor.post("/api/datastore/reveal", &[("id", &id.to_string())]).await.status, 303);
    domain::firewall::add(&app, &actor, id, "127.0.0.1/32", "", "").await.unwrap();
    let begun = std::time::Instant::now();
    while domain::firewall::show(&app, &actor, id).await.unwrap().sources.iter().any(|s| !s.in_effect) {
        assert!(begun.elapsed() < common::PATIENCE);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let row = "a row of Ada's own";
    let row = &row.replace('\'', "");
    let password = live(&app, &actor, id, row).await;
    let mut secrets = secrets(&home, &app, &visitor, id).await;
    assert!(secrets.iter().any(|(_, secret)| *secret == password), "the password is looked for");
    secrets.push(("a tenant's row".to_owned(), row.clone()));
    // What a sign-in passes along: the code, and what ties it to the browser.
    let query = |address: String| address.split_once('?').unwrap().1.to_owned();
    for (name, value) in addresses.drain(..).flat_map(|a| url::form_urlencoded::parse(query(a).as_bytes()).into_owned().collect::<Vec<_>>()) {
        if ["code", "state", "nonce", "code_challenge"].contains(&name.as_str()) {
            secrets.push((name, value));
        }
    }
    serving.end();

    let log = std::fs::read_to_string(home.log()).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert!(lines.len() > 200 && ["TRACE", "DEBUG"].iter().all(|level| lines.iter().any(|line| line["level"] == **level)), "{} lines", lines.len());
    assert!(lines.iter().any(|line| line["target"] == "sqlx::query"), "statements are not among the lines");
    for (name, secret) in &secrets {
        let found = log.lines().find(|line| line.contains(secret.as_str()));
        assert_eq!(found, None, "{name} is in the log");
    }
    let job: String =
        sqlx::query_scalar("SELECT id::text FROM jobs WHERE datastore_id = $1 AND kind = 'create'").bind(id).fetch_one(&app.db).await.unwrap();
    let of_the_job: Vec<_> = lines.iter().filter(|line| has(line, "job", &job)).collect();
    for line in &of_the_job {
        let about = [("datastore", id.to_string().as_str()), ("request_id", request_id.as_str()), ("kind", "create")].map(|(n, v)| has(line, n, v));
        assert_eq!(about, [true; 3], "{line}");
    }
    for step in JobKind::Create.steps() {
        assert!(of_the_job.iter().any(|line| has(line, "step", step.id()) && line["message"] == "step done"), "{step} says nothing");
    }
    let request = lines.iter().filter(|line| has(line, "request_id", &request_id) && said(line).iter().any(|(name, _)| *name == "path")).count();
    assert!(request > 0, "the request itself has no line with its id");
}
