//! Loading the page again when it is out of date: never under somebody's hands, never in a circle, and never in place of
//! the page that somebody has just asked for.

use crate::ui::components::browser::has_unsaved;
use leptos::{ev, prelude::*};
use std::{cell::Cell, time::Duration};

/// Between two reloads of a tab lie at least so many milliseconds.
const APART: u64 = 5000;
/// While somebody types, it is tried again this much later.
const LATER: Duration = Duration::from_secs(2);
/// Somebody who follows a link is given so many milliseconds to get there. It may have been a file, so not for ever.
const LEAVING: u64 = 10_000;
/// Where the tab keeps when it was last reloaded, in milliseconds since 1970.
const KEY: &str = "granary-reloaded";

thread_local! {
    static ASKED: Cell<bool> = const { Cell::new(false) };
    static LEFT: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Notes from now on when somebody leaves: a reload would call the page back that is on its way.
pub fn watch() {
    window_event_listener(ev::beforeunload, |_| LEFT.set(Some(now())));
}

/// Loads the page again, at once or as soon as it may.
pub fn reload() {
    if !ASKED.replace(true) {
        attempt();
    }
}

fn attempt() {
    let now = now();
    let wait = (last() + APART).saturating_sub(now);
    if wait > 0 {
        set_timeout(attempt, Duration::from_millis(wait));
    } else if has_unsaved() || LEFT.get().is_some_and(|left| now < left + LEAVING) {
        set_timeout(attempt, LATER);
    } else {
        if let Ok(Some(storage)) = window().session_storage() {
            let _ = storage.set_item(KEY, &now.to_string());
        }
        let _ = window().location().reload();
    }
}

/// Milliseconds since 1970, by a clock that is not set while the page is open.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "milliseconds, whole and after 1970")]
fn now() -> u64 {
    window().performance().map_or(0.0, |p| p.time_origin() + p.now()) as u64
}

/// What lies in the future, because the machine's clock was set back, is no reason to wait.
fn last() -> u64 {
    let kept = window().session_storage().ok().flatten().and_then(|s| s.get_item(KEY).ok().flatten());
    kept.and_then(|t| t.parse().ok()).filter(|last| *last <= now()).unwrap_or(0)
}
