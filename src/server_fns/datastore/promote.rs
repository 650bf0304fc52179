//! Promote.

use crate::error::AppError;
use leptos::prelude::*;
use uuid::Uuid;

/// Makes a replica the primary.
///
/// # Errors
/// [`AppError`], as the use case says.
#[server(endpoint = "datastore/promote")]
pub async fn promote(id: Uuid, node: Uuid) -> Result<(), AppError> {
    use crate::server::{
        domain,
        web::{context, forms},
    };
    let done = domain::datastore::promote(&context::app()?, &context::actor().await?, id, node).await;
    let result = done.map(|()| format!("/datastores/{id}/nodes"));
    if result.is_ok() {
        forms::leave_notice("Promotion asked for.").await?;
    }
    forms::answer("promote", &[], result).await
}
