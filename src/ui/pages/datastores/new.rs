//! `/datastores/new`: the way into the wizard for whoever comes by its URL.

use crate::{
    server_fns::wizard::start::Start,
    ui::{
        components::{Card, PostButton},
        layout::page,
    },
};
use leptos::{prelude::*, server_fn::ServerFn};
use leptos_meta::Title;

/// One button that begins a draft.
#[component]
pub fn New() -> impl IntoView {
    page(async { Ok(()) }, |()| {
        view! {
            <Title text="Create datastore" />
            <h1>"Create datastore"</h1>
            <Card id="start" title="Five short steps" lead="Databases, Configuration, Cloud service, Resources, Preview. Nothing is made before you say Finish.">
                <div class="actions">
                    <CreateButton />
                </div>
            </Card>
        }
    })
}

/// "+ Create datastore" (rule 2).
#[component]
pub(super) fn CreateButton() -> impl IntoView {
    view! { <PostButton action=Start::url() label="+ Create datastore" look="primary" /> }
}
