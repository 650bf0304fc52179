//! One row of the list.

use crate::{
    model::datastore::DatastoreRow,
    ui::{
        components::{Chips, Glyph, Icon, Menu, Meter, TimeAgo},
        live::LivePill,
        request::Sprite,
    },
};
use leptos::prelude::*;

/// How many tags a row shows.
const TAGS: usize = 3;

/// The row.
#[component]
pub(super) fn Row(
    /// What it shows.
    row: DatastoreRow,
) -> impl IntoView {
    let href = format!("/datastores/{}", row.id);
    let (kind, how) = row.topology.label().split_once(": ").unwrap_or((row.topology.label(), ""));
    view! {
        <tr role="row">
            <th role="rowheader" scope="row" class="cell-name">
                <span class="engine-mark" title=row.engine.label()>
                    <Icon glyph=row.engine />
                </span>
                <span class="cell-name-words">
                    <a href=href.clone()>{row.name.clone()}</a>
                    <span class="cell-name-second">
                        <span class="second">{format!("{} {}", row.engine, row.version)}</span>
                        <Chips words=row.tags most=TAGS />
                    </span>
                </span>
            </th>
            <td role="cell" data-label="Status" class="cell-status">
                <LivePill datastore=row.id drawn=row.status sprite=Sprite::url() />
            </td>
            <td role="cell" data-label="Topology" class="wide">
                {kind}
                <span class="second">{how}</span>
            </td>
            <td role="cell" data-label="Region" class="wide">
                {row.region}
            </td>
            <td role="cell" data-label="Flavor × nodes" class="num mid">
                {format!("{} × {}", row.flavor, row.nodes)}
            </td>
            <td role="cell" data-label="Storage used">
                <Meter used=row.storage_used total_gb=row.storage_gb />
            </td>
            <td role="cell" data-label="Created" class="num">
                <TimeAgo at=row.created_at />
            </td>
            <td role="cell" class="cell-menu">
                <Menu label=format!("Actions for {}", row.name)>
                    <li>
                        <a href=format!("{href}/users")>
                            <Icon glyph=Glyph::Plug />
                            "Connect"
                        </a>
                    </li>
                    <li>
                        <a href=format!("{href}/settings#restart")>
                            <Icon glyph=Glyph::Restart />
                            "Restart…"
                        </a>
                    </li>
                    <li>
                        <a class="danger" href=format!("{href}/delete")>
                            <Icon glyph=Glyph::Trash />
                            "Delete…"
                        </a>
                    </li>
                </Menu>
            </td>
        </tr>
    }
}
