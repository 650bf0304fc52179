//! How to connect: shared by Overview and Users.

use crate::{
    error::AppError,
    model::{
        datastore::{DatastoreView, EndpointKind},
        snippet::{Connection, Snippet},
    },
    server_fns::datastore::{connection::assistant, reveal::Reveal},
    ui::{
        components::{CodeBlock, Copy, Glyph, PostButton, Switch},
        request::Sprite,
    },
};
use leptos::{prelude::*, server_fn::ServerFn};
use uuid::Uuid;

/// What the snippets are made of; `None` until there is something to connect to.
pub(super) async fn connection(view: &DatastoreView, endpoint: EndpointKind) -> Result<Option<Connection>, AppError> {
    if view.endpoints.is_empty() || view.ca.is_none() { Ok(None) } else { assistant(view.row.id, endpoint).await.map(Some) }
}

/// Snippets as views of a switcher; `place` keeps their ids apart from those of another one.
pub(super) fn switches(place: &str, snippets: Vec<Snippet>) -> Vec<Switch> {
    snippets
        .into_iter()
        .map(|snippet| Switch {
            view: view! {
                <p class="hint">{snippet.note}</p>
                <CodeBlock id=format!("{place}-{}-text", snippet.id) what=snippet.label.clone() text=snippet.text />
            }
            .into_any(),
            id: snippet.id,
            label: snippet.label,
        })
        .collect()
}

/// The first password: hidden until its owner asks.
#[component]
pub(super) fn Password(
    /// The datastore.
    datastore: Uuid,
    /// The password while it is revealed to this session.
    password: Option<String>,
    /// Whether this person may reveal it.
    may_reveal: bool,
) -> impl IntoView {
    match password {
        Some(password) => view! {
            <span class="secret">
                <code id="password">{password}</code>
                <Copy target="password".to_owned() what="password".to_owned() sprite=Sprite::url() />
            </span>
            <span class="hint">"Shown to you for five minutes."</span>
        }
        .into_any(),
        None => view! {
            <span class="secret">
                <span aria-label="hidden" role="img" class="dots">
                    "••••••••••••"
                </span>
                {may_reveal
                    .then(|| {
                        let fields = vec![("id", datastore.to_string())];
                        view! { <PostButton action=Reveal::url() label="Reveal password" look="small" glyph=Glyph::Eye fields /> }
                    })}
            </span>
            {(!may_reveal).then(|| view! { <span class="hint">"The project's owner can reveal it."</span> })}
        }
        .into_any(),
    }
}
