//! `/sign-in`

use crate::ui::{
    components::{ErrorBox, Glyph, Icon},
    layout::Frame,
    query::Query,
    request::DevelopmentSignIn,
};
use leptos::prelude::*;
use leptos_meta::Title;

/// The way in. `return` is where to go afterwards, `error` why the last try failed.
#[component]
pub fn SignIn() -> impl IntoView {
    let query = Query::of_page();
    let back = Some(query.get("return")).filter(|path| !path.is_empty()).unwrap_or_else(|| "/datastores".to_owned());
    let error = Some(query.get("error")).filter(|error| !error.is_empty()).map(|error| why(&error));
    view! {
        <Title text="Sign in" />
        <Frame me=None>
            <div class="sign-in card">
                <Icon glyph=Glyph::Brand />
                <h1>"Sign in to Granary"</h1>
                <p>"PostgreSQL, MariaDB, MySQL and Redis on your own machines, ready in a minute."</p>
                {error.map(|message| view! { <ErrorBox message /> })}
                <form method="post" action="/auth/start">
                    <input type="hidden" name="return" value=back />
                    <button class="button primary wide" type="submit">
                        "Sign in"
                    </button>
                </form>
                {if DevelopmentSignIn::get() {
                    view! {
                        <div class="box tone-warning">
                            <Icon glyph=Glyph::Warning />
                            <p>
                                <b>"Built-in development provider. "</b>
                                "No OpenID Connect issuer is set, so Granary signs in whoever asks, under any name and without a password. \
                                 It opens on this machine's loopback address only. For others, set GRANARY_OIDC_ISSUER."
                            </p>
                        </div>
                    }
                        .into_any()
                } else {
                    view! { <p class="hint">"You continue at your organisation's OpenID Connect account and come back here."</p> }.into_any()
                }}
            </div>
        </Frame>
    }
}

/// Only words of ours are shown: anybody can write a link with any text in it.
fn why(error: &str) -> &'static str {
    match error {
        "denied" => "The provider did not sign you in. Nothing was changed; try again, or use another account.",
        "not-allowed" => "This account is not among those that may use this Granary. Ask whoever runs it to add you.",
        "expired" => "The sign-in took too long, was used already, or was begun in another browser. Begin again here.",
        "unreachable" => "The sign-in provider does not answer. Your databases go on. Try again in a moment.",
        "clock" => {
            "The provider's answer is dated in the past or in the future, so nobody was signed in. Try again; if this comes again, \
             tell whoever runs this Granary that its clock and the provider's differ."
        }
        "setup" => {
            "The provider does not accept this Granary as its client, so nobody can sign in. Trying again will not help: tell whoever \
             runs this Granary. Its client id, secret and redirect URI must be those that the provider knows."
        }
        _ => {
            "The provider's answer could not be trusted, so nobody was signed in. Try again; if this comes again, tell whoever runs \
             this Granary. Its log says what was wrong."
        }
    }
}
