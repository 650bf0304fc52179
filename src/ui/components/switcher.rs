//! A choice between views of the same thing: radio buttons and CSS, so that it needs no script.

use leptos::prelude::*;

/// One view.
pub(crate) struct Switch {
    /// Id, unique in the switcher.
    pub id: String,
    /// Its name.
    pub label: String,
    /// What it shows.
    pub view: AnyView,
}

/// Shows one of the views; all of them where a browser does not know `:has()`. At most eight.
#[component]
pub(crate) fn Switcher(
    /// Name of the group, unique in the page.
    id: &'static str,
    /// What is chosen, for screen readers.
    legend: &'static str,
    /// The views.
    views: Vec<Switch>,
) -> impl IntoView {
    let (switches, panels): (Vec<_>, Vec<_>) = views
        .into_iter()
        .enumerate()
        .map(|(index, switch)| {
            let input = format!("{id}-{}", switch.id);
            let label = switch.label.clone();
            (
                view! {
                    <label class="switch">
                        <input type="radio" name=id id=input checked=index == 0 autocomplete="off" />
                        <span>{label}</span>
                    </label>
                },
                view! {
                    <div class="switch-panel" role="group" aria-label=switch.label>
                        {switch.view}
                    </div>
                },
            )
        })
        .unzip();
    view! {
        <div class="switcher">
            <fieldset class="switches">
                <legend class="sr-only">{legend}</legend>
                {switches}
            </fieldset>
            <div class="switch-panels">{panels}</div>
        </div>
    }
}
