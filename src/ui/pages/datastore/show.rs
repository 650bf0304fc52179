//! What the tabs of a datastore have in common: they read it, and stand under its header.

use super::{header::Header, tabs::Tab};
use crate::{error::AppError, model::datastore::DatastoreView, server_fns::datastore::get::get, ui::layout::page};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_params_map;
use std::future::Future;
use uuid::Uuid;

/// Reads the datastore of the URL and what else the tab needs, then shows what `draw` makes of it under the header.
pub(super) fn show<T, V, F>(
    tab: Tab,
    read: impl FnOnce(DatastoreView) -> F + Send + 'static,
    draw: impl FnOnce(DatastoreView, T) -> V + Send + 'static,
) -> impl IntoView
where
    T: Send + 'static,
    V: IntoView + 'static,
    F: Future<Output = Result<T, AppError>> + Send + 'static,
{
    let id = id_of_url();
    let read = async move {
        let view = get(id).await?;
        let more = read(view.clone()).await?;
        Ok((view, more))
    };
    page(read, move |(view, more)| {
        view! {
            <Title text=format!("{}: {}", view.row.name, tab.label()) />
            <Header view=view.clone() tab />
            <div class="tab-body">{draw(view, more)}</div>
        }
    })
}

/// An id that is none finds nothing, like one that is not there.
pub(super) fn id_of_url() -> Uuid {
    use_params_map().get_untracked().get("id").and_then(|id| id.parse().ok()).unwrap_or(Uuid::nil())
}
