//! `granary serve` and `granary down`, with the real program.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_mins(1);

/// A home whose everything is stopped at the end, whatever the end is.
struct Home {
    directory: tempfile::TempDir,
    listen: String,
}

impl Home {
    fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("granary-cli-").tempdir().unwrap();
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { directory, listen: format!("127.0.0.1:{port}") }
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_granary"));
        command.arg(verb).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("GRANARY_HOME", self.directory.path()).env("GRANARY_LISTEN", &self.listen);
        command
    }

    fn run(&self, verb: &str) -> Output {
        self.command(verb).output().unwrap()
    }

    /// Starts it, and waits until it says where it is.
    fn serve(&self) -> Child {
        let mut child = self.command("serve").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains(&format!("http://{}", self.listen)), "{line}");
        child
    }

    fn status(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.listen).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.listen).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    }

    fn postmaster(&self) -> Option<u32> {
        let text = std::fs::read_to_string(self.directory.path().join("metadata/data/postmaster.pid")).ok()?;
        text.lines().next()?.parse().ok()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = self.command("down").stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
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
    let home = Home::new();
    let mut first = home.serve();
    assert_eq!((home.status("/healthz").as_str(), home.status("/readyz").as_str()), ("200", "200"));

    let second = home.run("serve");
    assert!(!second.status.success() && text(&second).contains(&format!("GRANARY_LISTEN {}", home.listen)), "{}", text(&second));

    terminate(&first);
    assert_eq!(wait(&mut first), Some(0));
    let postmaster = home.postmaster().expect("the metadata server was stopped with Granary");

    let mut third = home.serve();
    assert_eq!(home.postmaster(), Some(postmaster), "it was not adopted");
    let down = home.run("down");
    assert!(down.status.success(), "{}", text(&down));
    assert_eq!(wait(&mut third), Some(0));
    assert!(home.postmaster().is_none() && !Path::new(&format!("/proc/{postmaster}/cwd")).exists());

    let again = home.run("down");
    assert!(again.status.success(), "{}", text(&again));
}

#[test]
fn wrong_settings_are_said_all_at_once_and_nothing_is_begun() {
    let home = Home::new();
    let output = home.command("serve").env("GRANARY_OIDC_ISUER", "https://id.example.org").env("GRANARY_LOG_FORMAT", "xml").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output);
    assert!(said.contains("GRANARY_OIDC_ISUER") && said.contains("“xml”"), "{said}");
    assert_eq!(std::fs::read_dir(home.directory.path()).unwrap().count(), 0);
}

#[test]
fn r005_the_versions_on_this_machine_are_listed_with_their_end() {
    let home = Home::new();
    let output = home.run("engines");
    assert!(output.status.success(), "{}", text(&output));
    let said = text(&output);
    assert!(said.lines().any(|line| line.contains("PostgreSQL ") && line.contains("supported until 20")), "{said}");
}
