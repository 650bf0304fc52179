//! A job: its steps, and what can be done with it.

use super::{Glyph, Icon, Pill, PostButton};
use crate::{
    model::{
        format,
        job::{JobState, JobView, Progress, StepState, StepView},
        status::Tone,
    },
    server_fns::jobs::{abandon::Abandon, cancel::Cancel, retry::Retry},
    ui::request::locale,
};
use leptos::{prelude::*, server_fn::ServerFn};
use uuid::Uuid;

/// The steps with their states, durations and, where one failed, its log.
#[component]
pub(crate) fn JobSteps(
    /// The job.
    job: Progress,
    /// Milliseconds since the server measured the running step.
    #[prop(optional)]
    since: u64,
) -> impl IntoView {
    let done = job.steps.iter().filter(|s| s.state == StepState::Done).count();
    let total = job.steps.len();
    let waits_for = job.waits_for.clone().filter(|_| matches!(job.state, JobState::Queued | JobState::Running));
    view! {
        <div class="job">
            <p class="job-line">
                <Pill tone=job.state.tone() word=job.state.word() />
                <span>
                    {if job.undoing { "Undoing what was made: " } else { "" }} {done} " of " {format::count(total, "step", "steps")} " done"
                </span>
            </p>
            {waits_for.map(|text| view! { <p class="job-waits">{text}</p> })}
            {job.error.map(|text| view! { <p class="job-error">{text}</p> })}
            <ol class="steps">{job.steps.into_iter().map(|step| view! { <JobStep step since /> }).collect_view()}</ol>
        </div>
    }
}

#[component]
fn JobStep(step: StepView, since: u64) -> impl IntoView {
    let running = step.state == StepState::Running;
    let took = step.duration_ms.map(|ms| if running { ms + since } else { ms });
    // What is over is told to the millisecond; what goes on counts seconds.
    let took = took.map(|ms| locale().words(&format::duration(if running { ms / 1000 * 1000 } else { ms })));
    view! {
        <li class=format!("step tone-{}", step.state.tone().name()) aria-current=running.then_some("step")>
            <Icon glyph=step.state.tone() />
            <span class="step-label">
                {step.label} <span class="sr-only">{format!(": {}", step.state.word())}</span>
                {(step.attempts > 1).then(|| view! { <span class="step-attempts">{format!("tried {} times", step.attempts)}</span> })}
            </span>
            <span class="step-took">{took}</span>
            {step
                .log_excerpt
                .map(|log| {
                    view! {
                        <pre class="step-log" tabindex="0" aria-label="Log of the failed step">
                            {log}
                        </pre>
                    }
                })}
        </li>
    }
}

/// Retry, Abandon, Cancel: those that are possible.
#[component]
pub(crate) fn JobActions(
    /// The datastore.
    datastore: Uuid,
    /// The job.
    job: JobView,
) -> impl IntoView {
    let fields = move || vec![("id", datastore.to_string()), ("job", job.id.to_string())];
    let some = job.can_retry || job.can_cancel || job.abandon.is_some();
    some.then(|| {
        view! {
            <div class="actions">
                {job.can_retry.then(|| view! { <PostButton action=Retry::url() label="Retry" look="primary" glyph=Glyph::Restart fields=fields() /> })}
                {job.can_cancel.then(|| view! { <PostButton action=Cancel::url() label="Cancel" fields=fields() /> })}
                {job
                    .abandon
                    .map(|what| {
                        view! {
                            <details class="confirm">
                                <summary class="button danger">"Abandon…"</summary>
                                <div class="box tone-bad">
                                    <Icon glyph=Tone::Warning />
                                    <div>
                                        <p>{what}</p>
                                        <PostButton action=Abandon::url() label="Abandon" look="danger" fields=fields() />
                                    </div>
                                </div>
                            </details>
                        }
                    })}
            </div>
        }
    })
}
