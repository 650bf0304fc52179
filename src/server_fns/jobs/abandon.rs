//! Abandon.

use crate::error::AppError;
use leptos::prelude::*;
use uuid::Uuid;

/// Gives a failed job up and undoes what it made.
///
/// # Errors
/// [`AppError`], as the use case says.
#[server(endpoint = "jobs/abandon")]
pub async fn abandon(id: Uuid, job: Uuid) -> Result<(), AppError> {
    use crate::server::{
        domain,
        web::{context, forms},
    };
    let result = domain::work::abandon(&context::app()?, &context::actor().await?, id, job).await.map(|()| format!("/datastores/{id}"));
    forms::answer("abandon", &[], result).await
}
