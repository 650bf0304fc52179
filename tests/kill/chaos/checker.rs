//! Somebody who looks, every 10 ms, which nodes take writes: over each node's own socket, as Granary's administrator, so that one is seen
//! that no client is led to, too.

use granary::server::{
    platform::{Dial, NodeSpec},
    state::App,
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, Config, NoTls};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

/// How often a node is asked.
const EVERY: Duration = Duration::from_millis(10);
/// How long a session may take to open.
const OPEN: Duration = Duration::from_secs(5);
/// Whether it takes writes, which start of the server that is, and how much log it has received.
const STATE: &str = "SELECT NOT pg_catalog.pg_is_in_recovery(), pg_catalog.pg_postmaster_start_time()::text,
    coalesce(pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_last_wal_receive_lsn(), '0/0'), 0)::bigint";

/// One start of a node's server: from a primary it never becomes a replica again without another.
type Life = (Uuid, String);

/// It took writes at some moment between these two.
type Look = (Instant, Instant);

#[derive(Default)]
struct Seen {
    writable: Mutex<HashMap<Life, Vec<Look>>>,
    received: Mutex<HashMap<Uuid, i64>>,
    looks: AtomicUsize,
}

/// See the module's documentation.
pub(super) struct Checker {
    seen: Arc<Seen>,
    watched: HashMap<Uuid, AbortOnDropHandle<()>>,
}

impl Checker {
    pub(super) fn new() -> Self {
        Self { seen: Arc::default(), watched: HashMap::new() }
    }

    /// Looks at this node, too, from now on.
    pub(super) fn watch(&mut self, app: &App, region: &str, node: &NodeSpec) {
        let watching = || {
            let (app, region, node, seen) = (app.clone(), region.to_owned(), node.clone(), self.seen.clone());
            AbortOnDropHandle::new(tokio::spawn(async move { watch(&app, &region, &node, &seen).await }))
        };
        self.watched.entry(node.id).or_insert_with(watching);
    }

    /// How often a node has answered.
    pub(super) fn looks(&self) -> usize {
        self.seen.looks.load(Ordering::SeqCst)
    }

    /// How much log a replica has said last that it has received.
    pub(super) fn received(&self, node: Uuid) -> i64 {
        self.seen.received.lock().unwrap().get(&node).copied().unwrap_or_default()
    }

    /// Which two took writes at once.
    pub(super) fn doubles(&self) -> Vec<String> {
        doubles(&self.seen.writable.lock().unwrap())
    }
}

/// Two lives of which one was seen to take writes before and after the other was: as it took them all the time in between, both did at once.
fn doubles(writable: &HashMap<Life, Vec<Look>>) -> Vec<String> {
    let lives: Vec<_> = writable.iter().collect();
    let mut doubles = Vec::new();
    for (n, one) in lives.iter().enumerate() {
        for other in lives[..n].iter().filter(|other| other.0.0 != one.0.0) {
            doubles.extend(amid(one, other).or_else(|| amid(other, one)));
        }
    }
    doubles
}

/// Whether the other took writes between two looks at one.
fn amid((one, looks): &(&Life, &Vec<Look>), (other, others): &(&Life, &Vec<Look>)) -> Option<String> {
    let (from, to) = (looks.first()?.1, looks.last()?.0);
    let (begun, _) = others.iter().find(|(begun, ended)| *begun >= from && *ended <= to)?;
    let (since, left) = (begun.duration_since(from), to.duration_since(*begun));
    Some(format!("{other:?} took writes {since:?} after {one:?} was first seen to, which still did {left:?} later"))
}

async fn watch(app: &App, region: &str, node: &NodeSpec, seen: &Seen) {
    loop {
        if let Ok(Some((client, _connection))) = timeout(OPEN, open(app, region, node)).await {
            while look(&client, node.id, seen).await.is_some() {
                sleep(EVERY).await;
            }
        }
        sleep(EVERY).await;
    }
}

async fn open(app: &App, region: &str, node: &NodeSpec) -> Option<(Client, AbortOnDropHandle<()>)> {
    let socket = format!(".s.PGSQL.{}", node.address.port());
    let stream = app.platform(region).unwrap().dial(node, Dial::Socket(&socket)).await.ok()?;
    let mut config = Config::new();
    config.user("granary_admin").dbname("postgres").application_name("chaos");
    let (client, connection) = config.connect_raw(stream, NoTls).await.ok()?;
    Some((client, AbortOnDropHandle::new(tokio::spawn(async { drop(connection.await) }))))
}

/// Waits for the answer of a server that is frozen for as long as that is: what it says then is of then.
async fn look(client: &Client, node: Uuid, seen: &Seen) -> Option<()> {
    let begun = Instant::now();
    let row = client.query_one(STATE, &[]).await.ok()?;
    seen.looks.fetch_add(1, Ordering::SeqCst);
    if row.get(0) {
        seen.writable.lock().unwrap().entry((node, row.get(1))).or_default().push((begun, Instant::now()));
    } else {
        seen.received.lock().unwrap().insert(node, row.get(2));
    }
    Some(())
}

#[test]
fn one_that_takes_writes_between_two_looks_at_another_is_a_second_primary() {
    let begin = Instant::now();
    let at = |ms| begin + Duration::from_millis(ms);
    let [one, other] = [1, 2].map(Uuid::from_u128);
    let seen = |lives: &[(Uuid, &str, &[(u64, u64)])]| {
        let looks = |looks: &[(u64, u64)]| looks.iter().map(|(begun, ended)| (at(*begun), at(*ended))).collect();
        doubles(&lives.iter().map(|(node, life, all)| ((*node, (*life).to_owned()), looks(all))).collect()).len()
    };
    assert_eq!(seen(&[(one, "a", &[(0, 1), (10, 11), (20, 21)]), (other, "a", &[(12, 13)])]), 1);
    assert_eq!(seen(&[(one, "a", &[(0, 1), (20, 21)]), (other, "a", &[(12, 13), (22, 23)])]), 1, "they overlap, whoever ends first");
    assert_eq!(seen(&[(one, "a", &[(0, 1), (20, 21)]), (other, "a", &[(22, 23), (30, 31)])]), 0, "one after the other");
    assert_eq!(seen(&[(one, "a", &[(0, 1), (10, 11)]), (other, "a", &[(12, 13)]), (one, "b", &[(20, 21)])]), 0, "it was a replica in between");
    assert_eq!(seen(&[(one, "a", &[(0, 15)]), (other, "a", &[(5, 6)])]), 0, "it may have ended before: nobody knows");
}
