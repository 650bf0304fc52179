//! Sign-in under attack: whatever the provider answers, nobody is signed in who should not be, and the page helps.

use super::{asked, me, with_issuer};
use crate::{
    server::config::Allow,
    tests::{
        issuer::{Issuer, Manner, Signer, now, public, sign},
        site::{Answer, Browser, Site},
    },
};
use axum::http::StatusCode;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use futures::future::join_all;
use serde_json::{Value, json};
use url::Url;

/// Stands in everything that a hostile provider says; no page may show it.
const MARK: &str = "<b>hostile</b>";

async fn hostile() -> (Site, Issuer) {
    let (site, issuer) = with_issuer(&[Allow::Subject("1".into())]).await;
    issuer.says(json!({ "sub": "1", "name": "Ada", "email": "ada@example.org" }));
    (site, issuer)
}

/// What the page says for each reason.
fn words(reason: &str) -> (StatusCode, &'static str) {
    match reason {
        "failed" => (StatusCode::BAD_GATEWAY, "could not be trusted"),
        "clock" => (StatusCode::BAD_GATEWAY, "dated in the past or in the future"),
        "setup" => (StatusCode::BAD_GATEWAY, "Trying again will not help"),
        "unreachable" => (StatusCode::SERVICE_UNAVAILABLE, "does not answer"),
        "expired" => (StatusCode::BAD_REQUEST, "Begin again here"),
        "denied" => (StatusCode::FORBIDDEN, "did not sign you in"),
        other => panic!("{other}?"),
    }
}

/// Nobody was signed in, and the page says why and what to do, in words of ours.
async fn refused(site: &Site, browser: &Browser, answer: Answer, reason: &str, what: &str) {
    let back = answer.location().unwrap_or_default().to_owned();
    assert_eq!(back, format!("/sign-in?return=%2F&error={reason}"), "{what}: {answer:?}");
    assert_eq!(me(browser).await, None, "{what} was taken");
    assert_eq!(sqlx::query_scalar!("SELECT count(*) FROM people").fetch_one(&site.app.db).await.unwrap(), Some(0), "{what} left a trace");
    let page = browser.follow(answer).await;
    let (status, text) = words(reason);
    assert_eq!(page.status, status, "{what}");
    assert!(page.text.contains(text) && page.text.contains("action=\"/auth/start\""), "{what}: {}", page.text);
    assert!(!page.text.contains("hostile"), "{what} is shown: {}", page.text);
}

/// The answer of the browser's way back with a code.
async fn returned(issuer: &Issuer, browser: &Browser, state: &str, code: &str) -> Answer {
    browser.get(&format!("/auth/callback?code={code}&state={state}&iss={}", issuer.url())).await
}

/// Signs in with what the token endpoint answers for a request.
async fn answered(site: &Site, issuer: &Issuer, answer: impl FnOnce(&Url) -> Value) -> (Browser, Answer) {
    let browser = site.browser();
    let (state, request) = asked(&browser).await;
    let code = issuer.code_for(&request, answer(&request));
    let answer = returned(issuer, &browser, &state, &code).await;
    (browser, answer)
}

async fn takes_what_is_right(site: &Site, issuer: &Issuer) {
    let browser = site.browser();
    let (state, request) = asked(&browser).await;
    let code = issuer.code(&request, 1, json!({}));
    assert_eq!(returned(issuer, &browser, &state, &code).await.location(), Some("/"));
    assert_eq!(me(&browser).await.unwrap().name, "Ada");
}

#[tokio::test]
async fn r001_tokens_that_are_signed_wrongly_are_refused() {
    let (site, issuer) = hostile().await;
    let own = BASE64_URL_SAFE_NO_PAD.decode(public(1)["x"].as_str().unwrap()).unwrap();
    for (what, header, signer) in [
        ("an unsigned token", json!({ "alg": "none" }), Signer::Words("")),
        ("an unsigned token without a key's name", json!({ "alg": "none", "kid": null }), Signer::Words("")),
        ("an unsigned token in other letters", json!({ "alg": "nOnE" }), Signer::Words("")),
        ("a token without an algorithm", json!({ "alg": null }), Signer::Key(1)),
        ("an empty signature", json!({}), Signer::Words("")),
        ("a signature of words", json!({}), Signer::Words("signed by me")),
        ("somebody else's key under the right name", json!({ "kid": "1" }), Signer::Key(2)),
        ("somebody else's key under no name", json!({ "kid": null }), Signer::Key(2)),
        ("somebody else's key, in the header itself", json!({ "jwk": public(2) }), Signer::Key(2)),
        ("somebody else's keys, by address", json!({ "jku": format!("{}/jwks", issuer.url()), "kid": "2" }), Signer::Key(2)),
        ("HS256 with the public key", json!({ "kid": "1" }), Signer::Shared(own)),
        ("HS256 with the public key as published", json!({ "kid": "1" }), Signer::Shared(public(1).to_string().into_bytes())),
        ("HS256 with the client's secret", json!({}), Signer::Shared(b"s3cret".to_vec())),
        ("HS256 with nothing", json!({}), Signer::Shared(Vec::new())),
        ("another algorithm than the key's", json!({ "alg": "RS256" }), Signer::Key(1)),
        ("an algorithm nobody knows", json!({ "alg": MARK }), Signer::Key(1)),
        ("a header that must be understood", json!({ "crit": ["exp"], "exp": 1 }), Signer::Key(1)),
        ("a token in a token", json!({ "cty": "JWT" }), Signer::Key(1)),
        ("a logout token", json!({ "typ": "logout+jwt" }), Signer::Key(1)),
        ("an access token", json!({ "typ": "at+jwt" }), Signer::Key(1)),
    ] {
        let forged = |request: &Url| json!({ "id_token": sign(&header, &issuer.claims(request, &json!({ "name": MARK })), &signer) });
        let (browser, answer) = answered(&site, &issuer, forged).await;
        refused(&site, &browser, answer, "failed", what).await;
    }
    // A right signature under other words.
    let swapped = |request: &Url| {
        let (one, other) = (issuer.claims(request, &json!({ "sub": "2" })), issuer.claims(request, &json!({})));
        let (signed, words) = (sign(&json!({}), &one, &Signer::Key(1)), sign(&json!({}), &other, &Signer::Key(1)));
        json!({ "id_token": format!("{}.{}", words.rsplit_once('.').unwrap().0, signed.rsplit_once('.').unwrap().1) })
    };
    let (browser, answer) = answered(&site, &issuer, swapped).await;
    refused(&site, &browser, answer, "failed", "a signature of something else").await;
    takes_what_is_right(&site, &issuer).await;
}

#[tokio::test]
async fn r001_tokens_that_say_something_wrong_are_refused() {
    let (site, issuer) = hostile().await;
    let (later, long) = (now() + 3600, "1".repeat(256));
    for (what, change, reason) in [
        ("another issuer's token", json!({ "iss": "https://id.example.org" }), "failed"),
        ("one of the issuer with another spelling", json!({ "iss": format!("{}/", issuer.url()) }), "failed"),
        ("a token of no issuer", json!({ "iss": null }), "failed"),
        ("another client's token", json!({ "aud": "other" }), "failed"),
        ("a token for others as well", json!({ "aud": ["granary", "other"] }), "failed"),
        ("a token for others as well, by us", json!({ "aud": ["granary", "other"], "azp": "granary" }), "failed"),
        ("a token for nobody", json!({ "aud": [] }), "failed"),
        ("a token that does not say for whom", json!({ "aud": null }), "failed"),
        ("a token that another client asked for", json!({ "azp": "other" }), "failed"),
        ("another sign-in's nonce", json!({ "nonce": "x" }), "failed"),
        ("no nonce", json!({ "nonce": null }), "failed"),
        ("an expired token", json!({ "exp": 1 }), "clock"),
        ("a token that expired just now", json!({ "exp": now() - 1 }), "clock"),
        ("a token that never expires", json!({ "exp": null }), "failed"),
        ("a token that is not valid yet", json!({ "nbf": later }), "clock"),
        ("a token of tomorrow", json!({ "iat": later, "exp": later + 60 }), "clock"),
        ("a token of no time", json!({ "iat": null }), "failed"),
        ("a token about nobody", json!({ "sub": null }), "failed"),
        ("a token about an empty name", json!({ "sub": "" }), "failed"),
        ("a token about a number", json!({ "sub": 1 }), "failed"),
        ("a token about too long a name", json!({ "sub": long }), "failed"),
        ("a token about a name that no database takes", json!({ "sub": "1\0" }), "failed"),
        ("a token for another access token", json!({ "at_hash": "x" }), "failed"),
        ("a huge token", json!({ "groups": vec![MARK; 6000] }), "failed"),
    ] {
        let mut change = change;
        change["name"] = MARK.into();
        let told = |request: &Url| json!({ "id_token": sign(&json!({}), &issuer.claims(request, &change), &Signer::Key(1)) });
        let (browser, answer) = answered(&site, &issuer, told).await;
        refused(&site, &browser, answer, reason, what).await;
    }
    for (what, answer) in [
        ("no ID token", json!({})),
        ("an empty ID token", json!({ "id_token": "" })),
        ("an ID token that is none", json!({ "id_token": "a.b.c" })),
        ("an ID token that is an object", json!({ "id_token": { "sub": "1" } })),
        ("no access token", json!({ "access_token": null })),
    ] {
        let (browser, answer) = answered(&site, &issuer, |_| answer).await;
        refused(&site, &browser, answer, "failed", what).await;
    }
    takes_what_is_right(&site, &issuer).await;
}

#[tokio::test]
async fn r001_user_info_of_somebody_else_is_refused() {
    let (site, issuer) = hostile().await;
    for info in [json!({ "sub": "2", "name": MARK }), json!({ "name": MARK }), json!({ "sub": ["1"] }), json!([]), json!("1")] {
        issuer.says(info.clone());
        let right = |request: &Url| json!({ "id_token": sign(&json!({}), &issuer.claims(request, &json!({})), &Signer::Key(1)) });
        let (browser, answer) = answered(&site, &issuer, right).await;
        refused(&site, &browser, answer, "failed", &info.to_string()).await;
    }
}

#[tokio::test]
async fn r001_keys_are_fetched_again_when_they_were_rotated_and_old_ones_are_forgotten() {
    let (site, issuer) = hostile().await;
    let signed_by = async |key: u8| {
        let token = |request: &Url| json!({ "id_token": sign(&json!({}), &issuer.claims(request, &json!({})), &Signer::Key(key)) });
        answered(&site, &issuer, token).await
    };
    let (browser, answer) = signed_by(3).await;
    refused(&site, &browser, answer, "failed", "a key that is not published yet").await;
    issuer.rotate(3);
    assert_eq!(signed_by(3).await.1.location(), Some("/"), "a new key of the issuer was not fetched");
    let (browser, answer) = signed_by(1).await;
    assert_eq!(answer.location(), Some("/sign-in?return=%2F&error=failed"), "a key that was taken back is still good");
    assert_eq!(me(&browser).await, None);
}

#[tokio::test]
async fn r001_answers_that_were_not_asked_for_are_refused() {
    let (site, issuer) = hostile().await;
    let other = Issuer::new().await;
    let long = "x".repeat(10_000);
    let iss = format!("&iss={}", issuer.url());
    for (what, query, reason) in [
        ("no state", format!("code=CODE{iss}"), "expired"),
        ("another state", format!("code=CODE&state=x{iss}"), "expired"),
        ("an empty state", format!("code=CODE&state={iss}"), "expired"),
        ("two states", format!("code=CODE&state=STATE&state=x{iss}"), "failed"),
        ("no issuer", "code=CODE&state=STATE".to_owned(), "failed"),
        ("an empty issuer", "code=CODE&state=STATE&iss=".to_owned(), "failed"),
        ("the answer of another issuer", format!("code=CODE&state=STATE&iss={}", other.url()), "failed"),
        ("two issuers", format!("code=CODE&state=STATE{iss}&iss={}", other.url()), "failed"),
        ("no code", format!("state=STATE{iss}"), "failed"),
        ("an empty code", format!("code=&state=STATE{iss}"), "failed"),
        ("another code", format!("code=hostile&state=STATE{iss}"), "failed"),
        ("a huge code", format!("code={long}&state=STATE{iss}"), "failed"),
        ("nothing", String::new(), "expired"),
        ("a no", format!("error=access_denied&error_description=hostile&state=STATE{iss}"), "denied"),
        ("a word of its own", format!("error=%3Cb%3Ehostile%3C%2Fb%3E&state=STATE{iss}"), "denied"),
        ("a failure of the issuer", format!("error=server_error&state=STATE{iss}"), "unreachable"),
        ("a client that may not", format!("error=unauthorized_client&state=STATE{iss}"), "setup"),
    ] {
        let browser = site.browser();
        let (state, request) = asked(&browser).await;
        let query = query.replace("STATE", &state).replace("CODE", &issuer.code(&request, 1, json!({})));
        let answer = browser.get(&format!("/auth/callback?{query}")).await;
        refused(&site, &browser, answer, reason, what).await;
    }
}

#[tokio::test]
async fn r001_an_answer_is_taken_once_and_not_for_long() {
    let (site, issuer) = hostile().await;
    let browser = site.browser();
    let (state, request) = asked(&browser).await;
    let late = "UPDATE sessions SET data = jsonb_set(data, ARRAY['sign_ins', $1, 'begun'], to_jsonb($2::bigint))";
    sqlx::query(late).bind(&state).bind(now() - 901).execute(&site.app.db).await.unwrap();
    let code = issuer.code_for_ever(&request);
    let answer = returned(&issuer, &browser, &state, &code).await;
    refused(&site, &browser, answer, "expired", "an answer after a quarter of an hour").await;

    // The thief of an address of the past has its code, and even the browser's cookie; the provider takes the code again.
    let (state, request) = asked(&browser).await;
    let code = issuer.code_for_ever(&request);
    let thief = browser.at(&site.url);
    assert_eq!(returned(&issuer, &browser, &state, &code).await.location(), Some("/"));
    for thief in [thief, site.browser()] {
        let answer = returned(&issuer, &thief, &state, &code).await;
        assert_eq!(answer.location(), Some("/sign-in?return=%2F&error=expired"));
        assert_eq!(me(&thief).await, None, "a code was taken again");
    }
}

#[tokio::test]
async fn r001_endpoints_that_misbehave_are_said() {
    let (site, issuer) = hostile().await;
    let html = Manner::Says(200, "text/html", MARK);
    let wrong = Manner::Says(200, "application/json", r#"{"hostile": true}"#);
    let no = |error| Manner::Says(400, "application/json", error);
    let (config, keys) = ("/.well-known/openid-configuration", "/jwks");
    for (path, manner, reason) in [
        (config, Manner::Says(500, "text/plain", MARK), "unreachable"),
        (config, Manner::Says(404, "text/html", MARK), "failed"),
        (config, Manner::Breaks, "unreachable"),
        (config, Manner::Loops, "failed"),
        (config, Manner::Floods, "failed"),
        (config, html.clone(), "failed"),
        (config, wrong.clone(), "failed"),
        (keys, Manner::Says(503, "text/plain", MARK), "unreachable"),
        (keys, Manner::Loops, "failed"),
        (keys, Manner::Floods, "failed"),
        (keys, html.clone(), "failed"),
    ] {
        issuer.behaves(path, Some(manner.clone()));
        let browser = site.browser();
        let answer = browser.post("/auth/start", &[]).await;
        refused(&site, &browser, answer, reason, &format!("{path} {manner:?}")).await;
        issuer.behaves(path, None);
    }
    for (path, manner, reason) in [
        ("/token", Manner::Says(500, "text/plain", MARK), "unreachable"),
        ("/token", Manner::Breaks, "unreachable"),
        ("/token", Manner::Loops, "failed"),
        ("/token", Manner::Floods, "failed"),
        ("/token", html.clone(), "failed"),
        ("/token", wrong, "failed"),
        ("/token", no(r#"{"error": "invalid_client", "error_description": "<b>hostile</b>"}"#), "setup"),
        ("/token", no(r#"{"error": "invalid_grant", "error_description": "<b>hostile</b>"}"#), "failed"),
        ("/userinfo", Manner::Says(500, "text/plain", MARK), "unreachable"),
        ("/userinfo", Manner::Says(401, "text/plain", MARK), "failed"),
        ("/userinfo", Manner::Loops, "failed"),
        ("/userinfo", Manner::Floods, "failed"),
        ("/userinfo", html, "failed"),
    ] {
        issuer.behaves(path, Some(manner.clone()));
        let right = |request: &Url| json!({ "id_token": sign(&json!({}), &issuer.claims(request, &json!({})), &Signer::Key(1)) });
        let (browser, answer) = answered(&site, &issuer, right).await;
        refused(&site, &browser, answer, reason, &format!("{path} {manner:?}")).await;
        issuer.behaves(path, None);
    }
    takes_what_is_right(&site, &issuer).await;
}

#[tokio::test]
async fn r001_an_issuer_that_says_wrong_things_of_itself_is_refused() {
    let (site, issuer) = hostile().await;
    for metadata in [
        json!({ "issuer": "https://id.example.org" }),
        json!({ "issuer": null }),
        json!({ "token_endpoint": null }),
        json!({ "authorization_endpoint": "javascript:alert(1)" }),
        json!({ "authorization_endpoint": "https://a;b.example.org/" }),
        json!({ "token_endpoint": "file:///etc/passwd" }),
        json!({ "end_session_endpoint": "data:text/html,hostile" }),
    ] {
        issuer.announces(metadata.clone());
        let browser = site.browser();
        let answer = browser.post("/auth/start", &[]).await;
        refused(&site, &browser, answer, "failed", &metadata.to_string()).await;
    }
    issuer.announces(json!({}));
    takes_what_is_right(&site, &issuer).await;
}

/// Takes as long as a slow issuer is waited for.
#[tokio::test]
async fn r001_slow_endpoints_are_given_up() {
    let cases = [
        ("/.well-known/openid-configuration", Manner::Hangs),
        ("/jwks", Manner::Trickles),
        ("/token", Manner::Hangs),
        ("/token", Manner::Trickles),
        ("/userinfo", Manner::Trickles),
    ];
    join_all(cases.map(|(path, manner)| async move {
        let (site, issuer) = hostile().await;
        let what = format!("{path} {manner:?}");
        let browser = site.browser();
        let answer = if path.starts_with("/token") || path.starts_with("/user") {
            let (state, request) = asked(&browser).await;
            issuer.behaves(path, Some(manner));
            returned(&issuer, &browser, &state, &issuer.code(&request, 1, json!({}))).await
        } else {
            issuer.behaves(path, Some(manner));
            browser.post("/auth/start", &[]).await
        };
        refused(&site, &browser, answer, "unreachable", &what).await;
    }))
    .await;
}

#[tokio::test]
async fn r001_a_token_that_is_too_long_for_an_address_is_not_kept() {
    let (site, issuer) = hostile().await;
    issuer.announces(json!({ "end_session_endpoint": format!("{}/end", issuer.url()) }));
    for (groups, hinted) in [(1, true), (1000, false)] {
        let change = json!({ "groups": vec!["everybody"; groups] });
        let told = |request: &Url| json!({ "id_token": sign(&json!({}), &issuer.claims(request, &change), &Signer::Key(1)) });
        let (browser, answer) = answered(&site, &issuer, told).await;
        assert_eq!(answer.location(), Some("/"));
        let out = browser.post("/auth/sign-out", &[]).await;
        assert_eq!(out.location().unwrap().contains("id_token_hint="), hinted, "{groups} groups");
        assert!(out.location().unwrap().contains("client_id=granary"));
    }
}
