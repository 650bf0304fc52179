//! A client that writes all the time: over TLS, one row in each transaction, and connected again at once when it was cut off.
//! It remembers what was acknowledged.

use crate::client::{Endpoint, Session};
use futures::future::{join_all, select_all};
use std::{
    collections::{BTreeSet, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

/// Between two rows.
const PAUSE: Duration = Duration::from_millis(2);
/// Between two tries to connect, and where a client asks all nodes, whose standbys answer at some cost.
const AGAIN: Duration = Duration::from_millis(10);
const AGAIN_OF_MANY: Duration = Duration::from_millis(50);
/// A connection or a row that takes longer is given up: libpq's shortest `connect_timeout`.
const GIVE_UP: Duration = Duration::from_secs(2);
/// The longest outage that is waited for.
const PATIENCE: Duration = Duration::from_mins(2);

#[derive(Default)]
struct Log {
    acknowledged: Vec<Acknowledged>,
    sessions: u64,
    given_up: usize,
    errors: Vec<String>,
}

#[derive(Clone, Copy)]
struct Acknowledged {
    id: i64,
    session: u64,
    at: Instant,
}

/// What came of it.
pub(crate) struct Outcome {
    /// Rows that were acknowledged.
    pub(crate) acknowledged: usize,
    /// Of these, those that are not there any more.
    pub(crate) lost: usize,
    /// Rows and connections that were waited for too long.
    pub(crate) given_up: usize,
    /// Errors other than a connection that was lost or refused.
    pub(crate) errors: Vec<String>,
}

/// The client; it ends with [`Writer::end`].
pub(crate) struct Writer {
    hosts: Arc<Vec<Endpoint>>,
    log: Arc<Mutex<Log>>,
    over: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Writer {
    /// Starts to write. Of several hosts it writes at the first that takes writes, and asks all at once: no slower than libpq's
    /// `target_session_attrs=read-write`, which asks one after the other.
    pub(crate) async fn start(hosts: Vec<Endpoint>) -> Self {
        let hosts = Arc::new(hosts);
        let (log, over) = (Arc::new(Mutex::new(Log::default())), Arc::new(AtomicBool::new(false)));
        let session = reach(&hosts, &log).await;
        session.client.batch_execute("CREATE TABLE acknowledged (id bigint PRIMARY KEY)").await.unwrap();
        let task = tokio::spawn(write(hosts.clone(), log.clone(), over.clone()));
        Self { hosts, log, over, task }
    }

    /// The first row acknowledged in a session that was begun after all that there are now; those of before are cut off.
    pub(crate) async fn next_session(&self, so_far: u64) -> Instant {
        let begun = Instant::now();
        loop {
            if let Some(first) = self.log.lock().unwrap().acknowledged.iter().rev().take_while(|it| it.session > so_far).last() {
                return first.at;
            }
            assert!(begun.elapsed() < PATIENCE, "no row was acknowledged for {PATIENCE:?}");
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// How many sessions there were.
    pub(crate) fn sessions(&self) -> u64 {
        self.log.lock().unwrap().sessions
    }

    /// Waits for so many more rows.
    pub(crate) async fn rows(&self, more: usize) {
        let (begun, before) = (Instant::now(), self.log.lock().unwrap().acknowledged.len());
        while self.log.lock().unwrap().acknowledged.len() < before + more {
            assert!(begun.elapsed() < PATIENCE, "no rows are acknowledged");
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// The longest time without an acknowledged row since then.
    pub(crate) fn longest_pause(&self, since: Instant) -> Duration {
        let log = self.log.lock().unwrap();
        let first = log.acknowledged.partition_point(|it| it.at < since).saturating_sub(1);
        let times = log.acknowledged[first..].windows(2).map(|two| two[1].at - two[0].at);
        times.max().expect("rows were acknowledged")
    }

    /// Ends it, and looks for every row that was acknowledged.
    pub(crate) async fn end(self) -> Outcome {
        self.over.store(true, Ordering::SeqCst);
        self.task.await.unwrap();
        let session = reach(&self.hosts, &self.log).await;
        let rows = session.client.query("SELECT id FROM acknowledged", &[]).await.unwrap();
        let there: HashSet<i64> = rows.iter().map(|row| row.get(0)).collect();
        let log = self.log.lock().unwrap();
        let lost = log.acknowledged.iter().filter(|it| !there.contains(&it.id)).count();
        Outcome { acknowledged: log.acknowledged.len(), lost, given_up: log.given_up, errors: log.errors.clone() }
    }
}

impl Outcome {
    /// For the table.
    pub(crate) fn words(&self) -> String {
        let kinds: BTreeSet<&str> = self.errors.iter().map(String::as_str).collect();
        let kinds = if kinds.is_empty() { String::new() } else { format!(" ({})", Vec::from_iter(kinds).join("; ")) };
        let given_up = if self.given_up == 0 { String::new() } else { format!(", {} times given up after {} s", self.given_up, GIVE_UP.as_secs()) };
        format!("{} rows acknowledged, {} lost{given_up}, {} errors{kinds}", self.acknowledged, self.lost, self.errors.len())
    }
}

async fn write(hosts: Arc<Vec<Endpoint>>, log: Arc<Mutex<Log>>, over: Arc<AtomicBool>) {
    let mut id = 0;
    while !over.load(Ordering::SeqCst) {
        let connection = reach(&hosts, &log).await;
        let session = {
            let mut log = log.lock().unwrap();
            log.sessions += 1;
            log.sessions
        };
        while !over.load(Ordering::SeqCst) {
            id += 1;
            if !row(&connection, id, session, &log).await {
                break;
            }
            sleep(PAUSE).await;
        }
    }
}

/// Writes one; whether the session goes on.
async fn row(connection: &Session, id: i64, session: u64, log: &Mutex<Log>) -> bool {
    let warnings = connection.warnings();
    let insert = async { Ok(connection.client.execute("INSERT INTO acknowledged VALUES ($1)", &[&id]).await?) };
    match timeout(GIVE_UP, insert).await {
        Ok(Ok(_)) => {
            if connection.warnings() == warnings {
                log.lock().unwrap().acknowledged.push(Acknowledged { id, session, at: Instant::now() });
            }
            true
        }
        Ok(Err(error)) => {
            note(&error, log);
            false
        }
        Err(_) => {
            log.lock().unwrap().given_up += 1;
            false
        }
    }
}

/// Connects, again and again.
async fn reach(hosts: &[Endpoint], log: &Mutex<Log>) -> Session {
    let many = hosts.len() > 1;
    let tries = hosts.iter().map(|host| {
        Box::pin(async move {
            loop {
                match timeout(GIVE_UP, connect(host, many)).await {
                    Ok(Ok(Some(connection))) => return connection,
                    Ok(Err(error)) => note(&error, log),
                    Ok(Ok(None)) => {}
                    Err(_) => log.lock().unwrap().given_up += 1,
                }
                sleep(if many { AGAIN_OF_MANY } else { AGAIN }).await;
            }
        })
    });
    select_all(tries).await.0
}

/// Connects; `None` at a standby, where it matters.
async fn connect(host: &Endpoint, ask: bool) -> anyhow::Result<Option<Session>> {
    let session = host.connect().await?;
    if ask {
        let read_only: String = session.client.query_one("SHOW transaction_read_only", &[]).await?.get(0);
        return Ok((read_only == "off").then_some(session));
    }
    Ok(Some(session))
}

/// Remembers an error, unless the connection was lost or refused: what a server says when it stops or starts (57P01 to 57P03)
/// is that too.
fn note(error: &anyhow::Error, log: &Mutex<Log>) {
    if let Some(error) = error.downcast_ref::<tokio_postgres::Error>().and_then(tokio_postgres::Error::as_db_error) {
        let code = error.code().code();
        if !code.starts_with("57P0") {
            log.lock().unwrap().errors.push(format!("{code} {}", error.message()));
        }
    }
}

/// Waits until a row of the first host can be read at all others; when that was.
pub(crate) async fn until_everywhere(first: &Endpoint, others: &[Endpoint]) -> Instant {
    let session = reach(std::slice::from_ref(first), &Mutex::default()).await;
    session.client.batch_execute("CREATE TABLE IF NOT EXISTS everywhere AS SELECT 7 AS n").await.unwrap();
    join_all(others.iter().map(until_there)).await;
    Instant::now()
}

async fn until_there(host: &Endpoint) {
    let begun = Instant::now();
    while !timeout(GIVE_UP, is_there(host)).await.is_ok_and(|read| read.is_ok()) {
        assert!(begun.elapsed() < PATIENCE, "the row does not arrive");
        sleep(AGAIN).await;
    }
}

async fn is_there(host: &Endpoint) -> anyhow::Result<()> {
    host.connect().await?.client.query_one("SELECT n FROM everywhere", &[]).await?;
    Ok(())
}
