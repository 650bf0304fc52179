//! Sets what the replica endpoint leads to.

use crate::error::AppError;
use leptos::prelude::*;
use uuid::Uuid;

/// Sets what the replica endpoint leads to.
///
/// # Errors
/// [`AppError`], as the use case says.
#[server(endpoint = "datastore/readers")]
pub async fn set_readers(id: Uuid, lag_mb: String, fallback: String) -> Result<(), AppError> {
    use crate::server::{
        domain,
        web::{context, forms},
    };
    let done = domain::membership::set_readers(&context::app()?, &context::actor().await?, id, &lag_mb, &fallback).await;
    let result = done.map(|()| format!("/datastores/{id}/settings"));
    if result.is_ok() {
        forms::leave_notice("Saved.").await?;
    }
    forms::answer("readers", &[("lag_mb", &lag_mb), ("fallback", &fallback)], result).await
}
