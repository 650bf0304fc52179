//! Requests of one session at the same time.

use super::{asked, with_issuer};
use crate::{
    server::{auth::session, config::Allow, state::Clock},
    tests::{
        site::{Browser, Site},
        support,
        web::{actor, attempt, datastore},
    },
};
use axum::http::{Method, StatusCode};
use futures::future::join_all;
use serde_json::json;
use sqlx::{AssertSqlSafe, PgPool, postgres::PgPoolOptions};
use std::time::Duration;
use time::OffsetDateTime;
use tokio::time::{sleep, timeout};

/// Connections beside those of the site: all of its own may be waiting.
fn beside(site: &Site) -> PgPool {
    PgPoolOptions::new().max_connections(2).connect_lazy_with((*site.app.db.connect_options()).clone())
}

/// Waits until so many wait for a lock.
async fn waiting(db: &PgPool, count: i64) {
    let waiters = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let all = async {
        while sqlx::query_scalar::<_, i64>(waiters).fetch_one(db).await.unwrap() < count {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(30), all).await.expect("all come to the lock");
}

#[tokio::test]
async fn posts_at_the_same_time_do_not_lose_each_others_words() {
    let site = Site::new().await;
    let browser = site.signed_in("Ada", "ada@example.org").await;
    let id = datastore(&site, &actor(&browser).await, "orders").await;
    let text = id.to_string();
    let db = beside(&site);
    // All have read the session when the first of them writes it.
    let mut lock = db.begin().await.unwrap();
    sqlx::query!("SELECT id FROM datastores WHERE id = $1 FOR UPDATE", id).fetch_one(&mut *lock).await.unwrap();
    let id_of = ("id", text.as_str());
    let posts: [(&str, &[(&str, &str)]); 5] = [
        ("rename", &[id_of, ("name", "no name!")]),
        ("restart", &[id_of]),
        ("tags", &[id_of, ("tags", "a")]),
        ("protect", &[id_of, ("on", "true")]),
        ("reveal", &[id_of]),
    ];
    let all = join_all(posts.map(|(verb, form)| {
        let browser = &browser;
        async move { browser.post(&format!("/api/datastore/{verb}"), form).await }
    }));
    let release = async {
        waiting(&db, 5).await;
        lock.rollback().await.unwrap();
    };
    tokio::join!(all, release);

    let data = sqlx::query_scalar!("SELECT data FROM sessions WHERE person_id IS NOT NULL").fetch_one(&db).await.unwrap();
    assert!(data["revealed"][&text].is_i64(), "the reveal was lost: {data}");
    let notice = browser.request(Method::POST, "/api/page/notice", &[("sec-fetch-site", "same-origin")], Some(&[])).await.text;
    assert!(notice.contains("Tags saved.") && notice.contains("Termination protection saved."), "{notice}");
    assert_eq!(attempt(&browser, "rename").await.unwrap().value("name"), Some("no name!"));
    assert!(attempt(&browser, "restart").await.unwrap().message.is_some());
    // Each attempt is shown once, and the reveal stays.
    let data = sqlx::query_scalar!("SELECT data FROM sessions WHERE person_id IS NOT NULL").fetch_one(&db).await.unwrap();
    assert!(data["attempts_by_form"] == json!({}) && data["revealed"][&text].is_i64(), "{data}");
}

#[tokio::test]
async fn r001_sign_ins_begun_at_the_same_time_in_two_windows_both_end() {
    let (site, issuer) = with_issuer(&[Allow::Subject("1".into())]).await;
    issuer.says(json!({ "sub": "1" }));
    let browser = site.browser();
    asked(&browser).await;
    // Both windows have read the session before one writes it.
    let (db, id) = (beside(&site), row(&browser));
    browser.get("/sign-in").await;
    let mut lock = db.begin().await.unwrap();
    sqlx::query("SELECT id_hash FROM sessions WHERE id_hash = $1 FOR UPDATE").bind(&id).execute(&mut *lock).await.unwrap();
    let release = async {
        waiting(&db, 2).await;
        lock.rollback().await.unwrap();
    };
    let (one, two, ()) = tokio::join!(asked(&browser), asked(&browser), release);
    for (state, _) in [&one, &two] {
        let known = sqlx::query_scalar::<_, bool>("SELECT data -> 'sign_ins' ? $2 FROM sessions WHERE id_hash = $1");
        assert!(known.bind(&id).bind(state).fetch_one(&db).await.unwrap(), "a sign-in that was begun was lost");
    }
}

#[tokio::test]
async fn r001_an_answer_that_comes_twice_at_the_same_moment_is_taken_once() {
    let (site, issuer) = with_issuer(&[Allow::Subject("1".into())]).await;
    issuer.says(json!({ "sub": "1" }));
    let browser = site.browser();
    let (state, request) = asked(&browser).await;
    let callback = format!("/auth/callback?code={}&state={state}&iss={}", issuer.code_for_ever(&request), issuer.url());
    let (thief, db, id) = (browser.at(&site.url), beside(&site), row(&browser));
    // So that neither notes that the session is used.
    browser.get("/sign-in").await;
    let mut lock = db.begin().await.unwrap();
    sqlx::query("SELECT id_hash FROM sessions WHERE id_hash = $1 FOR UPDATE").bind(&id).execute(&mut *lock).await.unwrap();
    let release = async {
        waiting(&db, 2).await;
        lock.rollback().await.unwrap();
    };
    let (one, other, ()) = tokio::join!(browser.get(&callback), thief.get(&callback), release);
    let mut led = [one.location().unwrap(), other.location().unwrap()];
    led.sort_unstable();
    assert_eq!(led, ["/", "/sign-in?return=%2F&error=expired"]);
    let sessions = sqlx::query_scalar::<_, i64>(AssertSqlSafe("SELECT count(*) FROM sessions WHERE person_id IS NOT NULL"));
    assert_eq!(sessions.fetch_one(&db).await.unwrap(), 1);
}

#[tokio::test]
async fn r017_a_notice_outlives_the_reload_that_follows_it_and_not_the_next_minute() {
    let db = support::database().await;
    let begin = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
    let site = Site::on(&db, Clock::Fixed(begin), |_| {}).await;
    let browser = site.signed_in("Ada", "ada@example.org").await;
    let id = datastore(&site, &actor(&browser).await, "orders").await.to_string();
    let page = format!("/datastores/{id}/settings");
    assert_eq!(browser.post_from(&page, "/api/datastore/tags", &[("id", &id), ("tags", "a")]).await.status, StatusCode::SEE_OTHER);
    for (seconds, shown) in [(0, true), (4, true), (6, false), (0, false)] {
        let clock = Clock::Fixed(begin + time::Duration::seconds(seconds));
        let then = Site::on(&db, clock, |config| config.public_url = site.app.config.public_url.clone()).await;
        let cookie = format!("granary={}", browser.session().unwrap());
        let asked = [("cookie", cookie.as_str()), ("host", site.url.trim_start_matches("http://"))];
        let answer = then.browser().request(Method::GET, &page, &asked, None).await;
        assert_eq!((answer.status, answer.text.contains("Tags saved.")), (StatusCode::OK, shown), "after {seconds} s");
    }
}

/// Under what the browser's session is stored.
fn row(browser: &Browser) -> Vec<u8> {
    session::hash(browser.session().unwrap().parse().unwrap()).to_vec()
}
