//! The shell and the route table.

use crate::ui::{
    layout::Scripts,
    pages::{
        datastore::{Delete, tabs},
        datastores::{List, New, wizard::Wizard},
        not_found::NotFound,
        sign_in::SignIn,
    },
    request::Sprite,
};
use leptos::{nonce::use_nonce, prelude::*};
use leptos_meta::{MetaTags, Title, provide_meta_context};
use leptos_router::{
    SsrMode,
    components::{Redirect, Route, Router, Routes},
    path,
};

/// Runs before the first paint: remembers that scripts work, and the theme that was chosen here.
const BEFORE_PAINT: &str =
    "(d=>{d.dataset.js='';try{let t=localStorage.getItem('granary-theme');if(t)d.dataset.theme=t}catch(e){}})(document.documentElement)";

/// What Granary is, for whoever finds its door without knowing it.
const DESCRIPTION: &str =
    "Granary: PostgreSQL, MariaDB and Redis datastores on your own machines, with users, a firewall, TLS and lines to connect that work when pasted.";

/// The HTML document around every page.
#[must_use]
pub fn shell(options: LeptosOptions) -> impl IntoView {
    let pkg = format!("/{}", options.site_pkg_dir);
    provide_context(Sprite(format!("{pkg}/icons.svg")));
    view! {
        <!DOCTYPE html>
        <html lang="en">
            <head>
                <meta charset="utf-8" />
                <meta name="viewport" content="width=device-width, initial-scale=1" />
                <meta name="color-scheme" content="light dark" />
                <meta name="description" content=DESCRIPTION />
                <script nonce=use_nonce() inner_html=BEFORE_PAINT></script>
                <link rel="icon" href=format!("{pkg}/favicon.svg") type="image/svg+xml" />
                <link rel="stylesheet" href=format!("{pkg}/granary.css") />
                <Scripts options />
                <MetaTags />
            </head>
            <body>
                <App />
            </body>
        </html>
    }
}

/// The route table. Every page is whole before it is sent, so that it needs no script.
#[component]
#[expect(clippy::must_use_candidate, reason = "a component is called by the view macro")]
pub fn App() -> impl IntoView {
    provide_meta_context();
    view! {
        <Title formatter=|title: String| if title.is_empty() { "Granary".to_owned() } else { format!("{title} · Granary") } />
        <Router>
            <Routes fallback=NotFound>
                <Route path=path!("/") view=|| view! { <Redirect path="/datastores" /> } ssr=SsrMode::Async />
                <Route path=path!("/sign-in") view=SignIn ssr=SsrMode::Async />
                <Route path=path!("/datastores") view=List ssr=SsrMode::Async />
                <Route path=path!("/datastores/new") view=New ssr=SsrMode::Async />
                <Route path=path!("/datastores/new/:draft/:step") view=Wizard ssr=SsrMode::Async />
                <Route path=path!("/datastores/:id") view=tabs::Overview ssr=SsrMode::Async />
                <Route path=path!("/datastores/:id/nodes") view=tabs::Nodes ssr=SsrMode::Async />
                <Route path=path!("/datastores/:id/drills/:drill") view=tabs::OneDrill ssr=SsrMode::Async />
                <Route path=path!("/datastores/:id/users") view=tabs::Users ssr=SsrMode::Async />
                <Route path=path!("/datastores/:id/firewall") view=tabs::Firewall ssr=SsrMode::Async />
                <Route path=path!("/datastores/:id/logs") view=tabs::Logs ssr=SsrMode::Async />
                <Route path=path!("/datastores/:id/activity") view=tabs::Activity ssr=SsrMode::Async />
                <Route path=path!("/datastores/:id/settings") view=tabs::Settings ssr=SsrMode::Async />
                <Route path=path!("/datastores/:id/delete") view=Delete ssr=SsrMode::Async />
            </Routes>
        </Router>
    }
}
