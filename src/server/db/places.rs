//! Addresses in use on a host.

use super::plan::Purpose;
use ipnet::IpNet;
use sqlx::{PgConnection, PgPool};
use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
};
use uuid::Uuid;

/// Every address that a datastore of this host has.
///
/// # Errors
/// Of the database.
pub async fn taken(pool: &PgPool, host: Uuid) -> anyhow::Result<HashSet<SocketAddr>> {
    sqlx::query!(r#"SELECT address AS "address: IpNet", port FROM addresses WHERE host_id = $1"#, host)
        .fetch_all(pool)
        .await?
        .into_iter()
        .map(|r| Ok(SocketAddr::new(r.address.addr(), u16::try_from(r.port)?)))
        .collect()
}

/// Datastores of a host that something may run of, or whose volumes may be attached.
///
/// # Errors
/// Of the database.
pub async fn datastores_with_places(pool: &PgPool, host: Uuid) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        "SELECT id FROM datastores d WHERE host_id = $1 AND deleted_at IS NULL
            AND (lifecycle = 'spare' OR EXISTS (SELECT FROM addresses a WHERE a.datastore_id = d.id))",
        host
    )
    .fetch_all(pool)
    .await
}

/// Enters an address. `false` when another datastore was quicker; nothing happens when this one has the purpose already.
///
/// # Errors
/// Of the database.
pub async fn take(tx: &mut PgConnection, host: Uuid, project: Uuid, datastore: Uuid, purpose: Purpose, address: SocketAddr) -> sqlx::Result<bool> {
    let net = IpNet::from(address.ip());
    Ok(sqlx::query!(
        "INSERT INTO addresses (host_id, address, port, project_id, datastore_id, purpose) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
        host,
        net as _,
        i32::from(address.port()),
        project,
        datastore,
        purpose.text()
    )
    .execute(tx)
    .await?
    .rows_affected()
        == 1)
}

/// Every loopback address of the given datastore's certificate: all that clients and other nodes may dial.
#[must_use]
pub fn dialled<'a>(addresses: impl IntoIterator<Item = &'a SocketAddr>) -> Vec<IpAddr> {
    let mut ips: Vec<IpAddr> = addresses.into_iter().map(SocketAddr::ip).collect();
    ips.sort_unstable();
    ips.dedup();
    ips
}
