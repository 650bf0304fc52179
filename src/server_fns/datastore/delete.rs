//! Delete.

use crate::error::AppError;
use leptos::prelude::*;
use uuid::Uuid;

/// Deletes a datastore, its users and its data. `confirm` is its name, typed.
///
/// # Errors
/// [`AppError`], as the use case says.
#[server(endpoint = "datastore/delete")]
pub async fn delete(id: Uuid, confirm: String) -> Result<(), AppError> {
    use crate::server::{
        domain,
        web::{context, forms},
    };
    let result = domain::datastore::delete(&context::app()?, &context::actor().await?, id, &confirm).await.map(|()| "/datastores".to_owned());
    if result.is_ok() {
        forms::leave_notice("Deletion asked for.").await?;
    }
    forms::answer("delete", &[("confirm", &confirm)], result).await
}
