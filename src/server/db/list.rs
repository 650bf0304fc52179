//! A project's list of datastores. Its pages go on from a row, never from a number of rows: what others make or delete
//! meanwhile moves nothing from one page to the next.

use super::datastores::Row;
use crate::model::{
    catalogue::Catalogue,
    datastore::{ListPage, ListQuery},
    status::Status,
};
use sqlx::PgPool;
use time::OffsetDateTime;
use uuid::Uuid;

/// Rows of a page.
pub const PAGE: i64 = 50;

/// What is asked for, as the statements want it.
struct Filter<'a> {
    project: Uuid,
    name: String,
    engine: &'a str,
    status: Option<String>,
    tag: &'a str,
}

impl<'a> Filter<'a> {
    fn new(project: Uuid, query: &'a ListQuery) -> Self {
        let status = Status::ALL.into_iter().find(|s| s.word() == query.status).map(|s| format!("{s:?}"));
        let name = format!("%{}%", query.q.trim().replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_"));
        Self { project, name, engine: &query.engine, status, tag: &query.tag }
    }

    fn is_empty(&self) -> bool {
        self.name == "%%" && self.engine.is_empty() && self.status.is_none() && self.tag.is_empty()
    }
}

/// What rows are in order of.
#[derive(Debug, Clone, Copy)]
enum Key {
    Created,
    Name,
}

/// An order of rows.
#[derive(Debug, Clone, Copy)]
struct Order {
    key: Key,
    descending: bool,
}

impl Order {
    fn of(sort: &str) -> Self {
        let (key, descending) = match sort {
            "name" => (Key::Name, false),
            "-name" => (Key::Name, true),
            "created" => (Key::Created, false),
            _ => (Key::Created, true),
        };
        Self { key, descending }
    }

    fn reversed(self) -> Self {
        Self { descending: !self.descending, ..self }
    }
}

/// A row from which to go on. It need not be in the list any more.
struct Cursor {
    id: Uuid,
    created_at: OffsetDateTime,
    name: String,
}

/// The conditions of a [`Filter`], and of a cursor when there is one, which is `$6` with `$7`.
macro_rules! rows {
    ($pool:expr, $filter:expr, $key:expr, $id:expr, $beyond:tt, $order:tt) => {
        sqlx::query_as!(
            Row,
            r#"SELECT d.id, d.name, d.engine, d.version, s.status AS "status!", d.topology, d.region, d.flavor, d.storage_gb, d.tags,
                d.termination_protection, d.created_at,
                (SELECT count(*) FROM nodes n WHERE n.datastore_id = d.id) AS "nodes!",
                (SELECT sum(n.observed_storage_bytes)::bigint FROM nodes n WHERE n.datastore_id = d.id) AS storage_used
            FROM datastores d JOIN datastore_statuses s ON s.datastore_id = d.id
            WHERE d.project_id = $1 AND d.deleted_at IS NULL AND d.name ILIKE $2 AND ($3 = '' OR d.engine = $3)
              AND ($4::text IS NULL OR s.status = $4) AND ($5 = '' OR $5 = ANY(d.tags)) AND "#
                + $beyond
                + " ORDER BY "
                + $order
                + " LIMIT $8",
            $filter.project,
            $filter.name,
            $filter.engine,
            $filter.status,
            $filter.tag,
            $key,
            $id,
            PAGE
        )
        .fetch_all($pool)
        .await
    };
}

/// How many match beyond a cursor.
macro_rules! count {
    ($pool:expr, $filter:expr, $key:expr, $id:expr, $beyond:tt) => {
        sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM datastores d
            WHERE d.project_id = $1 AND d.deleted_at IS NULL AND d.name ILIKE $2 AND ($3 = '' OR d.engine = $3)
              AND ($4::text IS NULL OR (SELECT s.status FROM datastore_statuses s WHERE s.datastore_id = d.id) = $4)
              AND ($5 = '' OR $5 = ANY(d.tags)) AND "#
                + $beyond,
            $filter.project,
            $filter.name,
            $filter.engine,
            $filter.status,
            $filter.tag,
            $key,
            $id
        )
        .fetch_one($pool)
        .await
    };
}

/// A page of a project's list.
///
/// # Errors
/// Of the database.
pub async fn page(pool: &PgPool, catalogue: &Catalogue, project: Uuid, query: &ListQuery) -> anyhow::Result<ListPage> {
    let (filter, order) = (Filter::new(project, query), Order::of(&query.sort));
    let mut rows = match (cursor(pool, project, &query.after).await?, cursor(pool, project, &query.before).await?) {
        (Some(after), _) => rows(pool, &filter, order, Some(&after)).await?,
        (None, Some(before)) => {
            let mut rows = rows(pool, &filter, order.reversed(), Some(&before)).await?;
            rows.reverse();
            rows
        }
        (None, None) => Vec::new(),
    };
    // What was beyond the cursor is gone, or there is none: the list begins anew.
    if rows.is_empty() {
        rows = self::rows(pool, &filter, order, None).await?;
    }
    let all = count(pool, &Filter::new(project, &ListQuery::default()), order, None).await?;
    let total = if filter.is_empty() { all } else { count(pool, &filter, order, None).await? };
    let is_first_page = query.after.is_empty() && query.before.is_empty();
    let before = match rows.first().filter(|_| !is_first_page) {
        Some(first) => count(pool, &filter, order.reversed(), cursor(pool, project, &first.id.to_string()).await?.as_ref()).await?,
        None => 0,
    };
    let rows = rows.into_iter().map(|r| r.view(catalogue)).collect::<anyhow::Result<_>>()?;
    Ok(ListPage { rows, total, all, before, tags: tags(pool, project).await? })
}

async fn cursor(pool: &PgPool, project: Uuid, id: &str) -> sqlx::Result<Option<Cursor>> {
    let Ok(id) = id.parse::<Uuid>() else { return Ok(None) };
    sqlx::query_as!(Cursor, r#"SELECT id, created_at, lower(name) AS "name!" FROM datastores WHERE id = $1 AND project_id = $2"#, id, project)
        .fetch_optional(pool)
        .await
}

async fn rows(pool: &PgPool, filter: &Filter<'_>, order: Order, beyond: Option<&Cursor>) -> sqlx::Result<Vec<Row>> {
    let id = beyond.map(|c| c.id);
    let (created, name) = (beyond.map(|c| c.created_at), beyond.map(|c| c.name.as_str()));
    match (order.key, order.descending) {
        (Key::Created, true) => {
            rows!(pool, filter, created, id, "($6::timestamptz IS NULL OR (d.created_at, d.id) < ($6, $7::uuid))", "d.created_at DESC, d.id DESC")
        }
        (Key::Created, false) => {
            rows!(pool, filter, created, id, "($6::timestamptz IS NULL OR (d.created_at, d.id) > ($6, $7::uuid))", "d.created_at, d.id")
        }
        (Key::Name, true) => {
            rows!(pool, filter, name, id, "($6::text IS NULL OR (lower(d.name), d.id) < ($6, $7::uuid))", "lower(d.name) DESC, d.id DESC")
        }
        (Key::Name, false) => rows!(pool, filter, name, id, "($6::text IS NULL OR (lower(d.name), d.id) > ($6, $7::uuid))", "lower(d.name), d.id"),
    }
}

async fn count(pool: &PgPool, filter: &Filter<'_>, order: Order, beyond: Option<&Cursor>) -> anyhow::Result<u64> {
    let id = beyond.map(|c| c.id);
    let (created, name) = (beyond.map(|c| c.created_at), beyond.map(|c| c.name.as_str()));
    let count = match (order.key, order.descending) {
        (Key::Created, true) => count!(pool, filter, created, id, "($6::timestamptz IS NULL OR (d.created_at, d.id) < ($6, $7::uuid))"),
        (Key::Created, false) => count!(pool, filter, created, id, "($6::timestamptz IS NULL OR (d.created_at, d.id) > ($6, $7::uuid))"),
        (Key::Name, true) => count!(pool, filter, name, id, "($6::text IS NULL OR (lower(d.name), d.id) < ($6, $7::uuid))"),
        (Key::Name, false) => count!(pool, filter, name, id, "($6::text IS NULL OR (lower(d.name), d.id) > ($6, $7::uuid))"),
    };
    Ok(u64::try_from(count?)?)
}

async fn tags(pool: &PgPool, project: Uuid) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"SELECT DISTINCT unnest(tags) AS "tag!" FROM datastores WHERE project_id = $1 AND deleted_at IS NULL ORDER BY 1 LIMIT 200"#,
        project
    )
    .fetch_all(pool)
    .await
}
