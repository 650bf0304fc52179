//! What the keyboard and the pointer can do on every page: `/` goes to the search, Escape or a click elsewhere closes menus.

use crate::ui::components::browser::{all, is_typing};
use leptos::{ev, prelude::*, wasm_bindgen::JsCast, web_sys};

/// Shows nothing; listens.
#[island]
pub fn Shortcuts() -> impl IntoView {
    Effect::new(|| {
        let keys = window_event_listener(ev::keydown, |event| match event.key().as_str() {
            "/" if !is_typing() => focus_search(&event),
            "Escape" => close_menus(None),
            _ => {}
        });
        let clicks = window_event_listener(ev::click, |event| {
            let target = event.target().and_then(|t| t.dyn_into::<web_sys::Node>().ok());
            close_menus(target.as_ref());
        });
        on_cleanup(move || {
            keys.remove();
            clicks.remove();
        });
    });
}

fn focus_search(event: &web_sys::KeyboardEvent) {
    if let Ok(Some(search)) = document().query_selector("input[type=search]")
        && let Ok(search) = search.dyn_into::<web_sys::HtmlElement>()
    {
        event.prevent_default();
        let _ = search.focus();
    }
}

/// Closes open menus but the one that holds `keep`. A menu that had the focus hands it back to its button.
fn close_menus(keep: Option<&web_sys::Node>) {
    for menu in all("details.menu[open]") {
        if keep.is_some_and(|node| menu.contains(Some(node))) {
            continue;
        }
        let had_focus = menu.contains(document().active_element().as_deref());
        let _ = menu.remove_attribute("open");
        if had_focus
            && let Ok(Some(summary)) = menu.query_selector("summary")
            && let Ok(summary) = summary.dyn_into::<web_sys::HtmlElement>()
        {
            let _ = summary.focus();
        }
    }
}
