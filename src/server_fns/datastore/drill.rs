//! Failover drill.

use crate::{error::AppError, model::drill::DrillKind};
use leptos::prelude::*;
use uuid::Uuid;

/// Replaces the primary while a probe writes.
///
/// # Errors
/// [`AppError`], as the use case says.
#[server(endpoint = "datastore/drill")]
pub async fn drill(id: Uuid, kind: DrillKind) -> Result<(), AppError> {
    use crate::server::{
        domain,
        web::{context, forms},
    };
    let begun = domain::drill::start(&context::app()?, &context::actor().await?, id, kind).await;
    let result = begun.map(|_| format!("/datastores/{id}/nodes"));
    if result.is_ok() {
        forms::leave_notice("Failover drill asked for. Its result will be on this page within a minute or so.").await?;
    }
    forms::answer("drill", &[], result).await
}
