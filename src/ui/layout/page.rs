//! A page for signed-in people: read, then draw. Errors become pages of their own.

use super::{ErrorPage, Frame};
use crate::{
    error::AppError,
    model::person::Me,
    server_fns::page::{last_attempt, notice, who},
    ui::{
        components::{ErrorBox, Notice},
        query::link,
    },
};
use leptos::prelude::*;
use leptos_router::{components::Redirect, hooks::use_url};
use std::future::Future;

/// Forms that are one button: they have no fields beside which an error could stand, so it stands on top of the page.
const BUTTON_FORMS: [&str; 14] = [
    "start",
    "restart",
    "promote",
    "drill",
    "protect",
    "reveal",
    "retry",
    "abandon",
    "cancel",
    "finish",
    "add_node",
    "replace_node",
    "remove_node",
    "durability",
];

/// Waits for `read`, then shows what `draw` makes of it inside the frame. Who is not signed in goes to sign in and comes back.
pub(crate) fn page<T, V>(
    read: impl Future<Output = Result<T, AppError>> + Send + 'static,
    draw: impl FnOnce(T) -> V + Send + 'static,
) -> impl IntoView
where
    T: Send + 'static,
    V: IntoView + 'static,
{
    let back = sign_in_path();
    Suspend::new(async move {
        let me = match who().await {
            Ok(Some(me)) => me,
            Ok(None) | Err(AppError::SignedOut) => return view! { <Redirect path=back /> }.into_any(),
            Err(error) => return framed(None, None, Vec::new(), view! { <ErrorPage error /> }.into_any()),
        };
        match read.await {
            Err(AppError::SignedOut) => view! { <Redirect path=back /> }.into_any(),
            Err(error) => framed(Some(me), None, Vec::new(), view! { <ErrorPage error /> }.into_any()),
            Ok(data) => {
                let done = notice().await.ok().flatten();
                let failed = failures().await;
                framed(Some(me), done, failed, draw(data).into_any())
            }
        }
    })
}

fn framed(me: Option<Me>, done: Option<String>, failed: Vec<String>, content: AnyView) -> AnyView {
    view! {
        <Frame me>
            {done.map(|text| view! { <Notice text /> })}
            {failed.into_iter().map(|message| view! { <ErrorBox message /> }).collect_view()}
            {content}
        </Frame>
    }
    .into_any()
}

/// What the last posts of forms without fields were refused with.
async fn failures() -> Vec<String> {
    let mut messages = Vec::new();
    for form in BUTTON_FORMS {
        if let Ok(Some(attempt)) = last_attempt(form.to_owned()).await {
            messages.extend(attempt.message);
            messages.extend(attempt.errors.0.into_iter().map(|e| e.message));
        }
    }
    messages
}

/// Sign in, then back to this page.
fn sign_in_path() -> String {
    let url = use_url().get_untracked();
    let here = if url.search().is_empty() { url.path().to_owned() } else { format!("{}?{}", url.path(), url.search()) };
    format!("/sign-in{}", link(&[("return", &here)]))
}
