//! `/datastores/:id`: how it is and how to reach it.

use super::{
    super::{
        connection::{Password, connection, switches},
        show::show,
    },
    Tab,
};
use crate::{
    model::{
        datastore::{DatastoreView, Endpoint, EndpointKind},
        format,
        job::{JobState, JobView},
        snippet::{Connection, snippets},
        status::Status,
        storage::Storage,
    },
    ui::{
        components::{Card, Copy, EmptyState, Fact, Glyph, Icon, JobActions, Meter, StatusPill, Switch, Switcher, TimeAgo},
        live::LiveJob,
        request::{Sprite, locale},
    },
};
use leptos::prelude::*;
use uuid::Uuid;

/// The tab.
#[component]
pub fn Overview() -> impl IntoView {
    show(
        Tab::Overview,
        |view| async move { connection(&view, EndpointKind::Primary).await },
        |view, connection| {
            let id = view.row.id;
            let job = view.job.clone();
            // Work that goes on or has failed comes before everything else.
            let first = job.as_ref().is_some_and(|job| matches!(job.state, JobState::Queued | JobState::Running | JobState::Failed));
            let (before, after) = if first { (job, None) } else { (None, job) };
            view! {
                {before.map(|job| view! { <Work id job /> })}
                <div class="overview">
                    <Endpoints view=view.clone() connection />
                    <div class="stack">
                        <Health view=view.clone() />
                        <Space view />
                    </div>
                </div>
                {after.map(|job| view! { <Work id job /> })}
            }
        },
    )
}

#[component]
fn Work(id: Uuid, job: JobView) -> impl IntoView {
    let at = job.created_at;
    let by = job.requested_by.clone();
    let finished = (job.state == JobState::Done).then_some(job.duration_ms).flatten();
    view! {
        <Card id="job" title=job.label.clone() class="job-card">
            <p class="lead">
                {format!("Asked for by {by} ")} <TimeAgo at /> {finished.map(|ms| format!(", took {}", locale().words(&format::duration(ms))))}
            </p>
            <LiveJob datastore=id drawn=job.clone().into() decimal=locale().decimal() sprite=Sprite::url() />
            <JobActions datastore=id job />
        </Card>
    }
}

#[component]
fn Endpoints(view: DatastoreView, connection: Option<Connection>) -> impl IntoView {
    let Some((connection, endpoint)) = connection.zip(view.endpoints.first().cloned()) else {
        return view! {
            <Card id="endpoints" title="Endpoints">
                <EmptyState glyph=Glyph::Plug title="No address yet" heading=3>
                    <p>"The endpoint, the certificate and the lines to connect appear here once the datastore is made."</p>
                </EmptyState>
            </Card>
        }
        .into_any();
    };
    let address = endpoint.address();
    let replica = view.endpoints.iter().find(|e| e.kind == EndpointKind::Replica).map(Endpoint::address);
    let views = switches("endpoint", snippets(view.row.engine, &connection))
        .into_iter()
        .filter_map(|switch| {
            let label = match switch.id.as_str() {
                "cli" => "CLI",
                "url" => "URL",
                "env" => "env",
                _ => return None,
            };
            Some(Switch { label: label.to_owned(), ..switch })
        })
        .collect();
    let firewall = format!("/datastores/{}/firewall", view.row.id);
    view! {
        <Card id="endpoints" title="Endpoints" lead="Addresses that stay, whatever happens to a node.">
            <dl class="facts">
                <Fact name="Primary, read-write">
                    <span class="secret">
                        <code id="endpoint-address">{address}</code>
                        <Copy target="endpoint-address".to_owned() what="endpoint".to_owned() sprite=Sprite::url() />
                    </span>
                </Fact>
                {replica
                    .map(|replica| {
                        view! {
                            <Fact name="Replicas, read-only">
                                <span class="secret">
                                    <code id="replica-address">{replica}</code>
                                    <Copy target="replica-address".to_owned() what="replica endpoint".to_owned() sprite=Sprite::url() />
                                </span>
                            </Fact>
                        }
                    })}
                <Fact name="Admin user">
                    <code>{connection.user}</code>
                </Fact>
                <Fact name="Database">
                    <code>{connection.database}</code>
                </Fact>
                <Fact name="Password">
                    <Password datastore=view.row.id password=connection.password may_reveal=connection.may_reveal />
                </Fact>
            </dl>
            {(view.trusted_sources == 0)
                .then(|| {
                    view! {
                        <div class="box tone-warning">
                            <Icon glyph=Glyph::Shield />
                            <p>
                                "No trusted source yet, so nobody can connect. "
                                <a href=firewall>"Add your address"</a>
                            </p>
                        </div>
                    }
                })}
            <Switcher id="endpoint" legend="Show the connection as" views />
        </Card>
    }
    .into_any()
}

#[component]
fn Health(view: DatastoreView) -> impl IntoView {
    let status = view.row.status;
    let certificate =
        view.ca.and_then(|ca| ca.certificate_expires_at).map(|at| locale().day(&format::exact(at).chars().take(10).collect::<String>()));
    view! {
        <Card id="health" title="Health">
            <dl class="facts">
                <Fact name="Status">
                    <StatusPill status />
                </Fact>
                {(!view.detail.is_empty()).then(|| view! { <Fact name="Last check said">{view.detail}</Fact> })}
                {view.checked_at.map(|at| view! { <Fact name="Checked"><TimeAgo at /></Fact> })}
                {(status == Status::Running).then(|| view! { <Fact name="Nodes">{format::count(view.nodes.len(), "node answers", "nodes answer")}</Fact> })}
                <Fact name="Trusted sources">
                    <a href=format!("/datastores/{}/firewall", view.row.id)>{view.trusted_sources}</a>
                </Fact>
                {certificate.map(|day| view! { <Fact name="Certificate">{format!("until {day}, renewed before")}</Fact> })}
            </dl>
        </Card>
    }
}

#[component]
fn Space(view: DatastoreView) -> impl IntoView {
    let (kind, gb) = match &view.storage {
        Storage::Ephemeral { gb } => ("Ephemeral: dies with its node, cannot be resized".to_owned(), *gb),
        Storage::Volume { volume_type, gb } => (format!("Volume, {volume_type}"), *gb),
    };
    view! {
        <Card id="space" title="Storage">
            <dl class="facts">
                <Fact name="Used">
                    <Meter used=view.row.storage_used total_gb=gb />
                </Fact>
                <Fact name="Kind">{kind}</Fact>
                <Fact name="Size">{view.enforced.of_storage(&view.storage)}</Fact>
                {view.row.engine.memory().map(|words| view! { <Fact name="Memory">{words}</Fact> })}
                {view.row.engine.written_down().map(|words| view! { <Fact name="Written to disk">{words}</Fact> })}
            </dl>
        </Card>
    }
}
