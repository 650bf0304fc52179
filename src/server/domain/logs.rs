//! What the servers of a datastore write.

use super::Actor;
use crate::{
    error::AppError,
    model::log::{LogEntry, LogLevel, LogQuery, LogsView},
    server::{db::plan::Plan, state::App},
};
use futures::future::join_all;
use uuid::Uuid;

/// How much of a node's log is looked through, in bytes.
const LOOKED_THROUGH: u64 = 512 << 10;
/// Most entries of a page.
const MOST: usize = 300;

/// The ends of its nodes' logs, newest entry first.
///
/// # Errors
/// [`AppError::NotFound`].
pub async fn of_datastore(app: &App, actor: &Actor, id: Uuid, query: &LogQuery) -> Result<LogsView, AppError> {
    let view = super::datastore::get(app, actor, id).await?;
    let plan = Plan::load(&app.db, id).await?;
    let (platform, engine) = (app.platform(&plan.region)?, app.engine(plan.engine)?);
    let named = |node: Uuid| view.nodes.iter().find(|n| n.id == node).map(|n| n.name.clone()).unwrap_or_default();
    let nodes: Vec<_> = plan.nodes.iter().map(|node| (node.slot, named(node.id))).collect();
    let wanted = plan.nodes.iter().filter(|node| query.node.is_empty() || query.node == node.slot.to_string());
    let logs = join_all(wanted.map(|node| {
        let spec = plan.node_spec(node);
        async move { (named(node.id), engine.log(platform, &spec, LOOKED_THROUGH).await) }
    }));
    let mut entries = Vec::new();
    for (name, log) in logs.await {
        entries.extend(log.into_iter().filter(|entry| matches(entry, query)).map(|entry| (name.clone(), entry)));
    }
    // Stable: what was said at the same time, or at no time, stays in its order.
    entries.sort_by_key(|(_, entry)| entry.at);
    entries.reverse();
    let more = entries.len() > MOST;
    entries.truncate(MOST);
    Ok(LogsView { nodes, entries, more })
}

fn matches(entry: &LogEntry, query: &LogQuery) -> bool {
    let words = query.q.to_lowercase();
    let level = query.level.parse().unwrap_or(LogLevel::Info);
    entry.level >= level && (words.is_empty() || entry.text.to_lowercase().contains(&words) || entry.by.to_lowercase().contains(&words))
}
