//! `/auth/*` and `/dev/oidc/*`

mod concurrent;
mod door;
mod hostile;
mod logout;

use super::{
    issuer::Issuer,
    site::{Answer, Browser, Site},
};
use crate::{
    model::person::Me,
    server::{
        config::{Allow, Oidc},
        state::Clock,
    },
};
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use time::Duration;
use url::Url;

const JSON: [(&str, &str); 1] = [("accept", "application/json")];

async fn me(browser: &Browser) -> Option<Me> {
    let answer = browser.request(Method::GET, "/api/page/me", &JSON, None).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    serde_json::from_str(&answer.text).unwrap()
}

#[tokio::test]
async fn r001_a_page_leads_to_sign_in_and_back_and_makes_a_project() {
    let site = Site::new().await;
    let browser = site.browser();
    let sent = browser.get("/?q=a%26b").await;
    assert_eq!((sent.status, sent.location()), (StatusCode::SEE_OTHER, Some("/sign-in?return=%2F%3Fq%3Da%2526b")));
    assert_eq!(browser.follow(sent).await.status, StatusCode::OK);
    assert!(browser.session().is_none(), "a visitor got a session for nothing");

    let page = browser.begin("/?q=a%26b").await;
    assert!(page.text.contains("Sign in as") && !page.text.contains("<script"), "{}", page.text);
    let said = browser.say(&page, "Ada <Lovelace>", "ada@example.org").await;
    let back = browser.get(said.location().unwrap()).await;
    assert_eq!((back.status, back.location()), (StatusCode::SEE_OTHER, Some("/?q=a%26b")));

    let ada = me(&browser).await.unwrap();
    assert_eq!((ada.name.as_str(), ada.project_name.as_str(), ada.development), ("Ada <Lovelace>", "Ada <Lovelace>’s project", true));
    let elsewhere = site.signed_in("Ada", "ADA@example.org").await;
    assert_eq!(me(&elsewhere).await.unwrap().person, ada.person, "the same mail address is the same person");
    assert_ne!(me(&site.signed_in("Bob", "bob@example.org").await).await.unwrap().project, ada.project);
}

#[tokio::test]
async fn r001_the_session_gets_a_new_id_and_the_table_has_only_its_hash() {
    let site = Site::new().await;
    let browser = site.browser();
    let page = browser.begin("/").await;
    let before = browser.session().unwrap();
    let visitors = sqlx::query_scalar!("SELECT absolute_expires_at FROM sessions").fetch_one(&site.app.db).await.unwrap();
    assert!(visitors < Clock::System.now() + Duration::hours(1));
    let said = browser.say(&page, "Ada", "ada@example.org").await;
    browser.follow(said).await;
    let after = browser.session().unwrap();
    assert_ne!(before, after);

    let rows = sqlx::query!("SELECT id_hash, person_id, data::text FROM sessions").fetch_all(&site.app.db).await.unwrap();
    assert_eq!(rows.len(), 1, "the session before was left");
    let id: tower_sessions::session::Id = after.parse().unwrap();
    assert_eq!(rows[0].id_hash, Sha256::digest(id.0.to_le_bytes()).as_slice());
    assert!(rows[0].person_id.is_some() && !rows[0].data.as_ref().unwrap().contains(&after));

    // A planted session is worth nothing: its id is not the one that is signed in.
    let planted = site.browser();
    planted.cookies.lock().unwrap().insert("granary".to_owned(), before);
    assert_eq!(me(&planted).await, None);
}

#[tokio::test]
async fn r001_a_session_ends_when_it_idles_and_after_its_time_in_any_case() {
    let site = Site::new().await;
    let browser = site.signed_in("Ada", "ada@example.org").await;
    let set = |column: &'static str, by: Duration| {
        let (db, at) = (site.app.db.clone(), Clock::System.now() + by);
        async move {
            let statement = format!("UPDATE sessions SET {column} = $1");
            sqlx::query(sqlx::AssertSqlSafe(statement)).bind(at).execute(&db).await.unwrap();
        }
    };
    let idle = || async { sqlx::query_scalar!("SELECT idle_expires_at FROM sessions").fetch_one(&site.app.db).await.unwrap() };

    // A use prolongs it, and is not written down again within a minute.
    set("idle_expires_at", Duration::minutes(5)).await;
    assert!(me(&browser).await.is_some());
    let prolonged = idle().await;
    assert!(prolonged > Clock::System.now() + Duration::hours(7));
    assert!(me(&browser).await.is_some());
    assert_eq!(idle().await, prolonged);

    set("absolute_expires_at", Duration::seconds(-1)).await;
    assert_eq!(me(&browser).await, None, "use prolonged it beyond its time");
    set("absolute_expires_at", Duration::days(1)).await;
    set("idle_expires_at", Duration::seconds(-1)).await;
    assert_eq!(me(&browser).await, None);
    assert_eq!(crate::server::db::sessions::sweep(&site.app.db, Clock::System.now()).await.unwrap(), 1);
}

#[tokio::test]
async fn r001_signing_out_ends_the_session_here_and_at_the_issuer() {
    let site = Site::new().await;
    let browser = site.signed_in("Ada", "ada@example.org").await;
    let copy = site.browser();
    copy.cookies.lock().unwrap().clone_from(&browser.cookies.lock().unwrap());
    let sent = browser.post("/auth/sign-out", &[]).await;
    let to = Url::parse(sent.location().unwrap()).unwrap();
    assert_eq!(to.path(), "/dev/oidc/end_session");
    let query: std::collections::BTreeMap<_, _> = to.query_pairs().into_owned().collect();
    assert_eq!(query["id_token_hint"].split('.').count(), 3);
    assert_eq!(query["post_logout_redirect_uri"], format!("{}/sign-in", site.url));
    assert_eq!(browser.follow(sent).await.url.path(), "/sign-in");
    assert!(browser.session().is_none());
    assert_eq!(me(&copy).await, None, "a copy of the cookie is still good");
}

#[tokio::test]
async fn r001_an_answer_is_good_once_and_only_in_the_browser_that_asked() {
    let site = Site::new().await;
    let browser = site.browser();
    let page = browser.begin("/").await;
    let said = browser.say(&page, "Ada", "ada@example.org").await;
    let callback = said.location().unwrap();

    // Somebody else's browser that is led to it does not become Ada.
    let other = site.browser();
    assert_eq!(other.get(callback).await.location(), Some("/sign-in?return=%2F&error=expired"));
    assert_eq!(me(&other).await, None);

    let page_of_another_window = browser.begin("/?second").await;
    assert_eq!(browser.get(callback).await.location(), Some("/"));
    // Again, by going back: one is signed in already.
    assert_eq!(browser.get(callback).await.location(), Some("/"));
    // The other window's sign-in was begun before and is still good.
    let said = browser.say(&page_of_another_window, "Ada", "ada@example.org").await;
    assert_eq!(browser.get(said.location().unwrap()).await.location(), Some("/?second"));
}

#[tokio::test]
async fn r001_a_sign_in_leads_to_pages_of_ours_only() {
    let site = Site::new().await;
    for back in ["https://evil.test/", "//evil.test/", "/\\evil.test", "evil", "", "/auth/callback?code=1", "/sign-in"] {
        let browser = site.browser();
        let page = browser.begin(back).await;
        let said = browser.say(&page, "Ada", "ada@example.org").await;
        assert_eq!(browser.get(said.location().unwrap()).await.location(), Some("/"), "{back}");
    }
}

/// A Granary with an issuer of its own.
async fn with_issuer(allow: &[Allow]) -> (Site, Issuer) {
    let issuer = Issuer::new().await;
    let oidc = Oidc { issuer: issuer.url().to_owned(), client_id: "granary".into(), client_secret: Some("s3cret".into()), allow: allow.to_vec() };
    (Site::with(Clock::System, |config| config.oidc = Some(oidc)).await, issuer)
}

/// Begins to sign in; the state, and what the issuer is asked.
async fn asked(browser: &Browser) -> (String, Url) {
    let request = Url::parse(browser.post("/auth/start", &[]).await.location().unwrap()).unwrap();
    let state = request.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    (state, request)
}

/// Signs in with an answer of the issuer; where that leads.
async fn answered(site: &Site, issuer: &Issuer, key: u8, change: Value) -> (Browser, Answer) {
    let browser = site.browser();
    let (state, request) = asked(&browser).await;
    let code = issuer.code(&request, key, change);
    let answer = browser.get(&format!("/auth/callback?code={code}&state={state}&iss={}", issuer.url())).await;
    (browser, answer)
}

#[tokio::test]
async fn r001_an_issuers_tokens_are_verified() {
    let (site, issuer) = with_issuer(&[Allow::Subject("1".into())]).await;
    issuer.says(json!({ "sub": "1", "name": "Ada", "email": "ada@example.org" }));
    let failed = Some("/sign-in?return=%2F&error=failed");
    for (what, key, change) in [
        ("an unsigned token", 0, json!({})),
        ("a key of somebody else", 2, json!({})),
        ("another sign-in's nonce", 1, json!({ "nonce": "x" })),
        ("another client's token", 1, json!({ "aud": "other" })),
        ("another issuer's token", 1, json!({ "iss": "https://id.example.org" })),
        ("user info of somebody else", 1, json!({ "sub": "2" })),
    ] {
        let (browser, answer) = answered(&site, &issuer, key, change).await;
        assert_eq!(answer.location(), failed, "{what} was taken");
        assert_eq!(me(&browser).await, None, "{what} was taken");
    }
    let (browser, answer) = answered(&site, &issuer, 1, json!({})).await;
    assert_eq!(answer.location(), Some("/"));
    assert_eq!(me(&browser).await.unwrap().name, "Ada");

    issuer.rotate(3);
    assert_eq!(answered(&site, &issuer, 3, json!({})).await.1.location(), Some("/"), "a new key of the issuer was not fetched");
}

#[tokio::test]
async fn r001_an_answer_that_names_another_issuer_or_none_is_refused() {
    let (site, issuer) = with_issuer(&[Allow::Subject("1".into())]).await;
    issuer.says(json!({ "sub": "1" }));
    for iss in ["", "&iss=https://id.example.org"] {
        let browser = site.browser();
        let (state, request) = asked(&browser).await;
        let code = issuer.code(&request, 1, json!({}));
        let answer = browser.get(&format!("/auth/callback?code={code}&state={state}{iss}")).await;
        assert_eq!(answer.location(), Some("/sign-in?return=%2F&error=failed"), "{iss}");
    }
}

#[tokio::test]
async fn r001_an_account_that_is_not_a_customers_is_told_so_and_leaves_no_trace() {
    let (site, issuer) = with_issuer(&[Allow::Domain("example.org".into()), Allow::Group("db".into())]).await;
    issuer.says(json!({ "sub": "1", "email": "ada@example.org", "email_verified": false, "groups": ["other"] }));
    let (browser, answer) = answered(&site, &issuer, 1, json!({})).await;
    assert_eq!(answer.location(), Some("/sign-in?return=%2F&error=not-allowed"));
    let page = browser.follow(answer).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert_eq!(sqlx::query_scalar!("SELECT count(*) FROM people").fetch_one(&site.app.db).await.unwrap(), Some(0));

    issuer.says(json!({ "sub": "1", "email": "ada@example.org", "email_verified": true }));
    assert_eq!(answered(&site, &issuer, 1, json!({})).await.1.location(), Some("/"));
    issuer.says(json!({ "sub": "1", "groups": "db" }));
    assert_eq!(answered(&site, &issuer, 1, json!({})).await.1.location(), Some("/"));
}

#[tokio::test]
async fn r001_a_person_who_says_no_and_an_issuer_that_is_away_are_told_apart() {
    let (site, _issuer) = with_issuer(&[Allow::Subject("1".into())]).await;
    let browser = site.browser();
    let (state, _) = asked(&browser).await;
    let answer = browser.get(&format!("/auth/callback?error=access_denied&state={state}")).await;
    assert_eq!(answer.location(), Some("/sign-in?return=%2F&error=denied"));

    let away =
        Oidc { issuer: "http://127.0.0.1:9".into(), client_id: "granary".into(), client_secret: None, allow: vec![Allow::Subject("1".into())] };
    let site = Site::with(Clock::System, |config| config.oidc = Some(away)).await;
    let browser = site.browser();
    let answer = browser.post("/auth/start", &[("return", "/?a")]).await;
    assert_eq!(answer.location(), Some("/sign-in?return=%2F%3Fa&error=unreachable"));
    assert_eq!(browser.follow(answer).await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn r001_under_https_the_cookie_is_bound_to_the_host() {
    let issuer = Issuer::new().await;
    let oidc = Oidc { issuer: issuer.url().to_owned(), client_id: "granary".into(), client_secret: None, allow: vec![Allow::Subject("1".into())] };
    let site = Site::with(Clock::System, |config| {
        config.oidc = Some(oidc);
        config.public_url = Url::parse("https://granary.example.org").unwrap();
    })
    .await;
    let headers = [("host", "granary.example.org"), ("origin", "https://granary.example.org")];
    let answer = site.browser().request(Method::POST, "/auth/start", &headers, Some(&[])).await;
    let cookie = answer.header("set-cookie");
    assert!(cookie.starts_with("__Host-granary="), "{cookie}");
    for attribute in ["HttpOnly", "Secure", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(attribute), "{attribute} is missing: {cookie}");
    }
    assert!(!cookie.contains("Domain") && answer.header("strict-transport-security").contains("max-age"));
    assert!(answer.location().unwrap().contains("redirect_uri=https%3A%2F%2Fgranary.example.org%2Fauth%2Fcallback"));
}

#[tokio::test]
async fn r001_the_development_provider_does_not_exist_for_others() {
    let site = Site::new().await;
    let metadata = "/dev/oidc/.well-known/openid-configuration";
    let ask = |headers: &'static [(&'static str, &'static str)]| async { site.browser().request(Method::GET, metadata, headers, None).await.status };
    assert_eq!(ask(&[]).await, StatusCode::OK);
    for header in ["forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-anything"] {
        let answer = site.browser().request(Method::GET, metadata, &[(header, "")], None).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{header}");
    }
    assert_eq!(ask(&[("origin", "https://evil.test")]).await, StatusCode::NOT_FOUND);
    assert_eq!(ask(&[("origin", "null")]).await, StatusCode::NOT_FOUND);
    assert_eq!(ask(&[("host", "evil.test")]).await, StatusCode::MISDIRECTED_REQUEST);

    let (with_issuer, _issuer) = with_issuer(&[]).await;
    assert_eq!(with_issuer.browser().request(Method::GET, metadata, &[], None).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn r001_the_development_provider_holds_to_the_protocol() {
    let site = Site::new().await;
    let browser = site.browser();
    let page = browser.begin("/").await;
    let said = browser.say(&page, "Ada", "ada@example.org").await;
    let callback = Url::parse(said.location().unwrap()).unwrap();
    let code = callback.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    let redirect = format!("{}/auth/callback", site.url);
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", "granary"),
        ("redirect_uri", redirect.as_str()),
        ("code", code.as_str()),
        ("code_verifier", "not-the-one-that-was-hashed"),
    ];
    let answer = site.browser().request(Method::POST, "/dev/oidc/token", &[], Some(&form)).await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::BAD_REQUEST, r#"{"error":"invalid_grant"}"#));
    // The code was good for one try, so the right client is too late.
    assert_eq!(browser.get(callback.as_str()).await.location(), Some("/sign-in?return=%2F&error=failed"));

    let foreign = page.url.as_str().replace("%2Fauth%2Fcallback", "%2Felsewhere");
    assert_ne!(foreign, page.url.as_str());
    assert_eq!(browser.get(&foreign).await.status, StatusCode::BAD_REQUEST);
    let wrong = browser.say(&browser.begin("/").await, "  ", "\"><script>").await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.text.contains("Give a name") && wrong.text.contains("value=\"&quot;&gt;&lt;script&gt;\""), "{}", wrong.text);
    let token = [("authorization", "Bearer x.y.z")];
    assert_eq!(browser.request(Method::GET, "/dev/oidc/userinfo", &token, None).await.status, StatusCode::UNAUTHORIZED);
}
