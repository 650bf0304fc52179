//! Adds a replica.

use crate::error::AppError;
use leptos::prelude::*;
use uuid::Uuid;

/// Adds a replica.
///
/// # Errors
/// [`AppError`], as the use case says.
#[server(endpoint = "datastore/add_node")]
pub async fn add_node(id: Uuid) -> Result<(), AppError> {
    use crate::server::{
        domain,
        web::{context, forms},
    };
    let done = domain::membership::add(&context::app()?, &context::actor().await?, id).await;
    let result = done.map(|_| format!("/datastores/{id}/nodes"));
    if result.is_ok() {
        forms::leave_notice("Replica asked for: it appears below and is copied from the primary.").await?;
    }
    forms::answer("add_node", &[], result).await
}
