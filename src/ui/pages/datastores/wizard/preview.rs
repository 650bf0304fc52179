//! Step 5: everything once more, each line with a way back, and Finish (rule 16).

use super::{
    choices::Choices,
    path,
    review::{Line, lines},
};
use crate::{
    model::{draft::Draft, offer::Offer, step::Step},
    server_fns::wizard::finish::Finish,
    ui::components::PostButton,
};
use leptos::{prelude::*, server_fn::ServerFn};
use uuid::Uuid;

/// The review. A second Finish of the same draft leads to the same datastore.
#[component]
pub(super) fn Preview(
    /// The draft's id.
    id: Uuid,
    /// What was typed.
    draft: Draft,
    /// What may be chosen.
    offer: Offer,
) -> impl IntoView {
    let choices = Choices::of(&offer);
    let no_source = draft.allow.is_empty();
    view! {
        <div class="card step-form">
            <h2>{Step::Preview.label()}</h2>
            {Step::ALL
                .into_iter()
                .filter(|step| *step != Step::Preview)
                .map(|step| {
                    let href = path(id, step);
                    view! {
                        <section class="review">
                            <h3>{step.label()}</h3>
                            <dl class="review-lines">
                                {lines(&draft, &choices, step).into_iter().map(|line| review_line(line, &href)).collect_view()}
                            </dl>
                        </section>
                    }
                })
                .collect_view()}
            {no_source.then(|| view! { <p class="hint">"Without a trusted source nobody can connect. You can add one on the Firewall tab."</p> })}
            <div class="actions">
                <PostButton action=Finish::url() label="Finish" look="primary" fields=vec![("id", id.to_string())] />
                <a class="button" href=path(id, Step::Resources)>
                    "Back"
                </a>
            </div>
        </div>
    }
}

fn review_line(line: Line, href: &str) -> impl IntoView + use<> {
    view! {
        <div>
            <dt>{line.label}</dt>
            <dd>{line.value}</dd>
            <dd class="review-edit">
                <a href=format!("{href}#{}", line.field) aria-label=format!("Change {}", line.label.to_lowercase())>
                    "Change"
                </a>
            </dd>
        </div>
    }
}
