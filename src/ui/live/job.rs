//! The steps of the newest job, live.

use super::feed::follow;
use crate::{
    model::{
        job::{JobState, Progress},
        locale::Locale,
    },
    ui::{components::JobSteps, request::Sprite},
};
use leptos::prelude::*;
use std::time::Duration;
use uuid::Uuid;

/// How often the time of a running step moves on.
const TICK: Duration = Duration::from_secs(1);

/// The steps as they are.
#[island]
pub fn LiveJob(
    /// The datastore.
    datastore: Uuid,
    /// The job as the page was drawn.
    drawn: Progress,
    /// The reader's decimal mark.
    decimal: String,
    /// URL of the icons.
    sprite: String,
) -> impl IntoView {
    provide_context(Sprite(sprite));
    provide_context(Locale::with_decimal(&decimal));
    let job = RwSignal::new(drawn);
    let since = RwSignal::new(0);
    Effect::new(move |_| {
        follow(format!("/datastores/{datastore}/events"), move |snapshot| {
            if let Some(now) = snapshot.job.clone() {
                since.set(0);
                job.set(now);
            }
        });
        set_interval(
            move || {
                if job.with_untracked(|job| job.state == JobState::Running) {
                    since.update(|ms| *ms += 1000);
                }
            },
            TICK,
        );
    });
    view! { {move || view! { <JobSteps job=job.get() since=since.get() /> }} }
}
