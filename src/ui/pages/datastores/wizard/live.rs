//! What follows the wizard's form while somebody types.

use super::choices::{Choice, find};
use crate::model::{draft::Draft, step::Step};
use leptos::{ev, prelude::*};
use wasm_bindgen::JsCast;
use web_sys::{FormData, HtmlFormElement};

/// Calls `listener` with the draft as it would be if the form were posted now. Only in the browser.
pub(super) fn follow_form(step: Step, start: Draft, listener: Box<dyn Fn(Draft)>) {
    let now = move || {
        let form = document().get_element_by_id("wizard")?.dyn_into::<HtmlFormElement>().ok()?;
        let data = FormData::new_with_form(&form).ok()?;
        Some(merged(&start, step, |field| data.get(&super::form::name(field)).as_string().unwrap_or_default()))
    };
    // The listener lives as long as the page.
    let _ = window_event_listener(ev::input, move |_| {
        if let Some(draft) = now() {
            listener(draft);
        }
    });
}

/// The draft with the fields of one step as the form has them.
fn merged(start: &Draft, step: Step, field: impl Fn(&str) -> String) -> Draft {
    let draft = start.clone();
    match step {
        Step::Databases => Draft { engine: field("engine"), version: field("version"), ..draft },
        Step::Configuration => {
            Draft { name: field("name"), tags: field("tags"), topology: field("topology"), durability: field("durability"), ..draft }
        }
        Step::CloudService => Draft { region: field("region"), ..draft },
        Step::Resources => Draft {
            flavor: field("flavor"),
            storage: field("storage"),
            volume_type: field("volume_type"),
            volume_gb: field("volume_gb"),
            database: field("database"),
            user: field("user"),
            allow: field("allow"),
            ..draft
        },
        Step::Preview => draft,
    }
}

/// The disk of the chosen instance type: shown, not editable (rule 12).
#[island]
pub fn EphemeralSize(
    /// Id of the chosen one as the page was drawn.
    chosen: String,
    /// The instance types.
    flavors: Vec<Choice>,
) -> impl IntoView {
    let flavor = RwSignal::new(chosen);
    Effect::new(move |_| follow_form(Step::Resources, Draft::default(), Box::new(move |draft| flavor.set(draft.flavor))));
    view! {
        <output class="num" for="flavor">
            {move || {
                find(&flavors, &flavor.get()).map_or_else(|| "that of the instance type".to_owned(), |f| format!("{} GB ({})", f.disk_gb, f.name))
            }}
        </output>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r016_a_step_changes_its_own_fields_only() {
        let start = Draft { engine: "postgresql".into(), name: "orders".into(), allow: "1.2.3.4/32".into(), ..Draft::default() };
        let draft = merged(&start, Step::Configuration, |field| format!("new {field}"));
        assert_eq!((draft.engine.as_str(), draft.name.as_str(), draft.tags.as_str()), ("postgresql", "new name", "new tags"));
        let draft = merged(&start, Step::Resources, |_| String::new());
        assert_eq!((draft.name.as_str(), draft.allow.as_str()), ("orders", ""), "an unticked box is not posted, and means no");
    }
}
