//! Promote although writes may be lost.

use crate::error::AppError;
use leptos::prelude::*;
use uuid::Uuid;

/// Makes a replica the primary although acknowledged writes may be lost. `confirm` is the datastore's name, typed.
///
/// # Errors
/// [`AppError`], as the use case says.
#[server(endpoint = "datastore/overrule")]
pub async fn overrule(id: Uuid, node: Uuid, confirm: String) -> Result<(), AppError> {
    use crate::server::{
        domain,
        web::{context, forms},
    };
    let done = domain::membership::overrule(&context::app()?, &context::actor().await?, id, node, &confirm).await;
    let result = done.map(|()| format!("/datastores/{id}/nodes"));
    if result.is_ok() {
        forms::leave_notice("Promotion asked for.").await?;
    }
    forms::answer("overrule", &[("confirm", &confirm)], result).await
}
