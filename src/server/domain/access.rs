//! How to connect: the first admin's password and what snippets are made of.

use super::{Actor, change};
use crate::{
    error::AppError,
    model::{datastore::EndpointKind, person::Role, snippet::Connection},
    server::{db, state::App},
};
use secrecy::ExposeSecret;
use uuid::Uuid;

/// What the snippets of an endpoint are made of, of the primary's where there are no replicas; the password only when it is `revealed` to the session and the role allows it.
///
/// # Errors
/// [`AppError::NotFound`]; [`AppError::Conflict`] while there is no endpoint yet.
pub async fn connection(app: &App, actor: &Actor, id: Uuid, endpoint: EndpointKind, revealed: bool) -> Result<Connection, AppError> {
    let view = super::datastore::get(app, actor, id).await?;
    let has = |kind| view.endpoints.iter().any(|e| e.kind == kind);
    let replicas = has(EndpointKind::Replica);
    let kind = if has(endpoint) { endpoint } else { EndpointKind::Primary };
    let (Some(endpoint), Some(ca)) = (view.endpoints.iter().find(|e| e.kind == kind), &view.ca) else {
        return Err(AppError::Conflict("The endpoints are shown as soon as the datastore has been made.".to_owned()));
    };
    let may_reveal = actor.me.role >= Role::Owner;
    let password = if revealed && may_reveal { Some(password(app, id).await?) } else { None };
    Ok(Connection {
        datastore: view.row.name,
        host: endpoint.host.clone(),
        port: endpoint.port,
        endpoint: kind,
        replicas,
        nodes: if replicas { view.nodes.into_iter().filter_map(|node| node.public).collect() } else { Vec::new() },
        database: view.first.database,
        user: view.first.user,
        password,
        may_reveal,
        ca_url: ca.url.clone(),
    })
}

/// Notes that the first admin's password is shown to this person. The owner's right alone.
///
/// # Errors
/// [`AppError::NotFound`], [`AppError::Forbidden`].
pub async fn reveal(app: &App, actor: &Actor, id: Uuid) -> Result<(), AppError> {
    let mut act = change(app, actor, Role::Owner, id).await?;
    db::lifecycle::revealed(&mut act.tx, id).await?;
    db::events::write(&mut act.tx, actor, Some(id), "Reveal password", "of the first admin user").await?;
    act.tx.commit().await?;
    Ok(())
}

async fn password(app: &App, id: Uuid) -> Result<String, AppError> {
    let purpose = db::secrets::ADMIN_PASSWORD;
    let sealed = db::secrets::get(&app.db, id, purpose).await?.ok_or(AppError::NotFound)?;
    Ok(app.keyring.open_sealed(&db::secrets::context(id, purpose), &sealed)?.expose_secret().to_owned())
}
