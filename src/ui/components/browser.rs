//! What islands ask of the document. Only called in the browser: from event handlers and effects.

use leptos::{
    prelude::*,
    wasm_bindgen::JsCast,
    web_sys::{Element, HtmlElement, HtmlInputElement, HtmlSelectElement},
};

/// Every element that matches.
#[must_use]
pub fn all(selector: &str) -> Vec<Element> {
    let Ok(found) = document().query_selector_all(selector) else { return Vec::new() };
    (0..found.length()).filter_map(|i| found.get(i)).filter_map(|node| node.dyn_into().ok()).collect()
}

/// True while the focus is where typing goes.
#[must_use]
pub fn is_typing() -> bool {
    document()
        .active_element()
        .is_some_and(|e| matches!(e.tag_name().as_str(), "INPUT" | "SELECT") || e.unchecked_ref::<HtmlElement>().is_content_editable())
}

/// True when a reload would lose something: a field that was changed, or one that has the focus, or an open menu.
#[must_use]
pub fn has_unsaved() -> bool {
    is_typing() || !all("details.menu[open]").is_empty() || all("main input, main select").iter().any(is_changed)
}

fn is_changed(field: &Element) -> bool {
    if let Some(input) = field.dyn_ref::<HtmlInputElement>() {
        // A switch between views is no input, so it carries no name of a form's field.
        match input.type_().as_str() {
            "radio" | "checkbox" => input.form().is_some() && input.checked() != input.default_checked(),
            "hidden" => false,
            _ => input.value() != input.default_value(),
        }
    } else if let Some(select) = field.dyn_ref::<HtmlSelectElement>() {
        // `selectedIndex` of a select without a default is 0, as is the index of its first option.
        let options = select.options();
        let default = (0..options.length()).find(|i| options.item(*i).is_some_and(|o| o.has_attribute("selected"))).unwrap_or(0);
        u32::try_from(select.selected_index()).is_ok_and(|now| now != default)
    } else {
        false
    }
}
