//! Failover drills.

use crate::{
    error::AppError,
    model::drill::{DrillView, DrillsView},
};
use leptos::prelude::*;
use uuid::Uuid;

/// Failover drills of a datastore, and whether another can begin.
///
/// # Errors
/// [`AppError`], as the use case says.
#[server(endpoint = "datastore/drills", input = server_fn::codec::GetUrl)]
pub async fn drills(id: Uuid) -> Result<DrillsView, AppError> {
    use crate::server::{domain, web::context};
    domain::drill::list(&context::app()?, &context::actor().await?, id).await
}

/// One of them.
///
/// # Errors
/// [`AppError`], as the use case says.
#[server(endpoint = "datastore/drills/one", input = server_fn::codec::GetUrl)]
pub async fn one_drill(id: Uuid, drill: Uuid) -> Result<DrillView, AppError> {
    use crate::server::{domain, web::context};
    domain::drill::show(&context::app()?, &context::actor().await?, id, drill).await
}
