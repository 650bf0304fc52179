//! Wants another durability.

use crate::error::AppError;
use leptos::prelude::*;
use uuid::Uuid;

/// Wants another durability.
///
/// # Errors
/// [`AppError`], as the use case says.
#[server(endpoint = "datastore/durability")]
pub async fn set_durability(id: Uuid, durability: String) -> Result<(), AppError> {
    use crate::server::{
        domain,
        web::{context, forms},
    };
    let done = domain::membership::set_durability(&context::app()?, &context::actor().await?, id, &durability).await;
    let result = done.map(|()| format!("/datastores/{id}/settings"));
    if result.is_ok() {
        forms::leave_notice("Change asked for.").await?;
    }
    forms::answer("durability", &[], result).await
}
