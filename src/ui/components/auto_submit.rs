//! A form of filters applies itself.

use leptos::{ev, prelude::*};
use wasm_bindgen::JsCast;
use web_sys::{HtmlElement, HtmlSelectElement};

/// Shows nothing; submits the form around it when one of its selects changes. Without JavaScript its button does it.
#[island]
pub fn AutoSubmit() -> impl IntoView {
    let place = NodeRef::<leptos::html::Span>::new();
    Effect::new(move |_| {
        let Some(form) = place.get().and_then(|span| span.closest("form").ok().flatten()) else { return };
        let form: web_sys::HtmlFormElement = form.unchecked_into();
        let target: HtmlElement = form.clone().unchecked_into();
        let _ = leptos::leptos_dom::helpers::window_event_listener(ev::change, move |event| {
            let select = event.target().and_then(|t| t.dyn_into::<HtmlSelectElement>().ok());
            if select.is_some_and(|select| target.contains(Some(&select))) {
                let _ = form.request_submit();
            }
        });
    });
    view! { <span hidden node_ref=place></span> }
}
