//! `granary down`: every edge and server of this host ends. What was wanted of them stays wanted: after the next start the
//! monitor finds them gone and has them started again.

use crate::server::{
    db::{self, plan::Plan},
    engine::Site,
    platform::Lease,
    state::App,
};
use futures::StreamExt;
use uuid::Uuid;

/// Datastores that are stopped together.
const TOGETHER: usize = 8;

/// Stops them all; returns how many datastores could not be stopped completely, each of which was logged.
///
/// # Errors
/// When the metadata database cannot be read.
pub async fn stop_all(app: &App) -> anyhow::Result<usize> {
    let ids = db::places::datastores_with_places(&app.db, app.host).await?;
    let failed = futures::stream::iter(ids)
        .map(|id| async move {
            stop(app, id).await.inspect_err(|error| tracing::error!(datastore = %id, error = format!("{error:#}"), "could not be stopped")).is_err()
        })
        .buffer_unordered(TOGETHER)
        .filter(|failed| std::future::ready(*failed))
        .count()
        .await;
    Ok(failed)
}

/// Under a token of its own, so that a worker that was overlooked cannot start things again behind our back.
async fn stop(app: &App, id: Uuid) -> anyhow::Result<()> {
    let plan = Plan::load(&app.db, id).await?;
    let lease = Lease { datastore: id, token: db::jobs::next_token(&app.db).await? };
    let platform = app.platform(&plan.region)?;
    platform.destroy_edge(lease, id).await?;
    for planned in &plan.nodes {
        let node = plan.node_spec(planned);
        match (app.engine(plan.engine), app.programs(&plan.region, plan.engine, &plan.version)) {
            (Ok(engine), Ok(programs)) => engine.stop(Site { platform, lease, node: &node, programs }).await?,
            // Without its programs it cannot be asked politely.
            _ => platform.fence(lease, &node).await?,
        }
        // So that the home can be moved or removed.
        platform.detach(lease, &node).await?;
    }
    Ok(())
}
