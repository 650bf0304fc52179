//! Datastores as people see them.

use crate::model::{
    catalogue::Catalogue,
    datastore::{CaView, DatastoreRow, DatastoreView, Endpoint, EndpointKind, FirstUser, NodeView, Readers},
    status::Status,
    storage::{Enforcement, Storage},
    topology::Topology,
};
use anyhow::Context;
use ipnet::IpNet;
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

/// A row as it lies in the database; becomes a [`DatastoreRow`] with the catalogue's names.
pub(super) struct Row {
    pub(super) id: Uuid,
    pub(super) name: String,
    pub(super) engine: String,
    pub(super) version: String,
    pub(super) status: String,
    pub(super) topology: String,
    pub(super) region: String,
    pub(super) flavor: String,
    pub(super) nodes: i64,
    pub(super) storage_used: Option<i64>,
    pub(super) storage_gb: i32,
    pub(super) tags: Vec<String>,
    pub(super) termination_protection: bool,
    pub(super) created_at: OffsetDateTime,
}

impl Row {
    pub(super) fn view(self, catalogue: &Catalogue) -> anyhow::Result<DatastoreRow> {
        Ok(DatastoreRow {
            id: self.id,
            name: self.name,
            engine: self.engine.parse().map_err(anyhow::Error::msg)?,
            version: self.version,
            status: status(&self.status)?,
            topology: self.topology.parse::<Topology>().map_err(anyhow::Error::msg)?,
            region: catalogue.region(&self.region).map_or(self.region, |r| r.label.clone()),
            flavor: catalogue.flavor(&self.flavor).map_or(self.flavor, |f| f.name.clone()),
            nodes: u32::try_from(self.nodes)?,
            storage_used: self.storage_used.map(u64::try_from).transpose()?,
            storage_gb: u32::try_from(self.storage_gb)?,
            tags: self.tags,
            termination_protection: self.termination_protection,
            created_at: self.created_at,
        })
    }
}

/// A status as the view writes it.
pub(super) fn status(text: &str) -> anyhow::Result<Status> {
    Status::ALL.into_iter().find(|s| format!("{s:?}") == text).with_context(|| format!("unknown status “{text}”"))
}

/// One datastore of a project; `None` when there is none. The job is the caller's to add; `enforcement` tells what is
/// enforced in a region.
///
/// # Errors
/// Of the database.
pub async fn get(
    pool: &PgPool,
    catalogue: &Catalogue,
    public_url: &url::Url,
    enforcement: impl FnOnce(&str) -> Enforcement,
    project: Uuid,
    id: Uuid,
) -> anyhow::Result<Option<DatastoreView>> {
    let mut tx = pool.begin().await?;
    let Some(row) = sqlx::query_as!(
        Row,
        r#"SELECT d.id, d.name, d.engine, d.version, s.status AS "status!", d.topology, d.region, d.flavor, d.storage_gb, d.tags, d.termination_protection, d.created_at,
            (SELECT count(*) FROM nodes n WHERE n.datastore_id = d.id) AS "nodes!",
            (SELECT sum(n.observed_storage_bytes)::bigint FROM nodes n WHERE n.datastore_id = d.id) AS storage_used
        FROM datastores d JOIN datastore_statuses s ON s.datastore_id = d.id WHERE d.project_id = $1 AND d.id = $2 AND d.deleted_at IS NULL"#,
        project,
        id
    )
    .fetch_optional(&mut *tx)
    .await?
    else {
        return Ok(None);
    };
    let enforced = enforcement(&row.region);
    let row = row.view(catalogue)?;
    let more = sqlx::query!(
        r#"SELECT d.observed_detail, d.observed_at, d.volume_type, d.durability, d.reader_lag_mb, d.reader_fallback, d.ca_fingerprint, d.certificate_expires_at, d.lifecycle, f.database_name, f.user_name,
            (SELECT count(*) FROM trusted_sources t WHERE t.datastore_id = d.id) AS "sources!"
        FROM datastores d JOIN first_databases f ON f.datastore_id = d.id WHERE d.id = $1"#,
        id
    )
    .fetch_one(&mut *tx)
    .await?;
    let nodes = nodes(&mut tx, &row).await?;
    let endpoints = if more.lifecycle == "active" { endpoints(&mut tx, id).await? } else { Vec::new() };
    tx.commit().await?;
    let ca = more.ca_fingerprint.map(|f| CaView {
        url: ca_url(public_url, &f),
        fingerprint: colons(&f),
        certificate_expires_at: more.certificate_expires_at,
    });
    Ok(Some(DatastoreView {
        storage: more
            .volume_type
            .map_or(Storage::Ephemeral { gb: row.storage_gb }, |volume_type| Storage::Volume { volume_type, gb: row.storage_gb }),
        row,
        enforced,
        detail: more.observed_detail,
        checked_at: more.observed_at,
        durability: more.durability.parse().map_err(anyhow::Error::msg)?,
        readers: Readers { lag_mb: u32::try_from(more.reader_lag_mb)?, fall_back: more.reader_fallback == "primary" },
        endpoints,
        nodes,
        first: FirstUser { user: more.user_name, database: more.database_name },
        ca,
        trusted_sources: u32::try_from(more.sources)?,
        job: None,
    }))
}

/// Where a CA is fetched: the URL names the certificate by its fingerprint, so nobody can guess one, and what comes can be
/// checked against it.
#[must_use]
pub fn ca_url(public_url: &url::Url, fingerprint: &str) -> String {
    format!("{}/ca/{fingerprint}.pem", public_url.as_str().trim_end_matches('/'))
}

fn colons(hex: &str) -> String {
    hex.to_uppercase().as_bytes().chunks(2).map(String::from_utf8_lossy).collect::<Vec<_>>().join(":")
}

async fn nodes(tx: &mut PgConnection, row: &DatastoreRow) -> anyhow::Result<Vec<NodeView>> {
    let found = sqlx::query!(
        r#"SELECT n.id, n.slot, n.role, n.membership, n.observed, n.observed_detail, n.observed_version, n.observed_started_at, n.observed_storage_bytes, n.observed_lag_bytes,
            coalesce(n.observed_at BETWEEN now() - interval '60 seconds' AND now() + interval '60 seconds', false) AS "fresh!",
            pub.address AS "public?: IpNet", pub.port AS "public_port?", priv.address AS "private?: IpNet", priv.port AS "private_port?"
        FROM nodes n
        LEFT JOIN addresses pub ON pub.datastore_id = n.datastore_id AND pub.purpose = 'node:' || n.slot
        LEFT JOIN addresses priv ON priv.datastore_id = n.datastore_id AND priv.purpose = 'private:' || n.slot
        WHERE n.datastore_id = $1 ORDER BY n.slot"#,
        row.id
    )
    .fetch_all(tx)
    .await?;
    found
        .into_iter()
        .map(|n| {
            Ok(NodeView {
                id: n.id,
                name: format!("{}-{}", row.name, n.slot + 1),
                role: n.role,
                in_transit: n.membership != "member",
                status: match (n.fresh, n.observed.as_str(), row.status) {
                    (
                        _,
                        _,
                        s @ (Status::Queued | Status::Creating | Status::Restarting | Status::Deleting | Status::Failed | Status::DeleteFailed),
                    ) => s,
                    (true, "healthy", _) => Status::Running,
                    (true, "unreachable", _) => Status::Unreachable,
                    (true, "down", _) => Status::Down,
                    _ => Status::Unknown,
                },
                detail: n.observed_detail,
                public: host_port(n.public, n.public_port)?,
                private: host_port(n.private, n.private_port)?,
                version: n.observed_version,
                flavor: row.flavor.clone(),
                storage_used: n.observed_storage_bytes.map(u64::try_from).transpose()?,
                storage_gb: row.storage_gb,
                started_at: n.observed_started_at,
                lag: n.observed_lag_bytes.map(u64::try_from).transpose()?,
            })
        })
        .collect()
}

fn host_port(address: Option<IpNet>, port: Option<i32>) -> anyhow::Result<Option<String>> {
    let (Some(address), Some(port)) = (address, port) else { return Ok(None) };
    Ok(Some(std::net::SocketAddr::new(address.addr(), u16::try_from(port)?).to_string()))
}

/// The endpoints: the primary's, and the replicas' when there are some.
async fn endpoints(tx: &mut PgConnection, id: Uuid) -> anyhow::Result<Vec<Endpoint>> {
    sqlx::query!(
        r#"SELECT a.purpose, a.address AS "address: IpNet", a.port FROM addresses a WHERE a.datastore_id = $1
          AND (a.purpose = 'primary' OR (a.purpose = 'replica' AND EXISTS (SELECT FROM nodes n WHERE n.datastore_id = $1 AND n.role = 'replica')))
        ORDER BY a.purpose"#,
        id
    )
    .fetch_all(tx)
    .await?
    .into_iter()
    .map(|r| {
        let kind = if r.purpose == "primary" { EndpointKind::Primary } else { EndpointKind::Replica };
        Ok(Endpoint { kind, host: r.address.addr().to_string(), port: u16::try_from(r.port)? })
    })
    .collect()
}

/// What an act on a datastore needs to know, its row locked until the transaction ends.
#[derive(Debug, Clone)]
pub struct Locked {
    /// Name.
    pub name: String,
    /// Host.
    pub host: Uuid,
    /// `creating`, `active`, `failed`, `deleting`.
    pub lifecycle: String,
    /// Whether deletion is refused.
    pub termination_protection: bool,
}

/// Locks a datastore of a project; `None` when there is none.
///
/// # Errors
/// Of the database.
pub async fn lock(tx: &mut PgConnection, project: Uuid, id: Uuid) -> sqlx::Result<Option<Locked>> {
    sqlx::query_as!(
        Locked,
        "SELECT name, host_id AS host, lifecycle, termination_protection FROM datastores WHERE id = $1 AND project_id = $2 AND deleted_at IS NULL FOR UPDATE",
        id,
        project
    )
    .fetch_optional(tx)
    .await
}

/// Whether another datastore of the project has this name, in any case of letters.
///
/// # Errors
/// Of the database.
pub async fn name_taken(executor: impl sqlx::PgExecutor<'_>, project: Uuid, name: &str, except: Option<Uuid>) -> sqlx::Result<bool> {
    Ok(sqlx::query_scalar!(
        "SELECT id FROM datastores WHERE project_id = $1 AND lower(name) = lower($2) AND deleted_at IS NULL AND id IS DISTINCT FROM $3",
        project,
        name.trim(),
        except
    )
    .fetch_optional(executor)
    .await?
    .is_some())
}

/// Status and detail of a project's datastore, for live pages; the status is `None` once it is gone.
///
/// # Errors
/// Of the database.
pub async fn status_of(pool: &PgPool, project: Uuid, id: Uuid) -> anyhow::Result<Option<(Option<Status>, String)>> {
    sqlx::query!(
        r#"SELECT s.status AS "status?", d.observed_detail FROM datastores d LEFT JOIN datastore_statuses s ON s.datastore_id = d.id
        WHERE d.id = $1 AND d.project_id = $2"#,
        id,
        project
    )
    .fetch_optional(pool)
    .await?
    .map(|r| Ok((r.status.as_deref().map(status).transpose()?, r.observed_detail)))
    .transpose()
}

/// Datastores of a project that have gone within the last two minutes.
///
/// # Errors
/// Of the database.
pub async fn gone_lately(pool: &PgPool, project: Uuid) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!("SELECT id FROM datastores WHERE project_id = $1 AND deleted_at > now() - interval '2 minutes'", project)
        .fetch_all(pool)
        .await
}
