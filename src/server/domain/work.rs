//! Work.

use super::Actor;
use crate::{error::AppError, server::state::App};
use uuid::Uuid;

/// Stub.
pub async fn retry(app: &App, actor: &Actor, id: Uuid, job: Uuid) -> Result<(), AppError> {
    let _ = (actor.me.person, &app.host, id, job);
    Err(AppError::NotFound)
}

/// Stub.
pub async fn abandon(app: &App, actor: &Actor, id: Uuid, job: Uuid) -> Result<(), AppError> {
    let _ = (actor.me.person, &app.host, id, job);
    Err(AppError::NotFound)
}

/// Stub.
pub async fn cancel(app: &App, actor: &Actor, id: Uuid, job: Uuid) -> Result<(), AppError> {
    let _ = (actor.me.person, &app.host, id, job);
    Err(AppError::NotFound)
}
