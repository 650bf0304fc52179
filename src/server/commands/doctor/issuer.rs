//! The issuer by which people sign in.

use super::finding::Report;
use crate::server::{auth::http::Http, config::Oidc, state::Clock};
use anyhow::{Context, ensure};
use axum::http::HeaderMap;
use serde_json::Value;
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc2822};

const AREA: &str = "issuer";
/// Signatures that are believed: those that only the issuer can make.
const SIGNATURES: [&str; 9] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];
/// Clocks further apart than this are worth a word; beyond the other, sign-ins fail.
const APART: Duration = Duration::seconds(30);
const FAR_APART: Duration = Duration::minutes(5);

/// Asks it what it says of itself.
pub(super) async fn look(report: &mut Report, oidc: &Oidc, clock: Clock) {
    let url = format!("{}/.well-known/openid-configuration", oidc.issuer.trim_end_matches('/'));
    let before = report.len();
    match ask(&url).await {
        Err(error) => {
            let advice =
                "See that GRANARY_OIDC_ISSUER is right, and that this machine reaches it and trusts its certificate. Until then nobody can sign in.";
            report.problem(AREA, format!("{url} does not say what it should: {error:#}."), advice);
            return;
        }
        Ok((headers, document)) => {
            skew(report, &headers, clock.now());
            says(report, &oidc.issuer, &document);
            keys(report, &document).await;
        }
    }
    if report.len() == before {
        report.ok(AREA, format!("{} answers and offers what Granary needs.", oidc.issuer));
    }
}

async fn ask(url: &str) -> anyhow::Result<(HeaderMap, Value)> {
    let answer = Http::new(false)?.get(url).await.map_err(|e| anyhow::Error::new(e).context("it cannot be asked"))?;
    ensure!(answer.status().is_success(), "the answer is {}", answer.status());
    let document = serde_json::from_slice(answer.body()).context("the answer is not JSON")?;
    Ok((answer.headers().clone(), document))
}

fn says(report: &mut Report, issuer: &str, document: &Value) {
    if document["issuer"].as_str() != Some(issuer) {
        let what = format!("It calls itself {}, but GRANARY_OIDC_ISSUER is “{issuer}”.", document["issuer"]);
        report.problem(AREA, what, "Set GRANARY_OIDC_ISSUER letter for letter to what the issuer calls itself.");
    }
    for name in ["authorization_endpoint", "token_endpoint", "jwks_uri"] {
        if document[name].as_str().is_none_or(|url| !url.starts_with("http")) {
            report.problem(AREA, format!("It does not say its {name}."), "Is this an OpenID Connect issuer? Ask who runs it.");
        }
    }
    let lacks = |name: &str, wanted: &[&str]| {
        document[name].as_array().is_some_and(|offered| !offered.iter().filter_map(Value::as_str).any(|offer| wanted.contains(&offer)))
    };
    if lacks("response_types_supported", &["code"]) {
        report.problem(AREA, "It does not offer the authorization code flow.", "Have it offered for Granary's client.");
    }
    if lacks("id_token_signing_alg_values_supported", &SIGNATURES) {
        report.problem(AREA, "It signs by none of the ways that Granary accepts.", "Have ID tokens of Granary's client signed with RS256 or ES256.");
    }
    if lacks("code_challenge_methods_supported", &["S256"]) {
        report.warning(AREA, "It does not offer PKCE with S256.", "Granary sends it nonetheless; an issuer that refuses it must learn it.");
    }
}

async fn keys(report: &mut Report, document: &Value) {
    let Some(url) = document["jwks_uri"].as_str() else { return };
    let advice = "Have its keys published again: without them no sign-in can be checked.";
    match ask(url).await {
        Ok((_, keys)) if keys["keys"].as_array().is_some_and(|keys| !keys.is_empty()) => {}
        Ok(_) => report.problem(AREA, format!("There are no keys at {url}."), advice),
        Err(error) => report.problem(AREA, format!("Its keys at {url} cannot be read: {error:#}."), advice),
    }
}

/// The issuer's clock decides when its tokens begin and end, this machine's whether they do.
fn skew(report: &mut Report, headers: &HeaderMap, now: OffsetDateTime) {
    let date = headers.get("date").and_then(|date| date.to_str().ok()).and_then(|date| OffsetDateTime::parse(date, &Rfc2822).ok());
    let Some(apart) = date.map(|date| (now - date).abs()).filter(|apart| *apart > APART) else { return };
    let what = format!("The clocks of this machine and of the issuer are {} s apart.", apart.whole_seconds());
    let advice = "Have both follow a time server (on Debian: apt install systemd-timesyncd).";
    if apart > FAR_APART { report.problem(AREA, what, advice) } else { report.warning(AREA, what, advice) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn a_clock_that_is_wrong_is_seen_by_the_issuers_date() {
        let headers = HeaderMap::from_iter([("date".parse().unwrap(), "Sat, 21 Nov 2026 15:31:08 GMT".parse().unwrap())]);
        let findings = |now| {
            let mut report = Report::default();
            skew(&mut report, &headers, now);
            (report.len(), report.has_problems())
        };
        assert_eq!(findings(datetime!(2026-11-21 15:31:20 UTC)), (0, false));
        assert_eq!(findings(datetime!(2026-11-21 15:30:00 UTC)), (1, false));
        assert_eq!(findings(datetime!(2026-11-21 16:31:08 UTC)), (1, true));
    }
}
