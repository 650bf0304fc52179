//! The switch between light and dark. What was chosen is kept in this browser; until then the system decides.

use crate::ui::{
    components::{Glyph, Icon},
    request::Sprite,
};
use leptos::prelude::*;

/// Where the choice is kept; the shell reads it before the first paint.
const KEY: &str = "granary-theme";

/// A button that shows the theme it leads to.
#[island]
pub fn ThemeSwitch(
    /// URL of the icons.
    sprite: String,
) -> impl IntoView {
    provide_context(Sprite(sprite));
    view! {
        <button
            class="button ghost theme-switch needs-js"
            type="button"
            aria-label="Switch between light and dark theme"
            title="Switch between light and dark theme"
            on:click=move |_| switch()
        >
            <span class="when-light">
                <Icon glyph=Glyph::Moon />
            </span>
            <span class="when-dark">
                <Icon glyph=Glyph::Sun />
            </span>
        </button>
    }
}

fn switch() {
    let Some(root) = document().document_element() else { return };
    let system_dark = window().match_media("(prefers-color-scheme: dark)").ok().flatten().is_some_and(|query| query.matches());
    let dark = root.get_attribute("data-theme").map_or(system_dark, |theme| theme == "dark");
    let next = if dark { "light" } else { "dark" };
    // A browser that keeps nothing still switches for this page.
    let _ = root.set_attribute("data-theme", next);
    if let Ok(Some(storage)) = window().local_storage() {
        let _ = storage.set_item(KEY, next);
    }
}
