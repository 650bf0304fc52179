//! The status of a datastore in the header of its pages.

use super::{feed::follow, reload::reload};
use crate::{
    model::{
        job::{Progress, Snapshot},
        status::Status,
    },
    ui::{components::StatusPill, request::Sprite},
};
use leptos::prelude::*;

/// The status as it is; when more than it has changed, the page is loaded again.
#[island]
pub fn LiveStatus(
    /// What the page was drawn from.
    drawn: Snapshot,
    /// URL of the icons.
    sprite: String,
) -> impl IntoView {
    provide_context(Sprite(sprite));
    let now = RwSignal::new(drawn.clone());
    Effect::new(move |_| {
        let drawn = drawn.clone();
        follow(format!("/datastores/{}/events", drawn.datastore), move |snapshot| {
            now.set(snapshot.clone());
            if snapshot.status.is_none() {
                let _ = window().location().set_href("/datastores");
            } else if stands(snapshot) != stands(&drawn) {
                reload();
            }
        });
    });
    view! {
        <div class="live-status" role="status">
            {move || now.get().status.map(|status| view! { <StatusPill status /> })}
            <span class="live-advice">{move || now.get().status.map(Status::advice)}</span>
            <span class="live-detail">{move || now.get().detail}</span>
        </div>
    }
}

/// What the server drew other parts of the page from: as long as it is the same, the page is right.
fn stands(snapshot: &Snapshot) -> impl PartialEq {
    (snapshot.status, snapshot.job.as_ref().map(|job: &Progress| (job.id, job.state, job.undoing, job.can_cancel, job.can_retry)))
}
