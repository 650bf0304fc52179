//! `/auth/sign-out-everywhere` and `/auth/back-channel-logout`

use super::{asked, me, with_issuer};
use crate::{
    server::config::Allow,
    tests::{
        issuer::{Issuer, Manner, Signer, now, public, sign},
        site::{Answer, Browser, Site},
        web::Events,
    },
};
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// In every process a session is over this soon after it was ended.
const AT_ONCE: Duration = Duration::from_secs(1);

async fn two_customers() -> (Site, Issuer) {
    with_issuer(&[Allow::Subject("1".into()), Allow::Subject("2".into())]).await
}

/// A browser in which somebody signed in, in this session of the issuer.
async fn signed_in(site: &Site, issuer: &Issuer, subject: &str, session: Option<&str>) -> Browser {
    let browser = site.browser();
    let (state, request) = asked(&browser).await;
    issuer.says(json!({ "sub": subject, "name": "Somebody" }));
    let code = issuer.code(&request, 1, json!({ "sub": subject, "sid": session }));
    let answer = browser.get(&format!("/auth/callback?code={code}&state={state}&iss={}", issuer.url())).await;
    assert_eq!(answer.location(), Some("/"), "{answer:?}");
    browser
}

/// The issuer posts a token; no browser, no cookie.
async fn posted(site: &Site, token: &str) -> Answer {
    site.browser().request(Method::POST, "/auth/back-channel-logout", &[], Some(&[("logout_token", token)])).await
}

fn token(issuer: &Issuer, change: &Value) -> String {
    sign(&json!({ "typ": "logout+jwt" }), &issuer.logout_claims(change), &Signer::Key(1))
}

/// Waits until the stream ends, and says how long that took.
async fn ends_at_once(stream: &mut Events, since: Instant, what: &str) {
    assert!(timeout(AT_ONCE, stream.ends()).await == Ok(true), "{what}: a stream goes on");
    println!("{what}: a stream ended after {} ms", since.elapsed().as_millis());
}

#[tokio::test]
async fn r001_signing_out_everywhere_ends_all_sessions_in_every_process() {
    let site = Site::new().await;
    let other = site.beside().await;
    let here = site.signed_in("Ada", "ada@example.org").await;
    let there = site.signed_in("Ada", "ada@example.org").await.at(&other.url);
    let bob = site.signed_in("Bob", "bob@example.org").await;
    assert!(me(&there).await.is_some(), "the other process does not know the session");
    assert!(here.get("/datastores").await.text.contains("action=\"/auth/sign-out-everywhere\""));
    let mut streams = [("here", Events::open(&here, "/events").await), ("in the other process", Events::open(&there, "/events").await)];
    let mut bobs = Events::open(&bob, "/events").await;

    // Not by a page of somebody else.
    let foreign = [("sec-fetch-site", "cross-site"), ("origin", "https://evil.test")];
    let answer = here.request(Method::POST, "/auth/sign-out-everywhere", &foreign, Some(&[])).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(me(&there).await.is_some());

    let since = Instant::now();
    let sent = here.post("/auth/sign-out-everywhere", &[]).await;
    assert!(sent.location().unwrap().contains("/dev/oidc/end_session"), "{sent:?}");
    assert_eq!((me(&here).await, me(&there).await), (None, None));
    for (place, stream) in &mut streams {
        ends_at_once(stream, since, &format!("signed out everywhere, {place}")).await;
    }
    assert!(here.session().is_none());
    assert!(me(&bob).await.is_some() && timeout(Duration::from_millis(200), bobs.ends()).await.is_err(), "Bob was signed out");
    let event = sqlx::query!("SELECT actor, detail FROM events WHERE action = 'Sign out everywhere'").fetch_one(&site.app.db).await.unwrap();
    assert_eq!((event.actor.as_str(), event.detail.as_str()), ("Ada", "2 sessions"));
    // Nobody to sign out is no error.
    assert_eq!(here.follow(here.post("/auth/sign-out-everywhere", &[]).await).await.url.path(), "/sign-in");
}

#[tokio::test]
async fn r001_an_issuer_ends_one_session_or_all_of_a_person_in_every_process() {
    let (site, issuer) = two_customers().await;
    let other = site.beside().await;
    let first = signed_in(&site, &issuer, "1", Some("a")).await.at(&other.url);
    let second = signed_in(&site, &issuer, "1", Some("b")).await;
    let unnamed = signed_in(&site, &issuer, "1", None).await;
    let bob = signed_in(&site, &issuer, "2", Some("c")).await;
    let living = async || {
        let mut living = Vec::new();
        for (name, browser) in [("first", &first), ("second", &second), ("unnamed", &unnamed), ("bob", &bob)] {
            living.extend(me(browser).await.map(|_| name));
        }
        living
    };
    assert_eq!(living().await, ["first", "second", "unnamed", "bob"]);
    let mut stream = Events::open(&first, "/events").await;

    // The session of somebody else, or of nobody, ends nothing; both are answered as what has happened already.
    for nothing in [json!({ "sid": "x" }), json!({ "sub": "3" }), json!({ "sub": "2", "sid": "a" })] {
        assert_eq!(posted(&site, &token(&issuer, &nothing)).await.status, StatusCode::OK, "{nothing}");
    }
    assert_eq!(living().await, ["first", "second", "unnamed", "bob"]);

    let (since, ended) = (Instant::now(), token(&issuer, &json!({ "sid": "a" })));
    let answer = posted(&site, &ended).await;
    assert_eq!((answer.status, answer.text.as_str(), answer.header("cache-control")), (StatusCode::OK, "", "no-store"));
    assert_eq!(living().await, ["second", "unnamed", "bob"]);
    ends_at_once(&mut stream, since, "back-channel logout, in the other process").await;

    // With the person's name as well, a session that does not know the issuer's name for it is meant, too.
    assert_eq!(posted(&other, &token(&issuer, &json!({ "sub": "1", "sid": "x" }))).await.status, StatusCode::OK);
    assert_eq!(living().await, ["second", "bob"]);
    let _again = signed_in(&site, &issuer, "1", Some("a")).await;
    assert_eq!(posted(&other, &token(&issuer, &json!({ "sub": "1" }))).await.status, StatusCode::OK);
    assert_eq!(living().await, ["bob"]);
    let left = sqlx::query_scalar!("SELECT count(*) FROM sessions WHERE person_id IS NOT NULL").fetch_one(&site.app.db).await.unwrap();
    assert_eq!(left, Some(1));
}

#[tokio::test]
async fn r001_a_logout_token_is_good_once_and_its_id_is_forgotten_later() {
    let (site, issuer) = two_customers().await;
    let other = site.beside().await;
    let token = token(&issuer, &json!({ "sub": "1" }));
    assert_eq!(posted(&site, &token).await.status, StatusCode::OK);
    let browser = signed_in(&site, &issuer, "1", None).await;
    for site in [&site, &other] {
        let answer = posted(site, &token).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert!(answer.text.contains("used already"), "{}", answer.text);
    }
    assert!(me(&browser).await.is_some(), "a token that was posted again ended a session");
    let db = &site.app.db;
    let remembered = || async { sqlx::query_scalar!("SELECT count(*) FROM logout_tokens").fetch_one(db).await.unwrap().unwrap() };
    let sweep = |after| crate::server::db::sessions::sweep(db, site.app.clock.now() + after);
    sweep(time::Duration::hours(1)).await.unwrap();
    assert_eq!(remembered().await, 1);
    sweep(time::Duration::hours(25)).await.unwrap();
    assert_eq!(remembered().await, 0);
}

#[tokio::test]
async fn r001_logout_tokens_that_are_wrong_end_nothing() {
    let (site, issuer) = two_customers().await;
    let browser = signed_in(&site, &issuer, "1", Some("a")).await;
    let events = |name: &str, value: Value| json!({ "sub": "1", "events": { name: value } });
    let event = "http://schemas.openid.net/event/backchannel-logout";
    let (later, long) = (now() + 3600, "x".repeat(600));
    let mut tokens: Vec<(String, String)> = [
        json!({}),
        json!({ "sub": "" }),
        json!({ "sub": "1\0" }),
        json!({ "sub": 1 }),
        json!({ "sid": "" }),
        json!({ "sid": "a\0" }),
        json!({ "sid": long }),
        json!({ "sid": ["a"] }),
        json!({ "sub": "1", "iss": "https://id.example.org" }),
        json!({ "sub": "1", "iss": null }),
        json!({ "sub": "1", "aud": "other" }),
        json!({ "sub": "1", "aud": ["granary", "other"] }),
        json!({ "sub": "1", "aud": [] }),
        json!({ "sub": "1", "aud": null }),
        json!({ "sub": "1", "iat": null }),
        json!({ "sub": "1", "iat": later, "exp": later + 60 }),
        json!({ "sub": "1", "exp": null }),
        json!({ "sub": "1", "exp": now() - 1 }),
        json!({ "sub": "1", "exp": now() + 100_000 }),
        json!({ "sub": "1", "jti": null }),
        json!({ "sub": "1", "jti": "" }),
        json!({ "sub": "1", "jti": long }),
        json!({ "sub": "1", "nonce": "x" }),
        json!({ "sub": "1", "events": null }),
        json!({ "sub": "1", "events": {} }),
        json!({ "sub": "1", "events": [event] }),
        events(event, json!(true)),
        events("http://schemas.openid.net/event/other", json!({})),
    ]
    .into_iter()
    .map(|change| (change.to_string(), token(&issuer, &change)))
    .collect();
    let right = issuer.logout_claims(&json!({ "sub": "1" }));
    let key = public(1).to_string().into_bytes();
    tokens.extend(
        [
            ("unsigned", json!({ "alg": "none" }), Signer::Words("")),
            ("no algorithm", json!({ "alg": null }), Signer::Key(1)),
            ("HS256 with the public key", json!({ "kid": "1" }), Signer::Shared(key)),
            ("HS256 with the client's secret", json!({}), Signer::Shared(b"s3cret".to_vec())),
            ("words for a signature", json!({}), Signer::Words("signed by me")),
            ("somebody else's key", json!({}), Signer::Key(2)),
            ("somebody else's key under the right name", json!({ "kid": "1" }), Signer::Key(2)),
            ("somebody else's key under no name", json!({ "kid": null }), Signer::Key(2)),
            ("an access token", json!({ "typ": "at+jwt" }), Signer::Key(1)),
            ("a type that is none", json!({ "typ": 1 }), Signer::Key(1)),
            ("a header that must be understood", json!({ "crit": ["x"] }), Signer::Key(1)),
            ("a token in a token", json!({ "cty": "JWT" }), Signer::Key(1)),
        ]
        .map(|(what, header, signer)| (what.to_owned(), sign(&header, &right, &signer))),
    );
    // An ID token of this very client, which browsers and logs have seen.
    let request = asked(&site.browser()).await.1;
    tokens.push(("an ID token".to_owned(), sign(&json!({}), &issuer.claims(&request, &json!({ "sid": "a" })), &Signer::Key(1))));
    let signed = token(&issuer, &json!({ "sub": "1" }));
    tokens.extend(["", "x", "a.b.c", "..", &signed[..signed.len() - 2], &"x".repeat(20_000)].map(|text| (text.to_owned(), text.to_owned())));

    for (what, token) in &tokens {
        let answer = posted(&site, token).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{what}");
        assert!(answer.text.contains("the logout token is not valid"), "{what}: {}", answer.text);
    }
    let path = "/auth/back-channel-logout";
    for (method, form) in [(Method::GET, None), (Method::POST, None), (Method::POST, Some(&[("token", "x")][..]))] {
        let answer = site.browser().request(method.clone(), path, &[], form).await;
        assert!(answer.status.is_client_error(), "{method} {form:?}: {answer:?}");
    }
    assert!(me(&browser).await.is_some(), "a wrong logout token ended a session");
    assert_eq!(sqlx::query_scalar!("SELECT count(*) FROM logout_tokens").fetch_one(&site.app.db).await.unwrap(), Some(0));
    assert_eq!(posted(&site, &signed).await.status, StatusCode::OK);
    assert_eq!(me(&browser).await, None);
}

#[tokio::test]
async fn r001_the_development_provider_has_no_back_channel() {
    let site = Site::new().await;
    assert_eq!(posted(&site, "x").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn r001_while_metadata_is_away_a_logout_is_not_said_to_have_happened() {
    let (site, issuer) = two_customers().await;
    let _browser = signed_in(&site, &issuer, "1", None).await;
    site.app.db.close().await;
    assert_eq!(posted(&site, &token(&issuer, &json!({ "sub": "1" }))).await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn r001_while_the_issuers_keys_are_not_known_a_logout_is_not_judged() {
    let (site, issuer) = two_customers().await;
    issuer.behaves("/jwks", Some(Manner::Says(500, "text/plain", "")));
    let token = token(&issuer, &json!({ "sub": "1" }));
    // The second time the issuer is not even asked: anybody can post here.
    for _ in 0..2 {
        assert_eq!(posted(&site, &token).await.status, StatusCode::SERVICE_UNAVAILABLE);
    }
    issuer.behaves("/jwks", None);
    let browser = signed_in(&site, &issuer, "1", None).await;
    assert_eq!(posted(&site, &token).await.status, StatusCode::OK);
    assert_eq!(me(&browser).await, None);
}
