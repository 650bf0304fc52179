//! Tabs that are pages.

use leptos::prelude::*;

/// Links to the pages of one thing.
#[component]
pub(crate) fn Tabs(
    /// Whose.
    #[prop(into)]
    label: String,
    /// Name, URL, and whether this is the page.
    tabs: Vec<(&'static str, String, bool)>,
) -> impl IntoView {
    view! {
        <nav class="tabs" aria-label=label>
            <ul>
                {tabs
                    .into_iter()
                    .map(|(name, href, here)| view! { <li><a href=href aria-current=here.then_some("page")>{name}</a></li> })
                    .collect_view()}
            </ul>
        </nav>
    }
}
