//! A field of a form: label, hint, control, and what is wrong with it, tied together for screen readers.

use super::{Glyph, Icon};
use crate::ui::request::Sprite;
use leptos::prelude::*;

/// Ids for `aria-describedby` of a control: its hint and its error.
pub(crate) fn described_by(id: &str, has_hint: bool) -> String {
    if has_hint { format!("{id}-hint {id}-error") } else { format!("{id}-error") }
}

/// What to know before typing.
#[component]
pub(crate) fn FieldHint(
    /// Id of the control.
    #[prop(into)]
    id: String,
    /// The hint.
    #[prop(into)]
    text: String,
) -> impl IntoView {
    view! { <p class="hint" id=format!("{id}-hint")>{text}</p> }
}

/// What is wrong with a field; always in the page, so that a change is announced.
#[component]
pub(crate) fn FieldError(
    /// Id of the control.
    #[prop(into)]
    id: String,
    /// What is wrong.
    #[prop(into)]
    error: Signal<Option<String>>,
) -> impl IntoView {
    // What moves is drawn after the page's own contexts are gone.
    let sprite = Sprite::url();
    view! {
        <div class="field-error" id=format!("{id}-error") aria-live="polite">
            {move || {
                let sprite = sprite.clone();
                error
                    .get()
                    .map(|text| {
                        view! {
                            <p>
                                <Icon glyph=Glyph::Bad sprite />
                                {text}
                            </p>
                        }
                    })
            }}
        </div>
    }
}

/// A line of text.
#[component]
pub(crate) fn TextField(
    /// Id of the control.
    #[prop(into)]
    id: String,
    /// Name in the post.
    #[prop(into)]
    name: String,
    /// Label.
    #[prop(into)]
    label: String,
    /// What to know before typing.
    #[prop(optional, into)]
    hint: String,
    /// What was typed.
    #[prop(into)]
    value: String,
    /// Which keyboard a phone shows.
    #[prop(optional)]
    inputmode: &'static str,
    /// Width of the field: `short` or as wide as it may be.
    #[prop(optional)]
    width: &'static str,
    /// What is wrong.
    #[prop(into)]
    error: Signal<Option<String>>,
) -> impl IntoView {
    let described = described_by(&id, !hint.is_empty());
    view! {
        <div class=format!("field {width}")>
            <label for=id.clone()>{label}</label>
            {(!hint.is_empty()).then(|| view! { <FieldHint id=id.clone() text=hint.clone() /> })}
            <input
                id=id.clone()
                type="text"
                name=name
                value=value
                inputmode=(!inputmode.is_empty()).then_some(inputmode)
                autocomplete="off"
                autocapitalize="none"
                spellcheck="false"
                aria-describedby=described
                aria-invalid=move || error.get().is_some().then_some("true")
            />
            <FieldError id error />
        </div>
    }
}
