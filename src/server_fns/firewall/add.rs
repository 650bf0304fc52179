//! Add a trusted source.

use crate::error::AppError;
use leptos::prelude::*;
use uuid::Uuid;

/// Trusts a CIDR. `consent` is what was typed to open it to everyone (rule 26), else empty.
///
/// # Errors
/// [`AppError`], as the use case says.
#[server(endpoint = "firewall/add")]
pub async fn add(id: Uuid, cidr: String, description: String, #[server(default)] consent: String) -> Result<(), AppError> {
    use crate::server::{
        domain,
        web::{context, forms},
    };
    let result = domain::firewall::add(&context::app()?, &context::actor().await?, id, &cidr, &description, &consent)
        .await
        .map(|()| format!("/datastores/{id}/firewall"));
    forms::answer("source", &[("cidr", &cidr), ("description", &description), ("consent", &consent)], result).await
}
