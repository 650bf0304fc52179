//! `/datastores/:id/users`: the first admin user, and the connection assistant (rules 28, 36, 42-45).

use super::{
    super::{
        connection::{Password, connection, switches},
        show::show,
    },
    Tab,
};
use crate::{
    model::{
        datastore::{CaView, DatastoreView, EndpointKind},
        snippet::{Connection, snippets},
    },
    ui::{
        components::{Card, Copy, EmptyState, Fact, Glyph, Icon, Switcher},
        query::Query,
        request::Sprite,
    },
};
use leptos::prelude::*;

/// The tab.
#[component]
pub fn Users() -> impl IntoView {
    let endpoint = Query::of_page().get("endpoint").parse().unwrap_or(EndpointKind::Primary);
    show(
        Tab::Users,
        move |view| async move { connection(&view, endpoint).await },
        |view, connection| match connection {
            Some(connection) => view! { <Made view connection /> }.into_any(),
            None => view! {
                <Card id="users" title="Users">
                    <EmptyState glyph=Glyph::User title="No user yet" heading=3>
                        <p>{format!("The admin user {} and its password are made with the datastore.", view.first.user)}</p>
                    </EmptyState>
                </Card>
            }
            .into_any(),
        },
    )
}

#[component]
fn Made(view: DatastoreView, connection: Connection) -> impl IntoView {
    let several = connection.replicas;
    let (hidden, may_reveal) = (connection.password.is_none(), connection.may_reveal);
    let snippets = snippets(view.row.engine, &connection);
    let file = connection.ca_file();
    let (base, endpoint) = (format!("/datastores/{}/users", view.row.id), connection.endpoint);
    let target = format!(
        "For user {}, database {}, {} endpoint {}:{}.",
        connection.user,
        connection.database,
        endpoint.word(),
        connection.host,
        connection.port
    );
    let owns = view.row.engine.first_database().map_or("It owns the first database.", |numbered| numbered.words);
    view! {
        <Card id="users" title="Admin user" lead=format!("Made with the datastore. {owns}")>
            <dl class="facts">
                <Fact name="User">
                    <code>{connection.user}</code>
                </Fact>
                <Fact name="Database">
                    <code>{connection.database}</code>
                </Fact>
                <Fact name="Password">
                    <Password datastore=view.row.id password=connection.password may_reveal />
                </Fact>
            </dl>
        </Card>
        <Card
            id="assistant"
            title="Connection assistant"
            lead=target
        >
            {(view.trusted_sources == 0)
                .then(|| {
                    view! {
                        <div class="box tone-warning">
                            <Icon glyph=Glyph::Shield />
                            <p>
                                "No trusted source yet, so nobody can connect. "
                                <a href=format!("/datastores/{}/firewall", view.row.id)>"Add your address"</a>
                            </p>
                        </div>
                    }
                })}
            {hidden
                .then(|| {
                    let until = if may_reveal { " until you reveal it above." } else { "." };
                    view! { <p class="hint">{format!("YOUR-PASSWORD stands for the password{until}")}</p> }
                })}
            {connection
                .replicas
                .then(|| {
                    let links = [EndpointKind::Primary, EndpointKind::Replica]
                        .map(|kind| {
                            let current = (kind == endpoint).then_some("true");
                            view! {
                                <a class="button small" href=format!("{base}?endpoint={}#assistant", kind.word()) aria-current=current>
                                    {kind.label()}
                                </a>
                            }
                        });
                    view! { <nav class="actions" aria-label="Endpoint">{links.collect_view()}</nav> }
                })}
            <Switcher id="snippet" legend="Connect with" views=switches("snippet", snippets) />
        </Card>
        {several.then(|| view! { <Reaching /> })}
        {view.ca.map(|ca| view! { <Authority ca file /> })}
    }
}

/// What else leads to a datastore with replicas (rules 29, 31-35).
#[component]
fn Reaching() -> impl IntoView {
    view! {
        <Card id="reaching" title="After a failover" lead="The endpoints are the simplest way: their addresses stay, and they lead to whoever is the primary, or a replica, by then.">
            <dl class="facts">
                <Fact name="Connections">"Those that were open to the old primary are cut. A client connects again to the same address; with a pool, have it test a connection before it lends it."</Fact>
                <Fact name="Several hosts">
                    "A driver that knows several hosts can choose by itself: the assistant has such strings for libpq and JDBC. Their order is no matter, and each node's certificate holds every address."
                </Fact>
                <Fact name="Load balancer">
                    "One of your own can stand before the endpoints: plain TCP, no TLS of its own, idle limits longer than your sessions. It need not check roles; add its addresses to the trusted sources. Before the nodes themselves it must ask each for its role."
                </Fact>
                <Fact name="DNS">
                    "Give the endpoint a name of your own by an A record: it never changes. Verification in full then needs the address as host, or the datastore's name, which the certificate holds. A name that should follow the primary by itself is slower than the endpoint by its time to live."
                </Fact>
            </dl>
        </Card>
    }
}

#[component]
fn Authority(ca: CaView, file: String) -> impl IntoView {
    view! {
        <Card
            id="ca"
            title="Certificate authority"
            lead="This datastore's own. Every snippet verifies the server with it, so nobody can stand in between."
        >
            <dl class="facts">
                <Fact name="File">
                    <a class="button small file" href=ca.url download=file.clone()>
                        <Icon glyph=Glyph::Download />
                        {format!("Download {file}")}
                    </a>
                </Fact>
                <Fact name="SHA-256 fingerprint">
                    <span class="secret">
                        <code id="fingerprint" class="fingerprint">
                            {ca.fingerprint}
                        </code>
                        <Copy target="fingerprint".to_owned() what="fingerprint".to_owned() sprite=Sprite::url() />
                    </span>
                </Fact>
            </dl>
        </Card>
    }
}
