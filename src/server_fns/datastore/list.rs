//! A page of the list.

use crate::{
    error::AppError,
    model::datastore::{ListPage, ListQuery},
};
use leptos::prelude::*;

/// Rows that match, with what the filters need.
///
/// # Errors
/// [`AppError`], as the use case says.
#[server(endpoint = "datastore/list")]
pub async fn list(query: ListQuery) -> Result<ListPage, AppError> {
    use crate::server::{domain, web::context};
    domain::datastore::list(&context::app()?, &context::actor().await?, query).await
}
