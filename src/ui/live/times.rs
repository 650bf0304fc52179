//! Relative times grow older while a page is open.

use crate::{model::format, ui::components::browser::all};
use js_sys::Date;
use leptos::prelude::*;
use std::time::Duration;

/// How often they are told again.
const TICK: Duration = Duration::from_secs(10);

/// Shows nothing; tells every relative time of the page again. `now` is the server's, so a wrong clock here changes nothing.
#[island]
pub fn LiveTimes(
    /// When the page was drawn.
    now: i64,
) -> impl IntoView {
    Effect::new(move |_| {
        let since = || window().performance().map_or(0.0, |p| p.now());
        let start = since();
        set_interval(
            move || {
                let now = now + whole((since() - start) / 1000.0);
                for element in all("time[datetime]") {
                    // The browser reads them: a calendar of our own would be most of this island.
                    let at = element.get_attribute("datetime").map_or(f64::NAN, |t| Date::parse(&t));
                    if at.is_finite() {
                        element.set_text_content(Some(&format::relative(now - whole(at / 1000.0))));
                    }
                }
            },
            TICK,
        );
    });
}

#[expect(clippy::cast_possible_truncation, reason = "seconds, whole")]
fn whole(seconds: f64) -> i64 {
    seconds as i64
}
