//! A titled part of a page.

use leptos::prelude::*;

/// A section with a heading and, at its end, what can be done.
#[component]
pub(crate) fn Card(
    /// Id of the section; links may lead to it.
    id: &'static str,
    /// Heading.
    #[prop(into)]
    title: String,
    /// One line under the heading.
    #[prop(optional, into)]
    lead: Option<String>,
    /// Beside the heading.
    #[prop(optional, into)]
    aside: Option<AnyView>,
    /// Further classes.
    #[prop(optional)]
    class: &'static str,
    /// What it holds.
    children: Children,
) -> impl IntoView {
    view! {
        <section class=format!("card {class}") id=id aria-labelledby=format!("{id}-title")>
            <div class="card-head">
                <div>
                    <h2 id=format!("{id}-title")>{title}</h2>
                    {lead.map(|text| view! { <p class="lead">{text}</p> })}
                </div>
                {aside.map(|view| view! { <div class="card-aside">{view}</div> })}
            </div>
            {children()}
        </section>
    }
}
