//! What was wrong with a whole form or act.

use super::{Glyph, Icon};
use crate::error::FieldErrors;
use leptos::prelude::*;

/// One message.
#[component]
pub(crate) fn ErrorBox(
    /// What was wrong, what still holds, what to do.
    #[prop(into)]
    message: String,
) -> impl IntoView {
    view! {
        <div class="box tone-bad" role="alert">
            <Icon glyph=Glyph::Bad />
            <p>{message}</p>
        </div>
    }
}

/// Everything that was wrong with a form, each line leading to its field.
#[component]
pub(crate) fn FormErrors(
    /// Fields' errors; a field's id is its name.
    errors: FieldErrors,
    /// Message for the whole.
    message: Option<String>,
) -> AnyView {
    let has_fields = !errors.is_empty();
    if message.is_none() && !has_fields {
        return ().into_any();
    }
    view! {
            // The focus begins here, so that whoever cannot see the box hears it first.
            <div class="box tone-bad" role="alert" tabindex="-1" autofocus>
                <Icon glyph=Glyph::Bad />
                <div>
                    {message.map(|text| view! { <p>{text}</p> })}
                    {has_fields.then(|| view! { <p>"Some fields need another look. What you typed is kept."</p> })}
                    {has_fields
                        .then(|| {
                            view! {
                                <ul>
                                    {errors
                                        .0
                                        .into_iter()
                                        .map(|e| view! { <li><a href=format!("#{}", e.field)>{e.message}</a></li> })
                                        .collect_view()}
                                </ul>
                            }
                        })}
                </div>
            </div>
    }
    .into_any()
}
