//! Remove a trusted source.

use crate::error::AppError;
use leptos::prelude::*;
use uuid::Uuid;

/// Trusts it no more and cuts its connections.
///
/// # Errors
/// [`AppError`], as the use case says.
#[server(endpoint = "firewall/remove")]
pub async fn remove(id: Uuid, source: Uuid) -> Result<(), AppError> {
    use crate::server::{
        domain,
        web::{context, forms},
    };
    let result =
        domain::firewall::remove(&context::app()?, &context::actor().await?, id, source).await.map(|()| format!("/datastores/{id}/firewall"));
    forms::answer("source", &[], result).await
}
