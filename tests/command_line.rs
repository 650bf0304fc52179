//! `granary serve` and `granary down`, with the real program.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

mod common;

use common::{Home, PATIENCE, Visitor};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

fn home() -> Home {
    Home::new("granary-cli-")
}

/// Starts it, and waits until it says where it is.
fn serve(home: &Home) -> Child {
    let mut child = home.command("serve").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains(&format!("http://{}", home.listen)), "{line}");
    child
}

fn status(home: &Home, path: &str) -> String {
    let mut stream = TcpStream::connect(&home.listen).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", home.listen).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().to_owned()
}

fn postmaster(home: &Home) -> Option<u32> {
    let text = std::fs::read_to_string(home.path().join("metadata/data/postmaster.pid")).ok()?;
    text.lines().next()?.parse().ok()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn wait(child: &mut Child) -> Option<i32> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        assert!(begun.elapsed() < PATIENCE, "it does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn terminate(child: &Child) {
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
}

#[test]
fn serve_ends_alone_and_down_ends_all() {
    let home = home();
    let mut first = serve(&home);
    assert_eq!((status(&home, "/healthz").as_str(), status(&home, "/readyz").as_str()), ("200", "200"));

    let second = home.run("serve");
    assert!(!second.status.success() && text(&second).contains(&format!("GRANARY_LISTEN {}", home.listen)), "{}", text(&second));

    terminate(&first);
    assert_eq!(wait(&mut first), Some(0));
    let first_pid = postmaster(&home).expect("the metadata server was stopped with Granary");

    let mut third = serve(&home);
    assert_eq!(postmaster(&home), Some(first_pid), "it was not adopted");
    let down = home.run("down");
    assert!(down.status.success(), "{}", text(&down));
    assert_eq!(wait(&mut third), Some(0));
    assert!(postmaster(&home).is_none() && !Path::new(&format!("/proc/{first_pid}/cwd")).exists());

    let again = home.run("down");
    assert!(again.status.success(), "{}", text(&again));
}

#[test]
fn wrong_settings_are_said_all_at_once_and_nothing_is_begun() {
    let home = home();
    let output = home.command("serve").env("GRANARY_OIDC_ISUER", "https://id.example.org").env("GRANARY_LOG_FORMAT", "xml").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output);
    assert!(said.contains("GRANARY_OIDC_ISUER") && said.contains("“xml”"), "{said}");
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn r005_the_versions_on_this_machine_are_listed_with_their_end() {
    let home = home();
    let output = home.run("engines");
    assert!(output.status.success(), "{}", text(&output));
    let said = text(&output);
    assert!(said.lines().any(|line| line.contains("PostgreSQL ") && line.contains("supported until 20")), "{said}");
}

/// Two processes of a home, one session: what one ends is over in the other within a second, its open streams included.
#[tokio::test(flavor = "multi_thread")]
async fn r001_signing_out_everywhere_reaches_every_process_within_a_second() {
    let home = home();
    let _first = home.serve(&[]);
    let mut here = Visitor::new(&home).await;
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listen = format!("127.0.0.1:{port}");
    // As behind a balancer: all processes have the same public address.
    let public = format!("http://{}", home.listen);
    let _second = home.serve(&[("GRANARY_LISTEN", &listen), ("GRANARY_PUBLIC_URL", &public)]);
    let mut least = Duration::MAX;
    for _ in 0..3 {
        here.sign_in().await;
        let there = here.beside(&listen).await;
        assert_eq!(there.get("/datastores").send().await.unwrap().status(), 200, "the other process does not know the session");
        let mut stream = there.get("/events").header("accept", "text/event-stream").send().await.unwrap();
        assert_eq!(stream.status(), 200);
        let begun = Instant::now();
        assert_eq!(here.post("/auth/sign-out-everywhere", &[]).await.status, 303);
        let page = there.get("/datastores").send().await.unwrap();
        assert!(page.status() == 303 && begun.elapsed() < Duration::from_secs(1), "after {:?}: {page:?}", begun.elapsed());
        let ended = async { while stream.chunk().await.is_ok_and(|part| part.is_some()) {} };
        tokio::time::timeout(PATIENCE, ended).await.expect("a stream goes on");
        println!("a stream in the other process ended after {:?}", begun.elapsed());
        least = least.min(begun.elapsed());
    }
    assert!(least < Duration::from_secs(1), "{least:?}");
}
