//! The form around a step's fields.

use super::{cloud_service::CloudService, configuration::Configuration, databases::Databases, resources::Resources};
use crate::{
    error::FieldErrors,
    model::{draft::Draft, offer::Offer, step::Step},
    server_fns::wizard::save::Save,
    ui::{
        components::{CheckedField, FieldText, FormErrors, Rule},
        request::Sprite,
    },
};
use leptos::{prelude::*, server_fn::ServerFn};
use uuid::Uuid;

/// A step's fields, Continue and Back. Both post, so that Back loses nothing; Continue comes first, so that Enter means it.
#[component]
pub(super) fn StepForm(
    /// The draft.
    id: Uuid,
    /// The step.
    step: Step,
    /// What was typed.
    draft: Draft,
    /// What may be chosen.
    offer: Offer,
    /// What is wrong, once the step was posted.
    errors: FieldErrors,
    /// The visitor's address as a CIDR.
    address: Option<String>,
) -> impl IntoView {
    let fields = match step {
        Step::Databases => view! { <Databases draft offer errors=errors.clone() /> }.into_any(),
        Step::Configuration => view! { <Configuration draft offer errors=errors.clone() /> }.into_any(),
        Step::CloudService => view! { <CloudService draft offer errors=errors.clone() /> }.into_any(),
        Step::Resources => view! { <Resources draft offer errors=errors.clone() address /> }.into_any(),
        Step::Preview => ().into_any(),
    };
    view! {
        <form class="card step-form" id="wizard" method="post" action=Save::url() autocomplete="off">
            <input type="hidden" name="id" value=id.to_string() />
            // The variant's name is what serde reads.
            <input type="hidden" name="step" value=format!("{step:?}") />
            <h2>{step.label()}</h2>
            <FormErrors errors message=None />
            {fields}
            <div class="actions">
                <button class="button primary" type="submit">
                    "Continue"
                </button>
                {step
                    .previous()
                    .map(|previous| {
                        view! {
                            <button class="button" type="submit" name="go" value=previous.slug()>
                                "Back"
                            </button>
                        }
                    })}
            </div>
        </form>
    }
}

/// A checked text field of the draft; its id is the name of the field.
pub(super) fn checked(field: &str, label: &str, hint: &str, value: &str, errors: &FieldErrors, rule: Rule) -> impl IntoView + use<> {
    let text = FieldText {
        id: field.to_owned(),
        name: name(field),
        label: label.to_owned(),
        hint: hint.to_owned(),
        value: value.to_owned(),
        error: errors.of(field).map(str::to_owned),
    };
    view! { <CheckedField text rule sprite=Sprite::url() /> }
}

/// What is wrong with a field that is no text field.
pub(super) fn error(errors: &FieldErrors, field: &str) -> Option<String> {
    errors.of(field).map(str::to_owned)
}

/// Name of a field in the post.
pub(super) fn name(field: &str) -> String {
    format!("fields[{field}]")
}
