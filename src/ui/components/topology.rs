//! How the nodes of a datastore relate, as a drawing.

use super::{Glyph, Icon};
use leptos::prelude::*;

/// A node of the drawing.
pub(crate) struct NodeMark {
    /// Name.
    pub name: String,
    /// Whether it is the primary.
    pub primary: bool,
    /// How it is: its role, and what else matters now.
    pub state: String,
    /// Last line: an address.
    pub detail: String,
}

/// Clients → trusted sources → endpoints → primary → replicas. Lists, so that it reads well and fits any width.
#[component]
pub(crate) fn Topology(
    /// What stands at the gate: "3 trusted sources".
    #[prop(into)]
    gate: String,
    /// The primary endpoint, once there.
    #[prop(into)]
    primary: Option<String>,
    /// The replica endpoint, where there is one.
    #[prop(into)]
    replica: Option<String>,
    /// Nodes.
    nodes: Vec<NodeMark>,
) -> impl IntoView {
    let endpoints = [("Primary endpoint", Some(primary.unwrap_or_else(|| "not there yet".to_owned()))), ("Replica endpoint", replica)];
    let endpoints = endpoints.into_iter().filter_map(|(name, address)| Some(mark(Glyph::Plug, name.to_owned(), None, address?, "mark"))).collect();
    let (primaries, replicas): (Vec<NodeMark>, Vec<NodeMark>) = nodes.into_iter().partition(|node| node.primary);
    let node = |node: NodeMark| mark(Glyph::Node, node.name, Some(node.state), node.detail, "mark node");
    let legs = [
        vec![mark(Glyph::User, "Clients".to_owned(), Some("verify the server's certificate".to_owned()), String::new(), "mark")],
        vec![mark(Glyph::Shield, "Firewall".to_owned(), Some(gate), String::new(), "mark")],
        endpoints,
        primaries.into_iter().map(node).collect(),
        replicas.into_iter().map(node).collect(),
    ];
    let replicated = !legs[4].is_empty();
    view! {
        <figure class="topology">
            <ol>
                {legs
                    .into_iter()
                    .filter(|leg| !leg.is_empty())
                    .map(|leg| {
                        view! {
                            <li class="leg">
                                <ul>{leg}</ul>
                            </li>
                        }
                    })
                    .collect_view()}
            </ol>
            <figcaption>
                {if replicated { "The way of a connection, and of what is written: from the primary to its replicas" } else { "The way of a connection" }}
            </figcaption>
        </figure>
    }
}

fn mark(glyph: Glyph, name: String, state: Option<String>, address: String, class: &'static str) -> AnyView {
    view! {
        <li class=class>
            <Icon glyph />
            <b>{name}</b>
            {state.map(|state| view! { <span>{state}</span> })}
            {(!address.is_empty()).then(|| view! { <span class="mono">{address}</span> })}
        </li>
    }
    .into_any()
}
