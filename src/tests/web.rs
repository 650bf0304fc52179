//! What every answer has and every request must, forms, streams, metrics.

use super::site::{Answer, Browser, Site};
use crate::{
    error::AppError,
    model::{
        form::Attempt,
        job::Snapshot,
        person::{Me, Role},
        status::Status,
        step::Step,
    },
    server::{
        domain::{self, Actor},
        state::Clock,
    },
};
use axum::http::{Method, StatusCode};
use std::time::Duration;
use tokio::time::timeout;
use uuid::Uuid;

pub(super) const JSON: (&str, &str) = ("accept", "application/json");
pub(super) const OURS: (&str, &str) = ("sec-fetch-site", "same-origin");
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

pub(super) async fn actor(browser: &Browser) -> Actor {
    let me: Option<Me> = serde_json::from_str(&browser.request(Method::GET, "/api/page/me", &[JSON], None).await.text).unwrap();
    Actor { me: me.expect("somebody is signed in"), address: None, request_id: "test".into() }
}

pub(super) async fn attempt(browser: &Browser, form: &str) -> Option<Attempt> {
    let answer = browser.request(Method::POST, "/api/page/attempt", &[JSON, OURS], Some(&[("form", form)])).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    serde_json::from_str(&answer.text).unwrap()
}

pub(super) async fn datastore(site: &Site, actor: &Actor, name: &str) -> Uuid {
    let id = domain::wizard::start(&site.app, actor).await.unwrap();
    let (mut draft, ..) = domain::wizard::show(&site.app, actor, id).await.unwrap();
    draft.name = name.to_owned();
    for step in Step::ALL {
        domain::wizard::save(&site.app, actor, id, step, "", draft.clone()).await.unwrap();
    }
    domain::wizard::finish(&site.app, actor, id).await.unwrap()
}

#[tokio::test]
async fn every_answer_has_the_headers_and_an_id_of_its_own() {
    let site = Site::new().await;
    let browser = site.browser();
    let mut ids = std::collections::BTreeSet::new();
    for path in
        ["/", "/sign-in", "/nowhere", "/healthz", "/readyz", "/metrics", "/pkg/x/y.js", "/ca/x.pem", "/events", "/dev/oidc/jwks", "/api/page/me"]
    {
        let answer = browser.request(Method::GET, path, &[("x-request-id", "mine")], None).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "same-origin", "{path}");
        assert_eq!(answer.header("cross-origin-opener-policy"), "same-origin", "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        let policy = answer.header("content-security-policy");
        for part in
            ["default-src 'none';", "style-src 'self';", "base-uri 'none';", "frame-ancestors 'none'", &format!("form-action 'self' {};", site.url)]
        {
            assert!(policy.contains(part), "{path}: {part} is missing in {policy}");
        }
        assert!(!policy.contains("unsafe-inline"), "{path}: {policy}");
        assert!(!answer.headers.contains_key("strict-transport-security"), "{path}");
        assert!(ids.insert(answer.header("x-request-id").to_owned()) && !ids.contains("mine"), "{path}");
    }
}

#[tokio::test]
async fn scripts_run_only_with_the_nonce_of_their_page() {
    let site = Site::new().await;
    let nonce = |answer: &Answer| {
        let policy = answer.header("content-security-policy");
        policy.split_once("script-src 'nonce-").expect(policy).1.split_once('\'').unwrap().0.to_owned()
    };
    let (one, two) = (site.browser().get("/sign-in").await, site.browser().get("/sign-in").await);
    assert_ne!(nonce(&one), nonce(&two));
    let with_nonce = |tag: &&str| tag.split('>').next().is_some_and(|tag| tag.contains(&format!("nonce=\"{}\"", nonce(&one))));
    let asks_for_code = |opening: &str| one.text.split(opening).skip(1).map(str::to_owned).collect::<Vec<_>>();
    for opening in ["<script", "<link rel=\"modulepreload\""] {
        let tags = asks_for_code(opening);
        assert!(!tags.is_empty() && tags.iter().all(|tag| with_nonce(&tag.as_str())), "{opening}: {}", one.text);
    }
    // Answers that are no pages of the application run none.
    assert!(!site.browser().get("/dev/oidc/authorize").await.header("content-security-policy").contains("script-src"));
}

#[tokio::test]
async fn writes_of_foreign_pages_are_refused_and_reads_cannot_write() {
    let site = Site::new().await;
    let browser = site.signed_in("Ada", "ada@example.org").await;
    let drafts = || async { sqlx::query_scalar!("SELECT count(*) FROM drafts").fetch_one(&site.app.db).await.unwrap() };
    for headers in
        [&[("sec-fetch-site", "cross-site")][..], &[("sec-fetch-site", "same-site")], &[("origin", "https://evil.test")], &[("origin", "null")], &[]]
    {
        for path in ["/api/wizard/start", "/auth/sign-out"] {
            let answer = browser.request(Method::POST, path, headers, Some(&[])).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} {headers:?}");
        }
    }
    let answer = browser.request(Method::GET, "/api/wizard/start", &[JSON], None).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(drafts().await, Some(0));
    assert!(browser.session().is_some());

    let own = browser.request(Method::POST, "/api/wizard/start", &[("origin", &site.url)], Some(&[])).await;
    assert_eq!(own.status, StatusCode::OK, "{own:?}");
    assert_eq!(drafts().await, Some(1));
}

#[tokio::test]
async fn a_form_that_succeeds_leads_on() {
    let site = Site::new().await;
    let browser = site.signed_in("Ada", "ada@example.org").await;
    let answer = browser.post("/api/wizard/start", &[]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{answer:?}");
    let to = answer.location().unwrap();
    assert!(to.starts_with("/datastores/new/") && to.ends_with("/databases"), "{to}");
}

#[tokio::test]
async fn a_form_that_fails_comes_back_with_what_was_typed_once() {
    let site = Site::new().await;
    let browser = site.signed_in("Ada", "ada@example.org").await;
    let id = datastore(&site, &actor(&browser).await, "orders").await.to_string();
    let name = "x".repeat(20_000);
    let page = format!("/datastores/{id}/settings?a=b");
    let answer = browser.post_from(&format!("{page}&__path=x&__err=y"), "/api/datastore/rename", &[("id", &id), ("name", &name)]).await;
    assert_eq!((answer.status, answer.location()), (StatusCode::SEE_OTHER, Some(page.as_str())));
    let kept = attempt(&browser, "rename").await.unwrap();
    assert!(kept.errors.of("name").is_some(), "{:?}", kept.errors);
    assert_eq!(kept.value("name").unwrap().len(), 8 << 10, "a value is kept without bounds");
    assert_eq!(attempt(&browser, "rename").await, None, "shown twice");

    // What does not reach the use case comes back, too: an id that is none.
    let answer = browser.post_from("/datastores", "/api/datastore/rename", &[("id", "x"), ("name", "new\0"), ("password", "geheim")]).await;
    assert_eq!(answer.location(), Some("/datastores"));
    let kept = attempt(&browser, "rename").await.unwrap();
    assert_eq!((kept.value("name"), kept.value("password")), (Some("new"), None));
    assert!(!kept.errors.is_empty());

    // A foreign Referer leads nowhere else.
    let unknown = Uuid::nil().to_string();
    let headers = [("accept", "text/html"), OURS, ("referer", "https://evil.test/x")];
    let answer = browser.request(Method::POST, "/api/datastore/restart", &headers, Some(&[("id", &unknown)])).await;
    assert_eq!(answer.location(), Some("/"));
    assert_eq!(attempt(&browser, "restart").await.unwrap().message, Some(AppError::NotFound.to_string()));
}

#[tokio::test]
async fn programs_get_the_error_and_its_status() {
    let site = Site::new().await;
    let browser = site.browser();
    let rename = [("id", "00000000-0000-0000-0000-000000000000"), ("name", "new")];
    let answer = browser.request(Method::POST, "/api/datastore/rename", &[JSON, OURS], Some(&rename)).await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::UNAUTHORIZED, "\"SignedOut\""));
    let browser = site.signed_in("Ada", "ada@example.org").await;
    let answer = browser.request(Method::POST, "/api/datastore/rename", &[JSON, OURS], Some(&rename)).await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::NOT_FOUND, "\"NotFound\""));
    assert_eq!(answer.header("serverfnerror"), "/api/datastore/rename");
}

#[tokio::test]
async fn what_was_typed_is_kept_over_a_new_sign_in_but_not_for_somebody_else() {
    let site = Site::new().await;
    let browser = site.browser();
    let form = [("id", "00000000-0000-0000-0000-000000000000"), ("step", "databases"), ("fields[name]", "orders")];
    let answer = browser.post_from("/datastores/new/x/databases", "/api/wizard/save", &form).await;
    assert_eq!(answer.location(), Some("/sign-in?return=%2Fdatastores%2Fnew%2Fx%2Fdatabases"));
    browser.sign_in("/", "Ada", "ada@example.org").await;
    let kept = attempt(&browser, "wizard").await.unwrap();
    assert_eq!((kept.value("name"), kept.message.clone()), (Some("orders"), Some(AppError::SignedOut.to_string())));

    browser.post("/api/datastore/restart", &[("id", "00000000-0000-0000-0000-000000000000")]).await;
    browser.sign_in("/", "Bob", "bob@example.org").await;
    assert_eq!(attempt(&browser, "restart").await, None, "Bob was shown what Ada typed");
}

#[tokio::test]
async fn too_much_at_once_is_refused() {
    let site = Site::new().await;
    let browser = site.signed_in("Ada", "ada@example.org").await;
    let much = "x".repeat(70 << 10);
    let answer = browser.request(Method::POST, "/api/datastore/rename", &[JSON, OURS], Some(&[("name", &much)])).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    let answer = browser.post("/api/datastore/rename", &[("name", &much)]).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(answer.text.contains("too much at once"));
}

#[tokio::test]
async fn metrics_are_for_this_machine_or_for_the_token() {
    let site = Site::with(Clock::System, |config| config.metrics_token = Some("0123456789abcdef".into())).await;
    let ask = |headers: Vec<(&'static str, &'static str)>| {
        let browser = site.browser();
        async move { browser.request(Method::GET, "/metrics", &headers, None).await }
    };
    site.browser().get("/sign-in").await;
    let shown = ask(vec![]).await;
    assert_eq!(shown.status, StatusCode::OK);
    assert!(shown.text.contains("granary_http_requests_total{method=\"GET\",route=\"/sign-in\",status=\"200\"}"), "{}", shown.text);
    assert_eq!(ask(vec![("x-forwarded-for", "127.0.0.1")]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(ask(vec![("x-forwarded-for", "192.0.2.1"), ("authorization", "Bearer 0123456789abcdef")]).await.status, StatusCode::OK);
    assert_eq!(ask(vec![("x-forwarded-for", "192.0.2.1"), ("authorization", "Bearer 0123456789abcdeF")]).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn without_metadata_pages_say_so_and_the_process_still_lives() {
    let site = Site::new().await;
    let browser = site.signed_in("Ada", "ada@example.org").await;
    assert_eq!(browser.get("/readyz").await.status, StatusCode::OK);
    site.app.db.close().await;
    let page = browser.get("/").await;
    assert_eq!((page.status, page.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "5"));
    assert!(page.header("content-type").starts_with("text/html") && page.text.contains("Your databases go on"), "{}", page.text);
    assert!(browser.session().is_some(), "the session was thrown away");
    let form = browser.post("/api/wizard/start", &[]).await;
    assert_eq!(form.status, StatusCode::SERVICE_UNAVAILABLE, "{form:?}");
    let program = browser.request(Method::GET, "/api/page/me", &[JSON], None).await;
    assert_eq!((program.status, program.text.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "\"Unavailable\""));
    assert_eq!(browser.get("/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(browser.get("/healthz").await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_address_with_nothing_behind_it_is_a_page_or_an_error() {
    let site = Site::new().await;
    let browser = site.signed_in("Ada", "ada@example.org").await;
    let page = browser.get("/nowhere").await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    assert!(page.header("content-type").starts_with("text/html") && page.header("content-security-policy").contains("nonce-"));
    let page = browser.get(&format!("/datastores/{}", Uuid::nil())).await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    let program = browser.request(Method::GET, "/nowhere", &[JSON], None).await;
    assert_eq!((program.status, program.text.as_str()), (StatusCode::NOT_FOUND, "\"NotFound\""));
}

#[tokio::test]
async fn r036_a_ca_is_fetched_by_its_fingerprint() {
    let site = Site::new().await;
    let browser = site.signed_in("Ada", "ada@example.org").await;
    let id = datastore(&site, &actor(&browser).await, "orders").await;
    let fingerprint = "ab".repeat(32);
    sqlx::query!("UPDATE datastores SET ca_certificate = 'PEM', ca_fingerprint = $2 WHERE id = $1", id, fingerprint)
        .execute(&site.app.db)
        .await
        .unwrap();
    let answer = site.browser().get(&format!("/ca/{fingerprint}.pem")).await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, "PEM"));
    assert_eq!(answer.header("content-type"), "application/x-pem-file");
    for unknown in ["/ca/x.pem".to_owned(), format!("/ca/{fingerprint}"), format!("/ca/{}.pem", fingerprint.to_uppercase())] {
        assert_eq!(site.browser().get(&unknown).await.status, StatusCode::NOT_FOUND, "{unknown}");
    }
}

/// A stream of events, as `EventSource` reads it.
pub(super) struct Events {
    response: reqwest::Response,
    read: String,
}

impl Events {
    pub(super) async fn open(browser: &Browser, path: &str) -> Self {
        let response = browser.send(Method::GET, path, &[("accept", "text/event-stream")], None).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, read: String::new() }
    }

    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.read.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.read = rest;
                return Some(event);
            }
            let chunk = timeout(PATIENCE, self.response.chunk()).await.expect("something comes").ok().flatten()?;
            self.read.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next snapshot of a datastore.
    pub(super) async fn snapshot(&mut self) -> Option<Snapshot> {
        loop {
            if let Some(json) = self.next().await?.strip_prefix("data: ") {
                return Some(serde_json::from_str(json).unwrap());
            }
        }
    }

    pub(super) async fn ends(&mut self) -> bool {
        timeout(PATIENCE, async { while self.next().await.is_some() {} }).await.is_ok()
    }
}

#[tokio::test]
async fn r017_a_stream_shows_what_is_and_then_what_changes() {
    let site = Site::new().await;
    let browser = site.signed_in("Ada", "ada@example.org").await;
    let ada = actor(&browser).await;
    let (id, other) = (datastore(&site, &ada, "orders").await, datastore(&site, &ada, "other").await);
    let mut one = Events::open(&browser, &format!("/datastores/{id}/events")).await;
    let mut all = Events::open(&browser, "/events").await;
    let first = one.snapshot().await.unwrap();
    assert!(first.status.is_some() && first.job.is_some());

    domain::datastore::protect(&site.app, &ada, other, true).await.unwrap();
    assert_eq!(all.snapshot().await.unwrap().datastore, other);
    let job = first.job.clone().unwrap().id;
    domain::work::cancel(&site.app, &ada, id, job).await.unwrap();
    let second = one.snapshot().await.unwrap();
    assert!(!first.job.unwrap().undoing && second.job.unwrap().undoing);
    assert_eq!(second.status, Some(Status::Deleting));
    assert_eq!(all.snapshot().await.unwrap().datastore, id);
}

#[tokio::test]
async fn a_burst_of_changes_is_one_message() {
    let site = Site::new().await;
    let browser = site.signed_in("Ada", "ada@example.org").await;
    let ada = actor(&browser).await;
    let id = datastore(&site, &ada, "orders").await;
    let mut all = Events::open(&browser, "/events").await;
    // The first is told at once, the others together after it.
    for _ in 0..20 {
        sqlx::query!("UPDATE datastores SET epoch = epoch + 1 WHERE id = $1", id).execute(&site.app.db).await.unwrap();
    }
    let begun = std::time::Instant::now();
    let mut messages = 0;
    while timeout(Duration::from_millis(500), all.snapshot()).await.is_ok() {
        messages += 1;
    }
    let most = begun.elapsed().as_millis() / 100 + 1;
    assert!((1..20).contains(&messages) && messages <= most, "{messages} messages");
}

#[tokio::test]
async fn streams_of_others_do_not_exist() {
    let site = Site::new().await;
    let id = datastore(&site, &actor(&site.signed_in("Ada", "ada@example.org").await).await, "orders").await;
    let bob = site.signed_in("Bob", "bob@example.org").await;
    let theirs = bob.request(Method::GET, &format!("/datastores/{id}/events"), &[], None).await;
    let none = bob.request(Method::GET, &format!("/datastores/{}/events", Uuid::nil()), &[], None).await;
    assert_eq!((theirs.status, theirs.text), (StatusCode::NOT_FOUND, none.text));
    for path in [format!("/datastores/{id}/events"), "/events".to_owned()] {
        assert_eq!(site.browser().request(Method::GET, &path, &[], None).await.status, StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test]
async fn a_stream_ends_with_the_session_the_membership_and_granary() {
    let site = Site::new().await;
    let browser = site.signed_in("Ada", "ada@example.org").await;
    let ada = actor(&browser).await;
    let id = datastore(&site, &ada, "orders").await;
    let path = format!("/datastores/{id}/events");
    let change = |on| domain::datastore::protect(&site.app, &ada, id, on);

    let mut stream = Events::open(&browser, &path).await;
    stream.snapshot().await.unwrap();
    browser.post("/auth/sign-out", &[]).await;
    change(true).await.unwrap();
    assert!(stream.ends().await, "it goes on after signing out");

    let browser = site.signed_in("Ada", "ada@example.org").await;
    let mut streams = [Events::open(&browser, &path).await, Events::open(&browser, "/events").await];
    streams[0].snapshot().await.unwrap();
    sqlx::query!("DELETE FROM members WHERE person_id = $1", ada.me.person).execute(&site.app.db).await.unwrap();
    change(false).await.unwrap();
    for stream in &mut streams {
        assert!(stream.ends().await, "it goes on for somebody who is no member");
    }

    let me = sqlx::query!("INSERT INTO members (project_id, person_id, role) VALUES ($1, $2, 'viewer')", ada.me.project, ada.me.person);
    me.execute(&site.app.db).await.unwrap();
    assert_eq!(actor(&browser).await.me.role, Role::Viewer);
    let mut streams = [Events::open(&browser, &path).await, Events::open(&browser, "/events").await];
    site.shutdown.cancel();
    for stream in &mut streams {
        assert!(stream.ends().await, "it keeps Granary from ending");
    }
}

#[tokio::test]
async fn r022_a_list_that_was_drawn_before_a_deletion_ended_learns_of_it() {
    let site = Site::new().await;
    let browser = site.signed_in("Ada", "ada@example.org").await;
    let id = datastore(&site, &actor(&browser).await, "orders").await;
    let stranger = site.signed_in("Bob", "bob@example.org").await;
    sqlx::query("UPDATE datastores SET lifecycle = 'deleted', deleted_at = now() WHERE id = $1").bind(id).execute(&site.app.db).await.unwrap();
    let gone = Events::open(&browser, "/events").await.snapshot().await.unwrap();
    assert_eq!((gone.datastore, gone.status), (id, None));
    let mut theirs = Events::open(&stranger, "/events").await;
    assert!(timeout(Duration::from_millis(300), theirs.snapshot()).await.is_err(), "another project's is told");
}
