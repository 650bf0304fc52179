//! The failover drill on `/datastores/:id/nodes`, and `/datastores/:id/drills/:drill`.

use super::{super::show::show, Tab};
use crate::{
    model::{
        drill::{DrillKind, DrillState, DrillView, DrillsView, Outcome},
        durability::Durability,
        engine::EngineKind,
        format,
        status::Tone,
    },
    server_fns::datastore::{drill::Drill, drills::one_drill},
    ui::{
        components::{Card, Column, Fact, Icon, Pill, PostButton, Table, TimeAgo, WriteChart},
        request::locale,
    },
};
use leptos::{prelude::*, server_fn::ServerFn};
use leptos_router::hooks::use_params_map;
use uuid::Uuid;

/// What it does, how to begin one, the newest result, and earlier ones.
#[component]
pub(super) fn Drills(datastore: Uuid, engine: EngineKind, durability: Durability, drills: DrillsView) -> impl IntoView {
    let DrillsView { drills, refused } = drills;
    let running = drills.iter().find(|drill| drill.state == DrillState::Running).cloned();
    let newest = drills.iter().find(|drill| drill.state != DrillState::Running).cloned();
    view! {
        <Card id="drill" title="Failover drill" lead="What a failover costs your applications, measured on this datastore.">
            <p>
                "A probe writes a numbered row through the primary endpoint every 20 ms, over verified TLS and with a password, as an application would. After a second of good writes the primary is replaced. The drill ends when writes are acknowledged again and all nodes are well, after two minutes at most, and counts what is missing. The probe has a user and a place of its own, never among your data, and both are removed afterwards."
            </p>
            {match (running, refused) {
                (Some(drill), _) => view! { <Goes drill /> }.into_any(),
                (None, Some(why)) => view! { <p class="hint">{why}</p> }.into_any(),
                (None, None) => view! { <Begin datastore engine durability /> }.into_any(),
            }}
            {newest
                .map(|drill| {
                    view! {
                        <h3>"Newest result: " {drill.kind.label()} ", " <TimeAgo at=drill.started_at /></h3>
                        <Saw drill />
                    }
                })}
            {(!drills.is_empty()).then(|| view! { <History datastore drills /> })}
        </Card>
    }
}

/// The buttons, each behind what it does.
#[component]
fn Begin(datastore: Uuid, engine: EngineKind, durability: Durability) -> impl IntoView {
    let loses = engine.write_words(durability).loses;
    let form = |kind: DrillKind, label: &'static str, look: &'static str| {
        view! { <PostButton action=Drill::url() label look fields=vec![("id", datastore.to_string()), ("kind", kind.id().to_owned())] /> }
    };
    view! {
        <div class="actions">
            <details class="confirm">
                <summary class="button">"Planned promotion…"</summary>
                <div class="box tone-warning">
                    <Icon glyph=Tone::Warning />
                    <div>
                        <p>
                            "The replica that is least behind becomes the primary, and stays it. Connections to the primary are cut, also those of your applications; nothing that was acknowledged is lost."
                        </p>
                        {form(DrillKind::Promotion, "Promote now", "primary")}
                    </div>
                </div>
            </details>
            <details class="confirm">
                <summary class="button danger">"Kill the primary…"</summary>
                <div class="box tone-bad">
                    <Icon glyph=Tone::Warning />
                    <div>
                        <p>
                            "This is a real kill: every process of the primary ends at once, as in a crash, and Granary must notice and act by itself. Your applications cannot write until it has. "
                            {loses}
                        </p>
                        {form(DrillKind::Kill, "Kill it now", "danger")}
                    </div>
                </div>
            </details>
        </div>
    }
}

#[component]
fn Goes(drill: DrillView) -> impl IntoView {
    view! {
        <noscript inner_html=r#"<meta http-equiv="refresh" content="3">"#></noscript>
        <p role="status">
            <Pill tone=drill.state.tone() word=drill.state.word() />
            {format!(" {}, asked for by {}, ", drill.kind.label(), drill.requested_by)}
            <TimeAgo at=drill.started_at />
            ". Its result is shown here when it is over."
        </p>
    }
}

/// The sentence and the chart.
#[component]
fn Saw(drill: DrillView) -> impl IntoView {
    let DrillView { outcome, error, .. } = drill;
    view! {
        {error.map(|error| view! { <p>{error}</p> })}
        {outcome
            .map(|outcome| {
                view! {
                    <p>{sentence(&outcome)}</p>
                    <WriteChart outcome />
                }
            })}
    }
}

fn words(ms: u64) -> String {
    locale().words(&format::duration(ms))
}

/// What the probe saw, as somebody would say it.
fn sentence(outcome: &Outcome) -> String {
    let all = locale().whole(outcome.acknowledged);
    let lost = match outcome.lost {
        None => format!("Whether any of the {all} acknowledged rows was lost is not known."),
        Some(0) => format!("None of the {all} acknowledged rows was lost."),
        Some(1) => format!("1 of the {all} acknowledged rows was lost."),
        Some(n) => format!("{} of the {all} acknowledged rows were lost.", locale().whole(n)),
    };
    let connected = match outcome.reconnects {
        0 => "The probe kept its connection.".to_owned(),
        1 => "The probe had to connect again once.".to_owned(),
        n => format!("The probe had to connect again {n} times."),
    };
    format!("No write was acknowledged for {}. {lost} {connected}", words(outcome.pause_ms))
}

#[component]
fn History(datastore: Uuid, drills: Vec<DrillView>) -> impl IntoView {
    let heads = ["When", "Kind", "By", "Without writes", "Rows lost", "Reconnects", "Primary", "State"];
    view! {
        <h3>"History"</h3>
        <Table caption="Failover drills" columns=heads.map(Column::new).into()>
            {drills.into_iter().map(|drill| view! { <HistoryRow datastore drill /> }).collect_view()}
        </Table>
    }
}

#[component]
fn HistoryRow(datastore: Uuid, drill: DrillView) -> impl IntoView {
    let outcome = drill.outcome.as_ref();
    let of = |what: &dyn Fn(&Outcome) -> String| outcome.map_or_else(|| "–".to_owned(), what);
    let (pause, lost) = (of(&|o| words(o.pause_ms)), of(&lost));
    let reconnects = of(&|o| o.reconnects.to_string());
    view! {
        <tr role="row">
            <td role="cell" data-label="When">
                <a href=format!("/datastores/{datastore}/drills/{}", drill.id)>
                    <TimeAgo at=drill.started_at />
                </a>
            </td>
            <td role="cell" data-label="Kind">{drill.kind.label()}</td>
            <td role="cell" data-label="By">{drill.requested_by.clone()}</td>
            <td role="cell" data-label="Without writes">{pause}</td>
            <td role="cell" data-label="Rows lost">{lost}</td>
            <td role="cell" data-label="Reconnects">{reconnects}</td>
            <td role="cell" data-label="Primary">{way(&drill)}</td>
            <td role="cell" data-label="State"><Pill tone=drill.state.tone() word=drill.state.word() /></td>
        </tr>
    }
}

fn lost(outcome: &Outcome) -> String {
    outcome.lost.map_or_else(|| "not known".to_owned(), |lost| locale().whole(lost))
}

/// "orders-1 → orders-2".
fn way(drill: &DrillView) -> String {
    match (&drill.before, &drill.after) {
        (Some(before), Some(after)) if before == after => format!("{before}, started again"),
        (Some(before), Some(after)) => format!("{before} → {after}"),
        (Some(before), None) => before.clone(),
        (None, _) => "–".to_owned(),
    }
}

/// One drill.
#[component]
pub fn OneDrill() -> impl IntoView {
    let drill = use_params_map().get_untracked().get("drill").and_then(|id| id.parse().ok()).unwrap_or(Uuid::nil());
    show(
        Tab::Nodes,
        move |view| one_drill(view.row.id, drill),
        |view, drill| {
            let back = Tab::Nodes.path(&format!("/datastores/{}", view.row.id));
            view! {
                <Card id="drill" title=format!("Failover drill: {}", drill.kind.label()) lead=format!("Asked for by {}.", drill.requested_by)>
                    <Facts drill=drill.clone() />
                    <Saw drill />
                    <p>
                        <a href=format!("{back}#drill")>"All failover drills"</a>
                    </p>
                </Card>
            }
        },
    )
}

#[component]
fn Facts(drill: DrillView) -> impl IntoView {
    let way = way(&drill);
    view! {
        <dl class="facts">
            <Fact name="State">
                <Pill tone=drill.state.tone() word=drill.state.word() />
            </Fact>
            <Fact name="Begun">{format::exact(drill.started_at)}</Fact>
            {drill.duration_ms.map(|ms| view! { <Fact name="Took in all">{words(ms)}</Fact> })}
            <Fact name="Primary">{way}</Fact>
            {drill
                .outcome
                .map(|outcome| {
                    let lost = lost(&outcome);
                    view! {
                        <Fact name="Without writes">{words(outcome.pause_ms)}</Fact>
                        <Fact name="Rows acknowledged">{locale().whole(outcome.acknowledged)}</Fact>
                        <Fact name="Rows lost">{lost}</Fact>
                        <Fact name="Reconnects">{outcome.reconnects}</Fact>
                    }
                })}
        </dl>
    }
}
