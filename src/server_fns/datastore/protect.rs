//! Termination protection.

use crate::error::AppError;
use leptos::prelude::*;
use uuid::Uuid;

/// Switches termination protection: `on` is `true` or `false`.
///
/// # Errors
/// [`AppError`], as the use case says.
#[server(endpoint = "datastore/protect")]
pub async fn protect(id: Uuid, on: bool) -> Result<(), AppError> {
    use crate::server::{
        domain,
        web::{context, forms},
    };
    let result = domain::datastore::protect(&context::app()?, &context::actor().await?, id, on).await.map(|()| format!("/datastores/{id}/settings"));
    if result.is_ok() {
        forms::leave_notice("Termination protection saved.").await?;
    }
    forms::answer("protect", &[], result).await
}
