//! How much of something is used.

use crate::{model::format, ui::request::locale};
use leptos::prelude::*;

/// Bytes in a GB as flavors and volumes count them.
const GB: u64 = 1 << 30;

/// A bar with its words. Widths are attributes of SVG, because the pages allow no inline style.
#[component]
pub(crate) fn Meter(
    /// Used, in bytes; `None` = not measured yet.
    used: Option<u64>,
    /// Of so many GB.
    total_gb: u32,
) -> impl IntoView {
    let total = u64::from(total_gb) * GB;
    let percent = used.map_or(0, |used| (used.saturating_mul(100) / total.max(1)).min(100));
    let level = match percent {
        0..=79 => "fine",
        80..=89 => "high",
        _ => "full",
    };
    let words =
        used.map_or_else(|| format!("{total_gb} GB, not measured yet"), |used| format!("{} of {total_gb} GB", locale().words(&format::bytes(used))));
    view! {
        <span class=format!("meter {level}")>
            <svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" focusable="false">
                <rect class="meter-rail" width="100" height="6" />
                // A sliver shows that there is something, even when it rounds to nothing.
                <rect class="meter-bar" width=used.map_or(0, |used| percent.max(u64::from(used > 0) * 2)) height="6" />
            </svg>
            <span class="meter-words">{words}</span>
        </span>
    }
}
