//! The list of datastores, live: the pill of each row, and rows that come and go.

use super::{feed::follow, reload::reload};
use crate::{
    model::status::Status,
    ui::{components::StatusPill, request::Sprite},
};
use leptos::prelude::*;
use uuid::Uuid;

/// Where changed rows are told.
const URL: &str = "/events";

/// The status of one row.
#[island]
pub fn LivePill(
    /// The row.
    datastore: Uuid,
    /// Its status as the page was drawn.
    drawn: Status,
    /// URL of the icons.
    sprite: String,
) -> impl IntoView {
    provide_context(Sprite(sprite));
    let status = RwSignal::new(drawn);
    Effect::new(move |_| {
        follow(URL.to_owned(), move |snapshot| {
            if snapshot.datastore == datastore
                && let Some(now) = snapshot.status
            {
                status.set(now);
            }
        });
    });
    view! { {move || view! { <StatusPill status=status.get() /> }} }
}

/// Shows nothing; loads the list again when a row is gone or, where new ones would be seen, when there is one.
#[island]
pub fn LiveList(
    /// The rows of the page.
    rows: Vec<Uuid>,
    /// Whether a new row would be on this page: the first one, without search or filter.
    shows_new: bool,
) -> impl IntoView {
    Effect::new(move |_| {
        let rows = rows.clone();
        follow(URL.to_owned(), move |snapshot| {
            let known = rows.contains(&snapshot.datastore);
            let begun = matches!(snapshot.status, Some(Status::Queued | Status::Creating));
            if (known && snapshot.status.is_none()) || (!known && shows_new && begun) {
                reload();
            }
        });
    });
}
