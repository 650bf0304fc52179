//! A form that is one button.

use super::{Glyph, Icon};
use leptos::prelude::*;

/// Posts its hidden fields to a server function.
#[component]
pub(crate) fn PostButton(
    /// URL of the server function.
    action: &'static str,
    /// What the button says.
    #[prop(into)]
    label: String,
    /// Names and values of the hidden fields.
    #[prop(optional)]
    fields: Vec<(&'static str, String)>,
    /// Look: `primary`, `danger`, `ghost`, `item` in a menu, or none.
    #[prop(optional)]
    look: &'static str,
    /// Drawn before the label.
    #[prop(optional, into)]
    glyph: Option<Glyph>,
    /// Name for screen readers where the label alone does not say which thing is meant.
    #[prop(optional, into)]
    name: Option<String>,
) -> impl IntoView {
    view! {
        <form method="post" action=action class="post">
            {fields.into_iter().map(|(name, value)| view! { <input type="hidden" name=name value=value /> }).collect_view()}
            <button class=format!("button {look}") type="submit" aria-label=name>
                {glyph.map(|glyph| view! { <Icon glyph /> })}
                {label}
            </button>
        </form>
    }
}
