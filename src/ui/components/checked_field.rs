//! A text field that says what is wrong as soon as it is left, with the words the server uses.

use super::TextField;
use crate::{
    model::{cidr, draft, names},
    ui::request::Sprite,
};
use leptos::prelude::*;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A field is left by pressing a button, too: the press ends before a message may move that button away.
const AFTER_CLICK: Duration = Duration::from_millis(200);

/// Which of the shared rules a field obeys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rule {
    /// Name of a datastore.
    Name,
    /// Tags, so many at most.
    Tags(usize),
    /// Name of a first database or user.
    Identifier(String),
    /// Size of a volume, so many GB at most.
    VolumeGb(u32),
    /// An address range.
    Cidr,
}

impl Rule {
    fn check(&self, value: &str) -> Option<String> {
        match self {
            Self::Name => names::datastore(value).err(),
            Self::Tags(max) => names::tags(value, *max).err(),
            Self::Identifier(what) => names::identifier(value, what).err(),
            Self::VolumeGb(max) => draft::volume_gb(value, *max).err(),
            Self::Cidr => cidr::parse(value).err(),
        }
    }
}

/// The words of a field.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldText {
    /// Id of the control.
    pub id: String,
    /// Name in the post.
    pub name: String,
    /// Label.
    pub label: String,
    /// What to know before typing.
    pub hint: String,
    /// What was typed.
    pub value: String,
    /// What the server said is wrong.
    pub error: Option<String>,
}

/// The field. Without JavaScript it is a plain one.
#[island]
pub fn CheckedField(
    /// Its words.
    text: FieldText,
    /// Its rule.
    rule: Rule,
    /// URL of the icons.
    sprite: String,
) -> impl IntoView {
    provide_context(Sprite(sprite));
    let error = RwSignal::new(text.error);
    let number = matches!(rule, Rule::VolumeGb(_));
    let left = rule.clone();
    view! {
        <div
            class="checked"
            // An error goes as soon as it is mended, and comes only when the field is left: nobody is told off while typing.
            on:input=move |event| {
                if error.get_untracked().is_some() {
                    error.set(rule.check(&event_target_value(&event)));
                }
            }
            on:change=move |event| {
                let found = left.check(&event_target_value(&event));
                set_timeout(move || error.set(found), AFTER_CLICK);
            }
        >
            <TextField
                id=text.id
                name=text.name
                label=text.label
                hint=text.hint
                value=text.value
                inputmode=if number { "numeric" } else { "" }
                width=if number { "short" } else { "" }
                error
            />
        </div>
    }
}
