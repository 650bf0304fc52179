use super::{
    process,
    server::{Server, Sizing},
};
use crate::tests::support;
use rustix::process::Signal;
use sqlx::{ConnectOptions, Connection, postgres::PgConnectOptions};
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

const SIZING: Sizing = Sizing { max_connections: 10, durable: false };

fn postmaster(home: &Path) -> i32 {
    fs::read_to_string(home.join("metadata/data/postmaster.pid")).unwrap().lines().next().unwrap().parse().unwrap()
}

async fn ask(options: &PgConnectOptions, question: &'static str) -> String {
    let mut connection = options.connect().await.unwrap();
    let answer = sqlx::query_scalar(question).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    answer
}

#[tokio::test]
async fn it_is_made_adopted_by_the_next_stopped_and_found_again() {
    let home = support::home();
    let server = Server::of(home.path(), SIZING);
    let _lifeline = support::end_with_us(home.path());

    // Two at once: one makes it, the other waits and adopts it.
    let other = Server::of(home.path(), SIZING);
    let (options, adopted) = tokio::join!(server.ensure(), other.ensure());
    let (options, adopted) = (options.unwrap(), adopted.unwrap());
    let first = postmaster(home.path());
    assert_eq!(ask(&options, "SELECT pg_postmaster_start_time()::text").await, ask(&adopted, "SELECT pg_postmaster_start_time()::text").await);

    ask(&options, "WITH made AS (SELECT 1) SELECT set_config('a.b', 'c', false)").await;
    let mut connection = options.connect().await.unwrap();
    sqlx::query("CREATE TABLE kept AS SELECT 'yes' AS answer").execute(&mut connection).await.unwrap();
    assert_eq!(ask(&options, "SHOW listen_addresses").await, "");

    assert!(server.stop().await.unwrap());
    assert!(!server.is_running() && !server.stop().await.unwrap());
    assert!(process::working_in(&home.path().join("metadata/data")).is_empty());

    let options = server.ensure().await.unwrap();
    assert_ne!(postmaster(home.path()), first);
    assert_eq!(ask(&options, "SELECT answer FROM kept").await, "yes");
    assert!(server.stop().await.unwrap());
}

#[tokio::test]
async fn what_a_crash_or_a_reboot_left_is_told_from_a_running_server() {
    let home = support::home();
    let _lifeline = support::end_with_us(home.path());
    let server = Server::of(home.path(), SIZING);
    let data = home.path().join("metadata/data");

    // An interrupted initdb is made again.
    fs::create_dir_all(home.path().join("metadata/data.new/base")).unwrap();
    fs::write(home.path().join("metadata/data.new/PG_VERSION"), "15\n").unwrap();
    let options = server.ensure().await.unwrap();

    // A crash: the next start waits for what is left of it.
    let killed = process::Process::find(postmaster(home.path())).unwrap();
    killed.signal(Signal::KILL).unwrap();
    server.ensure().await.unwrap();
    assert_eq!(ask(&options, "SELECT 'up'").await, "up");
    server.stop().await.unwrap();

    // A reboot: the pid belongs to somebody else today, who is neither adopted nor harmed.
    let mut stranger = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    fs::write(data.join("postmaster.pid"), format!("{}\n{}\n", stranger.id(), data.display())).unwrap();
    assert!(!server.is_running());
    server.ensure().await.unwrap();
    assert_eq!(ask(&options, "SELECT 'up'").await, "up");
    assert!(stranger.try_wait().unwrap().is_none());
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_data_directory_of_another_major_is_named_and_not_touched() {
    let home = support::home();
    let data = home.path().join("metadata/data");
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("PG_VERSION"), "9\n").unwrap();
    let said = Server::of(home.path(), SIZING).ensure().await.unwrap_err().to_string();
    assert!(said.contains("made by PostgreSQL 9") && said.contains("bin/postgres is missing"), "{said}");

    // One without a version is not a new one either.
    fs::remove_file(data.join("PG_VERSION")).unwrap();
    let said = Server::of(home.path(), SIZING).ensure().await.unwrap_err().to_string();
    assert!(said.contains("is not touched"), "{said}");
    assert!(data.is_dir() && !home.path().join("metadata/data.new").exists());
}

#[tokio::test]
async fn its_files_belong_to_its_own_user_and_a_closed_way_is_named() {
    let home = support::home();
    let _lifeline = support::end_with_us(home.path());
    let server = Server::of(home.path(), SIZING);
    server.ensure().await.unwrap();
    let data = fs::metadata(home.path().join("metadata/data")).unwrap();
    assert_eq!(data.mode() & 0o777, 0o700);
    let sockets = fs::metadata(home.path().join("metadata/run")).unwrap();
    assert_eq!(sockets.mode() & 0o777, 0o700);
    server.stop().await.unwrap();

    if rustix::process::geteuid().is_root() {
        assert_ne!(data.uid(), 0);
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let said = server.ensure().await.unwrap_err().to_string();
        assert!(said.contains(&format!("chmod o+x {}", home.path().display())), "{said}");
    }
}

#[tokio::test]
async fn a_long_home_has_its_sockets_elsewhere() {
    let parent = support::home();
    let home = parent.path().join("a-rather-long-name-of-a-directory".repeat(3));
    let server = Server::of(&home, SIZING);
    let options = server.ensure().await.unwrap();
    let _lifeline = support::end_with_us(&home);
    let sockets = ask(&options, "SHOW unix_socket_directories").await;
    assert!(sockets.starts_with("/run/granary-") || sockets.starts_with("/tmp/granary-"), "{sockets}");
    server.stop().await.unwrap();
    fs::remove_dir(sockets).unwrap();
}

#[tokio::test]
async fn a_socket_that_was_cleared_comes_back() {
    let home = support::home();
    let _lifeline = support::end_with_us(home.path());
    let server = Server::of(home.path(), SIZING);
    let options = server.ensure().await.unwrap();
    let shutdown = tokio_util::sync::CancellationToken::new();
    let watch = tokio::spawn(super::watch(server.clone(), shutdown.clone()));
    // As what clears temporary directories does.
    fs::remove_dir_all(home.path().join("metadata/run")).unwrap();
    assert!(server.is_running() && options.connect().await.is_err());
    while options.connect().await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    shutdown.cancel();
    watch.await.unwrap();
    server.stop().await.unwrap();
}

#[tokio::test]
async fn it_is_started_again_when_it_dies() {
    let home = support::home();
    let _lifeline = support::end_with_us(home.path());
    let server = Server::of(home.path(), SIZING);
    let options = server.ensure().await.unwrap();
    let shutdown = tokio_util::sync::CancellationToken::new();
    let watch = tokio::spawn(super::watch(server.clone(), shutdown.clone()));
    let killed = process::Process::find(postmaster(home.path())).unwrap();
    killed.signal(Signal::KILL).unwrap();
    while killed.is_alive() || options.connect().await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    shutdown.cancel();
    watch.await.unwrap();
    server.stop().await.unwrap();
}
