//! The summary beside the steps; it follows the form.

use super::{
    choices::Choices,
    live::follow_form,
    path,
    review::{Line, Totals, lines, totals},
};
use crate::{
    model::{draft::Draft, format, step::Step},
    ui::{
        components::{Glyph, Icon},
        request::Sprite,
    },
};
use leptos::{
    either::{Either, EitherOf3},
    prelude::*,
};
use uuid::Uuid;

/// What was chosen so far, with a way back to each step, the totals, and what the quota has left.
#[island]
pub fn Summary(
    /// The draft's id.
    id: Uuid,
    /// The draft as the page was drawn.
    typed: Vec<(String, String)>,
    /// What may be chosen.
    choices: Choices,
    /// Where one is.
    step: Step,
    /// How far one may go.
    reachable: Step,
    /// URL of the icons.
    sprite: String,
) -> impl IntoView {
    provide_context(Sprite(sprite));
    let mut start = Draft::default();
    start.restore(&typed);
    let draft = RwSignal::new(start.clone());
    Effect::new(move |_| follow_form(step, start.clone(), Box::new(move |now| draft.set(now))));
    view! {
        <h2>"Summary"</h2>
        {move || {
            let draft = draft.get();
            let groups = Step::ALL
                .into_iter()
                .filter(|it| *it != Step::Preview)
                .map(|it| view! { <Group id lines=lines(&draft, &choices, it) it step reachable /> })
                .collect_view();
            view! {
                {groups}
                <Sum totals=totals(&draft, &choices) />
            }
        }}
    }
}

#[component]
fn Group(id: Uuid, lines: Vec<Line>, it: Step, step: Step, reachable: Step) -> impl IntoView {
    let edit = format!("Edit {}", it.label());
    let way = if it == step || it > reachable {
        EitherOf3::A(())
    } else if step == Step::Preview {
        EitherOf3::B(view! { <a class="edit" href=path(id, it) aria-label=edit>"Edit"</a> })
    } else {
        // A button of the form, so that what was typed here is saved on the way.
        EitherOf3::C(view! { <button class="edit" type="submit" form="wizard" name="go" value=it.slug() aria-label=edit>"Edit"</button> })
    };
    view! {
        <section class="summary-group" class:here=it == step>
            <div class="summary-head">
                <h3>{it.label()}</h3>
                {way}
            </div>
            <dl>
                {lines
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
                                    Either::Left(format!(
                                        "{}, {} RAM, {} GB",
                                        format::count(q.instances as usize, "instance", "instances"),
                                        format::ram(q.ram_mb),
                                        q.storage_gb,
                                    ))
                                }
                                None => {
                                    Either::Right(
                                        view! {
                                            <span class="over">
                                                <Icon glyph=Glyph::Warning />
                                                "not enough"
                                            </span>
                                        },
                                    )
                                }
                            }}
                        </dd>
                    </div>
                </dl>
            </section>
        }
    })
}
