//! Text to copy.

use super::Copy;
use crate::ui::request::Sprite;
use leptos::prelude::*;

/// A block of text with a copy button.
#[component]
pub(crate) fn CodeBlock(
    /// Id of the text, unique in the page.
    #[prop(into)]
    id: String,
    /// What it is, for the button's name: "psql command".
    #[prop(into)]
    what: String,
    /// The text.
    text: String,
) -> impl IntoView {
    view! {
        <div class="code">
            <pre>
                <code id=id.clone()>{text}</code>
            </pre>
            <Copy target=id what sprite=Sprite::url() />
        </div>
    }
}
