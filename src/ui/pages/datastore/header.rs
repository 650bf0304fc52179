//! Name, engine, status, actions and tabs of a datastore.

use super::tabs::Tab;
use crate::{
    model::{
        datastore::{DatastoreRow, DatastoreView},
        job::{JobState, Snapshot},
        status::Status,
    },
    server_fns::datastore::restart::Restart,
    ui::{
        components::{Chips, Glyph, Icon, Menu, PostButton, Tabs, TimeAgo},
        live::LiveStatus,
        request::Sprite,
    },
};
use leptos::{prelude::*, server_fn::ServerFn};

/// The header.
#[component]
pub(super) fn Header(
    /// The datastore.
    view: DatastoreView,
    /// Which tab is open.
    tab: Tab,
) -> impl IntoView {
    let row = view.row.clone();
    let base = format!("/datastores/{}", row.id);
    let tabs = Tab::ALL.into_iter().map(|it| (it.label(), it.path(&base), it == tab)).collect();
    let working = view.job.as_ref().is_some_and(|job| matches!(job.state, JobState::Queued | JobState::Running));
    let drawn = Snapshot { datastore: row.id, status: Some(row.status), detail: view.detail.clone(), job: view.job.clone().map(Into::into) };
    view! {
        // A reload would empty a form that somebody is filling in.
        {(working && !tab.has_fields()).then(|| view! { <noscript inner_html=r#"<meta http-equiv="refresh" content="3">"#></noscript> })}
        <nav class="crumbs" aria-label="Breadcrumb">
            <ol>
                <li>
                    <a href="/datastores">"Datastores"</a>
                </li>
                <li>{row.name.clone()}</li>
            </ol>
        </nav>
        <div class="page-head datastore-head">
            <span class="engine-mark big" title=row.engine.label()>
                <Icon glyph=row.engine />
            </span>
            <div class="datastore-title">
                <h1>{row.name.clone()}</h1>
                <p class="lead">
                    {format!("{} {} · {} · {} × {} · created ", row.engine, row.version, row.region, row.flavor, row.nodes)}
                    <TimeAgo at=row.created_at />
                </p>
                <Chips words=row.tags.clone() />
            </div>
            <Actions row made=!view.endpoints.is_empty() />
        </div>
        <LiveStatus drawn sprite=Sprite::url() />
        <Tabs label=format!("Datastore {}", view.row.name) tabs />
    }
}

#[component]
fn Actions(row: DatastoreRow, made: bool) -> impl IntoView {
    let base = format!("/datastores/{}", row.id);
    let restarts = made && matches!(row.status, Status::Running | Status::Degraded | Status::Unknown | Status::Unreachable | Status::Down);
    view! {
        <div class="actions">
            {made
                .then(|| {
                    view! {
                        <a class="button primary" href=format!("{base}/users")>
                            <Icon glyph=Glyph::Plug />
                            "Connect"
                        </a>
                    }
                })}
            {restarts
                .then(|| {
                    view! {
                        <details class="menu" name="menu">
                            <summary class="button">
                                <Icon glyph=Glyph::Restart />
                                "Restart…"
                            </summary>
                            <div class="menu-items menu-text">
                                <p>{format!("Restarts all nodes of {}. Its connections are cut; clients connect again when it is back, after some seconds.", row.name)}</p>
                                <PostButton action=Restart::url() label="Restart now" look="primary" fields=vec![("id", row.id.to_string())] />
                            </div>
                        </details>
                    }
                })}
            <Menu label=format!("Actions for {}", row.name)>
                <li>
                    <a href=format!("{base}/settings")>
                        <Icon glyph=Glyph::Pencil />
                        "Rename"
                    </a>
                </li>
                <li>
                    <a href=format!("{base}/firewall")>
                        <Icon glyph=Glyph::Shield />
                        "Trusted sources"
                    </a>
                </li>
                <li>
                    <a class="danger" href=format!("{base}/delete")>
                        <Icon glyph=Glyph::Trash />
                        "Delete…"
                    </a>
                </li>
            </Menu>
        </div>
    }
}
