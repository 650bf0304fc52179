//! Pages while the metadata database is in trouble: they answer soon, say what holds, and everything heals by itself.

use super::{
    real::Small,
    site::{Answer, Browser, Site},
    support::{self, TestDb},
    web::{Events, JSON, OURS, actor, attempt, datastore},
};
use crate::server::{
    db::metadata::{
        self,
        process::{self, Process},
        server::{Server, Sizing},
    },
    domain,
    state::Clock,
};
use axum::http::{Method, StatusCode};
use futures::future::join_all;
use rustix::process::Signal;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use std::{
    io::Write,
    path::PathBuf,
    process::ChildStdin,
    time::{Duration, Instant},
};
use time::OffsetDateTime;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Pages give up after 8 s; the machine may be busy.
const SOON: Duration = Duration::from_secs(14);
const PATIENCE: Duration = Duration::from_mins(1);

/// A database of its own in the shared server, reached as `serve` does.
async fn database() -> TestDb {
    let db = support::database().await;
    TestDb { pool: metadata::pool(db.options.clone()), options: db.options }
}

/// Answers 503, says so to people and programs, and when to come again.
fn is_trouble(page: &Answer) {
    assert_eq!((page.status, page.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "5"), "{page:?}");
    if page.header("content-type").starts_with("text/html") {
        assert!(page.text.contains("Your databases go on"), "{}", page.text);
        assert!(page.text.contains("Try again") || page.text.contains("Go back in your browser"), "{}", page.text);
    }
}

/// Asks until the answer is a page again.
async fn until_well(browser: &Browser, path: &str) {
    let begun = Instant::now();
    loop {
        let page = browser.get(path).await;
        if page.status == StatusCode::OK {
            return;
        }
        is_trouble(&page);
        assert!(begun.elapsed() < PATIENCE, "it does not heal: {page:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn with_read_only_metadata_pages_are_shown_and_writes_say_why_not() {
    let db = database().await;
    let begin = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
    let site = Site::on(&db, Clock::Fixed(begin), |_| {}).await;
    let browser = site.signed_in("Ada", "ada@example.org").await;
    let id = datastore(&site, &actor(&browser).await, "orders").await.to_string();
    let page = format!("/datastores/{id}/settings");
    browser.post_from(&page, "/api/datastore/rename", &[("id", &id), ("name", "-")]).await;
    // A use that would be written down, and something that the page would take out of its session.
    sqlx::query("UPDATE sessions SET idle_expires_at = idle_expires_at - interval '10 minutes'").execute(&db.pool).await.unwrap();
    read_only(&db, true).await;

    for path in ["/", "/datastores", &page] {
        let shown = browser.follow(browser.get(path).await).await;
        assert_eq!(shown.status, StatusCode::OK, "{path}: {shown:?}");
    }
    let form = browser.post_from(&page, "/api/datastore/rename", &[("id", &id), ("name", "new")]).await;
    is_trouble(&form);
    assert!(form.text.contains("takes no changes") && form.text.contains("Go back in your browser"), "{}", form.text);
    let rename = [("id", id.as_str()), ("name", "new")];
    let program = browser.request(Method::POST, "/api/datastore/rename", &[JSON, OURS], Some(&rename)).await;
    is_trouble(&program);
    assert_eq!(program.text, "\"ReadOnly\"");
    is_trouble(&site.browser().post("/auth/start", &[]).await);
    is_trouble(&browser.post("/auth/sign-out", &[]).await);
    assert!(browser.session().is_some());
    let mut stream = Events::open(&browser, &format!("/datastores/{id}/events")).await;
    assert!(stream.snapshot().await.is_some());

    read_only(&db, false).await;
    until_well(&browser, "/datastores").await;
    assert!(attempt(&browser, "rename").await.is_some(), "what was typed is lost");
    let form = browser.post_from(&page, "/api/datastore/rename", &rename).await;
    assert_eq!(form.status, StatusCode::SEE_OTHER, "{form:?}");
    until_well(&browser, &page).await;
}

/// Sets it for new connections, and ends the others.
async fn read_only(db: &TestDb, on: bool) {
    let mut connection = db.options.clone().database("postgres").connect().await.unwrap();
    let name = db.options.get_database().unwrap();
    let set = if on { "SET default_transaction_read_only = on" } else { "RESET default_transaction_read_only" };
    sqlx::query(AssertSqlSafe(format!("ALTER DATABASE {name} {set}"))).execute(&mut connection).await.unwrap();
    sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1").bind(name).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_page_that_waits_for_a_lock_gives_up_and_holds_nothing() {
    let db = database().await;
    let site = Site::on(&db, Clock::System, |_| {}).await;
    let browser = site.signed_in("Ada", "ada@example.org").await;
    for table in ["sessions", "datastores"] {
        let mut other = db.options.connect().await.unwrap();
        let mut held = other.begin().await.unwrap();
        sqlx::query(AssertSqlSafe(format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))).execute(&mut *held).await.unwrap();
        let begun = Instant::now();
        // More than the pool has connections.
        let answers = join_all((0..15).map(|_| browser.get("/datastores"))).await;
        answers.iter().for_each(is_trouble);
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        assert_eq!(browser.get("/healthz").await.status, StatusCode::OK);
        held.rollback().await.unwrap();
        until_well(&browser, "/datastores").await;
        let answers = join_all((0..15).map(|_| browser.get("/datastores"))).await;
        assert!(answers.iter().all(|page| page.status == StatusCode::OK), "the pool is still held");
    }
}

/// A metadata server of its own, which a test may harm.
struct Own {
    server: Server,
    home: tempfile::TempDir,
    _lifeline: ChildStdin,
}

impl Own {
    fn new() -> Self {
        let home = support::home();
        let lifeline = support::end_with_us(home.path());
        Self { server: Server::of(home.path(), Sizing { max_connections: 30, durable: false }), home, _lifeline: lifeline }
    }

    async fn site(&self) -> Site {
        let options = self.server.ensure().await.unwrap();
        metadata::migrate(&options).await.unwrap();
        Site::on(&TestDb { pool: metadata::pool(options.clone()), options }, Clock::System, |_| {}).await
    }

    fn directory(&self) -> PathBuf {
        self.home.path().join("metadata")
    }

    fn signal(&self, signal: Signal) {
        for process in process::working_in(&self.directory().join("data")) {
            process.signal(signal).unwrap();
        }
    }

    /// Stops every process, one that was forked meanwhile too: such a one would go on answering.
    fn freeze(&self) {
        let begun = Instant::now();
        loop {
            self.signal(Signal::STOP);
            std::thread::sleep(Duration::from_millis(10));
            let found = process::working_in(&self.directory().join("data"));
            if found.iter().all(is_stopped) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "some go on: {found:?}");
        }
    }
}

fn is_stopped(process: &Process) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.pid)).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'))
}

/// Changes something until the stream tells of it: of what happened while nobody listened it only tells that there was
/// something. From then on each change is told, once and at once.
async fn is_live(site: &Site, browser: &Browser, stream: &mut Events, id: Uuid, name: &str) {
    let (ada, begun) = (actor(browser).await, Instant::now());
    for n in 0.. {
        domain::datastore::rename(&site.app, &ada, id, &format!("{name}-{n}")).await.unwrap();
        match timeout(Duration::from_secs(3), stream.snapshot()).await {
            Ok(seen) => {
                assert_eq!(seen.expect("the stream has ended").datastore, id);
                break;
            }
            Err(_) => assert!(begun.elapsed() < PATIENCE, "the stream is deaf"),
        }
    }
    while timeout(Duration::from_secs(1), stream.snapshot()).await.is_ok() {}
    for n in 0..3 {
        domain::datastore::rename(&site.app, &ada, id, &format!("{name}-again-{n}")).await.unwrap();
        let seen = timeout(Duration::from_secs(3), stream.snapshot()).await.expect("a change was not told");
        assert_eq!(seen.expect("the stream has ended").datastore, id);
    }
}

#[tokio::test]
async fn metadata_that_is_frozen_or_killed_is_503_soon_and_heals_by_itself() {
    let own = Own::new();
    let site = own.site().await;
    let browser = site.signed_in("Ada", "ada@example.org").await;
    let id = datastore(&site, &actor(&browser).await, "orders").await;
    let path = format!("/datastores/{id}");
    let mut stream = Events::open(&browser, "/events").await;

    own.freeze();
    let begun = Instant::now();
    let answers = join_all((0..20).map(|_| browser.get(&path))).await;
    answers.iter().for_each(is_trouble);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    is_trouble(&browser.request(Method::GET, &format!("{path}/events"), &[JSON], None).await);
    is_trouble(&browser.get("/readyz").await);
    assert_eq!(browser.get("/healthz").await.status, StatusCode::OK);
    own.signal(Signal::CONT);
    until_well(&browser, &path).await;
    is_live(&site, &browser, &mut stream, id, "thawed").await;

    let shutdown = CancellationToken::new();
    let watch = tokio::spawn(metadata::watch(own.server.clone(), shutdown.clone()));
    own.signal(Signal::KILL);
    let begun = Instant::now();
    let page = browser.get(&path).await;
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    if page.status != StatusCode::OK {
        is_trouble(&page);
    }
    until_well(&browser, &path).await;
    // Listened to again: what changes now arrives, also on a stream that was open all the time.
    is_live(&site, &browser, &mut stream, id, "back").await;
    shutdown.cancel();
    watch.await.unwrap();
    own.server.stop().await.unwrap();
}

/// Fills a file system to the last byte; gives it back when dropped.
struct Filler(PathBuf);

impl Filler {
    fn of(directory: &std::path::Path) -> Self {
        let path = directory.join("filler");
        let mut file = std::fs::File::create(&path).unwrap();
        let part = vec![1; 64 << 10];
        while file.write_all(&part).is_ok() {}
        Self(path)
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn a_full_disk_under_the_metadata_loses_nothing_and_heals_when_there_is_room() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can mount a small disk");
        return;
    }
    let own = Own::new();
    std::fs::create_dir(own.directory()).unwrap();
    let directory = own.directory();
    let _disk = Small::mount(&directory, "size=200m,mode=0711");
    let site = own.site().await;
    let browser = site.signed_in("Ada", "ada@example.org").await;
    let kept = datastore(&site, &actor(&browser).await, "kept").await;
    let shutdown = CancellationToken::new();
    let watch = tokio::spawn(metadata::watch(own.server.clone(), shutdown.clone()));

    let filler = Filler::of(&directory);
    let (mut read, mut refused) = (0, 0);
    // Until the log of the server itself finds no room, and it ends.
    let begun = Instant::now();
    while read == 0 || refused == 0 || own.server.is_running() {
        let _ = sqlx::query("SELECT pg_logical_emit_message(false, 'fill', repeat('x', 1000000))").execute(&site.app.db).await;
        let page = browser.get("/datastores").await;
        if page.status == StatusCode::OK {
            read += 1;
        } else {
            is_trouble(&page);
        }
        let form = browser.post("/api/wizard/start", &[]).await;
        if form.status != StatusCode::SEE_OTHER {
            is_trouble(&form);
            refused += 1;
        }
        assert!(begun.elapsed() < PATIENCE, "{read} pages, {refused} refusals");
    }
    is_trouble(&browser.get("/datastores").await);
    let starts = || std::fs::read_to_string(directory.join("server.log")).unwrap_or_default().matches("starting PostgreSQL").count();
    let before = starts();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(starts() - before <= 4, "started in circles: {} times", starts() - before);
    is_trouble(&browser.get("/datastores").await);

    drop(filler);
    until_well(&browser, &format!("/datastores/{kept}")).await;
    let form = browser.post("/api/wizard/start", &[]).await;
    assert_eq!(form.status, StatusCode::SEE_OTHER, "{form:?}");
    shutdown.cancel();
    watch.await.unwrap();
    own.server.stop().await.unwrap();
}

#[tokio::test]
async fn a_clock_that_jumps_by_an_hour_ends_no_session_early() {
    let db = database().await;
    let begin = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
    let site = Site::on(&db, Clock::Fixed(begin), |_| {}).await;
    let browser = site.signed_in("Ada", "ada@example.org").await;
    for jump in [time::Duration::hours(1), time::Duration::hours(-1)] {
        let later = Site::on(&db, Clock::Fixed(begin + jump), |config| config.public_url = site.app.config.public_url.clone()).await;
        let session = browser.session().unwrap();
        let cookie = format!("granary={session}");
        let asked = [JSON, ("cookie", cookie.as_str()), ("host", site.url.trim_start_matches("http://"))];
        let me = later.browser().request(Method::GET, "/api/page/me", &asked, None).await;
        assert!(me.status == StatusCode::OK && me.text.contains("Ada"), "{jump}: {me:?}");
    }
}
