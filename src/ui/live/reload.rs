//! Loading the page again when it is out of date: never under somebody's hands, never in a circle, and never in place of
//! the page that somebody has just asked for.

use crate::ui::components::browser::has_unsaved;
use leptos::{ev, prelude::*};
use std::{cell::Cell, time::Duration};

/// Between two reloads of a tab lie at least so many milliseconds.
const APART: f64 = 5000.0;
/// While somebody types, it is tried again this much later.
const LATER: Duration = Duration::from_secs(2);
/// Somebody who follows a link is given so many milliseconds to get there. It may have been a file, so not for ever.
const LEAVING: f64 = 10_000.0;
/// Where the tab keeps when it was last reloaded, in milliseconds since 1970.
const KEY: &str = "granary-reloaded";

thread_local! {
    static ASKED: Cell<bool> = const { Cell::new(false) };
    static LEFT: Cell<f64> = const { Cell::new(f64::NEG_INFINITY) };
}

/// Notes from now on when somebody leaves: a reload would call the page back that is on its way.
pub fn watch() {
    window_event_listener(ev::beforeunload, |_| LEFT.set(now()));
}

/// Loads the page again, at once or as soon as it may.
pub fn reload() {
    if !ASKED.replace(true) {
        attempt();
    }
}

fn attempt() {
    let now = now();
    let wait = APART - (now - last());
    if wait > 0.0 {
        set_timeout(attempt, Duration::from_secs_f64(wait / 1000.0));
    } else if has_unsaved() || now - LEFT.get() < LEAVING {
        set_timeout(attempt, LATER);
    } else {
        if let Ok(Some(storage)) = window().session_storage() {
            let _ = storage.set_item(KEY, &now.to_string());
        }
        let _ = window().location().reload();
    }
}

fn now() -> f64 {
    window().performance().map_or(0.0, |p| p.time_origin() + p.now())
}

fn last() -> f64 {
    window().session_storage().ok().flatten().and_then(|s| s.get_item(KEY).ok().flatten()).and_then(|t| t.parse().ok()).unwrap_or(0.0)
}
