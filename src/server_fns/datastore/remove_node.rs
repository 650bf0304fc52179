//! Removes a replica.

use crate::error::AppError;
use leptos::prelude::*;
use uuid::Uuid;

/// Removes a replica.
///
/// # Errors
/// [`AppError`], as the use case says.
#[server(endpoint = "datastore/remove_node")]
pub async fn remove_node(id: Uuid, node: Uuid) -> Result<(), AppError> {
    use crate::server::{
        domain,
        web::{context, forms},
    };
    let done = domain::membership::remove(&context::app()?, &context::actor().await?, id, node).await;
    let result = done.map(|()| format!("/datastores/{id}/nodes"));
    if result.is_ok() {
        forms::leave_notice("Removal asked for.").await?;
    }
    forms::answer("remove_node", &[], result).await
}
