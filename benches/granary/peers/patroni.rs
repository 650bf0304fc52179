//! Patroni with etcd: three nodes, synchronous, and the shortest times that its documentation allows. Its clients ask all nodes for
//! the one that takes writes, as libpq's `target_session_attrs=read-write` does: with HAProxy and health checks in between it
//! would be slower by a check.

use super::{NODES, PATIENCE, Room, address, program, write};
use crate::{
    bare,
    client::Endpoint,
    cluster::{Cluster, Primary},
    writer,
};
use serde_json::{Value, json};
use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use uuid::Uuid;

const SCOPE: &str = "bench";

/// Three nodes, and an etcd that stands on none of them.
pub(crate) struct Patroni {
    room: Room,
    password: String,
    http: reqwest::Client,
}

/// Folder of its virtual environment, as `scripts/peers.sh` made it.
fn environment() -> Result<PathBuf, String> {
    let folder = std::env::var_os("PATRONI").map(PathBuf::from).unwrap_or_default();
    if folder.join("bin/patroni").exists() { Ok(folder) } else { Err("Patroni is not installed: scripts/peers.sh says why".to_owned()) }
}

fn node(slot: u8) -> Ipv4Addr {
    address(11 + slot)
}

impl Patroni {
    /// Started, and whole.
    ///
    /// # Errors
    /// What is not installed.
    pub(crate) async fn new() -> Result<Self, String> {
        let this = Self::start().await?;
        this.whole().await;
        Ok(this)
    }

    /// The same, and the time from the start of its three nodes until a row is on all of them. etcd runs before.
    pub(crate) async fn created() -> Result<(Self, Duration), String> {
        let this = Self::empty().await?;
        let begun = Instant::now();
        let this = this.nodes()?;
        let first = this.leader_of_first().await;
        let others: Vec<_> = (0..NODES).filter(|slot| *slot != first).map(|slot| this.options(slot)).collect();
        let time = writer::until_everywhere(&this.options(first), &others).await - begun;
        Ok((this, time))
    }

    async fn start() -> Result<Self, String> {
        Self::empty().await?.nodes()
    }

    /// With etcd alone.
    async fn empty() -> Result<Self, String> {
        environment()?;
        let mut room = Room::new();
        room.folder("etcd");
        let (client, peer) = (format!("http://{}:2379", address(10)), format!("http://{}:2380", address(10)));
        let cluster = format!("default={peer}");
        let args = ["--data-dir", "data", "--listen-client-urls", &client, "--advertise-client-urls", &client];
        let args = [&args[..], &["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer, "--initial-cluster", &cluster]].concat();
        room.start(&program("etcd")?, &args, "etcd", &[])?;
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap();
        let health = format!("{client}/health");
        room.until("etcd serves", async || http.get(&health).send().await.is_ok_and(|answer| answer.status().is_success())).await;
        Ok(Self { room, password: Uuid::new_v4().simple().to_string(), http })
    }

    fn nodes(mut self) -> Result<Self, String> {
        let patroni = environment()?.join("bin/patroni");
        let certificate = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        for slot in 0..NODES {
            let folder = self.room.folder(&format!("n{slot}"));
            write(&folder.join("server.crt"), &certificate.cert.pem());
            write(&folder.join("server.key"), &certificate.signing_key.serialize_pem());
            write(&folder.join("patroni.json"), &self.settings(slot, &folder).to_string());
            // JSON is YAML.
            self.room.start(&patroni, &["patroni.json"], &format!("n{slot}"), &[("HOME", folder.display().to_string())])?;
        }
        Ok(self)
    }

    /// One node's settings. `ttl`, `loop_wait` and `retry_timeout` are the documented minima; with `primary_start_timeout` 0 a
    /// crash of the primary is a failover at once.
    fn settings(&self, slot: u8, folder: &Path) -> Value {
        let (address, file) = (node(slot), |name: &str| folder.join(name).display().to_string());
        let account = |name: &str| json!({ "username": name, "password": self.password, "sslmode": "require" });
        json!({
            "scope": SCOPE,
            "name": format!("n{slot}"),
            "restapi": { "listen": format!("{address}:8008"), "connect_address": format!("{address}:8008") },
            "etcd3": { "host": format!("{}:2379", super::address(10)) },
            "bootstrap": {
                "dcs": {
                    "ttl": 20, "loop_wait": 1, "retry_timeout": 3, "primary_start_timeout": 0,
                    "synchronous_mode": "quorum", "synchronous_node_count": 1,
                    "postgresql": { "use_pg_rewind": true, "parameters": { "max_connections": 100 } },
                },
                "initdb": [{ "encoding": "UTF8" }, "data-checksums"],
            },
            "postgresql": {
                "listen": format!("{address}:5432"), "connect_address": format!("{address}:5432"),
                "data_dir": file("data"), "bin_dir": bare::programs(), "pgpass": file("pgpass"),
                "authentication": { "superuser": account("postgres"), "replication": account("replicator"), "rewind": account("rewinder") },
                "parameters": {
                    "unix_socket_directories": file(""), "ssl": "on", "ssl_cert_file": file("server.crt"), "ssl_key_file": file("server.key"),
                },
                "pg_hba": [
                    "hostssl replication replicator 127.0.0.0/8 scram-sha-256",
                    "hostssl all all 127.0.0.0/8 scram-sha-256",
                ],
            },
        })
    }

    fn options(&self, slot: u8) -> Endpoint {
        let (user, database) = ("postgres".to_owned(), "postgres".to_owned());
        Endpoint { host: node(slot).to_string(), port: 5432, user, password: self.password.clone(), database, ca_pem: None }
    }

    /// The members as Patroni knows them.
    async fn members(&self) -> Vec<Value> {
        for slot in 0..NODES {
            let url = format!("http://{}:8008/cluster", node(slot));
            if let Ok(answer) = self.http.get(url).timeout(Duration::from_secs(1)).send().await
                && let Ok(text) = answer.text().await
                && let Ok(mut all) = serde_json::from_str::<Value>(&text)
                && let Value::Array(members) = all["members"].take()
            {
                return members;
            }
        }
        Vec::new()
    }

    /// The first leader, while the others may not be there yet.
    async fn leader_of_first(&self) -> u8 {
        let begun = Instant::now();
        loop {
            if let Some(leader) = self.members().await.iter().find(|member| member["role"] == "leader" && member["state"] == "running") {
                return slot(leader);
            }
            assert!(begun.elapsed() < PATIENCE, "nobody leads\n{}", self.room.logs());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Number of a member.
fn slot(member: &Value) -> u8 {
    member["name"].as_str().and_then(|name| name.strip_prefix('n')?.parse().ok()).unwrap()
}

/// All three, in step: the two that follow are candidates.
fn leader_of_all(members: &[Value]) -> Option<u8> {
    let follows = |member: &&Value| member["role"] == "quorum_standby" && member["state"] == "streaming";
    let leader = members.iter().find(|member| member["role"] == "leader" && member["state"] == "running")?;
    (members.iter().filter(follows).count() + 1 == usize::from(NODES)).then(|| slot(leader))
}

impl Cluster for Patroni {
    fn name(&self) -> String {
        let folder = environment().unwrap_or_default();
        folder.file_name().unwrap_or_default().to_string_lossy().replace("patroni-", "Patroni ")
    }

    async fn endpoint(&self) -> Vec<Endpoint> {
        (0..NODES).map(|slot| self.options(slot)).collect()
    }

    async fn whole(&self) -> Primary {
        let mut leader = None;
        self.room
            .until("Patroni's nodes are there", async || {
                leader = leader_of_all(&self.members().await);
                leader.is_some()
            })
            .await;
        let folder = self.room.path(&format!("n{}", leader.unwrap()));
        Primary { server: folder.join("data"), node: folder }
    }

    async fn switch_over(&self) -> Instant {
        let leader = leader_of_all(&self.members().await).expect("it was whole");
        let candidate = (leader + 1) % NODES;
        let wish = json!({ "leader": format!("n{leader}"), "candidate": format!("n{candidate}") });
        let begun = Instant::now();
        let answer = self.http.post(format!("http://{}:8008/switchover", node(leader))).body(wish.to_string()).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
        begun
    }
}
