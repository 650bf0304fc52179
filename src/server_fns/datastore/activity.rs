//! Activity.

use crate::{error::AppError, model::activity::ActivityView};
use leptos::prelude::*;
use uuid::Uuid;

/// Jobs and audit events of a datastore.
///
/// # Errors
/// [`AppError`], as the use case says.
#[server(endpoint = "datastore/activity", input = server_fn::codec::GetUrl)]
pub async fn activity(id: Uuid) -> Result<ActivityView, AppError> {
    use crate::server::{domain, web::context};
    domain::activity::of_datastore(&context::app()?, &context::actor().await?, id).await
}
