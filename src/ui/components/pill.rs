//! A state as a word, an icon and a colour.

use super::Icon;
use crate::model::status::{Status, Tone};
use leptos::prelude::*;

/// Any state.
#[component]
pub(crate) fn Pill(
    /// Its colour and icon.
    tone: Tone,
    /// Its word.
    #[prop(into)]
    word: String,
) -> impl IntoView {
    view! {
        <span class=format!("pill tone-{}", tone.name())>
            <Icon glyph=tone />
            {word}
        </span>
    }
}

/// The status of a datastore or a node.
#[component]
pub(crate) fn StatusPill(
    /// The status.
    status: Status,
) -> impl IntoView {
    view! { <Pill tone=status.tone() word=status.word() /> }
}
