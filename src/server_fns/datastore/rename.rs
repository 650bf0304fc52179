//! Rename.

use crate::error::AppError;
use leptos::prelude::*;
use uuid::Uuid;

/// Gives a datastore another name. Its addresses stay.
///
/// # Errors
/// [`AppError`], as the use case says.
#[server(endpoint = "datastore/rename")]
pub async fn rename(id: Uuid, name: String) -> Result<(), AppError> {
    use crate::server::{
        domain,
        web::{context, forms},
    };
    let result =
        domain::datastore::rename(&context::app()?, &context::actor().await?, id, &name).await.map(|()| format!("/datastores/{id}/settings"));
    if result.is_ok() {
        forms::leave_notice("Name saved.").await?;
    }
    forms::answer("rename", &[("name", &name)], result).await
}
