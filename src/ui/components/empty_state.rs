//! Nothing here, and how to start.

use super::{Glyph, Icon};
use leptos::prelude::*;

/// Says what is not there and what to do about it.
#[component]
pub(crate) fn EmptyState(
    /// Drawn above.
    glyph: Glyph,
    /// In one line.
    #[prop(into)]
    title: String,
    /// Level of the title's heading.
    #[prop(default = 2)]
    heading: u8,
    /// What to do.
    children: Children,
) -> impl IntoView {
    let title = match heading {
        1 => view! { <h1>{title}</h1> }.into_any(),
        2 => view! { <h2>{title}</h2> }.into_any(),
        _ => view! { <h3>{title}</h3> }.into_any(),
    };
    view! {
        <div class="empty">
            <Icon glyph />
            {title}
            {children()}
        </div>
    }
}
