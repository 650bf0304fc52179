//! Finish.

use crate::error::AppError;
use leptos::prelude::*;
use uuid::Uuid;

/// Makes the datastore; a second Finish of the same draft leads to the same one.
///
/// # Errors
/// [`AppError`], as the use case says.
#[server(endpoint = "wizard/finish")]
pub async fn finish(id: Uuid) -> Result<(), AppError> {
    use crate::server::{
        domain,
        web::{context, forms},
    };
    let result = domain::wizard::finish(&context::app()?, &context::actor().await?, id).await;
    forms::answer("finish", &[], result.map(|datastore| format!("/datastores/{datastore}"))).await
}
