//! Activity.

use super::Actor;
use crate::{error::AppError, model::datastore::ActivityView, server::state::App};
use uuid::Uuid;

/// Stub.
pub async fn of_datastore(app: &App, actor: &Actor, id: Uuid) -> Result<ActivityView, AppError> {
    let _ = (actor.me.person, &app.host, id);
    Err(AppError::NotFound)
}
