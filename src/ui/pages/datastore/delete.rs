//! `/datastores/:id/delete`: says what goes; the typed name confirms (rules 21-22).

use super::show::id_of_url;
use crate::{
    model::{datastore::DatastoreView, form::Attempt, format, storage::Storage},
    server_fns::{
        datastore::{delete::Delete as Post, get::get},
        page::last_attempt,
    },
    ui::{
        components::{Fact, FormErrors, Glyph, Icon, TextField},
        layout::page,
        request::locale,
    },
};
use leptos::{prelude::*, server_fn::ServerFn};
use leptos_meta::Title;

/// The confirmation.
#[component]
pub fn Delete() -> impl IntoView {
    let id = id_of_url();
    let read = async move { Ok((get(id).await?, last_attempt("delete".to_owned()).await?)) };
    page(read, |(view, attempt)| {
        let base = format!("/datastores/{}", view.row.id);
        view! {
            <Title text=format!("Delete {}", view.row.name) />
            <nav class="crumbs" aria-label="Breadcrumb">
                <ol>
                    <li>
                        <a href="/datastores">"Datastores"</a>
                    </li>
                    <li>
                        <a href=base>{view.row.name.clone()}</a>
                    </li>
                    <li>"Delete"</li>
                </ol>
            </nav>
            <div class="narrow">
                <h1>{format!("Delete {}?", view.row.name)}</h1>
                <div class="box tone-bad">
                    <Icon glyph=Glyph::Warning />
                    <p>"This is immediate and final. Nothing brings the data back."</p>
                </div>
                <WhatGoes view=view.clone() />
                {if view.row.termination_protection { view! { <Protected view /> }.into_any() } else { view! { <Confirm view attempt /> }.into_any() }}
            </div>
        }
    })
}

#[component]
fn WhatGoes(view: DatastoreView) -> impl IntoView {
    let row = view.row;
    let data = row.storage_used.map_or_else(|| "all of it".to_owned(), |bytes| format!("all of it, {}", locale().words(&format::bytes(bytes))));
    let storage = match view.storage {
        Storage::Ephemeral { gb } => format!("{gb} GB, ephemeral"),
        Storage::Volume { gb, .. } => format!("{gb} GB volume of each node"),
    };
    view! {
        <section class="card" aria-labelledby="goes">
            <h2 id="goes">"What goes"</h2>
            <dl class="facts">
                <Fact name="Datastore">{format!("{} ({} {})", row.name, row.engine, row.version)}</Fact>
                <Fact name="Databases">{format!("{}, and every other in it", view.first.database)}</Fact>
                <Fact name="Users">{format!("{}, and every other in it", view.first.user)}</Fact>
                <Fact name="Data">{data}</Fact>
                <Fact name="Storage">{storage}</Fact>
                <Fact name="Nodes">{format::count(row.nodes as usize, "node with its addresses", "nodes with their addresses")}</Fact>
                <Fact name="Trusted sources">{view.trusted_sources}</Fact>
            </dl>
        </section>
    }
}

#[component]
fn Protected(view: DatastoreView) -> impl IntoView {
    view! {
        <div class="box tone-warning">
            <Icon glyph=Glyph::Shield />
            <p>
                "Termination protection is on, so it cannot be deleted. Switch it off in "
                <a href=format!("/datastores/{}/settings#protection", view.row.id)>"Settings"</a> " first."
            </p>
        </div>
    }
}

#[component]
fn Confirm(view: DatastoreView, attempt: Option<Attempt>) -> impl IntoView {
    let attempt = attempt.unwrap_or_default();
    let typed = attempt.value("confirm").unwrap_or_default().to_owned();
    let error = attempt.errors.of("confirm").map(str::to_owned);
    view! {
        <form method="post" action=Post::url() autocomplete="off" class="card">
            <input type="hidden" name="id" value=view.row.id.to_string() />
            <FormErrors errors=attempt.errors message=attempt.message />
            <TextField id="confirm" name="confirm" label=format!("To confirm, type the name: {}", view.row.name) value=typed error />
            <div class="actions">
                <button class="button danger" type="submit">
                    "Delete datastore"
                </button>
                <a class="button" href=format!("/datastores/{}", view.row.id)>
                    "Keep it"
                </a>
            </div>
        </form>
    }
}
