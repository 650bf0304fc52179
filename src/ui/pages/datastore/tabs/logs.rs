//! `/datastores/:id/logs`: what the servers wrote.

use super::{super::show::show, Tab};
use crate::{
    model::{
        format,
        log::{LogEntry, LogLevel, LogQuery, LogsView},
        status::Tone,
    },
    server_fns::datastore::logs::logs,
    ui::{
        components::{AutoSubmit, Card, Choice, EmptyState, Glyph, Icon, Pill},
        query::Query,
    },
};
use leptos::prelude::*;
use uuid::Uuid;

/// The tab.
#[component]
pub fn Logs() -> impl IntoView {
    let query = read(&Query::of_page());
    let asked = query.clone();
    show(Tab::Logs, move |view| logs(view.row.id, asked), move |view, found| view! { <LogsBody id=view.row.id query found /> })
}

/// As the URL has it.
fn read(query: &Query) -> LogQuery {
    LogQuery { node: query.get("node"), level: query.get("level"), q: query.get("q").trim().to_owned() }
}

#[component]
fn LogsBody(id: Uuid, query: LogQuery, found: LogsView) -> impl IntoView {
    let several = found.nodes.len() > 1;
    let all = query == LogQuery::default();
    view! {
        <Card id="logs" title="Logs" lead="What the servers wrote last, newest first. Times are UTC.">
            <Filters id query nodes=found.nodes />
            {if found.entries.is_empty() {
                let (title, words) = if all { ("Nothing yet", "The server has written nothing.") } else { ("Nothing matches", "No line of the last part of the log has this.") };
                view! { <EmptyState glyph=Glyph::Search title heading=3><p>{words}</p></EmptyState> }.into_any()
            } else {
                view! {
                    // It scrolls, so the keyboard must reach it.
                    <div class="log" tabindex="0" role="region" aria-label="Lines of the log">
                        <ol>{found.entries.into_iter().map(|(node, entry)| view! { <Line node=several.then_some(node) entry /> }).collect_view()}</ol>
                    </div>
                    {found.more.then(|| view! { <p class="lead">"There is more that matches; narrow it down to see older lines."</p> })}
                }
                    .into_any()
            }}
        </Card>
    }
}

#[component]
fn Filters(id: Uuid, query: LogQuery, nodes: Vec<(u8, String)>) -> impl IntoView {
    let levels = [LogLevel::Warning, LogLevel::Error];
    let levels = levels.into_iter().map(|level| (level.id().to_owned(), format!("{} and graver", level.label()))).collect();
    let nodes: Vec<_> = nodes.into_iter().map(|(slot, name)| (slot.to_string(), name)).collect();
    view! {
        <form class="filters" method="get" action=format!("/datastores/{id}/logs") role="search" aria-label="Logs">
            <div class="search">
                <Icon glyph=Glyph::Search />
                <input type="search" name="q" value=query.q aria-label="Search the lines" placeholder="Search the lines" autocomplete="off" spellcheck="false" />
            </div>
            {(nodes.len() > 1).then(|| view! { <Choice name="node" label="Node" any="All nodes" options=nodes chosen=query.node /> })}
            <Choice name="level" label="Level" any="All levels" options=levels chosen=query.level />
            <button class="button" type="submit">
                "Apply"
            </button>
            <AutoSubmit />
        </form>
    }
}

#[component]
fn Line(node: Option<String>, entry: LogEntry) -> impl IntoView {
    let tone = match entry.level {
        LogLevel::Info => None,
        LogLevel::Warning => Some(Tone::Warning),
        LogLevel::Error => Some(Tone::Bad),
    };
    view! {
        <li>
            <span class="log-head">
                {entry.at.map(|at| view! { <time datetime=format::exact(at)>{format::clock(at)}</time> })}
                {tone.map(|tone| view! { <Pill tone word=entry.level.label() /> })}
                {node} {(!entry.by.is_empty()).then_some(entry.by)}
            </span>
            <code>{entry.text}</code>
        </li>
    }
}
