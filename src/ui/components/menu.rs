//! A menu that opens without JavaScript.

use super::{Glyph, Icon};
use leptos::prelude::*;

/// The three dots; items are links and forms in list items.
#[component]
pub(crate) fn Menu(
    /// Its name: "Actions for orders".
    #[prop(into)]
    label: String,
    /// List items.
    children: Children,
) -> impl IntoView {
    view! {
        <details class="menu" name="menu">
            <summary class="button ghost" aria-label=label.clone() title=label>
                <Icon glyph=Glyph::Dots />
            </summary>
            <ul class="menu-items">{children()}</ul>
        </details>
    }
}
