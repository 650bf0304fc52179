//! Firewall.

use super::Actor;
use crate::{error::AppError, model::datastore::FirewallView, server::state::App};
use uuid::Uuid;

/// Stub.
pub async fn show(app: &App, actor: &Actor, id: Uuid) -> Result<FirewallView, AppError> {
    let _ = (actor.me.person, &app.host, id);
    Err(AppError::NotFound)
}

/// Stub.
pub async fn add(app: &App, actor: &Actor, id: Uuid, cidr: &str, description: &str, consent: &str) -> Result<(), AppError> {
    let _ = (actor.me.person, &app.host, id, cidr, description, consent);
    Err(AppError::NotFound)
}

/// Stub.
pub async fn remove(app: &App, actor: &Actor, id: Uuid, source: Uuid) -> Result<(), AppError> {
    let _ = (actor.me.person, &app.host, id, source);
    Err(AppError::NotFound)
}
