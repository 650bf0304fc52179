//! Facts: a name and a value, for `<dl class="facts">`.

use leptos::prelude::*;

/// One fact.
#[component]
pub(crate) fn Fact(
    /// What.
    #[prop(into)]
    name: String,
    /// The value.
    children: Children,
) -> impl IntoView {
    view! {
        <div class="fact">
            <dt>{name}</dt>
            <dd>{children()}</dd>
        </div>
    }
}
