//! How the nodes of a datastore relate, as a drawing.

use super::{Glyph, Icon};
use leptos::prelude::*;

/// A node of the drawing.
pub(crate) struct NodeMark {
    /// Name.
    pub name: String,
    /// "primary" or "replica".
    pub role: String,
    /// Second line: an address.
    pub detail: String,
}

/// Clients → trusted sources → endpoint → nodes. A list, so that it reads well and fits any width.
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
    view! {
        <figure class="topology">
            <ol>
                <li class="mark">
                    <Icon glyph=Glyph::User />
                    <b>"Clients"</b>
                    <span>"verify the server's certificate"</span>
                </li>
                <li class="mark">
                    <Icon glyph=Glyph::Shield />
                    <b>"Firewall"</b>
                    <span>{gate}</span>
                </li>
                <li class="mark">
                    <Icon glyph=Glyph::Plug />
                    <b>"Primary endpoint"</b>
                    <span class="mono">{primary.unwrap_or_else(|| "not there yet".to_owned())}</span>
                </li>
                {replica
                    .map(|replica| {
                        view! {
                            <li class="mark">
                                <Icon glyph=Glyph::Plug />
                                <b>"Replica endpoint"</b>
                                <span class="mono">{replica}</span>
                            </li>
                        }
                    })}
                {nodes
                    .into_iter()
                    .map(|node| {
                        view! {
                            <li class="mark node">
                                <Icon glyph=Glyph::Node />
                                <b>{node.name}</b>
                                <span>{node.role}</span>
                                <span class="mono">{node.detail}</span>
                            </li>
                        }
                    })
                    .collect_view()}
            </ol>
            <figcaption>"The way of a connection"</figcaption>
        </figure>
    }
}
