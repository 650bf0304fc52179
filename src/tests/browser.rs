//! A browser that keeps cookies, sends what browsers send, and runs no script. `make bench` uses it too.

use axum::http::{HeaderMap, Method, StatusCode};
use std::{collections::BTreeMap, sync::Mutex};
use url::Url;

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

    /// The same person's browser, looking at another process.
    pub(crate) fn at(&self, url: &str) -> Self {
        let browser = Self::new(url);
        browser.cookies.lock().unwrap().clone_from(&self.cookies.lock().unwrap());
        browser
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
