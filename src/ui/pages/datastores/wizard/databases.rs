//! Step 1: engine and version (rules 4, 5, 18).

use super::form::{error, name};
use crate::{
    error::FieldErrors,
    model::{
        draft::Draft,
        engine::{EngineKind, EngineOffer, VersionOffer},
        offer::Offer,
    },
    ui::{
        components::{FieldError, FieldHint, Icon, described_by},
        request::locale,
    },
};
use leptos::prelude::*;

/// Cards of the engines, and one list of versions. The list names the engine of each version where there are several, so that
/// it needs no script to follow the cards.
#[component]
pub(super) fn Databases(
    /// What was typed.
    draft: Draft,
    /// What may be chosen.
    offer: Offer,
    /// What is wrong.
    errors: FieldErrors,
) -> impl IntoView {
    let available: Vec<_> = offer.engines.iter().filter(|e| e.unavailable.is_none()).cloned().collect();
    let chosen = draft.engine.clone();
    let follows = if available.len() > 1 { " One of another database is replaced by the newest of the one you chose." } else { "" };
    let hint = format!("All databases of a datastore share its version. These are the versions installed on this machine.{follows}");
    view! {
        <fieldset class="choices" id="engine" aria-describedby="engine-error">
            <legend>"Database"</legend>
            <div class="choice-grid">
                {offer
                    .engines
                    .into_iter()
                    .map(|engine| {
                        let checked = engine.kind.id() == chosen;
                        view! { <EngineCard engine checked /> }
                    })
                    .collect_view()}
            </div>
            <FieldError id="engine" error=error(&errors, "engine") />
        </fieldset>
        <div class="field">
            <label for="version">"Version"</label>
            <FieldHint id="version" text=hint />
            <select
                id="version"
                name=name("version")
                aria-describedby=described_by("version", true)
                aria-invalid=errors.of("version").is_some().then_some("true")
            >
                {versions(&available, &draft)}
            </select>
            <FieldError id="version" error=error(&errors, "version") />
        </div>
    }
}

#[component]
fn EngineCard(engine: EngineOffer, checked: bool) -> impl IntoView {
    let id = engine.kind.id();
    let disabled = engine.unavailable.is_some();
    view! {
        <label class="choice" class:disabled=disabled>
            <input
                type="radio"
                name=name("engine")
                value=id
                checked=checked && !disabled
                disabled=disabled
                aria-labelledby=format!("{id}-name")
                aria-describedby=format!("{id}-words")
            />
            <span class="engine-mark">
                <Icon glyph=engine.kind />
            </span>
            <span class="choice-words">
                <b id=format!("{id}-name")>{engine.kind.label()}</b>
                <span id=format!("{id}-words")>
                    <span class="choice-text">{engine.summary}</span>
                    <span class="choice-second">{format!("Good at: {}", engine.good_at)}</span>
                    {engine.unavailable.map(|why| view! { <span class="choice-why">{why}</span> })}
                </span>
            </span>
        </label>
    }
}

fn versions(engines: &[EngineOffer], draft: &Draft) -> AnyView {
    let chosen = draft.engine.parse::<EngineKind>().ok();
    let known = engines.iter().any(|e| Some(e.kind) == chosen && e.versions.iter().any(|v| v.major == draft.version));
    let options = |engine: &EngineOffer| {
        engine
            .versions
            .iter()
            .map(|version| {
                let selected = Some(engine.kind) == chosen && version.major == draft.version;
                view! {
                    <option value=version.major.clone() selected=selected>
                        {words(engine.kind, version)}
                    </option>
                }
            })
            .collect_view()
    };
    let lists = engines
        .iter()
        .map(|engine| {
            if engines.len() == 1 {
                options(engine).into_any()
            } else {
                view! { <optgroup label=engine.kind.label()>{options(engine)}</optgroup> }.into_any()
            }
        })
        .collect_view();
    view! {
        {(!known).then(|| view! { <option value="">"Choose a version"</option> })}
        {lists}
    }
    .into_any()
}

fn words(engine: EngineKind, version: &VersionOffer) -> String {
    let support = match &version.end_of_support {
        Some(day) if version.past_support => format!(": support ended {}", locale().day(day)),
        Some(day) => format!(": supported until {}", locale().day(day)),
        None => String::new(),
    };
    format!("{engine} {} ({}){support}", version.major, version.full)
}
