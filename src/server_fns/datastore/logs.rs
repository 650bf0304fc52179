//! Logs.

use crate::{
    error::AppError,
    model::log::{LogQuery, LogsView},
};
use leptos::prelude::*;
use uuid::Uuid;

/// What the servers of a datastore wrote.
///
/// # Errors
/// [`AppError`], as the use case says.
#[server(endpoint = "datastore/logs")]
pub async fn logs(id: Uuid, query: LogQuery) -> Result<LogsView, AppError> {
    use crate::server::{domain, web::context};
    domain::logs::of_datastore(&context::app()?, &context::actor().await?, id, &query).await
}
