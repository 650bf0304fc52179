//! `/datastores/:id/activity`: jobs with their steps, and who did what.

use super::{super::show::show, Tab};
use crate::{
    model::{
        activity::EventView,
        format,
        job::{JobState, JobView},
    },
    server_fns::datastore::activity::activity,
    ui::{
        components::{Card, Column, EmptyState, Glyph, JobActions, JobSteps, Pill, Table, TimeAgo},
        live::LiveJob,
        request::{Sprite, locale},
    },
};
use leptos::prelude::*;
use uuid::Uuid;

/// The tab.
#[component]
pub fn Activity() -> impl IntoView {
    show(
        Tab::Activity,
        |view| activity(view.row.id),
        |view, activity| {
            let id = view.row.id;
            // Snapshots carry this one.
            let live = view.job.map(|job| job.id);
            view! {
                <Card id="jobs" title="Jobs" lead="Work on this datastore, newest first.">
                    {if activity.jobs.is_empty() {
                        view! { <EmptyState glyph=Glyph::Clock title="No jobs yet" heading=3><p>"Creating, restarting and deleting appear here, step by step."</p></EmptyState> }
                            .into_any()
                    } else {
                        view! { <div class="job-entries">{activity.jobs.into_iter().map(|job| view! { <JobEntry id live=live == Some(job.id) job /> }).collect_view()}</div> }.into_any()
                    }}
                </Card>
                <Events events=activity.events />
            }
        },
    )
}

#[component]
fn JobEntry(id: Uuid, job: JobView, live: bool) -> impl IntoView {
    let open = matches!(job.state, JobState::Queued | JobState::Running | JobState::Failed);
    let by = format!("by {}", job.requested_by);
    let took = job.duration_ms.filter(|_| job.state == JobState::Done).map(|ms| locale().words(&format::duration(ms)));
    view! {
        <details class="job-entry" open=open>
            <summary>
                <b>{job.label.clone()}</b>
                <Pill tone=job.state.tone() word=job.state.word() />
                <span class="job-meta">
                    <TimeAgo at=job.created_at />
                    " "
                    {by}
                    {took.map(|took| format!(", took {took}"))}
                </span>
            </summary>
            {if live {
                view! { <LiveJob datastore=id drawn=job.clone().into() decimal=locale().decimal() sprite=Sprite::url() /> }.into_any()
            } else {
                view! { <JobSteps job=job.clone().into() /> }.into_any()
            }}
            <JobActions datastore=id job />
        </details>
    }
}

#[component]
fn Events(events: Vec<EventView>) -> impl IntoView {
    let columns = vec![Column::new("When"), Column::new("Who"), Column::new("What"), Column::new("From")];
    view! {
        <Card id="events" title="Audit events" lead="Who did what, and from where.">
            {if events.is_empty() {
                view! { <EmptyState glyph=Glyph::User title="No events yet" heading=3><p>"Every change of this datastore leaves a line here."</p></EmptyState> }.into_any()
            } else {
                view! {
                    <Table caption="Audit events" columns class="events">
                        {events
                            .into_iter()
                            .map(|event| {
                                view! {
                                    <tr role="row">
                                        <td role="cell" data-label="When">
                                            <TimeAgo at=event.at />
                                        </td>
                                        <td role="cell" data-label="Who">
                                            {event.actor}
                                        </td>
                                        <td role="cell" data-label="What">
                                            <b>{event.action}</b>
                                            {(!event.detail.is_empty()).then(|| view! { <span class="second">{event.detail}</span> })}
                                        </td>
                                        <td role="cell" data-label="From">
                                            <code>{event.address}</code>
                                        </td>
                                    </tr>
                                }
                            })
                            .collect_view()}
                    </Table>
                }
                    .into_any()
            }}
        </Card>
    }
}
