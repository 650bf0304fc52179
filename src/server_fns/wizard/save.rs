//! Save a step.

use crate::{
    error::AppError,
    model::{draft::Draft, step::Step},
};
use leptos::prelude::*;
use uuid::Uuid;

/// Stores the raw fields of one step, right or wrong, then goes on, stays, or goes where `go` says (a step's slug; empty = on).
///
/// # Errors
/// [`AppError`], as the use case says.
#[server(endpoint = "wizard/save")]
pub async fn save(id: Uuid, step: Step, #[server(default)] go: String, #[server(default)] fields: Draft) -> Result<(), AppError> {
    use crate::server::{
        domain,
        web::{context, forms},
    };
    let result = domain::wizard::save(&context::app()?, &context::actor().await?, id, step, &go, fields).await;
    forms::answer("wizard", &[], result.map(|to| format!("/datastores/new/{id}/{}", to.slug()))).await
}
