//! Step 2: name, tags, topology (rules 6-8), and what replicas are for.

use super::form::{checked, error, name};
use crate::{
    error::FieldErrors,
    model::{draft::Draft, durability::Durability, engine::EngineKind, format, names, offer::Offer, topology::Topology},
    ui::components::{FieldError, Glyph, Icon, Rule},
};
use leptos::prelude::*;

/// The fields.
#[component]
pub(super) fn Configuration(
    /// What was typed.
    draft: Draft,
    /// What may be chosen.
    offer: Offer,
    /// What is wrong.
    errors: FieldErrors,
) -> impl IntoView {
    let max_tags = offer.catalogue.limits.max_tags;
    let name_hint = format!("Letters, digits, - and _; up to {} characters. It can be changed later.", names::DATASTORE_NAME_MAX);
    let tags_hint = format!("Optional, separated by commas, at most {max_tags}: production, team:payments");
    let engine = draft.engine.parse().unwrap_or(EngineKind::PostgreSql);
    let topologies = engine.topologies();
    view! {
        {checked("name", "Name", &name_hint, &draft.name, &errors, Rule::Name)}
        {checked("tags", "Tags", &tags_hint, &draft.tags, &errors, Rule::Tags(max_tags))}
        <fieldset class="choices" id="topology" aria-describedby="topology-error">
            <legend>"Topology"</legend>
            <div class="choice-grid">
                {topologies
                    .iter()
                    .map(|&topology| {
                        let checked = draft.topology == topology.id();
                        view! { <TopologyCard engine topology checked /> }
                    })
                    .collect_view()}
            </div>
            <FieldError id="topology" error=error(&errors, "topology") />
        </fieldset>
        {(topologies.len() > 1).then(|| view! { <DurabilityChoice engine chosen=draft.durability.clone() error=error(&errors, "durability") /> })}
    }
}

/// When a write counts as done. What is proposed follows the topology.
#[component]
fn DurabilityChoice(engine: EngineKind, chosen: String, error: Option<String>) -> impl IntoView {
    let choice = |it: Durability| (it.id(), engine.writes(it), engine.write_words(it).gives, engine.write_words(it).costs);
    let choices = [("", "As proposed", engine.proposed_writes(), "")].into_iter().chain(Durability::ALL.map(choice));
    view! {
        <fieldset class="choices" id="durability" aria-describedby="durability-error">
            <legend>"When a write counts as done (with replicas)"</legend>
            <div class="choice-grid">
                {choices
                    .map(|(id, label, gives, costs)| {
                        view! {
                            <label class="choice">
                                <input
                                    type="radio"
                                    name=name("durability")
                                    value=id
                                    checked=chosen == id
                                    aria-labelledby=format!("durability-{id}-name")
                                    aria-describedby=format!("durability-{id}-words")
                                />
                                <span class="choice-words">
                                    <b id=format!("durability-{id}-name")>{label}</b>
                                    <span id=format!("durability-{id}-words")>
                                        <span class="choice-text">{gives}</span>
                                        {(!costs.is_empty())
                                            .then(|| {
                                                view! {
                                                    <span class="choice-why warning">
                                                        <Icon glyph=Glyph::Warning />
                                                        {costs}
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
            <FieldError id="durability" error />
        </fieldset>
    }
}

#[component]
fn TopologyCard(engine: EngineKind, topology: Topology, checked: bool) -> impl IntoView {
    let id = format!("topology-{}", topology.id());
    let nodes = topology.nodes();
    view! {
        <label class="choice">
            <input
                type="radio"
                name=name("topology")
                value=topology.id()
                checked=checked
                aria-labelledby=format!("{id}-name")
                aria-describedby=format!("{id}-words")
            />
            <Diagram nodes />
            <span class="choice-words">
                <b id=format!("{id}-name")>{topology.label()}</b>
                <span id=format!("{id}-words")>
                    <span class="choice-text">{format::count(nodes as usize, "node", "nodes")} {topology.gives().map(|gives| format!(". {gives}"))}</span>
                    <span class="choice-why warning">
                        <Icon glyph=Glyph::Warning />
                        {engine.costs(topology)}
                    </span>
                </span>
            </span>
        </label>
    }
}

/// A primary and its replicas, as dots.
#[component]
fn Diagram(nodes: u32) -> impl IntoView {
    let replicas = nodes.saturating_sub(1);
    let (primary, radius) = if replicas == 0 { (32, 18) } else { (16, 12) };
    let y = move |index: u32| 16 + (2 * index + 1) * 16 / replicas.max(1);
    view! {
        <svg class="diagram" viewBox="0 0 64 64" width="64" height="64" aria-hidden="true" focusable="false">
            {(0..replicas)
                .map(|index| {
                    view! {
                        <path d=format!("M{primary} 32 L52 {}", y(index)) class="diagram-line" />
                        <circle cx="52" cy=y(index) r="7" class="diagram-replica" />
                    }
                })
                .collect_view()}
            <circle cx=primary cy="32" r=radius class="diagram-primary" />
        </svg>
    }
}
