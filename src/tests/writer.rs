//! An application that writes while things happen to its datastore.

use super::real::Machine;
use crate::{model::datastore::EndpointKind, server::domain};
use sqlx::{
    ConnectOptions,
    postgres::{PgConnectOptions, PgSslMode},
};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use uuid::Uuid;

/// Writes numbers through the primary endpoint, one after another, as an application that connects again does; says which were
/// acknowledged, and the longest time without one.
pub(super) struct Writer {
    task: tokio::task::JoinHandle<Vec<i64>>,
    stop: Arc<AtomicBool>,
    /// Since the last [`Writer::begin`].
    longest: Arc<Mutex<Duration>>,
}

impl Writer {
    pub(super) async fn start(machine: &Machine, id: Uuid) -> Self {
        machine.psql(id, "create table w (n bigint)").await.unwrap();
        let c = domain::access::connection(&machine.app, &machine.actor, id, EndpointKind::Primary, true).await.unwrap();
        let options = PgConnectOptions::new_without_pgpass().host(&c.host).port(c.port).username(&c.user).database(&c.database);
        let options = options.password(&c.password.unwrap()).ssl_mode(PgSslMode::Require);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let longest = Arc::new(Mutex::new(Duration::ZERO));
        let longer = longest.clone();
        let writes = async move {
            let (mut acknowledged, mut last, mut session) = (Vec::new(), Instant::now(), None);
            for n in 0.. {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let mut connected = match session.take() {
                    Some(session) => session,
                    None => match tokio::time::timeout(Duration::from_secs(2), options.connect()).await {
                        Ok(Ok(session)) => session,
                        _ => continue,
                    },
                };
                if let Ok(Ok(_)) =
                    tokio::time::timeout(Duration::from_secs(2), sqlx::query("INSERT INTO w VALUES ($1)").bind(n).execute(&mut connected)).await
                {
                    {
                        let mut longest = longer.lock().unwrap();
                        *longest = longest.max(last.elapsed());
                    }
                    last = Instant::now();
                    acknowledged.push(n);
                    session = Some(connected);
                }
            }
            acknowledged
        };
        Self { task: tokio::spawn(writes), stop, longest }
    }

    /// Measures anew.
    pub(super) fn begin(&self) {
        *self.longest.lock().unwrap() = Duration::ZERO;
    }

    /// The longest time without an acknowledged write.
    pub(super) fn longest(&self) -> Duration {
        *self.longest.lock().unwrap()
    }

    /// How many were acknowledged, and which of them are not there any more.
    pub(super) async fn end(self, machine: &Machine, id: Uuid) -> (usize, Vec<i64>, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        let longest = self.longest();
        let acknowledged = self.task.await.unwrap();
        let there = machine.psql(id, "select n from w").await.unwrap();
        let there: BTreeSet<i64> = there.lines().map(|n| n.parse().unwrap()).collect();
        (acknowledged.len(), acknowledged.into_iter().filter(|n| !there.contains(n)).collect(), longest)
    }
}
