//! What the last act did.

use super::{Glyph, Icon};
use leptos::prelude::*;

/// One line, once.
#[component]
pub(crate) fn Notice(
    /// The line.
    #[prop(into)]
    text: String,
) -> impl IntoView {
    view! {
        <div class="box tone-good" role="status">
            <Icon glyph=Glyph::Good />
            <p>{text}</p>
        </div>
    }
}
