//! Step 4: instance type, storage, first database, first trusted source (rules 10-15, 79-81).

use super::{
    choices::Choices,
    form::{checked, error, name},
    live::EphemeralSize,
    review::first_database,
};
use crate::{
    error::FieldErrors,
    model::{
        catalogue::{Flavor, VolumeType},
        draft::Draft,
        format,
        offer::Offer,
        topology::Topology,
    },
    ui::components::{Column, FieldError, Rule, Table},
};
use leptos::prelude::*;

/// The fields.
#[component]
pub(super) fn Resources(
    /// What was typed.
    draft: Draft,
    /// What may be chosen.
    offer: Offer,
    /// What is wrong.
    errors: FieldErrors,
    /// The visitor's address as a CIDR.
    address: Option<String>,
) -> impl IntoView {
    view! {
        <Flavors draft=draft.clone() offer=offer.clone() errors=errors.clone() />
        <Storage draft=draft.clone() offer errors=errors.clone() />
        <fieldset class="group">
            <legend>"First database"</legend>
            <div class="columns">
                <FirstDatabase draft=draft.clone() errors=errors.clone() />
                {checked("user", "Admin user", "Its password is generated.", &draft.user, &errors, Rule::Identifier("user".to_owned()))}
            </div>
        </fieldset>
        <fieldset class="group">
            <legend>"Firewall"</legend>
            {address
                .map(|cidr| {
                    view! {
                        <label class="check">
                            <input type="checkbox" id="allow" name=name("allow") value=cidr.clone() checked=!draft.allow.is_empty() />
                            {format!("Allow my address ({cidr})")}
                        </label>
                    }
                })}
            <p class="hint">"No source, no access: until a trusted source is there, nobody can connect. More can be added later."</p>
            <FieldError id="allow" error=error(&errors, "allow") />
        </fieldset>
    }
}

/// Its name, where the engine gives it one.
#[component]
fn FirstDatabase(draft: Draft, errors: FieldErrors) -> impl IntoView {
    let Some(numbered) = first_database(&draft) else {
        let rule = Rule::Identifier("database".to_owned());
        return checked("database", "Database name", "Small letters, digits and _.", &draft.database, &errors, rule).into_any();
    };
    view! {
        <div class="field" id="database">
            // A name that was typed for another engine comes back with it.
            <input type="hidden" name=name("database") value=draft.database />
            <p class="hint">{numbered.words}</p>
        </div>
    }
    .into_any()
}

#[component]
fn Flavors(draft: Draft, offer: Offer, errors: FieldErrors) -> impl IntoView {
    let nodes = draft.topology.parse::<Topology>().map_or(1, Topology::nodes);
    let columns = vec![Column::new("Instance type"), Column::new("vCPU"), Column::new("RAM"), Column::new("Disk")];
    view! {
        <fieldset class="group" id="flavor" aria-describedby="flavor-error">
            <legend>"Instance type"</legend>
            <Table caption="Instance types" columns class="flavors">
                {offer
                    .catalogue
                    .flavors
                    .iter()
                    .map(|flavor| {
                        let refused = offer.flavor_refused(flavor, nodes);
                        view! { <FlavorRow flavor=flavor.clone() refused checked=flavor.id == draft.flavor /> }
                    })
                    .collect_view()}
            </Table>
            <FieldError id="flavor" error=error(&errors, "flavor") />
        </fieldset>
    }
}

/// A flavor that does not fit is shown, but cannot be chosen, and says why.
#[component]
fn FlavorRow(flavor: Flavor, refused: Option<String>, checked: bool) -> impl IntoView {
    let id = format!("flavor-{}", flavor.id);
    let why = format!("{id}-why");
    let disabled = refused.is_some();
    view! {
        <tr role="row" class:disabled=disabled>
            <td role="cell">
                <label class="pick">
                    <input
                        type="radio"
                        name=name("flavor")
                        value=flavor.id
                        checked=checked && !disabled
                        disabled=disabled
                        aria-describedby=disabled.then(|| why.clone())
                    />
                    {flavor.name}
                </label>
                {refused.map(|text| view! { <span class="choice-why" id=why>{text}</span> })}
            </td>
            <td role="cell" data-label="vCPU" class="num">
                {flavor.vcpus}
            </td>
            <td role="cell" data-label="RAM" class="num">
                {format::ram(flavor.ram_mb)}
            </td>
            <td role="cell" data-label="Disk" class="num">
                {format!("{} GB", flavor.disk_gb)}
            </td>
        </tr>
    }
}

#[component]
fn Storage(draft: Draft, offer: Offer, errors: FieldErrors) -> impl IntoView {
    let max = offer.catalogue.limits.max_volume_gb;
    let ephemeral = draft.storage == "ephemeral";
    let volume = draft.storage == "volume";
    let size_hint = format!("A whole number from 1 to {max} GB for each node. It can grow later, never shrink.");
    view! {
        <fieldset class="choices storage" id="storage" aria-describedby="storage-error">
            <legend>"Storage"</legend>
            <div class="choice-grid">
                {storage_card(
                    "ephemeral",
                    "Ephemeral",
                    "The fastest. It lives and dies with its node: a single point of failure. Use replicas, or have another way to \
                     recover your data.",
                    ephemeral,
                )}
                {storage_card(
                    "volume",
                    "Volumes",
                    "A disk of its own that outlives the node: when the node is replaced, its data is attached again.",
                    volume,
                )}
            </div>
            <FieldError id="storage" error=error(&errors, "storage") />
            <div class="ephemeral-only">
                <p class="fixed-size">
                    "Size: "
                    <EphemeralSize chosen=draft.flavor.clone() flavors=Choices::of(&offer).flavors />
                    ". It is the instance type's own disk and cannot be changed, now or later."
                </p>
            </div>
            <div class="volume-only">
                <p class="hint volume-hint">"Volumes only:"</p>
                <fieldset class="choices" id="volume_type" aria-describedby="volume_type-error">
                    <legend>"Volume type"</legend>
                    <div class="choice-grid">
                        {offer
                            .catalogue
                            .volume_types
                            .into_iter()
                            .map(|kind| {
                                let checked = kind.id == draft.volume_type;
                                view! { <VolumeCard kind checked /> }
                            })
                            .collect_view()}
                    </div>
                    <FieldError id="volume_type" error=error(&errors, "volume_type") />
                </fieldset>
                {checked("volume_gb", "Volume size (GB)", &size_hint, &draft.volume_gb, &errors, Rule::VolumeGb(max))}
            </div>
        </fieldset>
    }
}

fn storage_card(id: &'static str, label: &'static str, text: &'static str, checked: bool) -> impl IntoView {
    view! {
        <label class="choice">
            <input
                type="radio"
                name=name("storage")
                value=id
                checked=checked
                aria-labelledby=format!("{id}-name")
                aria-describedby=format!("{id}-words")
            />
            <span class="choice-words">
                <b id=format!("{id}-name")>{label}</b>
                <span class="choice-text" id=format!("{id}-words")>
                    {text}
                </span>
            </span>
        </label>
    }
}

#[component]
fn VolumeCard(kind: VolumeType, checked: bool) -> impl IntoView {
    let id = format!("volume-type-{}", kind.id);
    view! {
        <label class="choice small">
            <input
                type="radio"
                name=name("volume_type")
                value=kind.id
                checked=checked
                aria-labelledby=format!("{id}-name")
                aria-describedby=format!("{id}-words")
            />
            <span class="choice-words">
                <b id=format!("{id}-name")>{kind.name}</b>
                <span class="choice-text" id=format!("{id}-words")>
                    {kind.description}
                </span>
            </span>
        </label>
    }
}
