//! An error as a page: what was wrong, what still holds, what to do.

use crate::{
    error::AppError,
    ui::{
        components::{EmptyState, Glyph},
        request::PageStatus,
    },
};
use leptos::prelude::*;
use leptos_meta::Title;

/// The error in the place of the page.
#[component]
pub(crate) fn ErrorPage(
    /// What went wrong.
    error: AppError,
) -> impl IntoView {
    PageStatus::set(error.status());
    let title = match error {
        AppError::NotFound => "Not found",
        AppError::Forbidden => "Not allowed",
        AppError::Unavailable | AppError::ReadOnly => "Not available at the moment",
        AppError::Internal { .. } => "Something went wrong",
        _ => "Not possible now",
    };
    let advice = match error {
        AppError::NotFound => "It may have been deleted, or the address has a typing mistake.",
        AppError::Forbidden => "Nothing was changed. An owner of the project can do this, or give you the role.",
        AppError::Internal { .. } => "Nothing you typed was acted on twice. Try again; if it stays, hand the request id to whoever runs Granary.",
        _ => "Nothing was changed.",
    };
    view! {
        <Title text=title />
        <EmptyState glyph=Glyph::Bad title=title heading=1>
            <p>{error.to_string()}</p>
            <p>{advice}</p>
            <p>
                <a class="button" href="/datastores">
                    "All datastores"
                </a>
            </p>
        </EmptyState>
    }
}
