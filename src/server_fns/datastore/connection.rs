//! Connection assistant.

use crate::{
    error::AppError,
    model::{datastore::EndpointKind, snippet::Connection},
};
use leptos::prelude::*;
use uuid::Uuid;

/// What the snippets are made of; the password only while it is revealed to this session.
///
/// # Errors
/// [`AppError`], as the use case says.
#[server(endpoint = "datastore/connection")]
pub async fn assistant(id: Uuid, endpoint: EndpointKind) -> Result<Connection, AppError> {
    use crate::server::{
        domain,
        web::{context, forms},
    };
    let revealed = forms::is_revealed(id).await?;
    domain::access::connection(&context::app()?, &context::actor().await?, id, endpoint, revealed).await
}
