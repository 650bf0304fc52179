//! Header, main part, footer.

use super::{account::Account, shortcuts::Shortcuts, theme_switch::ThemeSwitch};
use crate::{
    model::person::Me,
    ui::{
        components::{Glyph, Icon},
        live::LiveTimes,
        request::{Now, Sprite},
    },
};
use leptos::prelude::*;

/// The frame; without a person there is no account in the header.
#[component]
pub(crate) fn Frame(
    /// Who is signed in.
    #[prop(into)]
    me: Option<Me>,
    /// The page.
    children: Children,
) -> impl IntoView {
    let single_tenant = me.as_ref().is_some_and(|me| me.single_tenant);
    let development = me.as_ref().is_some_and(|me| me.development);
    let project = me.as_ref().map(|me| me.project_name.clone());
    view! {
        <a class="skip" href="#main">
            "Skip to content"
        </a>
        <header class="top">
            <div class="top-inner">
                <a class="brand" href="/datastores" aria-label="Granary home">
                    <Icon glyph=Glyph::Brand />
                    <span class="brand-word">"Granary"</span>
                </a>
                {project.map(|name| view! { <span class="project" title=format!("Project: {name}")>{name.clone()}</span> })}
                <div class="top-end">
                    <ThemeSwitch sprite=Sprite::url() />
                    {me.map(|me| view! { <Account name=me.name /> })}
                </div>
            </div>
        </header>
        <main id="main" tabindex="-1">
            {children()}
        </main>
        <footer class="foot">
            <span>"Granary"</span>
            {single_tenant
                .then(|| {
                    view! { <span>"Runs as a plain user: one tenant, no system user of its own for each datastore."</span> }
                })}
            {development.then(|| view! { <span>"Development sign-in: a door without a lock, for this machine only."</span> })}
        </footer>
        <Shortcuts />
        {Now::get().map(|now| view! { <LiveTimes now=now.unix_timestamp() /> })}
    }
}
