//! `/datastores/new/:draft/:step`: five steps on the left, what was chosen on the right.
//!
//! Each step is a form that posts its raw fields, right or wrong; the server keeps them with the draft, so nothing typed is
//! lost. What is wrong is found when a page is drawn, and shown once the step was posted.

mod choices;
mod cloud_service;
mod configuration;
mod databases;
mod form;
mod live;
mod preview;
mod resources;
mod review;
mod stepper;
mod summary;

use crate::{
    error::FieldErrors,
    model::{
        draft::{Draft, first_incomplete, validate_step},
        offer::Offer,
        step::Step,
    },
    server_fns::wizard::show::show,
    ui::{layout::page, request::Sprite},
};
use choices::Choices;
use form::StepForm;
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::{components::Redirect, hooks::use_params_map};
use stepper::Stepper;
use summary::Summary;
use uuid::Uuid;

/// The wizard. A step that cannot be reached yet leads to the first one where something is missing.
#[component]
pub fn Wizard() -> impl IntoView {
    let params = use_params_map().get_untracked();
    // An id that is none finds nothing, like one that is not there.
    let id = params.get("draft").and_then(|id| id.parse().ok()).unwrap_or(Uuid::nil());
    let wanted = params.get("step").and_then(|slug| Step::from_slug(&slug));
    page(show(id), move |(draft, offer, address)| {
        let reachable = first_incomplete(&draft, &offer);
        match wanted.filter(|step| *step <= reachable) {
            Some(step) => view! { <WizardPage id draft offer address step reachable /> }.into_any(),
            None => view! { <Redirect path=path(id, reachable) /> }.into_any(),
        }
    })
}

/// URL of a step.
fn path(id: Uuid, step: Step) -> String {
    format!("/datastores/new/{id}/{}", step.slug())
}

#[component]
fn WizardPage(id: Uuid, draft: Draft, offer: Offer, address: Option<String>, step: Step, reachable: Step) -> impl IntoView {
    let errors = if draft.seen.contains(&step) { validate_step(&draft, &offer, step) } else { FieldErrors::default() };
    let choices = Choices::of(&offer);
    view! {
        <Title text=format!("Create datastore: {}", step.label()) />
        <h1>"Create datastore"</h1>
        {(step != Step::Preview)
            .then(|| {
                // Enter in a field presses the form's first button, and those of the stepper come before Continue.
                view! { <button class="sr-only" type="submit" form="wizard" tabindex="-1" aria-hidden="true"></button> }
            })}
        <Stepper id step reachable seen=draft.seen.clone() />
        <div class="wizard" class:preview=step == Step::Preview>
            {if step == Step::Preview {
                view! { <preview::Preview id draft=draft.clone() offer=offer.clone() /> }.into_any()
            } else {
                view! { <StepForm id step draft=draft.clone() offer=offer.clone() errors address /> }.into_any()
            }} <aside class="summary card" aria-label="Summary">
                <Summary id typed=draft.typed() choices step reachable sprite=Sprite::url() />
            </aside>
        </div>
    }
}
