//! A home with the real program: what tests of it stand on.

#![allow(dead_code, clippy::allow_attributes, reason = "each test program uses a part of it")]

use granary::server::{assemble, config::Config, db::metadata, state::App};
use std::{
    collections::BTreeMap,
    fs::{File, Permissions},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};
use uuid::Uuid;

/// Enough for a start and a whole creation on a busy machine.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A home whose everything is stopped at the end, whatever the end is.
pub struct Home {
    directory: tempfile::TempDir,
    pub listen: String,
}

impl Home {
    pub fn new(prefix: &str) -> Self {
        let directory = tempfile::Builder::new().prefix(prefix).tempdir().unwrap();
        std::fs::set_permissions(directory.path(), Permissions::from_mode(0o711)).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { directory, listen: format!("127.0.0.1:{port}") }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn log(&self) -> PathBuf {
        self.path().join("granary.log")
    }

    pub fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_granary"));
        command.arg(verb).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("GRANARY_HOME", self.path()).env("GRANARY_LISTEN", &self.listen).env("GRANARY_SPARES", "0").stdin(Stdio::null());
        command
    }

    pub fn run(&self, verb: &str) -> Output {
        self.command(verb).output().unwrap()
    }

    /// Starts it, with its log in [`Home::log`].
    pub fn serve(&self, settings: &[(&str, &str)]) -> Serving {
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        let child = self.command("serve").envs(settings.iter().copied()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        Serving(child)
    }

    /// The same home seen from the test: use cases are called as pages call them, the work is done by the program.
    pub async fn app(&self) -> App {
        let home = self.path().display().to_string();
        let values = BTreeMap::from([("GRANARY_HOME".to_owned(), home), ("GRANARY_LISTEN".to_owned(), self.listen.clone())]);
        let config = Config::from_values(&values).unwrap();
        let options = metadata::reach(&config).await.unwrap();
        metadata::migrate(&options).await.unwrap();
        assemble::assemble(config, options).await.unwrap()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = self.command("down").stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// A running `serve`.
pub struct Serving(pub Child);

impl Serving {
    /// Asks it to end, and waits until it has.
    pub fn end(mut self) {
        assert!(Command::new("kill").arg(self.0.id().to_string()).status().unwrap().success());
        let begun = Instant::now();
        while self.0.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until a datastore has a status.
pub async fn until_status(app: &App, id: Uuid, wanted: &str) {
    let begun = Instant::now();
    loop {
        let sql = "SELECT status FROM datastore_statuses WHERE datastore_id = $1";
        let status: Option<String> = sqlx::query_scalar(sql).bind(id).fetch_optional(&app.db).await.unwrap();
        if status.as_deref() == Some(wanted) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{status:?} instead of {wanted}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Somebody who looks at the pages: keeps cookies, runs no script.
pub struct Visitor {
    http: reqwest::Client,
    base: url::Url,
    pub cookies: BTreeMap<String, String>,
}

/// A visitor at another process.
pub struct Elsewhere {
    visitor: [(&'static str, String); 3],
    http: reqwest::Client,
    base: String,
}

impl Elsewhere {
    pub fn get(&self, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.get(format!("{}{path}", self.base));
        self.visitor.iter().fold(request, |request, (name, value)| request.header(*name, value))
    }
}

/// An answer, wholly read.
pub struct Answer {
    pub status: u16,
    pub location: Option<String>,
    pub request_id: String,
    pub text: String,
}

impl Visitor {
    /// Comes as soon as the pages are served.
    pub async fn new(home: &Home) -> Self {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
        let base = url::Url::parse(&format!("http://{}/", home.listen)).unwrap();
        let begun = Instant::now();
        while !http.get(base.join("readyz").unwrap()).send().await.is_ok_and(|answer| answer.status().is_success()) {
            assert!(begun.elapsed() < PATIENCE, "{}", std::fs::read_to_string(home.log()).unwrap_or_default());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Self { http, base, cookies: BTreeMap::new() }
    }

    /// The same visitor at another process, which listens elsewhere under the same public address.
    pub async fn beside(&self, listen: &str) -> Elsewhere {
        let begun = Instant::now();
        let elsewhere = Elsewhere { visitor: self.headers(), http: self.http.clone(), base: format!("http://{listen}") };
        while !elsewhere.get("/readyz").send().await.is_ok_and(|answer| answer.status().is_success()) {
            assert!(begun.elapsed() < PATIENCE, "the other process does not answer");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        elsewhere
    }

    fn headers(&self) -> [(&'static str, String); 3] {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let host = self.base.as_str().trim_start_matches("http://").trim_end_matches('/').to_owned();
        [("accept", "text/html".to_owned()), ("cookie", cookies.join("; ")), ("host", host)]
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        self.send(self.http.get(self.base.join(path).unwrap())).await
    }

    pub async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Answer {
        let body: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self.http.post(self.base.join(path).unwrap()).header("content-type", "application/x-www-form-urlencoded").body(body);
        self.send(request.header("sec-fetch-site", "same-origin").header("referer", self.base.as_str())).await
    }

    async fn send(&mut self, request: reqwest::RequestBuilder) -> Answer {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let answer = request.header("accept", "text/html").header("cookie", cookies.join("; ")).send().await.unwrap();
        for line in answer.headers().get_all("set-cookie") {
            let (name, value) = line.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        let header = |name: &str| answer.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
        let (location, request_id) = (header("location"), header("x-request-id").unwrap_or_default());
        Answer { status: answer.status().as_u16(), location, request_id, text: answer.text().await.unwrap() }
    }

    /// Signs in with the built-in provider; returns every address that was asked for on the way, with its query.
    pub async fn sign_in(&mut self) -> Vec<String> {
        let to = self.post("/auth/start", &[("return", "/")]).await.location.expect("it leads to the issuer");
        let page = self.get(&to).await;
        let of = |field: &str, name: &str| field.split_once(&format!("{name}=\"")).unwrap().1.split_once('"').unwrap().0.replace("&amp;", "&");
        let hidden: Vec<_> = page.text.split("type=\"hidden\"").skip(1).map(|field| (of(field, "name"), of(field, "value"))).collect();
        let mut form: Vec<(&str, &str)> = hidden.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        form.extend([("name", "Ada"), ("email", "ada@example.org")]);
        let back = self.post("/dev/oidc/authorize", &form).await.location.expect("it leads back");
        assert_eq!(self.get(&back).await.location.as_deref(), Some("/"));
        vec![to, back]
    }
}
