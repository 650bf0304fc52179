//! What changed: ids that PostgreSQL's NOTIFY carries to live pages and workers of every Granary process.

use uuid::Uuid;

/// A change of a datastore, or of its jobs or nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// Its project.
    pub project: Uuid,
    /// The datastore.
    pub datastore: Uuid,
}

/// Hands changes to whoever listens.
#[derive(Clone)]
pub struct Changes(tokio::sync::broadcast::Sender<Change>);

impl Changes {
    /// From now on.
    #[must_use]
    pub fn subscribe(&self) -> tokio::sync::broadcast::Receiver<Change> {
        self.0.subscribe()
    }
}
