//! What happened to a datastore.

use super::Actor;
use crate::{
    error::AppError,
    model::activity::ActivityView,
    server::{db, state::App},
};
use uuid::Uuid;

/// Most jobs and events of a page.
const MOST: i64 = 50;

/// Its jobs and audit events, newest first.
///
/// # Errors
/// [`AppError::NotFound`].
pub async fn of_datastore(app: &App, actor: &Actor, id: Uuid) -> Result<ActivityView, AppError> {
    super::datastore::snapshot(app, actor, id).await?;
    Ok(ActivityView { jobs: db::job_views::of_datastore(&app.db, id, MOST).await?, events: db::events::of_datastore(&app.db, id, MOST).await? })
}
