//! Waits for servers to end: the kernel tells at once, so that nobody waits for the next round.

use crate::server::{db::plan::Plan, platform::NodeSpec, state::App};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::mpsc;
use uuid::Uuid;

/// A server's process: another one is waited for anew.
type Server = (Uuid, Option<u32>);

/// See the module's documentation.
pub(super) struct Watch {
    watched: Arc<Mutex<HashSet<Server>>>,
    ended: mpsc::UnboundedSender<Uuid>,
    next: tokio::sync::Mutex<mpsc::UnboundedReceiver<Uuid>>,
}

impl Default for Watch {
    fn default() -> Self {
        let (ended, next) = mpsc::unbounded_channel();
        Self { watched: Arc::default(), ended, next: tokio::sync::Mutex::new(next) }
    }
}

impl Watch {
    /// Waits for the end of this node's server, unless it is waited for.
    pub(super) fn node(&self, app: &App, plan: &Plan, node: &NodeSpec, pid: Option<u32>) {
        let server = (node.id, pid);
        if !self.watched.lock().unwrap_or_else(PoisonError::into_inner).insert(server) {
            return;
        }
        let (app, region, node, datastore) = (app.clone(), plan.region.clone(), node.clone(), plan.id);
        let (watched, ended) = (self.watched.clone(), self.ended.clone());
        tokio::spawn(async move {
            if let Ok(platform) = app.platform(&region) {
                tokio::select! {
                    () = platform.until_gone(&node) => {}
                    () = ended.closed() => {}
                }
            }
            watched.lock().unwrap_or_else(PoisonError::into_inner).remove(&server);
            // Nobody listens any more when the monitor has stopped.
            let _ = ended.send(datastore);
        });
    }

    /// The datastore of the next server that ends.
    pub(super) async fn next(&self) -> Uuid {
        // Never empty for good: this end holds a sender, too.
        match self.next.lock().await.recv().await {
            Some(datastore) => datastore,
            None => std::future::pending().await,
        }
    }
}
