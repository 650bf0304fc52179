//! A draft.

use crate::{
    error::AppError,
    model::{draft::Draft, offer::Offer},
};
use leptos::prelude::*;
use uuid::Uuid;

/// The draft, what it is judged against, and the visitor's address as a CIDR. What was typed into a step that could not be
/// stored, because the session had ended, stands in the draft again.
///
/// # Errors
/// [`AppError`], as the use case says.
#[server(endpoint = "wizard/show", input = server_fn::codec::GetUrl)]
pub async fn show(id: Uuid) -> Result<(Draft, Offer, Option<String>), AppError> {
    use crate::server::{
        domain,
        web::{context, forms},
    };
    let (mut draft, offer, address) = domain::wizard::show(&context::app()?, &context::actor().await?, id).await?;
    if let Some(attempt) = forms::attempt("wizard").await? {
        draft.restore(&attempt.values);
    }
    Ok((draft, offer, address))
}
