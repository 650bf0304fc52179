//! The copy button.

use super::{Glyph, Icon};
use crate::ui::request::Sprite;
use leptos::{prelude::*, task::spawn_local};
use std::time::Duration;

/// How long the button says that it worked.
const SAYS_SO: Duration = Duration::from_secs(2);

/// Copies the text of another element.
#[island]
pub fn Copy(
    /// Id of the element.
    target: String,
    /// What is copied.
    what: String,
    /// URL of the icons.
    sprite: String,
) -> impl IntoView {
    provide_context(Sprite(sprite));
    let said = RwSignal::new("");
    let copy = move |_| {
        let Some(text) = document().get_element_by_id(&target).and_then(|e| e.text_content()) else { return };
        spawn_local(async move {
            let done = wasm_bindgen_futures::JsFuture::from(window().navigator().clipboard().write_text(&text)).await.is_ok();
            said.set(if done { "Copied" } else { "The browser did not allow it; select the text instead" });
            set_timeout(move || said.set(""), SAYS_SO);
        });
    };
    view! {
        <span class="copy needs-js" class:done=move || said.get() == "Copied" class:saying=move || !said.get().is_empty()>
            <button class="button ghost small" type="button" aria-label=format!("Copy {what}") title=format!("Copy {what}") on:click=copy>
                <span class="copy-idle">
                    <Icon glyph=Glyph::Copy />
                </span>
                <span class="copy-done">
                    <Icon glyph=Glyph::Check />
                </span>
            </button>
            <span class="copy-said" role="status">
                {move || said.get()}
            </span>
        </span>
    }
}
