//! The built-in provider is a door without a lock: it opens for nobody but this machine.

use crate::{server::auth::dev_provider, tests::site::Site};
use axum::{
    body::Body,
    extract::ConnectInfo,
    http::{Method, Request, StatusCode, Version},
};
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tower::ServiceExt;

const HERE: &str = "127.0.0.1:50000";

/// A request for each address of the provider, changed, from a peer; all answers' statuses.
async fn asked(site: &Site, peer: Option<&str>, change: impl Fn(axum::http::request::Builder) -> axum::http::request::Builder) -> Vec<StatusCode> {
    let mut statuses = Vec::new();
    for (path, _) in dev_provider::table() {
        for method in [Method::GET, Method::POST] {
            let request = Request::builder().method(method).uri(format!("{}{path}", dev_provider::PATH));
            let mut request = change(request).body(Body::empty()).unwrap();
            if !request.headers().contains_key("host") {
                request.headers_mut().insert("host", site.url.strip_prefix("http://").unwrap().parse().unwrap());
            }
            if let Some(peer) = peer {
                request.extensions_mut().insert(ConnectInfo(peer.parse::<SocketAddr>().unwrap()));
            }
            statuses.push(site.router.clone().oneshot(request).await.unwrap().status());
        }
    }
    statuses
}

fn all(statuses: &[StatusCode], expected: StatusCode) -> bool {
    statuses.iter().all(|status| *status == expected)
}

#[tokio::test]
async fn r001_the_development_provider_opens_for_this_machine() {
    let site = Site::new().await;
    let statuses = asked(&site, Some(HERE), |request| request).await;
    assert!(!statuses.contains(&StatusCode::NOT_FOUND) && statuses.contains(&StatusCode::OK), "{statuses:?}");
    let statuses = asked(&site, Some("[::1]:50000"), |request| request).await;
    assert!(!statuses.contains(&StatusCode::NOT_FOUND), "{statuses:?}");
}

#[tokio::test]
async fn r001_the_development_provider_does_not_exist_behind_a_proxy() {
    let site = Site::new().await;
    for (name, value) in [
        ("forwarded", "for=192.0.2.1;proto=https;host=granary.example.org"),
        ("forwarded", "for=127.0.0.1"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-for", ""),
        ("x-forwarded-host", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-port", "3000"),
        ("x-forwarded-server", "proxy"),
        ("x-forwarded-prefix", "/"),
        ("x-forwarded", "for=127.0.0.1"),
        ("x-original-forwarded-for", "127.0.0.1"),
        ("x-original-host", "127.0.0.1"),
        ("x-real-ip", "127.0.0.1"),
        ("x-client-ip", "127.0.0.1"),
        ("x-cluster-client-ip", "127.0.0.1"),
        ("x-envoy-external-address", "127.0.0.1"),
        ("client-ip", "127.0.0.1"),
        ("true-client-ip", "127.0.0.1"),
        ("cf-connecting-ip", "127.0.0.1"),
        ("fastly-client-ip", "127.0.0.1"),
        ("cdn-loop", "cdn"),
        ("via", "1.1 proxy"),
    ] {
        let statuses = asked(&site, Some(HERE), |request| request.header(name, value)).await;
        assert!(all(&statuses, StatusCode::NOT_FOUND), "{name}: {value}: {statuses:?}");
        // Names of headers have no case.
        let statuses = asked(&site, Some(HERE), |request| request.header(name.to_uppercase(), value)).await;
        assert!(all(&statuses, StatusCode::NOT_FOUND), "{name}: {value}: {statuses:?}");
    }
    // A proxy that adds nothing, as nginx does unless it is told to.
    let statuses = asked(&site, Some(HERE), |request| request.version(Version::HTTP_10)).await;
    assert!(all(&statuses, StatusCode::NOT_FOUND), "{statuses:?}");
}

#[tokio::test]
async fn r001_a_trusted_proxy_does_not_open_the_development_provider() {
    let site = Site::with(crate::server::state::Clock::System, |config| config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()]).await;
    let statuses = asked(&site, Some(HERE), |request| request.header("x-forwarded-for", "127.0.0.1")).await;
    assert!(all(&statuses, StatusCode::NOT_FOUND), "{statuses:?}");
}

#[tokio::test]
async fn r001_the_development_provider_does_not_exist_for_other_machines() {
    let site = Site::new().await;
    for peer in [Some("192.0.2.1:50000"), Some("10.0.0.1:50000"), Some("[2001:db8::1]:50000"), Some("[::ffff:192.0.2.1]:50000"), None] {
        let statuses = asked(&site, peer, |request| request).await;
        assert!(all(&statuses, StatusCode::NOT_FOUND), "{peer:?}: {statuses:?}");
    }
}

#[tokio::test]
async fn r001_the_development_provider_does_not_exist_under_another_name() {
    let site = Site::new().await;
    let port = site.url.rsplit_once(':').unwrap().1;
    // What a name that was rebound to this machine's address says, and what is made to look like an address.
    for host in
        ["evil.test", "127.0.0.1.evil.test", "localhost.evil.test", "evil.test@127.0.0.1", "192.0.2.1", "0.0.0.0", "[::]", "localhost.", "", "a b"]
    {
        for host in [host.to_owned(), format!("{host}:{port}")] {
            let statuses = asked(&site, Some(HERE), |request| request.header("host", &host)).await;
            assert!(all(&statuses, StatusCode::MISDIRECTED_REQUEST), "{host}: {statuses:?}");
        }
    }
    let twice = |request: axum::http::request::Builder| request.header("host", "127.0.0.1").header("host", "evil.test");
    let statuses = asked(&site, Some(HERE), twice).await;
    assert!(all(&statuses, StatusCode::MISDIRECTED_REQUEST), "{statuses:?}");
    for origin in ["https://evil.test", "null", "http://127.0.0.1.evil.test", "", "file://"] {
        let statuses = asked(&site, Some(HERE), |request| request.header("origin", origin)).await;
        let refused = |status: &StatusCode| *status == StatusCode::NOT_FOUND || *status == StatusCode::FORBIDDEN;
        assert!(statuses.iter().all(refused), "{origin}: {statuses:?}");
    }
}

#[tokio::test]
async fn r001_the_development_provider_needs_a_loopback_listener_and_url() {
    let wide = Site::with(crate::server::state::Clock::System, |config| config.listen = "0.0.0.0:3000".parse().unwrap()).await;
    let statuses = asked(&wide, Some(HERE), |request| request).await;
    assert!(all(&statuses, StatusCode::NOT_FOUND), "{statuses:?}");
    let named = |config: &mut crate::server::config::Config| config.public_url = "https://granary.example.org".parse().unwrap();
    let named = Site::with(crate::server::state::Clock::System, named).await;
    for host in ["granary.example.org", "127.0.0.1"] {
        let statuses = asked(&named, Some(HERE), |request| request.header("host", host)).await;
        let refused = |status: &StatusCode| [StatusCode::NOT_FOUND, StatusCode::MISDIRECTED_REQUEST].contains(status);
        assert!(statuses.iter().all(refused), "{host}: {statuses:?}");
    }
}

/// Words on the wire, as no client library sends them.
#[tokio::test]
async fn r001_requests_that_contradict_themselves_do_not_open_the_development_provider() {
    let site = Site::new().await;
    let address = site.url.strip_prefix("http://").unwrap();
    let path = "/dev/oidc/.well-known/openid-configuration";
    let said = async |head: String| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("{head}\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.lines().next().unwrap_or_default().to_owned()
    };
    assert_eq!(said(format!("GET {path} HTTP/1.1\r\nHost: {address}")).await, "HTTP/1.1 200 OK");
    for head in [
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nHost: evil.test"),
        format!("GET {path} HTTP/1.1\r\nHost: evil.test\r\nHost: {address}"),
        format!("GET http://evil.test{path} HTTP/1.1\r\nHost: {address}"),
        format!("GET http://{address}{path} HTTP/1.1\r\nHost: evil.test"),
        format!("GET {path} HTTP/1.0\r\nHost: {address}"),
        format!("GET {path} HTTP/1.0"),
        format!("GET {path} HTTP/1.1"),
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nX-Forwarded-For: 127.0.0.1"),
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nForwarded: for=127.0.0.1"),
    ] {
        let status = said(head.clone()).await;
        assert!(["400", "404", "421"].contains(&status.split(' ').nth(1).unwrap_or_default()), "{head}: {status}");
    }
}
