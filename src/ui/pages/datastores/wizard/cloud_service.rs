//! Step 3: the region (rule 9).

use super::form::{error, name};
use crate::{
    error::FieldErrors,
    model::{draft::Draft, format, offer::Offer},
    ui::components::{FieldError, Glyph, Icon},
};
use leptos::prelude::*;

/// The regions; the only one is chosen already.
#[component]
pub(super) fn CloudService(
    /// What was typed.
    draft: Draft,
    /// What may be chosen.
    offer: Offer,
    /// What is wrong.
    errors: FieldErrors,
) -> impl IntoView {
    let only = offer.catalogue.regions.len() == 1;
    let (ram, storage) = offer.region_left;
    view! {
        <fieldset class="choices" id="region" aria-describedby="region-error">
            <legend>"Region"</legend>
            <div class="choice-grid">
                {offer
                    .catalogue
                    .regions
                    .into_iter()
                    .map(|region| {
                        let chosen = only || region.id == draft.region;
                        let id = format!("region-{}", region.id);
                        view! {
                            <label class="choice">
                                <input
                                    type="radio"
                                    name=name("region")
                                    value=region.id
                                    checked=chosen
                                    aria-labelledby=format!("{id}-name")
                                    aria-describedby=format!("{id}-words")
                                />
                                <span class="engine-mark">
                                    <Icon glyph=Glyph::Node />
                                </span>
                                <span class="choice-words">
                                    <b id=format!("{id}-name")>{region.label}</b>
                                    <span id=format!("{id}-words")>
                                        <span class="choice-text">{about(&region.platform)}</span>
                                        // What is left is known of the draft's region.
                                        {chosen
                                            .then(|| {
                                                view! {
                                                    <span class="choice-second">
                                                        {format!("Room for {} of RAM and {storage} GB of storage", format::ram(ram))}
                                                    </span>
                                                }
                                            })}
                                    </span>
                                </span>
                            </label>
                        }
                    })
                    .collect_view()}
            </div>
            <FieldError id="region" error=error(&errors, "region") />
        </fieldset>
    }
}

fn about(platform: &str) -> String {
    match platform {
        "local" => "Processes of the machine that Granary runs on.".to_owned(),
        other => format!("Platform: {other}."),
    }
}
