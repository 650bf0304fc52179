//! Who is signed in, and the way out.

use crate::ui::components::{Glyph, Icon};
use leptos::prelude::*;

/// Name and sign out.
#[component]
pub(crate) fn Account(
    /// Name or mail address.
    name: String,
) -> impl IntoView {
    view! {
        <span class="person" title=format!("Signed in as {name}")>
            <Icon glyph=Glyph::User />
            <span class="person-name">{name.clone()}</span>
        </span>
        <form method="post" action="/auth/sign-out">
            <button class="button ghost" type="submit" aria-label="Sign out" title="Sign out">
                <Icon glyph=Glyph::SignOut />
                <span class="wide-only">"Sign out"</span>
            </button>
        </form>
    }
}
