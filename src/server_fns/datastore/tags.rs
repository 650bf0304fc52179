//! Tags.

use crate::error::AppError;
use leptos::prelude::*;
use uuid::Uuid;

/// Sets the tags, comma-separated.
///
/// # Errors
/// [`AppError`], as the use case says.
#[server(endpoint = "datastore/tags")]
pub async fn set_tags(id: Uuid, tags: String) -> Result<(), AppError> {
    use crate::server::{
        domain,
        web::{context, forms},
    };
    let result =
        domain::datastore::set_tags(&context::app()?, &context::actor().await?, id, &tags).await.map(|()| format!("/datastores/{id}/settings"));
    if result.is_ok() {
        forms::leave_notice("Tags saved.").await?;
    }
    forms::answer("tags", &[("tags", &tags)], result).await
}
