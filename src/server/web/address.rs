//! Where a request comes from.

use super::Web;
use crate::server::config::Config;
use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderName, Version, request::Parts, uri::Authority},
    middleware::Next,
    response::Response,
};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use url::Host;

/// The client's address, where it is known for sure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub Option<IpAddr>);

/// Puts [`ClientAddress`] into the request.
pub async fn layer(State(web): State<Web>, mut request: Request, next: Next) -> Response {
    let client = peer(request.extensions()).and_then(|peer| client(peer, request.headers(), &web.app.config.trusted_proxies));
    request.extensions_mut().insert(ClientAddress(client));
    next.run(request).await
}

/// Who holds the other end of the connection.
fn peer(extensions: &axum::http::Extensions) -> Option<IpAddr> {
    // ::ffff:192.0.2.1 is how an IPv4 peer looks on a socket that takes both.
    extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_canonical())
}

/// The peer; behind a trusted proxy, the last hop that is not one. A hop that cannot be read hides all before it.
fn client(peer: IpAddr, headers: &HeaderMap, proxies: &[IpNet]) -> Option<IpAddr> {
    let trusted = |address: &IpAddr| proxies.iter().any(|net| net.contains(address));
    if !trusted(&peer) {
        return Some(peer);
    }
    let lines: Vec<&str> = headers.get_all("x-forwarded-for").iter().map(|line| line.to_str().unwrap_or("?")).collect();
    let mut furthest = peer;
    for hop in lines.iter().flat_map(|line| line.split(',')).rev() {
        furthest = hop_address(hop.trim())?;
        if !trusted(&furthest) {
            break;
        }
    }
    Some(furthest)
}

/// Some proxies add the port.
fn hop_address(hop: &str) -> Option<IpAddr> {
    let address = hop.parse::<IpAddr>().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|a| a.ip()));
    address.or_else(|| hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok()).map(|a| a.to_canonical())
}

/// The host a request was sent to, without its port. One that says so twice, and differently, was sent to none.
#[must_use]
pub fn host(parts: &Parts) -> Option<Host> {
    let of_url = parts.uri.authority().map(|authority| Some(authority.clone()));
    let of_headers = parts.headers.get_all("host").iter().map(|host| host.to_str().ok()?.parse::<Authority>().ok());
    let named = |authority: Authority| Host::parse(authority.host()).ok().filter(|_| !authority.as_str().contains('@'));
    let hosts = of_url.into_iter().chain(of_headers).map(|authority| authority.and_then(named));
    hosts.reduce(|one, other| one.filter(|one| Some(one) == other.as_ref()))?
}

/// True for loopback addresses and `localhost`.
#[must_use]
pub fn is_loopback(host: &Host<impl AsRef<str>>) -> bool {
    match host {
        Host::Ipv4(ip) => ip.is_loopback(),
        Host::Ipv6(ip) => ip.is_loopback(),
        Host::Domain(name) => name.as_ref() == "localhost",
    }
}

/// Whether a request surely comes from this machine itself: the connection does, it was sent to a loopback name (so no
/// foreign page had a browser send it under a name of its own), and no proxy says that it only passed it on.
#[must_use]
pub fn is_from_here(parts: &Parts) -> bool {
    peer(&parts.extensions).is_some_and(|peer| peer.is_loopback())
        && host(parts).is_some_and(|host| is_loopback(&host))
        && !parts.headers.keys().any(is_of_a_proxy)
}

/// Headers that only something in between writes: the standards' and those of proxies and their vendors.
fn is_of_a_proxy(name: &HeaderName) -> bool {
    const NAMES: [&str; 10] = [
        "forwarded",
        "via",
        "cdn-loop",
        "client-ip",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-real-ip",
        "true-client-ip",
        "cf-connecting-ip",
        "fastly-client-ip",
    ];
    const BEGINNINGS: [&str; 3] = ["x-forwarded", "x-original-", "x-envoy-"];
    NAMES.contains(&name.as_str()) || BEGINNINGS.iter().any(|beginning| name.as_str().starts_with(beginning))
}

/// Whether the built-in provider, a door without a lock, may open for this request: everything about it is loopback.
#[must_use]
pub fn may_use_dev_provider(parts: &Parts, config: &Config) -> bool {
    let origin_is_here = parts.headers.get("origin").is_none_or(|origin| {
        let url = origin.to_str().ok().and_then(|origin| url::Url::parse(origin).ok());
        url.is_some_and(|url| url.host().is_some_and(|host| is_loopback(&host)))
    });
    is_from_here(parts)
        // nginx, unless it is told otherwise, adds no header and names this host, but speaks HTTP/1.0, as no browser does.
        && parts.version >= Version::HTTP_11
        && origin_is_here
        && config.oidc.is_none()
        && config.listen.ip().is_loopback()
        && config.public_url.host().is_some_and(|host| is_loopback(&host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(peer: &str, forwarded: &[&str], proxies: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        let proxies: Vec<IpNet> = proxies.iter().map(|p| p.parse().unwrap()).collect();
        client(peer.parse().unwrap(), &headers, &proxies).map(|a| a.to_string())
    }

    #[test]
    fn r026_only_a_trusted_proxy_says_where_a_client_is() {
        let is = |address: &str| Some(address.to_owned());
        assert_eq!(found("192.0.2.1", &["203.0.113.9"], &[]), is("192.0.2.1"));
        assert_eq!(found("10.0.0.1", &["203.0.113.9"], &["10.0.0.0/8"]), is("203.0.113.9"));
        // What a client wrote itself stands before what the proxy saw.
        assert_eq!(found("10.0.0.1", &["1.1.1.1, 203.0.113.9"], &["10.0.0.0/8"]), is("203.0.113.9"));
        assert_eq!(found("10.0.0.1", &["1.1.1.1", "203.0.113.9, 10.0.0.2"], &["10.0.0.0/8"]), is("203.0.113.9"));
        assert_eq!(found("10.0.0.1", &["[2001:db8::1]:4711"], &["10.0.0.0/8"]), is("2001:db8::1"));
        assert_eq!(found("10.0.0.1", &["unknown"], &["10.0.0.0/8"]), None);
        assert_eq!(found("10.0.0.1", &[], &["10.0.0.0/8"]), is("10.0.0.1"));
    }
}
