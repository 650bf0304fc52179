//! One of the choices of a form of filters.

use leptos::prelude::*;

/// A select whose first option leaves everything in.
#[component]
pub(crate) fn Choice(
    /// Name of the field.
    name: &'static str,
    /// What is chosen.
    label: &'static str,
    /// The words of the first option.
    any: &'static str,
    /// Values and words of the others.
    options: Vec<(String, String)>,
    /// The value that is chosen now.
    chosen: String,
) -> impl IntoView {
    view! {
        <select name=name aria-label=label autocomplete="off">
            <option value="">{any}</option>
            {options
                .into_iter()
                .map(|(value, text)| {
                    let selected = value == chosen;
                    view! {
                        <option value=value selected=selected>
                            {text}
                        </option>
                    }
                })
                .collect_view()}
        </select>
    }
}
