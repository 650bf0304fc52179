//! How a server is.

use super::{client::Client, config};
use crate::server::{
    engine::Health,
    platform::{NodeSpec, Platform},
};
use anyhow::Context;
use secrecy::SecretString;
use std::time::Duration;
use time::OffsetDateTime;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(5);

/// See [`crate::server::engine::Engine::check`].
pub(super) async fn check(platform: &dyn Platform, node: &NodeSpec, password: &SecretString) -> anyhow::Result<Health> {
    let ask = async {
        let mut client = Client::sign_in(platform, node, password).await?;
        // While it reads its data it tells of itself, but answers nobody else: this command it refuses then.
        client.ask(&["PING"]).await?;
        health(&client.ask(&["INFO", "server", "memory", "replication"]).await?)
    };
    timeout(LIMIT, ask).await.with_context(|| format!("the server did not answer within {} s", LIMIT.as_secs()))?
}

fn health(info: &str) -> anyhow::Result<Health> {
    let of = |name: &str| value(info, name).with_context(|| format!("the server does not tell its {name}"));
    let number = |name: &str| anyhow::Ok(of(name)?.parse::<i64>()?);
    // Both are of the same moment, so the difference is the same each time.
    let started = number("server_time_usec")? / 1_000_000 - number("uptime_in_seconds")?;
    Ok(Health {
        version: of("redis_version")?.to_owned(),
        writable: of("role")? == "master",
        receives: false,
        followers: Vec::new(),
        read_only: of("maxmemory")? == config::NO_MORE,
        started_at: OffsetDateTime::from_unix_timestamp(started)?,
    })
}

fn value<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.split_once(':').filter(|(n, _)| *n == name).map(|(_, value)| value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_tells_is_read() {
        let info = "# Server\r\nredis_version:7.0.15\r\nserver_time_usec:1795288153900000\r\nuptime_in_seconds:53\r\n# Memory\r\nused_memory:900000\r\n\
            maxmemory:268435456\r\n# Replication\r\nrole:master\r\n";
        let health = health(info).unwrap();
        assert_eq!((health.version.as_str(), health.writable, health.read_only), ("7.0.15", true, false));
        assert_eq!(health.started_at.unix_timestamp(), 1_795_288_100);
        assert!(super::health(&info.replace("268435456", "1")).unwrap().read_only);
        assert!(!super::health(&info.replace("master", "slave")).unwrap().writable);
        assert!(super::health("").unwrap_err().to_string().contains("server_time_usec"));
    }
}
