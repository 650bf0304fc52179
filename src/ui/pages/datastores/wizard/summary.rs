//! The summary beside the steps; it follows the form.

use super::{
    live::follow_form,
    path,
    review::{Totals, lines, totals},
};
use crate::{
    model::{
        draft::{Draft, Offer, Step},
        format,
    },
    ui::{
        components::{Glyph, Icon},
        request::Sprite,
    },
};
use leptos::prelude::*;
use uuid::Uuid;

/// What was chosen so far, with a way back to each step, the totals, and what the quota has left.
#[island]
pub fn Summary(
    /// The draft's id.
    id: Uuid,
    /// The draft as the page was drawn.
    start: Draft,
    /// What may be chosen.
    offer: Offer,
    /// Where one is.
    step: Step,
    /// How far one may go.
    reachable: Step,
    /// URL of the icons.
    sprite: String,
) -> impl IntoView {
    provide_context(Sprite(sprite));
    let draft = RwSignal::new(start.clone());
    Effect::new(move |_| follow_form(step, start.clone(), move |now| draft.set(now)));
    view! {
        <h2>"Summary"</h2>
        {move || {
            let draft = draft.get();
            let groups = Step::ALL
                .into_iter()
                .filter(|it| *it != Step::Preview)
                .map(|it| view! { <Group id draft=draft.clone() offer=offer.clone() it step reachable /> })
                .collect_view();
            view! {
                {groups}
                <Sum totals=totals(&draft, &offer) />
            }
        }}
    }
}

#[component]
fn Group(id: Uuid, draft: Draft, offer: Offer, it: Step, step: Step, reachable: Step) -> impl IntoView {
    let edit = format!("Edit {}", it.label());
    let way = if it == step || it > reachable {
        ().into_any()
    } else if step == Step::Preview {
        view! { <a class="edit" href=path(id, it) aria-label=edit>"Edit"</a> }.into_any()
    } else {
        // A button of the form, so that what was typed here is saved on the way.
        view! { <button class="edit" type="submit" form="wizard" name="go" value=it.slug() aria-label=edit>"Edit"</button> }.into_any()
    };
    view! {
        <section class="summary-group" class:here=it == step>
            <div class="summary-head">
                <h3>{it.label()}</h3>
                {way}
            </div>
            <dl>
                {lines(&draft, &offer, it)
                    .into_iter()
                    .map(|line| {
                        view! {
                            <div>
                                <dt>{line.label}</dt>
                                <dd>{line.value.unwrap_or_else(|| "not chosen yet".to_owned())}</dd>
                            </div>
                        }
                    })
                    .collect_view()}
            </dl>
        </section>
    }
}

#[component]
fn Sum(totals: Option<Totals>) -> impl IntoView {
    totals.map(|t| {
        let nodes = format!("× {}", format::count(t.nodes as usize, "node", "nodes"));
        let ram = t.ram_mb * u64::from(t.nodes);
        view! {
            <section class="summary-group totals">
                <h3>"Total"</h3>
                <dl>
                    <div>
                        <dt>"RAM"</dt>
                        <dd>{format!("{} {nodes} = {}", format::ram(t.ram_mb), format::ram(ram))}</dd>
                    </div>
                    {t
                        .storage_gb
                        .map(|gb| {
                            view! {
                                <div>
                                    <dt>"Storage"</dt>
                                    <dd>{format!("{gb} GB {nodes} = {} GB", u64::from(gb) * u64::from(t.nodes))}</dd>
                                </div>
                            }
                        })}
                    <div>
                        <dt>"Quota left"</dt>
                        <dd>
                            {match t.left {
                                Some(q) => {
                                    format!(
                                        "{}, {} RAM, {} GB",
                                        format::count(q.instances as usize, "instance", "instances"),
                                        format::ram(q.ram_mb),
                                        q.storage_gb,
                                    )
                                        .into_any()
                                }
                                None => {
                                    view! {
                                        <span class="over">
                                            <Icon glyph=Glyph::Warning />
                                            "not enough"
                                        </span>
                                    }
                                        .into_any()
                                }
                            }}
                        </dd>
                    </div>
                </dl>
            </section>
        }
    })
}
