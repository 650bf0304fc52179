//! What changed: ids that PostgreSQL's NOTIFY carries to live pages and workers of every Granary process.

use super::sessions::IdHash;
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};
use std::time::Duration;
use tokio::{
    sync::broadcast::{
        self,
        error::{RecvError, TryRecvError},
    },
    time::{sleep, timeout},
};
use uuid::Uuid;

/// The channel that triggers of the schema notify on, with `<project> <datastore>` or `session <hash of its id>`.
const CHANNEL: &str = "granary_changes";
/// How many changes a slow listener may be behind before it is told to read everything again.
const BACKLOG: usize = 1024;
/// After so long without a change the connection is asked whether it lives, and how long it may take to say so.
const SILENCE: Duration = Duration::from_secs(15);
const ANSWER: Duration = Duration::from_secs(5);
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What a listener is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A datastore, or one of its jobs or nodes, changed.
    Datastore {
        /// Its project.
        project: Uuid,
        /// The datastore.
        datastore: Uuid,
    },
    /// A session in which somebody was signed in has ended.
    SessionEnded(IdHash),
    /// Changes may have been missed: read again what matters.
    Resync,
}

/// Hands changes to whoever listens.
#[derive(Debug, Clone)]
pub struct Changes(broadcast::Sender<Change>);

impl Changes {
    /// One that hears only [`Changes::send`].
    #[must_use]
    pub fn local() -> Self {
        Self(broadcast::Sender::new(BACKLOG))
    }

    /// One that hears the metadata database, over a connection of its own that is made again whenever it is lost.
    #[must_use]
    pub fn start(db: &PgPool) -> Self {
        let changes = Self::local();
        tokio::spawn(changes.clone().listen((*db.connect_options()).clone()));
        changes
    }

    /// Everything from now on.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        Subscription(self.0.subscribe())
    }

    /// Tells the listeners of this process.
    pub fn send(&self, change: Change) {
        // An error means that nobody listens.
        let _ = self.0.send(change);
    }

    async fn listen(self, options: PgConnectOptions) -> ! {
        let mut pause = SHORTEST_PAUSE;
        loop {
            match self.hear(&options, &mut pause).await {
                Ok(()) => tracing::info!("the connection that listens for changes was lost; making it again"),
                Err(error) => tracing::warn!(%error, "cannot listen for changes; live pages are late until this works again"),
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Listens until the connection is lost.
    async fn hear(&self, options: &PgConnectOptions, pause: &mut Duration) -> sqlx::Result<()> {
        // A pool for each connection: one that is lost may be long in going, and keeps its place until then.
        let own = PgPoolOptions::new().max_connections(1).acquire_timeout(ANSWER).connect_lazy_with(options.clone());
        let mut listener = PgListener::connect_with(&own).await?;
        // Otherwise it would connect again by itself, and nobody would know that something was missed.
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        *pause = SHORTEST_PAUSE;
        // What happened before this moment was not heard.
        self.send(Change::Resync);
        loop {
            let Ok(heard) = timeout(SILENCE, listener.try_recv()).await else {
                // A network that swallows everything tells nobody that it does.
                timeout(ANSWER, sqlx::query("SELECT 1").execute(&mut listener)).await.map_err(|_| sqlx::Error::PoolTimedOut)??;
                continue;
            };
            let Some(notification) = heard? else { return Ok(()) };
            if let Some(change) = parse(notification.payload()) {
                self.send(change);
            } else {
                tracing::warn!(payload = notification.payload(), "a notification that is none of ours");
            }
        }
    }
}

fn parse(payload: &str) -> Option<Change> {
    let (project, datastore) = payload.split_once(' ')?;
    if project == "session" {
        return Some(Change::SessionEnded(hash(datastore)?));
    }
    Some(Change::Datastore { project: project.parse().ok()?, datastore: datastore.parse().ok()? })
}

/// 32 bytes in hexadecimal digits.
fn hash(digits: &str) -> Option<IdHash> {
    let bytes: Vec<u8> = digits.as_bytes().chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()).collect::<Option<_>>()?;
    bytes.try_into().ok()
}

/// Changes from the moment it was made.
#[derive(Debug)]
pub struct Subscription(broadcast::Receiver<Change>);

impl Subscription {
    /// The next one; [`Change::Resync`] when some were lost because too many waited. Never ends while [`Changes`] lives:
    /// afterwards it waits for ever. May be dropped and called again without losing any.
    pub async fn next(&mut self) -> Change {
        match self.0.recv().await {
            Ok(change) => change,
            Err(RecvError::Lagged(_)) => Change::Resync,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }

    /// One that waits already.
    pub fn waiting(&mut self) -> Option<Change> {
        match self.0.try_recv() {
            Ok(change) => Some(change),
            Err(TryRecvError::Lagged(_)) => Some(Change::Resync),
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::support;

    async fn until(subscription: &mut Subscription, wanted: Change) {
        let found = async { while subscription.next().await != wanted {} };
        tokio::time::timeout(Duration::from_secs(10), found).await.expect("the change arrives");
    }

    #[tokio::test]
    async fn changes_arrive_and_a_lost_connection_is_made_again_with_a_resync() {
        let db = support::database().await;
        let changes = Changes::start(&db.pool);
        let mut heard = changes.subscribe();
        until(&mut heard, Change::Resync).await;

        let (project, datastore) = (Uuid::now_v7(), Uuid::now_v7());
        let notify = || async {
            sqlx::query("SELECT pg_notify('granary_changes', $1)").bind(format!("{project} {datastore}")).execute(&db.pool).await.unwrap();
        };
        notify().await;
        until(&mut heard, Change::Datastore { project, datastore }).await;

        sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'")
            .execute(&db.pool)
            .await
            .unwrap();
        until(&mut heard, Change::Resync).await;
        notify().await;
        until(&mut heard, Change::Datastore { project, datastore }).await;
    }

    #[tokio::test]
    async fn a_listener_that_is_too_far_behind_is_told_to_read_again() {
        let changes = Changes::local();
        let mut heard = changes.subscribe();
        let change = Change::Datastore { project: Uuid::nil(), datastore: Uuid::nil() };
        (0..=BACKLOG).for_each(|_| changes.send(change));
        assert_eq!(heard.next().await, Change::Resync);
        assert_eq!(heard.next().await, change);
    }

    #[test]
    fn a_foreign_payload_is_not_a_change() {
        assert_eq!(parse("x y"), None);
        assert_eq!(parse(""), None);
        assert_eq!(parse("session 00"), None);
        assert_eq!(parse(&format!("session {}", "é".repeat(32))), None);
        assert_eq!(parse(&format!("session {}", "0a".repeat(32))), Some(Change::SessionEnded([10; 32])));
    }
}
