//! Wizard.

use super::Actor;
use crate::{
    error::AppError,
    model::draft::{Draft, Offer, Step},
    server::state::App,
};
use uuid::Uuid;

/// Stub.
pub async fn start(app: &App, actor: &Actor) -> Result<Uuid, AppError> {
    let _ = (actor.me.person, &app.host);
    Err(AppError::NotFound)
}

/// Stub.
pub async fn show(app: &App, actor: &Actor, id: Uuid) -> Result<(Draft, Offer, Option<String>), AppError> {
    let _ = (actor.me.person, &app.host, id);
    Err(AppError::NotFound)
}

/// Stub.
pub async fn save(app: &App, actor: &Actor, id: Uuid, step: Step, go: &str, fields: Draft) -> Result<Step, AppError> {
    let _ = (actor.me.person, &app.host, id, step, go, fields);
    Err(AppError::NotFound)
}

/// Stub.
pub async fn finish(app: &App, actor: &Actor, id: Uuid) -> Result<Uuid, AppError> {
    let _ = (actor.me.person, &app.host, id);
    Err(AppError::NotFound)
}
