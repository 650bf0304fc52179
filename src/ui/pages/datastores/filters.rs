//! Search and filters of the list: a form that gets, so that a view is a link.

use crate::{
    model::{datastore::ListQuery, engine::EngineKind, status::Status},
    ui::components::{AutoSubmit, Choice, Glyph, Icon},
};
use leptos::prelude::*;

/// The form.
#[component]
pub(super) fn Filters(
    /// What is asked for now.
    query: ListQuery,
    /// Tags in use.
    tags: Vec<String>,
) -> impl IntoView {
    let engines = EngineKind::ALL.into_iter().map(|kind| (kind.id().to_owned(), kind.label().to_owned())).collect();
    let statuses = Status::ALL.into_iter().map(|status| (status.word().to_owned(), status.word().to_owned())).collect();
    let tags: Vec<_> = tags.into_iter().map(|tag| (tag.clone(), tag)).collect();
    view! {
        <form class="filters" method="get" action="/datastores" role="search" aria-label="Datastores">
            <div class="search">
                <Icon glyph=Glyph::Search />
                <input type="search" name="q" value=query.q aria-label="Search by name" placeholder="Search by name" autocomplete="off" spellcheck="false" />
                <kbd class="needs-js" aria-hidden="true">"/"</kbd>
            </div>
            <Choice name="engine" label="Engine" any="All engines" options=engines chosen=query.engine />
            <Choice name="status" label="Status" any="Any status" options=statuses chosen=query.status />
            {(!tags.is_empty()).then(|| view! { <Choice name="tag" label="Tag" any="Any tag" options=tags chosen=query.tag /> })}
            {(!query.sort.is_empty()).then(|| view! { <input type="hidden" name="sort" value=query.sort.clone() /> })}
            <button class="button" type="submit">
                "Apply"
            </button>
            <AutoSubmit />
        </form>
    }
}
