//! The list of datastores.

use super::{filters::Filters, new::CreateButton, row::Row};
use crate::{
    model::{
        datastore::{ListPage, ListQuery},
        format,
        status::Tone,
    },
    server_fns::datastore::list::list,
    ui::{
        components::{Column, EmptyState, Glyph, Table},
        layout::page,
        live::LiveList,
    },
};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::{hooks::use_query_map, params::ParamsMap};

/// All datastores of the project: search, filters, order, pages.
#[component]
pub fn List() -> impl IntoView {
    let query = read(&use_query_map().get_untracked());
    page(list(query.clone()), move |found| view! { <ListBody query found /> })
}

#[component]
fn ListBody(query: ListQuery, found: ListPage) -> impl IntoView {
    let empty = found.all == 0;
    let count = if found.total == found.all {
        format::count(usize::try_from(found.all).unwrap_or(usize::MAX), "datastore", "datastores")
    } else {
        format!("{} of {}", found.total, format::count(usize::try_from(found.all).unwrap_or(usize::MAX), "datastore", "datastores"))
    };
    let working = found.rows.iter().any(|row| matches!(row.status.tone(), Tone::Busy) || row.status == crate::model::status::Status::Queued);
    let plain = query == ListQuery { page: query.page, sort: query.sort.clone(), ..ListQuery::default() };
    let shows_new = plain && found.page <= 1 && matches!(query.sort.as_str(), "" | "-created");
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
                <Pages query page=found.page pages=found.pages />
            }
                .into_any()
        }}
    }
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
    let href = url(&ListQuery { sort: next.to_owned(), page: 0, ..query.clone() });
    Column { head: view! { <a class="sort" href=href>{label}</a> }.into_any(), sort, class: "" }
}

#[component]
fn Pages(query: ListQuery, page: u32, pages: u32) -> impl IntoView {
    let to = |page: u32| url(&ListQuery { page, ..query.clone() });
    (pages > 1).then(|| {
        view! {
            <nav class="pages" aria-label="Pages">
                {(page > 1).then(|| view! { <a class="button" rel="prev" href=to(page - 1)>"Previous"</a> })}
                <span>{format!("Page {page} of {pages}")}</span>
                {(page < pages).then(|| view! { <a class="button" rel="next" href=to(page + 1)>"Next"</a> })}
            </nav>
        }
    })
}

/// The list's query as its URL has it.
fn read(map: &ParamsMap) -> ListQuery {
    let text = |key: &str| map.get(key).unwrap_or_default();
    ListQuery {
        q: text("q").trim().to_owned(),
        engine: text("engine"),
        status: text("status"),
        tag: text("tag"),
        sort: text("sort"),
        page: text("page").parse().unwrap_or(1),
    }
}

/// The URL of a query, without what is empty anyway.
fn url(query: &ListQuery) -> String {
    let page = if query.page > 1 { query.page.to_string() } else { String::new() };
    let all = [("q", &query.q), ("engine", &query.engine), ("status", &query.status), ("tag", &query.tag), ("sort", &query.sort), ("page", &page)];
    let map: ParamsMap = all.into_iter().filter(|(_, value)| !value.is_empty()).map(|(key, value)| (key.to_owned(), value.clone())).collect();
    format!("/datastores{}", map.to_query_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_survives_its_url() {
        let query = ListQuery {
            q: "a b&c".into(),
            status: "Delete failed".into(),
            tag: "team:x".into(),
            sort: "-name".into(),
            page: 3,
            ..ListQuery::default()
        };
        let url = url(&query);
        assert!(!url.contains(' ') && !url.contains("engine"), "{url}");
        let map: ParamsMap = [("q", "a b&c"), ("status", "Delete failed"), ("tag", "team:x"), ("sort", "-name"), ("page", "3")]
            .into_iter()
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect();
        assert_eq!(read(&map), query);
        assert_eq!(read(&ParamsMap::new()).page, 1);
        assert_eq!(super::url(&ListQuery::default()), "/datastores");
    }
}
