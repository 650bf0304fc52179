//! Access.

use super::Actor;
use crate::{error::AppError, model::snippet::Connection, server::state::App};
use uuid::Uuid;

/// Stub.
pub async fn connection(app: &App, actor: &Actor, id: Uuid, revealed: bool) -> Result<Connection, AppError> {
    let _ = (actor.me.person, &app.host, id, revealed);
    Err(AppError::NotFound)
}

/// Stub.
pub async fn reveal(app: &App, actor: &Actor, id: Uuid) -> Result<(), AppError> {
    let _ = (actor.me.person, &app.host, id);
    Err(AppError::NotFound)
}
