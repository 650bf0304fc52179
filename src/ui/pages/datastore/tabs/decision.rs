//! What a person must decide: whether writes go on although some may be lost.

use crate::{
    model::{
        datastore::{DatastoreView, NodeView},
        durability::Durability,
        form::Attempt,
        status::Status,
    },
    server_fns::datastore::{durability::SetDurability, overrule::Overrule},
    ui::components::{Card, FormErrors, Glyph, Icon, PostButton, TextField},
};
use leptos::{prelude::*, server_fn::ServerFn};

/// The choice, and what each way costs.
#[component]
pub(super) fn Decision(view: DatastoreView, attempt: Attempt) -> impl IntoView {
    let primary_serves = view.nodes.iter().any(|node| node.role == "primary" && node.status == Status::Running);
    let choices = if primary_serves {
        view! { <GoOnAlone view=view.clone() /> }.into_any()
    } else {
        view! { <WhoLeads view=view.clone() attempt /> }.into_any()
    };
    view! {
        <Card id="decision" title="A decision is needed" lead=view.detail.clone() class="danger-zone">
            <p>
                {if view.row.engine.keeps_acknowledged() {
                    "Writes are blocked: every write that was acknowledged is to be found again. "
                } else {
                    "Writes are refused: no replica is in step. "
                }}
                "Granary keeps trying to bring back what is missing, so one way is to wait, or to mend what keeps a node from starting; the Logs and Activity tabs say why."
            </p>
            {choices}
        </Card>
    }
}

/// The primary is there, replicas are not.
#[component]
fn GoOnAlone(view: DatastoreView) -> impl IntoView {
    let fields = vec![("id", view.row.id.to_string()), ("durability", Durability::Asynchronous.id().to_owned())];
    view! {
        <p>
            "The other: let writes go on without waiting for replicas. Nothing that was acknowledged is lost by that; but until replicas follow again there is one copy, and a failover may lose the last moments. Replacing a replica brings the promise back."
        </p>
        <PostButton action=SetDurability::url() label="Go on without waiting for replicas" look="danger" fields />
    }
}

/// Replicas are there, the primary is not.
#[component]
fn WhoLeads(view: DatastoreView, attempt: Attempt) -> impl IntoView {
    let (id, name) = (view.row.id, view.row.name.clone());
    let candidates: Vec<NodeView> = view.nodes.into_iter().filter(|node| node.role == "replica" && !matches!(node.status, Status::Down)).collect();
    if candidates.is_empty() {
        return view! { <p>"No replica runs now, so none can take over: restore a backup to a new datastore, or bring a node back."</p> }.into_any();
    }
    let typed = attempt.value("confirm").unwrap_or_default().to_owned();
    let error = attempt.errors.of("confirm").map(str::to_owned);
    view! {
        <p>
            "The other: make a replica the primary now. It has what had arrived there. Writes that were acknowledged by a replica that is away alone are lost for good, also when that one comes back."
        </p>
        <form method="post" action=Overrule::url() autocomplete="off">
            <input type="hidden" name="id" value=id.to_string() />
            <FormErrors errors=attempt.errors message=attempt.message />
            <div class="field">
                <label for="decision-node">"New primary"</label>
                <select id="decision-node" name="node">
                    {candidates.into_iter().map(|node| view! { <option value=node.id.to_string()>{node.name}</option> }).collect_view()}
                </select>
            </div>
            <TextField id="confirm" name="confirm" label=format!("To confirm, type the name: {name}") value=typed error />
            <div class="actions">
                <button class="button danger" type="submit">
                    <Icon glyph=Glyph::Warning />
                    "Promote, writes may be lost"
                </button>
            </div>
        </form>
    }
    .into_any()
}
