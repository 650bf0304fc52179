//! Datastores.

use super::Actor;
use crate::{
    error::AppError,
    model::datastore::{DatastoreView, ListPage, ListQuery},
    server::state::App,
};
use uuid::Uuid;

/// Stub.
pub async fn list(app: &App, actor: &Actor, query: ListQuery) -> Result<ListPage, AppError> {
    let _ = (actor.me.person, &app.host, query);
    Err(AppError::NotFound)
}

/// Stub.
pub async fn get(app: &App, actor: &Actor, id: Uuid) -> Result<DatastoreView, AppError> {
    let _ = (actor.me.person, &app.host, id);
    Err(AppError::NotFound)
}

/// Stub.
pub async fn rename(app: &App, actor: &Actor, id: Uuid, name: &str) -> Result<(), AppError> {
    let _ = (actor.me.person, &app.host, id, name);
    Err(AppError::NotFound)
}

/// Stub.
pub async fn set_tags(app: &App, actor: &Actor, id: Uuid, tags: &str) -> Result<(), AppError> {
    let _ = (actor.me.person, &app.host, id, tags);
    Err(AppError::NotFound)
}

/// Stub.
pub async fn protect(app: &App, actor: &Actor, id: Uuid, on: bool) -> Result<(), AppError> {
    let _ = (actor.me.person, &app.host, id, on);
    Err(AppError::NotFound)
}

/// Stub.
pub async fn restart(app: &App, actor: &Actor, id: Uuid) -> Result<(), AppError> {
    let _ = (actor.me.person, &app.host, id);
    Err(AppError::NotFound)
}

/// Stub.
pub async fn delete(app: &App, actor: &Actor, id: Uuid, confirm: &str) -> Result<(), AppError> {
    let _ = (actor.me.person, &app.host, id, confirm);
    Err(AppError::NotFound)
}
