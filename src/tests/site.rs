//! Granary's pages in a test: served on a port of this machine, looked at by a browser that keeps cookies, sends what
//! browsers send, and runs no script.

use super::{pretend::Pretend, support};
use crate::model::engine::EngineKind;
use crate::server::{
    config::{self, Config},
    crypto::keyring::Keyring,
    db::changes::Changes,
    engine::Engine,
    monitor::pulse::Pulse,
    platform::{Platform, fake::Fake},
    state::{App, Clock, Inner},
    web::{Web, router::router},
};
use axum::http::{HeaderMap, Method, StatusCode};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

/// A served Granary.
pub(crate) struct Site {
    pub(crate) app: App,
    pub(crate) url: String,
    pub(crate) shutdown: CancellationToken,
    _home: tempfile::TempDir,
}

impl Site {
    /// With the built-in provider.
    pub(crate) async fn new() -> Self {
        Self::with(Clock::System, |_| {}).await
    }

    /// With other settings, which may be changed after they were read.
    pub(crate) async fn with(clock: Clock, change: impl FnOnce(&mut Config)) -> Self {
        let db = support::database().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let home = support::home();
        let mut config = support::config(home.path(), &url);
        change(&mut config);
        let app = App::new(Inner {
            config,
            db: db.pool.clone(),
            catalogue: config::catalogue::load(None).unwrap(),
            platforms: BTreeMap::from([("local".to_owned(), Arc::new(Fake::default()) as Arc<dyn Platform>)]),
            installed: BTreeMap::from([(("local".to_owned(), EngineKind::PostgreSql), vec![Pretend::version()])]),
            engines: BTreeMap::from([(EngineKind::PostgreSql, Arc::new(Pretend::default()) as Arc<dyn Engine>)]),
            keyring: Keyring::open(&home.path().join("master.key")).unwrap(),
            clock,
            changes: Changes::start(&db.pool),
            pulse: Pulse::default(),
            host: Uuid::nil(),
        });
        let shutdown = CancellationToken::new();
        let router = router(Web::new(app.clone(), shutdown.clone()).unwrap());
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(axum::serve(listener, service).with_graceful_shutdown(shutdown.clone().cancelled_owned()).into_future());
        Self { app, url, shutdown, _home: home }
    }

    /// A browser that was never here.
    pub(crate) fn browser(&self) -> Browser {
        Browser::new(&self.url)
    }

    /// A browser in which somebody signed in.
    pub(crate) async fn signed_in(&self, name: &str, email: &str) -> Browser {
        let browser = self.browser();
        let landed = browser.sign_in("/", name, email).await;
        assert_eq!(landed.status, StatusCode::OK, "{landed:?}");
        browser
    }
}

/// An answer, wholly read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) url: Url,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    /// Where it leads.
    pub(crate) fn location(&self) -> Option<&str> {
        self.headers.get("location").map(|v| v.to_str().unwrap())
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    /// The hidden fields of the page's form.
    fn hidden(&self) -> Vec<(String, String)> {
        let fields = self.text.split("type=\"hidden\"").skip(1);
        let of = |field: &str, name: &str| field.split_once(&format!("{name}=\"")).unwrap().1.split_once('"').unwrap().0.replace("&amp;", "&");
        fields.map(|field| (of(field, "name"), of(field, "value"))).collect()
    }
}

/// What a person looks with.
pub(crate) struct Browser {
    http: reqwest::Client,
    base: Url,
    pub(crate) cookies: Mutex<BTreeMap<String, String>>,
}

impl Browser {
    pub(crate) fn new(url: &str) -> Self {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
        Self { http, base: Url::parse(url).unwrap(), cookies: Mutex::default() }
    }

    /// The session's cookie.
    pub(crate) fn session(&self) -> Option<String> {
        self.cookies.lock().unwrap().get("granary").cloned()
    }

    /// Opens an address.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path, &[("accept", "text/html")], None).await
    }

    /// Posts a form from a page of ours.
    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        self.post_from("/", path, form).await
    }

    /// Posts a form of this page.
    pub(crate) async fn post_from(&self, page: &str, path: &str, form: &[(&str, &str)]) -> Answer {
        let page = self.base.join(page).unwrap();
        let origin = page.origin().ascii_serialization();
        let headers = [("accept", "text/html"), ("sec-fetch-site", "same-origin"), ("origin", &origin), ("referer", page.as_str())];
        self.request(Method::POST, path, &headers, Some(form)).await
    }

    /// Sends anything.
    pub(crate) async fn request(&self, method: Method, path: &str, headers: &[(&str, &str)], form: Option<&[(&str, &str)]>) -> Answer {
        self.answer(self.send(method, path, headers, form).await).await
    }

    /// Sends anything, and leaves the body to be read.
    pub(crate) async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], form: Option<&[(&str, &str)]>) -> reqwest::Response {
        let mut request = self.http.request(method, self.base.join(path).unwrap());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let cookies: Vec<_> = self.cookies.lock().unwrap().iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !cookies.is_empty() {
            request = request.header("cookie", cookies.join("; "));
        }
        if let Some(form) = form {
            let body: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
            request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        }
        let response = request.send().await.unwrap();
        self.keep(response.headers());
        response
    }

    fn keep(&self, headers: &HeaderMap) {
        let mut cookies = self.cookies.lock().unwrap();
        for line in headers.get_all("set-cookie") {
            let (cookie, attributes) = line.to_str().unwrap().split_once(';').unwrap();
            let (name, value) = cookie.split_once('=').unwrap();
            cookies.remove(name);
            if !attributes.contains("Max-Age=0") {
                cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    async fn answer(&self, response: reqwest::Response) -> Answer {
        Answer { url: response.url().clone(), status: response.status(), headers: response.headers().clone(), text: response.text().await.unwrap() }
    }

    /// Goes where an answer leads until it leads nowhere.
    pub(crate) async fn follow(&self, mut answer: Answer) -> Answer {
        for _ in 0..10 {
            let Some(to) = answer.location() else { return answer };
            let to = answer.url.join(to).unwrap();
            answer = self.get(to.as_str()).await;
        }
        panic!("led in circles: {answer:?}");
    }

    /// Begins to sign in, and comes to the page of the built-in provider.
    pub(crate) async fn begin(&self, back: &str) -> Answer {
        let begun = self.post_from("/sign-in", "/auth/start", &[("return", back)]).await;
        self.follow(begun).await
    }

    /// Says who it is on the provider's page; the answer leads to the callback.
    pub(crate) async fn say(&self, page: &Answer, name: &str, email: &str) -> Answer {
        let hidden = page.hidden();
        let mut form: Vec<(&str, &str)> = hidden.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        form.extend([("name", name), ("email", email)]);
        self.post_from(page.url.as_str(), "/dev/oidc/authorize", &form).await
    }

    /// All of it; the page one comes to.
    pub(crate) async fn sign_in(&self, back: &str, name: &str, email: &str) -> Answer {
        let page = self.begin(back).await;
        let said = self.say(&page, name, email).await;
        self.follow(said).await
    }
}
