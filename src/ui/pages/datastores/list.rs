//! The list of datastores.

use super::{filters::Filters, new::CreateButton, row::Row};
use crate::{
    model::{
        datastore::{ListPage, ListQuery},
        status::Tone,
    },
    server_fns::datastore::list::list,
    ui::{
        components::{Column, EmptyState, Glyph, Table},
        layout::page,
        live::LiveList,
        query::{Query, link},
        request::locale,
    },
};
use leptos::prelude::*;
use leptos_meta::Title;

/// All datastores of the project: search, filters, order, pages.
#[component]
pub fn List() -> impl IntoView {
    let query = read(&Query::of_page());
    page(list(query.clone()), move |found| view! { <ListBody query found /> })
}

#[component]
fn ListBody(query: ListQuery, found: ListPage) -> impl IntoView {
    let empty = found.all == 0;
    let count = if found.total == found.all { many(found.all) } else { format!("{} of {}", locale().whole(found.total), many(found.all)) };
    let working = found.rows.iter().any(|row| matches!(row.status.tone(), Tone::Busy) || row.status == crate::model::status::Status::Queued);
    let plain = query == ListQuery { sort: query.sort.clone(), ..ListQuery::default() };
    let shows_new = plain && matches!(query.sort.as_str(), "" | "-created");
    view! {
        <Title text="Datastores" />
        {working.then(|| view! { <noscript inner_html=r#"<meta http-equiv="refresh" content="5">"#></noscript> })}
        <LiveList rows=found.rows.iter().map(|row| row.id).collect() shows_new />
        <div class="page-head">
            <div>
                <h1>"Datastores"</h1>
                {(!empty).then(|| view! { <p class="lead">{count}</p> })}
            </div>
            {(!empty).then(|| view! { <CreateButton /> })}
        </div>
        {if empty {
            view! { <Welcome /> }.into_any()
        } else {
            view! {
                <Filters query=query.clone() tags=found.tags.clone() />
                {if found.rows.is_empty() { view! { <NothingFound /> }.into_any() } else { view! { <Rows query=query.clone() found=found.clone() /> }.into_any() }}
                <Pages query found />
            }
                .into_any()
        }}
    }
}

fn many(all: u64) -> String {
    format!("{} {}", locale().whole(all), if all == 1 { "datastore" } else { "datastores" })
}

#[component]
fn Welcome() -> impl IntoView {
    view! {
        <EmptyState glyph=Glyph::Brand title="No datastores yet">
            <p>
                "A datastore is one database server, or several that replicate, with its own address, users, firewall and storage. \
                 The first one is ready in about a minute."
            </p>
            <CreateButton />
        </EmptyState>
    }
}

#[component]
fn NothingFound() -> impl IntoView {
    view! {
        <EmptyState glyph=Glyph::Search title="Nothing matches">
            <p>"No datastore has this name, engine, status and tag together."</p>
            <a class="button" href="/datastores">
                "Clear search and filters"
            </a>
        </EmptyState>
    }
}

#[component]
fn Rows(query: ListQuery, found: ListPage) -> impl IntoView {
    let columns = vec![
        sorted("Name", "name", "-name", &query),
        Column::new("Status"),
        Column { class: "wide", ..Column::new("Topology") },
        Column { class: "wide", ..Column::new("Region") },
        Column { class: "mid", ..Column::new("Flavor × nodes") },
        Column::new("Storage used"),
        sorted("Created", "created", "-created", &query),
        Column { head: view! { <span class="sr-only">"Actions"</span> }.into_any(), sort: None, class: "" },
    ];
    view! {
        <Table caption="Datastores of this project" columns class="datastores">
            {found.rows.into_iter().map(|row| view! { <Row row /> }).collect_view()}
        </Table>
    }
}

/// A head that sorts: once up, twice down.
fn sorted(label: &'static str, up: &str, down: &str, query: &ListQuery) -> Column {
    let now = if query.sort.is_empty() { "-created" } else { query.sort.as_str() };
    let (sort, next) = match now {
        now if now == up => (Some("ascending"), down),
        now if now == down => (Some("descending"), up),
        _ => (None, up),
    };
    let href = url(&ListQuery { sort: next.to_owned(), after: String::new(), before: String::new(), ..query.clone() });
    Column { head: view! { <a class="sort" href=href>{label}</a> }.into_any(), sort, class: "" }
}

#[component]
fn Pages(query: ListQuery, found: ListPage) -> impl IntoView {
    let (Some(first), Some(last)) = (found.rows.first(), found.rows.last()) else { return None };
    let end = found.before + u64::try_from(found.rows.len()).unwrap_or_default();
    let previous = (found.before > 0).then(|| url(&ListQuery { before: first.id.to_string(), after: String::new(), ..query.clone() }));
    let next = (end < found.total).then(|| url(&ListQuery { after: last.id.to_string(), before: String::new(), ..query.clone() }));
    (previous.is_some() || next.is_some()).then(|| {
        view! {
            <nav class="pages" aria-label="Pages">
                {previous.map(|href| view! { <a class="button" rel="prev" href=href>"Previous"</a> })}
                <span>{format!("{} to {end} of {}", found.before + 1, found.total)}</span>
                {next.map(|href| view! { <a class="button" rel="next" href=href>"Next"</a> })}
            </nav>
        }
    })
}

/// The list's query as its URL has it.
fn read(query: &Query) -> ListQuery {
    ListQuery {
        q: query.get("q").trim().to_owned(),
        engine: query.get("engine"),
        status: query.get("status"),
        tag: query.get("tag"),
        sort: query.get("sort"),
        after: query.get("after"),
        before: query.get("before"),
    }
}

/// The URL of a query, without what is empty anyway.
fn url(query: &ListQuery) -> String {
    let ListQuery { q, engine, status, tag, sort, after, before } = query;
    let all = [("q", q), ("engine", engine), ("status", status), ("tag", tag), ("sort", sort), ("after", after), ("before", before)];
    format!("/datastores{}", link(&all.map(|(name, value)| (name, value.as_str()))))
}
