//! Settings of a datastore with replicas: when a write counts as done, and what the replica endpoint leads to.

use crate::{
    model::{datastore::DatastoreView, durability::Durability, form::Attempt},
    server_fns::datastore::{durability::SetDurability, readers::SetReaders},
    ui::components::{Card, Choice, FormErrors, PostButton, TextField},
};
use leptos::{prelude::*, server_fn::ServerFn};

/// When a write counts as done.
#[component]
pub(super) fn DurabilityCard(view: DatastoreView) -> impl IntoView {
    let now = view.durability;
    let engine = view.row.engine;
    let other = if now == Durability::Quorum { Durability::Asynchronous } else { Durability::Quorum };
    let (is, becomes) = (engine.write_words(now), engine.write_words(other));
    let lead = format!("{} {}", is.gives, is.costs);
    let words = format!("After the change: {} {}", becomes.gives, becomes.costs);
    let fields = vec![("id", view.row.id.to_string()), ("durability", other.id().to_owned())];
    view! {
        <Card id="durability" title=format!("Writes: {}", engine.writes(now).to_lowercase()) lead>
            <p>{words}</p>
            <PostButton action=SetDurability::url() label=format!("Change to: {}", engine.writes(other).to_lowercase()) fields />
        </Card>
    }
}

/// What the replica endpoint leads to.
#[component]
pub(super) fn ReadersCard(view: DatastoreView, attempt: Attempt) -> impl IntoView {
    let typed = |name, now: String| attempt.value(name).map_or(now, str::to_owned);
    let lag = typed("lag_mb", view.readers.lag_mb.to_string());
    let fallback = typed("fallback", if view.readers.fall_back { "primary" } else { "none" }.to_owned());
    let error = attempt.errors.of("lag_mb").map(str::to_owned);
    view! {
        <Card
            id="readers"
            title="Replica endpoint"
            lead="Readers are spread over the replicas that follow the primary closely. One that falls behind is left out until it has caught up."
        >
            <form method="post" action=SetReaders::url() autocomplete="off">
                <input type="hidden" name="id" value=view.row.id.to_string() />
                <FormErrors errors=attempt.errors message=attempt.message />
                <TextField
                    id="lag_mb"
                    name="lag_mb"
                    label="Most MB of log behind"
                    hint="As the primary counts it: 64 MB are some moments of heavy writing."
                    value=lag
                    inputmode="numeric"
                    width="short"
                    error
                />
                <div class="field">
                    <span>"When no replica is left"</span>
                    <Choice
                        name="fallback"
                        label="When no replica is left"
                        any="Refuse readers"
                        options=vec![("primary".to_owned(), "Lead readers to the primary".to_owned())]
                        chosen=fallback
                    />
                </div>
                <div class="actions">
                    <button class="button" type="submit">
                        "Save"
                    </button>
                </div>
            </form>
        </Card>
    }
}
