//! Errors as answers: JSON for programs, a page for people.

use super::{
    Web,
    html::{self, Escaped},
    observe::RequestId,
};
use crate::error::AppError;
use axum::{
    Json,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    middleware::Next,
    response::{Html, IntoResponse, Response},
};
use std::any::Any;

/// Seconds after which to try again what is not available at the moment.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// What a page says of an error; in a response's extensions.
#[derive(Debug, Clone)]
struct Said(String);

/// An error as an answer of a handler.
#[derive(Debug)]
pub struct Failure(pub AppError);

impl<E: Into<AppError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let said = Said(self.0.to_string());
        let mut response = (status(&self.0), Json(&self.0)).into_response();
        response.extensions_mut().insert(said);
        response
    }
}

/// The status of an error.
#[must_use]
pub fn status(error: &AppError) -> StatusCode {
    StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// An error that no [`AppError`] describes, in words for a person.
#[must_use]
pub fn said(status: StatusCode, text: &str) -> Response {
    let mut response = (status, format!("{text}\n")).into_response();
    response.extensions_mut().insert(Said(text.to_owned()));
    response
}

/// Whether the caller is a browser that shows what it gets, rather than a program.
#[must_use]
pub fn wants_html(headers: &HeaderMap) -> bool {
    headers.get_all(header::ACCEPT).iter().filter_map(|v| v.to_str().ok()).any(|v| v.contains("text/html"))
}

/// Makes a page of any error that is not one yet, for those who want a page. What passes says when to try again.
pub async fn layer(State(web): State<Web>, request: Request, next: Next) -> Response {
    let wants_html = wants_html(request.headers());
    let request_id = request.extensions().get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
    let way_on = WayOn::of(request.method(), request.uri());
    let mut response = next.run(request).await;
    let status = response.status();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().entry(header::RETRY_AFTER).or_insert(RETRY_AFTER);
    }
    let is_page = response.headers().get(header::CONTENT_TYPE).is_some_and(|v| v.as_bytes().starts_with(b"text/html"));
    if !wants_html || is_page || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (mut parts, _) = response.into_parts();
    let text = parts.extensions.remove().map_or_else(|| by_status(status, &request_id), |Said(text)| text);
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.remove(header::CONTENT_TYPE);
    let page = page(&web, status, &text, &way_on).into_response();
    parts.headers.extend(page.headers().clone());
    Response::from_parts(parts, page.into_body())
}

/// What to do after an error that passes.
enum WayOn {
    /// Ask for the same page again.
    Again(String),
    /// Nothing is sent twice by a link: the form is still in the page before.
    Back,
}

impl WayOn {
    fn of(method: &Method, uri: &Uri) -> Self {
        if method == Method::GET { Self::Again(uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string)) } else { Self::Back }
    }

    fn html(&self, status: StatusCode) -> String {
        match self {
            _ if status != StatusCode::SERVICE_UNAVAILABLE => "<p><a class=\"button\" href=\"/\">Go to the start page</a></p>".to_owned(),
            Self::Again(to) => format!("<p><a class=\"button\" href=\"{}\">Try again</a></p>", Escaped(to)),
            Self::Back => "<p>Go back in your browser: what you typed is still there, and can be sent again.</p>".to_owned(),
        }
    }
}

fn page(web: &Web, status: StatusCode, text: &str, way_on: &WayOn) -> Html<String> {
    let body = format!("<p>{}</p>\n{}", Escaped(text), way_on.html(status));
    Html(html::page(&web.assets, title(status), &body))
}

fn title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "Not found",
        StatusCode::UNAUTHORIZED => "Signed out",
        StatusCode::FORBIDDEN => "Not allowed",
        StatusCode::SERVICE_UNAVAILABLE => "Not available at the moment",
        StatusCode::MISDIRECTED_REQUEST => "Another address",
        status if status.is_server_error() => "Something went wrong",
        _ => "This did not work",
    }
}

fn by_status(status: StatusCode, request_id: &str) -> String {
    match status {
        StatusCode::NOT_FOUND => AppError::NotFound.to_string(),
        StatusCode::METHOD_NOT_ALLOWED => "This address does not take requests of this kind.".to_owned(),
        StatusCode::PAYLOAD_TOO_LARGE => "This was too much at once. Nothing was changed.".to_owned(),
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::REQUEST_TIMEOUT => {
            format!("This took too long and was given up. Your databases go on. Look whether it was done, then try again. Request id: {request_id}")
        }
        status if status.is_server_error() => AppError::Internal { request_id: request_id.to_owned() }.to_string(),
        _ => format!("The request could not be understood. Request id: {request_id}"),
    }
}

/// The answer after a panic.
#[must_use]
#[expect(clippy::needless_pass_by_value, reason = "as the layer wants it")]
pub fn panicked(panic: Box<dyn Any + Send + 'static>) -> axum::http::Response<Body> {
    let what = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Failure(super::request_id::internal(&format_args!("a panic: {}", what.unwrap_or("of an unknown kind")))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{Router, routing::get};
    use tower::ServiceExt;
    use tower_http::catch_panic::CatchPanicLayer;

    #[tokio::test]
    async fn a_panic_is_an_answer_that_says_nothing_of_it() {
        async fn fails() -> &'static str {
            panic!("the secret is opaque")
        }
        let router: Router = Router::new().route("/", get(fails)).layer(CatchPanicLayer::custom(panicked));
        let response = router.oneshot(Request::new(Body::empty())).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = axum::body::to_bytes(response.into_body(), 1000).await.unwrap();
        assert!(matches!(serde_json::from_slice(&body), Ok(AppError::Internal { request_id }) if !request_id.is_empty()));
        assert!(!body.windows(6).any(|w| w == b"opaque" || w == b"secret"), "{body:?}");
    }
}
