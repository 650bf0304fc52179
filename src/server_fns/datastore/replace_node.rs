//! Puts a new replica in the place of one.

use crate::error::AppError;
use leptos::prelude::*;
use uuid::Uuid;

/// Puts a new replica in the place of one.
///
/// # Errors
/// [`AppError`], as the use case says.
#[server(endpoint = "datastore/replace_node")]
pub async fn replace_node(id: Uuid, node: Uuid) -> Result<(), AppError> {
    use crate::server::{
        domain,
        web::{context, forms},
    };
    let done = domain::membership::replace(&context::app()?, &context::actor().await?, id, node).await;
    let result = done.map(|_| format!("/datastores/{id}/nodes"));
    if result.is_ok() {
        forms::leave_notice("Replacement asked for.").await?;
    }
    forms::answer("replace_node", &[], result).await
}
