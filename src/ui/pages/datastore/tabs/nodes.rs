//! `/datastores/:id/nodes`: a card for each node, and how they relate.

use super::{super::show::show, Tab, drills::Drills};
use crate::{
    model::{
        datastore::{DatastoreView, Endpoint, EndpointKind, NodeView},
        format,
        status::Status,
        storage::Enforcement,
    },
    server_fns::datastore::{drills::drills, promote::Promote},
    ui::{
        components::{Card, Copy, Fact, Meter, NodeMark, PostButton, StatusPill, TimeAgo, Topology},
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
            // One node alone has no failover.
            if view.nodes.len() > 1 { drills(view.row.id).await.map(Some) } else { Ok(None) }
        },
        |view, drills| {
            let (id, enforced) = (view.row.id, view.enforced);
            let promotes = matches!(view.row.status, Status::Running | Status::Degraded);
            view! {
                <Drawing view=view.clone() />
                <div class="nodes">
                    {view.nodes.into_iter().enumerate().map(|(index, node)| view! { <NodeCard datastore=id node index enforced promotes /> }).collect_view()}
                </div>
                {drills.map(|drills| view! { <Drills datastore=id drills /> })}
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
    let nodes = view
        .nodes
        .iter()
        .map(|node| NodeMark { name: node.name.clone(), role: role(&node.role), detail: node.private.clone().unwrap_or_default() })
        .collect();
    view! {
        <Card id="topology" title="Topology" lead=view.row.topology.label()>
            <Topology gate primary replica nodes />
        </Card>
    }
}

#[component]
fn NodeCard(datastore: Uuid, node: NodeView, index: usize, enforced: Enforcement, promotes: bool) -> impl IntoView {
    let promotes = promotes && node.role == "replica" && node.status == Status::Running;
    let fields = vec![("id", datastore.to_string()), ("node", node.id.to_string())];
    let name = node.name.clone();
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
            {promotes
                .then(|| {
                    view! {
                        <details class="menu" name="menu">
                            <summary class="button" aria-label=format!("Promote {name}…")>
                                "Promote…"
                            </summary>
                            <div class="menu-items menu-text">
                                <p>
                                    {format!("Makes {name} the primary; the present primary becomes a replica. New writes wait while the last ones arrive: nothing that was acknowledged is lost. Connections to the primary are cut, and clients connect again.")}
                                </p>
                                <PostButton action=Promote::url() label="Promote now" look="primary" fields />
                            </div>
                        </details>
                    }
                })}
        </section>
    }
}

fn role(role: &str) -> String {
    match role {
        "primary" => "Primary, read-write".to_owned(),
        "replica" => "Replica, read-only".to_owned(),
        other => other.to_owned(),
    }
}
