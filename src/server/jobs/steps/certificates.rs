//! The CA of a datastore and the certificates of its nodes.

use super::Context;
use crate::server::{
    crypto::authority::{self, Authority, CertificateRequest},
    db::{self, places},
};
use anyhow::Context as _;
use sqlx::PgConnection;

/// Where the CA's key is kept.
const CA_KEY: &str = "ca-key";
/// Where the certificate and the key are kept by which nodes know each other.
pub(super) const REPLICATION_CERTIFICATE: &str = "replication-certificate";
pub(super) const REPLICATION_KEY: &str = "replication-key";

/// Where a node's certificate is kept: no secret, but it belongs beside its key.
pub(super) fn certificate(slot: u8) -> String {
    format!("node-certificate:{slot}")
}

/// Where a node's key is kept.
pub(super) fn key(slot: u8) -> String {
    format!("node-key:{slot}")
}

/// Makes CA and certificates, once.
pub(super) async fn issue(cx: &Context<'_>) -> anyhow::Result<()> {
    if cx.plan.ca_pem.is_some() {
        return Ok(());
    }
    let authority = Authority::create(&cx.plan.name, cx.app.clock.now())?;
    let mut tx = cx.transaction().await?;
    cx.keep(&mut tx, CA_KEY, &authority.key_pem).await?;
    db::lifecycle::set_authority(&mut tx, cx.plan.id, &authority.certificate_pem, &authority.fingerprint).await?;
    certify(cx, &mut tx, &authority.certificate_pem, &authority.key_pem).await?;
    tx.commit().await?;
    Ok(())
}

/// Issues the nodes' certificates again from the same CA.
pub(super) async fn renew(cx: &Context<'_>) -> anyhow::Result<()> {
    let ca_pem = cx.plan.ca_pem.as_deref().context("the datastore has no CA")?;
    let ca_key = cx.secret(CA_KEY).await?.context("the key of the CA is missing")?;
    let mut tx = cx.transaction().await?;
    certify(cx, &mut tx, ca_pem, &ca_key).await?;
    tx.commit().await?;
    Ok(())
}

/// Every node's certificate carries all endpoint and node addresses and the datastore's name: whoever takes over serves
/// under any of them.
async fn certify(cx: &Context<'_>, tx: &mut PgConnection, ca_pem: &str, ca_key: &secrecy::SecretString) -> anyhow::Result<()> {
    let request = CertificateRequest {
        common_name: cx.plan.name.clone(),
        names: vec![cx.plan.name.clone()],
        addresses: places::dialled(cx.plan.addresses.values()),
    };
    for node in &cx.plan.nodes {
        let issued = authority::issue(ca_pem, ca_key, &request, cx.app.clock.now())?;
        cx.keep(tx, &certificate(node.slot), &issued.certificate_pem.clone().into()).await?;
        cx.keep(tx, &key(node.slot), &issued.key_pem).await?;
        db::lifecycle::set_certificate_end(tx, cx.plan.id, issued.not_after).await?;
    }
    let Some(replication) = cx.engine()?.replication() else { return Ok(()) };
    // A client alone: nobody is reached under this name.
    let replication = CertificateRequest { common_name: replication.user().to_owned(), names: Vec::new(), addresses: Vec::new() };
    let issued = authority::issue(ca_pem, ca_key, &replication, cx.app.clock.now())?;
    cx.keep(tx, REPLICATION_CERTIFICATE, &issued.certificate_pem.clone().into()).await?;
    cx.keep(tx, REPLICATION_KEY, &issued.key_pem).await
}
