//! HTTP: routes, the browser's side of safety, assets, health, event streams.

pub mod address;
pub mod assets;
pub mod ca;
pub mod context;
pub mod errors;
pub mod events;
pub mod forms;
pub mod guard;
pub mod headers;
pub mod health;
pub mod html;
pub mod metrics;
pub mod observe;
pub mod request_id;
pub mod router;

use super::{auth::Auth, measures, state::App};
use assets::Assets;
use axum::extract::FromRef;
use events::Streams;
use leptos::config::LeptosOptions;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What handlers stand on; cheap to clone.
#[derive(Clone)]
pub struct Web {
    /// The running Granary.
    pub app: App,
    /// Signing in.
    pub auth: Auth,
    /// Browser files.
    pub assets: Arc<Assets>,
    /// How pages find them.
    pub leptos: LeptosOptions,
    /// Live pages that are open.
    pub streams: Streams,
    /// Cancelled when Granary stops: streams end then.
    pub shutdown: CancellationToken,
}

impl Web {
    /// Puts it together, and begins to record metrics.
    ///
    /// # Errors
    /// When browser files cannot be read, or the HTTP client cannot be made.
    pub fn new(app: App, shutdown: CancellationToken) -> anyhow::Result<Self> {
        measures::recorder();
        let assets = Arc::new(Assets::load(app.config.site.as_deref())?);
        Ok(Self { auth: Auth::new(&app.config)?, leptos: assets.leptos_options(), assets, app, streams: Streams::default(), shutdown })
    }
}

impl FromRef<Web> for LeptosOptions {
    fn from_ref(web: &Web) -> Self {
        web.leptos.clone()
    }
}
