//! Retry.

use crate::error::AppError;
use leptos::prelude::*;
use uuid::Uuid;

/// Runs a failed job again from the step that failed.
///
/// # Errors
/// [`AppError`], as the use case says.
#[server(endpoint = "jobs/retry")]
pub async fn retry(id: Uuid, job: Uuid) -> Result<(), AppError> {
    use crate::server::{
        domain,
        web::{context, forms},
    };
    let result = domain::work::retry(&context::app()?, &context::actor().await?, id, job).await.map(|()| format!("/datastores/{id}"));
    forms::answer("retry", &[], result).await
}
