//! The Firewall (Connect) tab.

use crate::{error::AppError, model::firewall::FirewallView};
use leptos::prelude::*;
use uuid::Uuid;

/// Trusted sources, the visitor's own address, refused addresses.
///
/// # Errors
/// [`AppError`], as the use case says.
#[server(endpoint = "firewall/show", input = server_fn::codec::GetUrl)]
pub async fn show(id: Uuid) -> Result<FirewallView, AppError> {
    use crate::server::{domain, web::context};
    domain::firewall::show(&context::app()?, &context::actor().await?, id).await
}
