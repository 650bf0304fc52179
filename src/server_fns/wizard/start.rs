//! Begin.

use crate::error::AppError;
use leptos::prelude::*;

/// Makes a draft with proposed values and goes to its first step.
///
/// # Errors
/// [`AppError`], as the use case says.
#[server(endpoint = "wizard/start")]
pub async fn start() -> Result<(), AppError> {
    use crate::server::{
        domain,
        web::{context, forms},
    };
    let result = domain::wizard::start(&context::app()?, &context::actor().await?).await;
    forms::answer("start", &[], result.map(|id| format!("/datastores/new/{id}/databases"))).await
}
