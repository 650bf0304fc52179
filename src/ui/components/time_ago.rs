//! When: relative for the eye, exact for whoever asks.

use crate::{model::format, ui::request::Now};
use leptos::prelude::*;
use time::OffsetDateTime;

/// "5 min ago", with the exact UTC time as its title.
#[component]
pub(crate) fn TimeAgo(
    /// When.
    at: OffsetDateTime,
) -> impl IntoView {
    let exact = format::exact(at);
    let words = Now::get().map_or_else(|| exact.clone(), |now| format::relative((now - at).whole_seconds()));
    view! { <time datetime=exact.clone() title=exact>{words}</time> }
}
