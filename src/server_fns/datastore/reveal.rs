//! Reveal the first password.

use crate::error::AppError;
use leptos::prelude::*;
use uuid::Uuid;

/// Shows the first admin's password to this session for five minutes; its owner only, and audited.
///
/// # Errors
/// [`AppError`], as the use case says.
#[server(endpoint = "datastore/reveal")]
pub async fn reveal(id: Uuid) -> Result<(), AppError> {
    use crate::server::{
        domain,
        web::{context, forms},
    };
    let result = domain::access::reveal(&context::app()?, &context::actor().await?, id).await;
    if result.is_ok() {
        forms::reveal(id).await?;
    }
    forms::answer("reveal", &[], result.map(|()| format!("/datastores/{id}/users"))).await
}
