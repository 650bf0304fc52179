//! Nothing lives at this URL.

use crate::{
    error::AppError,
    server_fns::page::who,
    ui::layout::{ErrorPage, Frame},
};
use leptos::prelude::*;

/// The 404 page.
#[component]
pub fn NotFound() -> impl IntoView {
    Suspend::new(async {
        let me = who().await.ok().flatten();
        view! {
            <Frame me>
                <ErrorPage error=AppError::NotFound />
            </Frame>
        }
    })
}
