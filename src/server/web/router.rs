//! The routes, and what every request goes through.

use super::{Web, address, assets, ca, errors, events, forms, guard, headers, health, metrics, observe};
use crate::{
    app,
    error::AppError,
    model::locale::Locale,
    server::auth::{self, current::Who},
    ui::request::{DevelopmentSignIn, Now, PageStatus},
};
use axum::{
    Router,
    extract::Request,
    http::{Method, StatusCode, header, request::Parts},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Redirect, Response},
    routing::{MethodRouter, get, post},
};
use leptos::{nonce::use_nonce, prelude::*};
use leptos_axum::{LeptosRoutes, ResponseOptions, generate_route_list, render_app_async_with_context};
use std::{sync::Arc, time::Duration};
use tower_http::{catch_panic::CatchPanicLayer, limit::RequestBodyLimitLayer, timeout::TimeoutLayer};

/// How long an answer may take to begin; streams go on after they have begun. Answers wait for the metadata database and,
/// for a moment, for an edge.
const TIMEOUT: Duration = Duration::from_secs(8);
/// The same where an issuer is asked.
const SIGN_IN_TIMEOUT: Duration = Duration::from_secs(30);

const SIGN_IN: &str = "/sign-in";

/// Beside pages and server functions: what needs to know who asks.
pub(crate) fn personal() -> [(&'static str, MethodRouter<Web>); 6] {
    [
        ("/events", get(events::project)),
        ("/datastores/{id}/events", get(events::datastore)),
        ("/auth/start", post(auth::routes::start)),
        ("/auth/callback", get(auth::routes::callback)),
        ("/auth/sign-out", post(auth::routes::sign_out)),
        ("/auth/sign-out-everywhere", post(auth::routes::sign_out_everywhere)),
    ]
}

/// What is the same for everybody.
pub(crate) fn public() -> [(&'static str, MethodRouter<Web>); 6] {
    [
        ("/auth/back-channel-logout", post(auth::logout::back_channel)),
        ("/pkg/{*path}", get(assets::serve)),
        ("/ca/{file}", get(ca::show)),
        ("/healthz", get(health::healthz)),
        ("/readyz", get(health::readyz)),
        ("/metrics", get(metrics::show)),
    ]
}

/// A router of a table: tests walk over the same tables.
pub(crate) fn of(table: impl IntoIterator<Item = (&'static str, MethodRouter<Web>)>) -> Router<Web> {
    table.into_iter().fold(Router::new(), |router, (path, methods)| router.route(path, methods))
}

/// All of it.
pub fn router(web: Web) -> Router {
    let known = |router: Router<Web>| {
        router.layer(from_fn_with_state(web.clone(), auth::current::layer)).layer(auth::session::layer(&web.app)).layer(from_fn(auth::trouble::layer))
    };
    let (sign_in, live): (Vec<_>, Vec<_>) = personal().into_iter().partition(|(path, _)| path.starts_with("/auth/"));
    let (sign_in, live) = (of(sign_in), of(live));
    let anybody = of(public()).nest(auth::dev_provider::PATH, auth::dev_provider::routes(&web));
    // From the inside out: the last one sees a request first.
    known(pages(&web).merge(live))
        .merge(anybody)
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, TIMEOUT))
        .merge(known(sign_in).layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, SIGN_IN_TIMEOUT)))
        .layer(RequestBodyLimitLayer::new(forms::LARGEST_BODY))
        .layer(from_fn_with_state(web.clone(), guard::writes))
        .layer(from_fn_with_state(web.clone(), address::layer))
        .layer(from_fn_with_state(web.clone(), guard::hosts))
        .layer(CatchPanicLayer::custom(errors::panicked))
        .layer(from_fn_with_state(web.clone(), errors::layer))
        .layer(from_fn_with_state(web.clone(), headers::layer))
        .layer(from_fn(observe::layer))
        .with_state(web)
}

/// Pages and server functions.
fn pages(web: &Web) -> Router<Web> {
    let provide = {
        let web = web.clone();
        move || provide_page_context(&web)
    };
    let shell = {
        let options = web.leptos.clone();
        move || app::shell(options.clone())
    };
    let draw = render_app_async_with_context(provide.clone(), shell.clone());
    Router::new()
        .leptos_routes_with_context(web, generate_route_list(app::App), provide, shell)
        .layer(from_fn(only_signed_in))
        .layer(from_fn_with_state(web.clone(), forms::layer))
        .fallback(async move |request: Request| unknown(request, draw).await)
}

fn provide_page_context(web: &Web) {
    provide_context(web.app.clone());
    provide_context(Now(web.app.clock.now()));
    provide_context(languages());
    provide_context(DevelopmentSignIn(web.auth.dev_provider.is_some()));
    let Some(options) = use_context::<ResponseOptions>() else { return };
    // The page's scripts carry the nonce that leptos made for this request.
    if let Some(policy) = use_nonce().and_then(|nonce| headers::policy(web, Some(&nonce))) {
        options.insert_header(header::CONTENT_SECURITY_POLICY, policy);
    }
    if let Some(status) = use_context::<Parts>().and_then(|parts| auth::routes::status_of_sign_in_page(&parts.uri)) {
        options.set_status(status);
    }
    provide_context(PageStatus(Arc::new(move |status| {
        options.set_status(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
    })));
}

/// How the reader of this request writes numbers and dates.
fn languages() -> Locale {
    let parts = use_context::<Parts>();
    parts.as_ref().and_then(|parts| parts.headers.get(header::ACCEPT_LANGUAGE)?.to_str().ok()).map(Locale::of).unwrap_or_default()
}

/// Sends whoever is not signed in from any page to the one where that is done, and back from there afterwards.
async fn only_signed_in(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if path.starts_with("/api/") {
        // A server function answers for itself.
        return next.run(request).await;
    }
    match (Who::of(request.extensions()), path == SIGN_IN) {
        (Who::Unknown(error), _) => errors::Failure(error).into_response(),
        (Who::Somebody(_), true) => Redirect::to("/").into_response(),
        (Who::Nobody, false) => Redirect::to(&forms::sign_in_path(request.uri().path_and_query().map_or("/", |p| p.as_str()))).into_response(),
        (Who::Somebody(_), false) | (Who::Nobody, true) => next.run(request).await,
    }
}

/// A page that says that there is none; for programs, the same in their words.
async fn unknown<F: Future<Output = Response>>(request: Request, draw: impl FnOnce(Request) -> F) -> Response {
    if request.method() != Method::GET || !errors::wants_html(request.headers()) {
        return errors::Failure(AppError::NotFound).into_response();
    }
    let mut response = draw(request).await;
    if response.status() == StatusCode::OK {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    response
}
