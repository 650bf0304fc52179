//! `pg_auto_failover`: a monitor and three nodes, with health checks as quick as nodes that report every second allow.

use super::{NODES, Room, address, program, write};
use crate::{
    bare,
    client::Endpoint,
    cluster::{Cluster, Primary},
};
use sqlx::{
    ConnectOptions as _,
    postgres::{PgConnectOptions, PgSslMode},
};
use std::{net::Ipv4Addr, path::PathBuf, process::Stdio, time::Instant};

/// Times in ms of the monitor. A node that is well reports once a second, so it is not given up before 1.5 s.
const MONITOR: [(&str, u32); 7] = [
    ("health_check_period", 100),
    ("health_check_timeout", 250),
    ("health_check_max_retries", 1),
    ("health_check_retry_delay", 100),
    ("node_considered_unhealthy_timeout", 1500),
    ("primary_demote_timeout", 100),
    ("startup_grace_period", 1000),
];

/// No password: it lives for minutes and holds nothing of anybody.
const ACCESS: &str = "\
local    all          all               trust
local    replication  all               trust
hostssl  all          all  127.0.0.0/8  trust
hostssl  replication  all  127.0.0.0/8  trust
";

/// A monitor that stands on none of its three nodes.
pub(crate) struct AutoFailover {
    room: Room,
    /// Who runs it is its superuser too.
    user: String,
    version: String,
}

impl AutoFailover {
    /// Started, and whole.
    ///
    /// # Errors
    /// What is not installed.
    pub(crate) async fn new() -> Result<Self, String> {
        let pg_autoctl = program("pg_autoctl")?;
        if !bare::programs().join("../lib/pgautofailover.so").exists() {
            return Err("pg_auto_failover's extension is not installed: scripts/peers.sh says why".to_owned());
        }
        let said = |command: &mut std::process::Command| String::from_utf8(command.output().unwrap().stdout).unwrap();
        let version =
            said(std::process::Command::new(&pg_autoctl).arg("version")).lines().next().unwrap_or_default().replace("pg_autoctl version ", "");
        let user = said(bare::as_somebody("id".as_ref()).arg("-un")).trim().to_owned();
        let mut this = Self { room: Room::new(), user, version };
        this.monitor(&pg_autoctl).await?;
        for slot in 0..NODES {
            this.node(&pg_autoctl, slot).await?;
        }
        this.whole().await;
        Ok(this)
    }

    /// What `pg_autoctl` does not take from its arguments.
    fn env(&self, folder: &str) -> Vec<(&'static str, String)> {
        let home = self.room.path(folder).display().to_string();
        let path = format!("{}:/usr/bin:/bin", bare::programs().display());
        let own = ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "PG_REGRESS_SOCK_DIR"].map(|name| (name, home.clone()));
        own.into_iter().chain([("PATH", path)]).collect()
    }

    /// A cluster that lets in whom it should: what `pg_autoctl` would write needs addresses with names.
    fn cluster(&self, folder: &str) {
        let data = self.room.folder(folder).join("data");
        let mut initdb = bare::as_somebody(&bare::programs().join("initdb"));
        let made = initdb.arg("-D").arg(&data).args(["--auth=trust", "--no-sync"]).stdout(Stdio::null()).status().unwrap();
        assert!(made.success());
        write(&data.join("pg_hba.conf"), ACCESS);
    }

    async fn monitor(&mut self, pg_autoctl: &std::path::Path) -> Result<(), String> {
        self.cluster("monitor");
        let (ip, env) = (address(20).to_string(), self.env("monitor"));
        let args = ["create", "monitor", "--run", "--pgdata", "data", "--pgport", "5432", "--skip-pg-hba", "--ssl-self-signed"];
        self.room.start(pg_autoctl, &[&args[..], &["--hostname", &ip, "--listen", &ip]].concat(), "monitor", &env)?;
        let node = self.options(address(20)).username("autoctl_node").database("pg_auto_failover");
        self.room.until("the monitor serves", async || node.connect().await.is_ok()).await;
        let mut session = self.options(address(20)).database("pg_auto_failover").connect().await.unwrap();
        for (name, ms) in MONITOR {
            let set = format!("ALTER SYSTEM SET pgautofailover.{name} = {ms}");
            sqlx::query(sqlx::AssertSqlSafe(set)).execute(&mut session).await.unwrap();
        }
        sqlx::query("SELECT pg_reload_conf()").execute(&mut session).await.unwrap();
        Ok(())
    }

    async fn node(&mut self, pg_autoctl: &std::path::Path, slot: u8) -> Result<(), String> {
        let (folder, ip) = (format!("n{slot}"), node(slot).to_string());
        if slot == 0 {
            self.cluster(&folder);
        } else {
            self.room.folder(&folder);
        }
        let monitor = format!("postgres://autoctl_node@{}:5432/pg_auto_failover?sslmode=require", address(20));
        let (user, env) = (self.user.clone(), self.env(&folder));
        let args = ["create", "postgres", "--run", "--pgdata", "data", "--pgport", "5432", "--skip-pg-hba", "--ssl-self-signed"];
        let own = ["--name", &folder, "--hostname", &ip, "--listen", &ip, "--pghost", &ip, "--monitor", &monitor, "--username", &user];
        self.room.start(pg_autoctl, &[&args[..], &own, &["--dbname", "postgres"]].concat(), &folder, &env)?;
        // The first one leads.
        self.room.until("the first node serves", async || slot > 0 || !self.states().await.is_empty()).await;
        Ok(())
    }

    fn endpoint_of(&self, host: Ipv4Addr) -> Endpoint {
        let (user, database) = (self.user.clone(), "postgres".to_owned());
        Endpoint { host: host.to_string(), port: 5432, user, password: String::new(), database, ca_pem: None }
    }

    fn options(&self, host: Ipv4Addr) -> PgConnectOptions {
        let options = PgConnectOptions::new_without_pgpass().host(&host.to_string()).port(5432).ssl_mode(PgSslMode::Require);
        options.username(&self.user).database("postgres").disable_statement_logging()
    }

    /// Name and state of each node, once wish and report are the same.
    async fn states(&self) -> Vec<(String, String)> {
        let Ok(mut session) = self.options(address(20)).database("pg_auto_failover").connect().await else { return Vec::new() };
        let all = sqlx::query_as("SELECT nodename, reportedstate::text FROM pgautofailover.node WHERE goalstate = reportedstate AND health = 1");
        all.fetch_all(&mut session).await.unwrap_or_default()
    }
}

fn node(slot: u8) -> Ipv4Addr {
    address(21 + slot)
}

impl Cluster for AutoFailover {
    fn name(&self) -> String {
        format!("pg_auto_failover {}", self.version)
    }

    async fn endpoint(&self) -> Vec<Endpoint> {
        (0..NODES).map(|slot| self.endpoint_of(node(slot))).collect()
    }

    async fn whole(&self) -> Primary {
        let mut primary = None;
        self.room
            .until("pg_auto_failover's nodes are there", async || {
                let states = self.states().await;
                let secondaries = states.iter().filter(|(_, state)| state == "secondary").count();
                primary = states.into_iter().find(|(_, state)| state == "primary").map(|(name, _)| name);
                primary.is_some() && secondaries + 1 == usize::from(NODES)
            })
            .await;
        let node: PathBuf = self.room.path(&primary.unwrap());
        Primary { server: node.join("data"), node }
    }

    async fn switch_over(&self) -> Instant {
        let mut session = self.options(address(20)).database("pg_auto_failover").connect().await.unwrap();
        let begun = Instant::now();
        sqlx::query("SELECT pgautofailover.perform_failover()").execute(&mut session).await.unwrap();
        begun
    }
}
