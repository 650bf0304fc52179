//! What a page must know of its request; the server provides it as context.

use crate::model::locale::Locale;
use leptos::prelude::*;
use std::sync::Arc;
use time::OffsetDateTime;

/// When the request came in: relative times are told from it.
#[derive(Debug, Clone, Copy)]
pub struct Now(pub OffsetDateTime);

impl Now {
    /// That of this request; `None` where nobody provided it, and then only exact times are shown.
    #[must_use]
    pub fn get() -> Option<OffsetDateTime> {
        use_context::<Self>().map(|now| now.0)
    }
}

/// Sets the status of the answer that carries the page.
#[derive(Clone)]
pub struct PageStatus(pub Arc<dyn Fn(u16) + Send + Sync>);

impl PageStatus {
    /// Sets it; nothing happens in the browser.
    pub fn set(status: u16) {
        if let Some(page) = use_context::<Self>() {
            (page.0)(status);
        }
    }
}

/// URL of the icon sprite. Islands get it as a prop and provide it again, because contexts stay on the server.
#[derive(Debug, Clone)]
pub struct Sprite(pub String);

impl Sprite {
    /// That of this page.
    #[must_use]
    pub fn url() -> String {
        use_context::<Self>().map(|sprite| sprite.0).unwrap_or_default()
    }
}

/// Whether the built-in development provider signs people in: the sign-in page then says what that means.
#[derive(Debug, Clone, Copy)]
pub struct DevelopmentSignIn(pub bool);

impl DevelopmentSignIn {
    /// That of this Granary.
    #[must_use]
    pub fn get() -> bool {
        use_context::<Self>().is_some_and(|it| it.0)
    }
}

/// How this reader writes numbers and dates. Islands get the decimal mark as a prop and provide it again.
#[must_use]
pub fn locale() -> Locale {
    use_context::<Locale>().unwrap_or_default()
}
