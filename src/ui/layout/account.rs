//! Who is signed in, and the ways out.

use crate::ui::components::{Glyph, Icon};
use leptos::prelude::*;

/// Name, with sign out everywhere behind it, and sign out.
#[component]
pub(crate) fn Account(
    /// Name or mail address.
    name: String,
) -> impl IntoView {
    view! {
        <details class="menu" name="menu">
            <summary class="button ghost person" aria-label=format!("{name}, your account") title=format!("Signed in as {name}")>
                <Icon glyph=Glyph::User />
                <span class="person-name">{name.clone()}</span>
            </summary>
            <div class="menu-items menu-text">
                <p>"Lost a device, or signed in on one that is not yours? This ends all your sessions at once, this one too."</p>
                <form method="post" action="/auth/sign-out-everywhere">
                    <button class="button" type="submit">
                        "Sign out everywhere"
                    </button>
                </form>
            </div>
        </details>
        <form method="post" action="/auth/sign-out">
            <button class="button ghost" type="submit" aria-label="Sign out" title="Sign out">
                <Icon glyph=Glyph::SignOut />
                <span class="wide-only">"Sign out"</span>
            </button>
        </form>
    }
}
