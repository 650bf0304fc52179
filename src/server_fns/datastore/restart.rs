//! Restart.

use crate::error::AppError;
use leptos::prelude::*;
use uuid::Uuid;

/// Restarts all nodes.
///
/// # Errors
/// [`AppError`], as the use case says.
#[server(endpoint = "datastore/restart")]
pub async fn restart(id: Uuid) -> Result<(), AppError> {
    use crate::server::{
        domain,
        web::{context, forms},
    };
    let result = domain::datastore::restart(&context::app()?, &context::actor().await?, id).await.map(|()| format!("/datastores/{id}"));
    if result.is_ok() {
        forms::leave_notice("Restart asked for.").await?;
    }
    forms::answer("restart", &[], result).await
}
