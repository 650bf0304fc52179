//! `/datastores/:id/nodes`: a card for each node, and how they relate.

use super::{super::show::show, Tab, decision::Decision, drills::Drills};
use crate::{
    model::{
        datastore::{DatastoreView, Endpoint, EndpointKind, NodeView},
        format,
        status::Status,
        storage::Enforcement,
    },
    server_fns::{
        datastore::{add_node::AddNode, drills::drills, promote::Promote, remove_node::RemoveNode, replace_node::ReplaceNode},
        page::last_attempt,
    },
    ui::{
        components::{Card, Copy, Fact, Glyph, Icon, Meter, NodeMark, PostButton, StatusPill, TimeAgo, Topology},
        request::{Sprite, locale},
    },
};
use leptos::{prelude::*, server_fn::ServerFn};
use uuid::Uuid;

/// The tab.
#[component]
pub fn Nodes() -> impl IntoView {
    show(
        Tab::Nodes,
        |view| async move {
            let attempt = last_attempt("overrule".to_owned()).await?;
            // One node alone has no failover.
            let drills = if view.nodes.len() > 1 { Some(drills(view.row.id).await?) } else { None };
            Ok((attempt, drills))
        },
        |view, (attempt, drills)| {
            let (id, engine, enforced, durability) = (view.row.id, view.row.engine, view.enforced, view.durability);
            let acts = matches!(view.row.status, Status::Running | Status::Degraded | Status::NeedsDecision);
            let most = view.row.engine.topologies().iter().map(|topology| topology.nodes()).max().unwrap_or(1);
            let may_add = acts && view.row.nodes < most;
            view! {
                {(view.row.status == Status::NeedsDecision).then(|| view! { <Decision view=view.clone() attempt=attempt.unwrap_or_default() /> })}
                <Drawing view=view.clone() />
                <div class="nodes">
                    {view.nodes.into_iter().enumerate().map(|(index, node)| view! { <NodeCard datastore=id node index enforced acts /> }).collect_view()}
                </div>
                {may_add.then(|| view! { <AddCard id /> })}
                {drills.map(|drills| view! { <Drills datastore=id engine durability drills /> })}
            }
        },
    )
}

#[component]
fn Drawing(view: DatastoreView) -> impl IntoView {
    let gate = match view.trusted_sources {
        0 => "no trusted source".to_owned(),
        n => format::count(n as usize, "trusted source", "trusted sources"),
    };
    let endpoint = |kind| view.endpoints.iter().find(|e| e.kind == kind).map(Endpoint::address);
    let (primary, replica) = (endpoint(EndpointKind::Primary), endpoint(EndpointKind::Replica));
    let nodes = view.nodes.iter().map(|node| {
        let state = match (node.in_transit, node.status, node.lag) {
            (true, _, _) => "comes or goes".to_owned(),
            (_, Status::Running, Some(0)) => "Replica, in step".to_owned(),
            (_, Status::Running, Some(lag)) => format!("Replica, {} behind", locale().words(&format::bytes(lag))),
            (_, Status::Running, None) => role(&node.role),
            (_, status, _) => format!("{}: {}", role(&node.role), status.word()),
        };
        NodeMark { name: node.name.clone(), primary: node.role == "primary", state, detail: node.private.clone().unwrap_or_default() }
    });
    let nodes = nodes.collect();
    let lead = if view.row.nodes > 1 {
        format!("{}; {}", view.row.topology.label(), view.row.engine.writes(view.durability).to_lowercase())
    } else {
        view.row.topology.label().to_owned()
    };
    view! {
        <Card id="topology" title="Topology" lead>
            <Topology gate primary replica nodes />
        </Card>
    }
}

#[component]
fn NodeCard(datastore: Uuid, node: NodeView, index: usize, enforced: Enforcement, acts: bool) -> impl IntoView {
    let acts = acts && node.role == "replica" && !node.in_transit;
    let promotes = acts && node.status == Status::Running;
    let (id, name) = (node.id, node.name.clone());
    let address = format!("node-{index}-address");
    view! {
        <section class="card" aria-labelledby=format!("node-{index}")>
            <div class="card-head">
                <div>
                    <h2 id=format!("node-{index}")>{node.name.clone()}</h2>
                    <p class="lead">{role(&node.role)}</p>
                </div>
                <div class="card-aside">
                    <StatusPill status=node.status />
                </div>
            </div>
            <dl class="facts">
                <Fact name="Public address">
                    {match node.public {
                        Some(public) => {
                            view! {
                                <span class="secret">
                                    <code id=address.clone()>{public}</code>
                                    <Copy target=address what=format!("public address of {}", node.name) sprite=Sprite::url() />
                                </span>
                            }
                                .into_any()
                        }
                        None => "not there yet".into_any(),
                    }}
                </Fact>
                {node
                    .private
                    .map(|private| {
                        view! {
                            <Fact name="Private address">
                                <code>{private}</code>
                            </Fact>
                        }
                    })}
                {node.lag.map(|lag| view! { <Fact name="Behind the primary">{if lag == 0 { "nothing".to_owned() } else { locale().words(&format::bytes(lag)) }}</Fact> })}
                {node.version.map(|version| view! { <Fact name="Version">{version}</Fact> })}
                <Fact name="Flavor">{node.flavor}</Fact>
                <Fact name="Limits">{enforced.of_node()}</Fact>
                <Fact name="Storage used">
                    <Meter used=node.storage_used total_gb=node.storage_gb />
                </Fact>
                {node.started_at.map(|at| view! { <Fact name="Started"><TimeAgo at /></Fact> })}
                {(!node.detail.is_empty()).then(|| view! { <Fact name="Last check said">{node.detail}</Fact> })}
            </dl>
            {acts
                .then(|| {
                    view! {
                        <div class="actions">
                            {promotes
                                .then(|| {
                                    view! {
                                        <Act
                                            word="Promote"
                                            node=name.clone()
                                            why=format!("Makes {name} the primary; the present primary becomes a replica. New writes wait while the last ones arrive: nothing that was acknowledged is lost. Connections to the primary are cut, and clients connect again.")
                                            action=Promote::url()
                                            ids=(datastore, id)
                                        />
                                    }
                                })}
                            <Act
                                word="Replace"
                                node=name.clone()
                                why=format!("Makes a new replica, copies the primary's data to it, and removes {name} with its data once the new one follows. Addresses of endpoints stay.")
                                action=ReplaceNode::url()
                                ids=(datastore, id)
                            />
                            <Act
                                word="Remove"
                                node=name.clone()
                                why=format!("Removes {name} with its copy of the data, for good. Fewer nodes are left to take over and to read from.")
                                action=RemoveNode::url()
                                ids=(datastore, id)
                            />
                        </div>
                    }
                })}
        </section>
    }
}

/// Something that is done with a node, once its words were read.
#[component]
fn Act(word: &'static str, node: String, why: String, action: &'static str, ids: (Uuid, Uuid)) -> impl IntoView {
    let fields = vec![("id", ids.0.to_string()), ("node", ids.1.to_string())];
    let (tone, look) = if word == "Remove" { ("box tone-bad", "danger") } else { ("box tone-warning", "primary") };
    view! {
        <details class="confirm">
            <summary class="button" aria-label=format!("{word} {node}…")>
                {format!("{word}…")}
            </summary>
            <div class=tone>
                <Icon glyph=Glyph::Warning />
                <div>
                    <p>{why}</p>
                    <PostButton action label=format!("{word} now") look fields />
                </div>
            </div>
        </details>
    }
}

#[component]
fn AddCard(id: Uuid) -> impl IntoView {
    view! {
        <Card
            id="add-node"
            title="Add a replica"
            lead="One more copy of all data, on a node as large as the others. It is copied from the primary while clients go on; then it can be read from and take over."
        >
            <PostButton action=AddNode::url() label="Add a replica" fields=vec![("id", id.to_string())] />
        </Card>
    }
}

fn role(role: &str) -> String {
    match role {
        "primary" => "Primary, read-write".to_owned(),
        "replica" => "Replica, read-only".to_owned(),
        other => other.to_owned(),
    }
}
