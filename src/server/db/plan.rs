//! A datastore as jobs and the monitor need it: everything that was wanted, in one reading.

use crate::{
    model::{durability::Durability, engine::EngineKind, storage::Storage},
    server::platform::{EdgeSpec, ListenerKind, MAX_NODES, NodeSpec, Route},
    server::{db::sync_sets, engine::quorum::SyncSet},
};
use anyhow::Context;
use ipnet::IpNet;
use sqlx::{PgConnection, PgPool};
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};
use uuid::Uuid;

/// What an address is for; its text is the `purpose` in the metadata database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A node's server.
    Private(u8),
    /// Where the edge's connections to nodes come from.
    Source,
    /// A listener of the edge.
    Listener(ListenerKind),
}

impl Purpose {
    /// Every purpose of a datastore with nodes in these slots.
    #[must_use]
    pub fn all(slots: &[u8]) -> Vec<Self> {
        let listeners = [ListenerKind::Primary, ListenerKind::Replica].into_iter().chain((0..MAX_NODES).map(ListenerKind::Node));
        slots.iter().map(|s| Self::Private(*s)).chain([Self::Source]).chain(listeners.map(Self::Listener)).collect()
    }

    /// As written.
    #[must_use]
    pub fn text(self) -> String {
        match self {
            Self::Private(slot) => format!("private:{slot}"),
            Self::Source => "source".to_owned(),
            Self::Listener(ListenerKind::Primary) => "primary".to_owned(),
            Self::Listener(ListenerKind::Replica) => "replica".to_owned(),
            Self::Listener(ListenerKind::Node(slot)) => format!("node:{slot}"),
        }
    }
}

/// A node that was wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedNode {
    /// Its id.
    pub id: Uuid,
    /// Its slot.
    pub slot: u8,
    /// Whether it is the primary.
    pub primary: bool,
    /// Its volume.
    pub volume: Option<Uuid>,
    /// How it belongs to the datastore.
    pub membership: Membership,
}

/// How a node belongs to its datastore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    /// It is being added.
    Joining,
    /// It is one of its nodes.
    Member,
    /// It is being removed.
    Leaving,
}

impl std::str::FromStr for Membership {
    type Err = anyhow::Error;

    fn from_str(s: &str) -> anyhow::Result<Self> {
        match s {
            "joining" => Ok(Self::Joining),
            "member" => Ok(Self::Member),
            "leaving" => Ok(Self::Leaving),
            _ => anyhow::bail!("unknown membership “{s}”"),
        }
    }
}

/// A datastore that was wanted.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Id.
    pub id: Uuid,
    /// Project.
    pub project: Uuid,
    /// Name.
    pub name: String,
    /// Engine.
    pub engine: EngineKind,
    /// Major version.
    pub version: String,
    /// Region's id.
    pub region: String,
    /// RAM of a node in MB.
    pub ram_mb: u64,
    /// Virtual CPUs of a node.
    pub vcpus: u32,
    /// Storage of a node.
    pub storage: Storage,
    /// `spare`, `creating`, `active`, `failed`, `deleting`, `deleted`.
    pub lifecycle: String,
    /// Epoch of the edge's routes.
    pub epoch: i64,
    /// When a write counts as done.
    pub durability: Durability,
    /// What its primary's commits wait for, as recorded: one, or more amid a change; the newest is wanted.
    pub sync_sets: Vec<SyncSet>,
    /// Bytes of log that a replica may lack and still be read from.
    pub reader_lag: u64,
    /// Whether readers are led to the primary where no replica is left for them.
    pub readers_fall_back: bool,
    /// The node that should become the primary.
    pub wanted_primary: Option<Uuid>,
    /// The CA's certificate, once made.
    pub ca_pem: Option<String>,
    /// First database.
    pub database: String,
    /// First admin user.
    pub user: String,
    /// Nodes by slot.
    pub nodes: Vec<PlannedNode>,
    /// Addresses by purpose.
    pub addresses: HashMap<String, SocketAddr>,
    /// Trusted sources.
    pub sources: Vec<(Uuid, IpNet)>,
    /// Whether a failover drill runs, whose probe is trusted too.
    pub drilled: bool,
}

impl Plan {
    /// Reads it.
    ///
    /// # Errors
    /// Of the database, or when the datastore does not exist.
    pub async fn load(pool: &PgPool, id: Uuid) -> anyhow::Result<Self> {
        let mut tx = pool.begin().await?;
        let d = sqlx::query!(
            r#"SELECT d.project_id, d.name, d.engine, d.version, d.region, d.flavor_ram_mb, d.flavor_vcpus, d.storage, d.volume_type, d.storage_gb,
                    d.lifecycle, d.epoch, d.durability, d.reader_lag_mb, d.reader_fallback, d.wanted_primary, d.ca_certificate, f.database_name, f.user_name,
                    EXISTS (SELECT FROM drills r WHERE r.datastore_id = d.id AND r.state = 'running') AS "drilled!"
             FROM datastores d JOIN first_databases f ON f.datastore_id = d.id WHERE d.id = $1"#,
            id
        )
        .fetch_one(&mut *tx)
        .await?;
        let nodes = nodes(&mut tx, id).await?;
        let addresses = addresses(&mut tx, id).await?;
        let sync_sets = sync_sets::of_datastore(&mut tx, id).await?;
        let sources = sqlx::query!(r#"SELECT id, cidr AS "cidr: IpNet" FROM trusted_sources WHERE datastore_id = $1 ORDER BY cidr"#, id)
            .fetch_all(&mut *tx)
            .await?
            .into_iter()
            .map(|r| (r.id, r.cidr))
            .collect();
        tx.commit().await?;
        let gb = u32::try_from(d.storage_gb)?;
        Ok(Self {
            id,
            project: d.project_id,
            name: d.name,
            engine: d.engine.parse().map_err(anyhow::Error::msg)?,
            version: d.version,
            region: d.region,
            ram_mb: u64::try_from(d.flavor_ram_mb)?,
            vcpus: u32::try_from(d.flavor_vcpus)?,
            storage: d.volume_type.map_or(Storage::Ephemeral { gb }, |volume_type| Storage::Volume { volume_type, gb }),
            lifecycle: d.lifecycle,
            epoch: d.epoch,
            durability: d.durability.parse().map_err(anyhow::Error::msg)?,
            sync_sets,
            reader_lag: u64::try_from(d.reader_lag_mb)? << 20,
            readers_fall_back: d.reader_fallback == "primary",
            wanted_primary: d.wanted_primary,
            ca_pem: d.ca_certificate,
            database: d.database_name,
            user: d.user_name,
            nodes,
            addresses,
            sources,
            drilled: d.drilled,
        })
    }

    /// The address of a purpose.
    #[must_use]
    pub fn address(&self, purpose: Purpose) -> Option<SocketAddr> {
        self.addresses.get(&purpose.text()).copied()
    }

    /// A node as platforms know it. One that never got an address cannot be started, but it can be removed.
    #[must_use]
    pub fn node_spec(&self, node: &PlannedNode) -> NodeSpec {
        NodeSpec {
            id: node.id,
            datastore: self.id,
            slot: node.slot,
            address: self.address(Purpose::Private(node.slot)).unwrap_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)),
            ram_mb: self.ram_mb,
            vcpus: self.vcpus,
            storage: self.storage.clone(),
            volume: node.volume,
            in_background: self.lifecycle == "spare",
        }
    }

    /// The edge as platforms know it.
    ///
    /// # Errors
    /// When addresses were not allocated.
    pub fn edge_spec(&self) -> anyhow::Result<EdgeSpec> {
        let slots: Vec<u8> = self.nodes.iter().map(|n| n.slot).collect();
        let mut listeners = Vec::new();
        for purpose in Purpose::all(&slots) {
            if let Purpose::Listener(kind) = purpose {
                listeners.push((kind, self.address(purpose).with_context(|| format!("no address was allocated for {}", purpose.text()))?));
            }
        }
        let source = self.address(Purpose::Source).context("no source address was allocated for the edge")?.ip();
        let nodes = slots.iter().filter_map(|s| Some((*s, self.address(Purpose::Private(*s))?))).collect();
        Ok(EdgeSpec { datastore: self.id, source, listeners, nodes, tells_clients: self.engine.hears_clients() })
    }

    /// The routes that should be open when the nodes of these slots serve: the primary endpoint to the primary, the replica
    /// endpoint to replicas or, where none is left and it was chosen so, to the primary; each node's public address to the node.
    #[must_use]
    pub fn routes(&self, serving: &[u8]) -> Vec<Route> {
        let nodes: Vec<&PlannedNode> = self.nodes.iter().filter(|n| serving.contains(&n.slot)).collect();
        let has_replicas = self.nodes.iter().any(|n| !n.primary);
        let falls_back = self.readers_fall_back && has_replicas && nodes.iter().all(|n| n.primary);
        let of = |node: &&PlannedNode| {
            let endpoint = if node.primary { ListenerKind::Primary } else { ListenerKind::Replica };
            let readers = (falls_back && node.primary).then_some(ListenerKind::Replica);
            let slot = node.slot;
            [endpoint, ListenerKind::Node(slot)].into_iter().chain(readers).map(move |listener| Route { listener, slot })
        };
        nodes.iter().flat_map(of).collect()
    }

    /// What this node's commits wait for as a primary: the newest recorded, nobody where none is.
    #[must_use]
    pub fn sync_set(&self, primary: Uuid) -> SyncSet {
        self.sync_sets.iter().rfind(|set| set.primary == primary).cloned().unwrap_or_else(|| SyncSet::nobody(primary))
    }

    /// Under what acknowledged writes are found again, as recorded; nothing where the engine cannot promise that.
    #[must_use]
    pub fn promises(&self) -> &[SyncSet] {
        if self.engine.keeps_acknowledged() { &self.sync_sets } else { &[] }
    }

    /// What this node's commits should wait for as a primary, by what was chosen and the nodes that there are.
    #[must_use]
    pub fn wanted_sync_set(&self, primary: Uuid) -> SyncSet {
        let others = self.nodes.iter().filter(|n| n.id != primary && n.membership == Membership::Member).map(|n| n.id).collect();
        match self.durability {
            Durability::Quorum => SyncSet::any_half(primary, others),
            Durability::Asynchronous => SyncSet::nobody(primary),
        }
    }

    /// The trusted networks, and during a failover drill the one address its probe comes from.
    #[must_use]
    pub fn trusted(&self) -> Vec<IpNet> {
        let probe = if self.drilled { self.probe_address() } else { None };
        let sources = self.sources.iter().map(|(_, net)| *net);
        sources.chain(probe.map(IpNet::from)).collect()
    }

    /// Where the probe of a failover drill comes from: the edge's own source address, which nobody else has; where the primary
    /// endpoint is of the other family, the endpoint's.
    #[must_use]
    pub fn probe_address(&self) -> Option<IpAddr> {
        let endpoint = self.address(Purpose::Listener(ListenerKind::Primary))?.ip();
        let source = self.address(Purpose::Source)?.ip();
        Some(if source.is_ipv4() == endpoint.is_ipv4() { source } else { endpoint })
    }
}

async fn nodes(tx: &mut PgConnection, id: Uuid) -> anyhow::Result<Vec<PlannedNode>> {
    sqlx::query!(
        "SELECT n.id, n.slot, n.role, n.membership, v.id AS \"volume?\" FROM nodes n LEFT JOIN volumes v ON v.node_id = n.id WHERE n.datastore_id = $1 ORDER BY n.slot",
        id
    )
    .fetch_all(tx)
    .await?
    .into_iter()
    .map(|r| {
        let (slot, membership) = (u8::try_from(r.slot)?, r.membership.parse()?);
        Ok(PlannedNode { id: r.id, slot, primary: r.role == "primary", volume: r.volume, membership })
    })
    .collect()
}

async fn addresses(tx: &mut PgConnection, id: Uuid) -> anyhow::Result<HashMap<String, SocketAddr>> {
    sqlx::query!(r#"SELECT purpose, address AS "address: IpNet", port FROM addresses WHERE datastore_id = $1"#, id)
        .fetch_all(tx)
        .await?
        .into_iter()
        .map(|r| Ok((r.purpose, SocketAddr::new(r.address.addr(), u16::try_from(r.port)?))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(durability: Durability, readers_fall_back: bool) -> Plan {
        let member =
            |slot: u8| PlannedNode { id: Uuid::from_u128(slot.into()), slot, primary: slot == 0, volume: None, membership: Membership::Member };
        Plan {
            id: Uuid::nil(),
            project: Uuid::nil(),
            name: String::new(),
            engine: EngineKind::PostgreSql,
            version: String::new(),
            region: String::new(),
            ram_mb: 0,
            vcpus: 0,
            storage: Storage::Ephemeral { gb: 1 },
            lifecycle: String::new(),
            epoch: 1,
            durability,
            sync_sets: Vec::new(),
            reader_lag: 0,
            readers_fall_back,
            wanted_primary: None,
            ca_pem: None,
            database: String::new(),
            user: String::new(),
            nodes: (0..3).map(member).collect(),
            addresses: HashMap::new(),
            sources: Vec::new(),
            drilled: false,
        }
    }

    fn readers(plan: &Plan, serving: &[u8]) -> Vec<u8> {
        plan.routes(serving).iter().filter(|route| route.listener == ListenerKind::Replica).map(|route| route.slot).collect()
    }

    #[test]
    fn readers_get_the_primary_only_where_no_replica_is_left_and_it_was_chosen() {
        for fall_back in [false, true] {
            let plan = plan(Durability::Quorum, fall_back);
            assert_eq!(readers(&plan, &[0, 1, 2]), [1, 2]);
            assert_eq!(readers(&plan, &[0, 2]), [2]);
            assert_eq!(readers(&plan, &[0]), if fall_back { vec![0] } else { vec![] });
            assert!(readers(&plan, &[]).is_empty());
        }
        let mut alone = plan(Durability::Asynchronous, true);
        alone.nodes.truncate(1);
        assert!(readers(&alone, &[0]).is_empty(), "without replicas there is no replica endpoint");
    }

    #[test]
    fn commits_wait_for_members_alone_and_for_nobody_where_that_was_chosen() {
        let mut plan = plan(Durability::Quorum, false);
        let id = |slot: u8| plan.nodes[usize::from(slot)].id;
        let (zero, one, two) = (id(0), id(1), id(2));
        assert_eq!(plan.wanted_sync_set(zero), SyncSet { primary: zero, members: vec![one, two], acks: 1 });
        plan.nodes[2].membership = Membership::Joining;
        assert_eq!(plan.wanted_sync_set(zero).members, [one]);
        plan.nodes[2].membership = Membership::Leaving;
        assert_eq!(plan.wanted_sync_set(one).members, [zero]);
        plan.durability = Durability::Asynchronous;
        assert_eq!(plan.wanted_sync_set(zero), SyncSet::nobody(zero));
        // The newest of this primary's own.
        plan.sync_sets = vec![SyncSet::any_half(zero, vec![one]), SyncSet::nobody(one)];
        assert_eq!((plan.sync_set(zero).acks, plan.sync_set(two).acks), (1, 0));
    }
}
