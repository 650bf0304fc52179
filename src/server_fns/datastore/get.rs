//! One datastore.

use crate::{error::AppError, model::datastore::DatastoreView};
use leptos::prelude::*;
use uuid::Uuid;

/// Everything its header and tabs show.
///
/// # Errors
/// [`AppError`], as the use case says.
#[server(endpoint = "datastore/get", input = server_fn::codec::GetUrl)]
pub async fn get(id: Uuid) -> Result<DatastoreView, AppError> {
    use crate::server::{domain, web::context};
    domain::datastore::get(&context::app()?, &context::actor().await?, id).await
}
