//! The five steps, in order.

use super::path;
use crate::{
    model::step::Step,
    ui::components::{Glyph, Icon},
};
use leptos::prelude::*;
use uuid::Uuid;

/// Where one is and where one may go. From a form, going saves it first; Preview has none, so there they are links.
#[component]
pub(super) fn Stepper(
    /// The draft.
    id: Uuid,
    /// Where one is.
    step: Step,
    /// How far one may go.
    reachable: Step,
    /// Steps that were posted.
    seen: Vec<Step>,
) -> impl IntoView {
    view! {
        <nav aria-label="Steps">
            <ol class="stepper">
                {Step::ALL
                    .into_iter()
                    .enumerate()
                    .map(|(index, it)| {
                        let done = it < reachable && it != step && seen.contains(&it);
                        let words = view! {
                            <span class="stepper-mark">
                                {if done { view! { <Icon glyph=Glyph::Check /> }.into_any() } else { (index + 1).into_any() }}
                            </span>
                            <span class="stepper-label">{it.label()}</span>
                        };
                        let item = if it == step || it > reachable {
                            view! { <span class="stepper-item">{words}</span> }.into_any()
                        } else if step == Step::Preview {
                            view! {
                                <a class="stepper-item" href=path(id, it)>
                                    {words}
                                </a>
                            }
                                .into_any()
                        } else {
                            view! {
                                <button class="stepper-item" type="submit" form="wizard" name="go" value=it.slug()>
                                    {words}
                                </button>
                            }
                                .into_any()
                        };
                        view! {
                            <li class:done=done aria-current=(it == step).then_some("step")>
                                {item}
                            </li>
                        }
                    })
                    .collect_view()}
            </ol>
        </nav>
    }
}
