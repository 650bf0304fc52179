//! Cancel.

use crate::error::AppError;
use leptos::prelude::*;
use uuid::Uuid;

/// Takes a waiting job back, or stops a running one after its step.
///
/// # Errors
/// [`AppError`], as the use case says.
#[server(endpoint = "jobs/cancel")]
pub async fn cancel(id: Uuid, job: Uuid) -> Result<(), AppError> {
    use crate::server::{
        domain,
        web::{context, forms},
    };
    let result = domain::work::cancel(&context::app()?, &context::actor().await?, id, job).await.map(|()| format!("/datastores/{id}"));
    forms::answer("cancel", &[], result).await
}
