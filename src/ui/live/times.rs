//! Relative times grow older while a page is open.

use crate::{model::format, ui::components::browser::all};
use leptos::prelude::*;
use std::time::Duration;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// How often they are told again.
const TICK: Duration = Duration::from_secs(10);

/// Shows nothing; tells every relative time of the page again. `now` is the server's, so a wrong clock here changes nothing.
#[island]
pub fn LiveTimes(
    /// When the page was drawn.
    now: i64,
) -> impl IntoView {
    Effect::new(move |_| {
        let Ok(drawn) = OffsetDateTime::from_unix_timestamp(now) else { return };
        let since = || window().performance().map_or(0.0, |p| p.now());
        let start = since();
        set_interval(
            move || {
                let now = drawn + Duration::from_secs_f64((since() - start).max(0.0) / 1000.0);
                for element in all("time[datetime]") {
                    if let Some(at) = element.get_attribute("datetime").and_then(|t| OffsetDateTime::parse(&t, &Rfc3339).ok()) {
                        element.set_text_content(Some(&format::relative(at, now)));
                    }
                }
            },
            TICK,
        );
    });
}
