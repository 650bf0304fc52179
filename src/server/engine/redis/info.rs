//! What the server tells of itself, by name.

use super::{config, product::Product};
use crate::server::{
    engine::{Follower, Health, Position},
    platform::NodeSpec,
};
use anyhow::{Context, ensure};
use std::{str::FromStr, time::Duration};
use time::OffsetDateTime;

/// A replica that lost its primary so long ago may lack what another has, whatever their offsets say: a server that was started
/// again counts anew from 0. No failover takes that long from the primary's death to the election.
const IN_STEP: Duration = Duration::from_secs(10);

/// How much a position says. Offsets are compared within one of these alone.
mod known {
    /// Nothing: the server was started and has not found its primary since.
    pub(super) const NOTHING: u32 = 0;
    /// What it had when it lost its primary, some time ago.
    pub(super) const LONG_AGO: u32 = 1;
    /// What it has now, or had when the primary ended a moment ago.
    pub(super) const NOW: u32 = 2;
}

/// The answer to INFO.
pub(super) struct Info(pub(super) String);

impl Info {
    /// A value, where the server tells it.
    fn find(&self, name: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.split_once(':').filter(|(n, _)| *n == name).map(|(_, value)| value))
    }

    fn of(&self, name: &str) -> anyhow::Result<&str> {
        self.find(name).with_context(|| format!("the server does not tell its {name}"))
    }

    fn number<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(&self, name: &str) -> anyhow::Result<T> {
        Ok(self.of(name)?.parse::<T>()?)
    }

    fn is(&self, name: &str) -> bool {
        self.find(name) == Some("1")
    }

    /// Whether it takes writes of its own.
    pub(super) fn is_primary(&self) -> anyhow::Result<bool> {
        Ok(self.of("role")? == "master")
    }

    /// Whether it receives from a primary now.
    pub(super) fn receives(&self) -> bool {
        self.find("master_link_status") == Some("up")
    }

    /// Whether it receives a whole copy now.
    pub(super) fn is_being_copied(&self) -> bool {
        self.is("master_sync_in_progress")
    }

    /// Whether this is the primary that it follows, or tries to.
    pub(super) fn follows(&self, primary: &NodeSpec) -> bool {
        let (host, port) = (primary.address.ip().to_string(), primary.address.port().to_string());
        (self.find("master_host"), self.find("master_port")) == (Some(&host), Some(&port))
    }

    /// Whether what it has in memory is in its log of changes, too: a copy that was just received is written there afterwards.
    pub(super) fn is_written_down(&self) -> bool {
        self.is("aof_enabled") && !self.is("aof_rewrite_in_progress") && !self.is("aof_rewrite_scheduled") && !self.is("loading")
    }

    /// For how long a replica has received nothing: for ever, if it never has since it was started.
    fn deaf(&self) -> Duration {
        match self.find("master_link_down_since_seconds").map(str::parse::<u64>) {
            Some(Ok(seconds)) => Duration::from_secs(seconds),
            Some(Err(_)) => Duration::MAX,
            None => Duration::ZERO,
        }
    }

    /// How far a replica is.
    pub(super) fn position(&self) -> anyhow::Result<Position> {
        ensure!(!self.is_primary()?, "it is no replica");
        let timeline = match self.deaf() {
            Duration::MAX => known::NOTHING,
            deaf if deaf > IN_STEP => known::LONG_AGO,
            _ => known::NOW,
        };
        Ok(Position { timeline, log: self.number("slave_repl_offset")? })
    }

    /// How far a primary is.
    pub(super) fn offset(&self) -> anyhow::Result<u64> {
        self.number("master_repl_offset")
    }

    /// A position of a primary that was stopped at this offset.
    pub(super) fn stopped_at(offset: u64) -> Position {
        Position { timeline: known::NOW, log: offset }
    }

    /// Those that follow it. A node announces itself by its id in place of an address.
    fn followers(&self) -> anyhow::Result<Vec<Follower>> {
        let end = self.offset()?;
        let waits = self.find("min_slaves_good_slaves").is_some();
        let follower = |line: &str| {
            let (name, fields) = line.split_once(':')?;
            name.strip_prefix("slave")?.parse::<u32>().ok()?;
            let of = |name: &str| fields.split(',').find_map(|field| field.split_once('=').filter(|(n, _)| *n == name).map(|(_, value)| value));
            let offset: u64 = of("offset")?.parse().ok()?;
            let silent: u64 = of("lag")?.parse().ok()?;
            let follower = Follower {
                node: of("ip")?.parse().ok()?,
                lag_bytes: end.saturating_sub(offset),
                synchronous: waits && silent <= config::MAX_LAG_SECONDS,
            };
            (of("state") == Some("online")).then_some(follower)
        };
        Ok(self.0.lines().filter_map(follower).collect())
    }

    /// How it is.
    pub(super) fn health(&self, product: &Product) -> anyhow::Result<Health> {
        // Both are of the same moment, so the difference is the same each time.
        let started = self.number::<i64>("server_time_usec")? / 1_000_000 - self.number::<i64>("uptime_in_seconds")?;
        let writable = self.is_primary()?;
        Ok(Health {
            version: self.of(product.version)?.to_owned(),
            writable,
            receives: self.receives(),
            deaf: self.deaf(),
            followers: if writable { self.followers()? } else { Vec::new() },
            read_only: self.of("maxmemory")? == config::NO_MORE,
            started_at: OffsetDateTime::from_unix_timestamp(started)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::product::REDIS;
    use super::*;
    use crate::server::engine::testing::node;
    use uuid::Uuid;

    const ALONE: &str = "# Server\r\nredis_version:7.0.15\r\nserver_time_usec:1795288153900000\r\nuptime_in_seconds:53\r\n# Memory\r\nused_memory:900000\r\n\
        maxmemory:268435456\r\n# Replication\r\nrole:master\r\nmaster_repl_offset:50\r\n";

    fn info(text: &str) -> Info {
        Info(text.replace("\r\n", "\n"))
    }

    fn replica(more: &str) -> Info {
        Info(format!("role:slave\nmaster_host:127.64.3.2\nmaster_port:6379\nslave_repl_offset:70\nmaster_repl_offset:70\n{more}"))
    }

    #[test]
    fn what_the_server_tells_is_read() {
        let health = info(ALONE).health(&REDIS).unwrap();
        assert_eq!((health.version.as_str(), health.writable, health.read_only, health.receives), ("7.0.15", true, false, false));
        assert_eq!(health.started_at.unix_timestamp(), 1_795_288_100);
        assert!(info(&ALONE.replace("268435456", "1")).health(&REDIS).unwrap().read_only);
        assert!(!info(&ALONE.replace("master\r", "slave\r")).health(&REDIS).unwrap().writable);
        assert!(info("").health(&REDIS).unwrap_err().to_string().contains("server_time_usec"));
    }

    #[test]
    fn those_that_follow_are_known_by_their_id() {
        let ids = [Uuid::from_u128(1), Uuid::from_u128(2)];
        let lines = format!(
            "slave0:ip={},port=6379,state=online,offset=40,lag=1\r\nslave1:ip={},port=6379,state=wait_bgsave,offset=0,lag=0\r\n\
             slave2:ip=127.0.0.1,port=1,state=online,offset=50,lag=0\r\nslave_expires_tracked_keys:0\r\n",
            ids[0], ids[1]
        );
        let followers = info(&(ALONE.to_owned() + &lines)).health(&REDIS).unwrap().followers;
        assert_eq!(followers, [Follower { node: ids[0], lag_bytes: 10, synchronous: false }], "one that is being copied to does not follow yet");
        let waits = ALONE.to_owned() + "min_slaves_good_slaves:1\r\n" + &lines;
        assert!(info(&waits).health(&REDIS).unwrap().followers[0].synchronous);
        assert!(!info(&waits.replace("lag=1", "lag=60")).health(&REDIS).unwrap().followers[0].synchronous);
    }

    #[test]
    fn who_lost_its_primary_a_moment_ago_counts_before_who_lost_it_earlier_or_never_had_it() {
        let up = replica("master_link_status:up\n");
        let lost = |seconds: &str| replica(&format!("master_link_status:down\nmaster_link_down_since_seconds:{seconds}\n"));
        let position = |info: &Info| info.position().unwrap();
        assert!(up.receives() && !lost("0").receives());
        assert_eq!(position(&up), position(&lost("1")));
        assert_eq!(position(&up), Info::stopped_at(70));
        assert!(position(&lost("1")) > position(&lost("60")) && position(&lost("60")) > position(&lost("-1")));
        assert!(Info::stopped_at(71) > position(&up));
        assert!(info(ALONE).position().is_err(), "a primary is no replica");
    }

    #[test]
    fn whom_it_follows_is_known_by_address() {
        let primary = NodeSpec { address: "127.64.3.2:6379".parse().unwrap(), ..node() };
        assert!(replica("").follows(&primary) && !info(ALONE).follows(&primary));
        assert!(!replica("").follows(&NodeSpec { address: "127.64.3.2:6380".parse().unwrap(), ..node() }));
    }
}
