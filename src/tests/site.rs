//! Granary's pages in a test: served on a port of this machine.

pub(crate) use super::browser::{Answer, Browser};
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
use axum::{Router, http::StatusCode};
use sqlx::{PgPool, postgres::PgPoolOptions};
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A served Granary.
pub(crate) struct Site {
    pub(crate) app: App,
    pub(crate) url: String,
    pub(crate) shutdown: CancellationToken,
    /// What is served, for requests that come from elsewhere.
    pub(crate) router: Router,
    _home: tempfile::TempDir,
}

impl Site {
    /// With the built-in provider.
    pub(crate) async fn new() -> Self {
        Self::with(Clock::System, |_| {}).await
    }

    /// With other settings, which may be changed after they were read.
    pub(crate) async fn with(clock: Clock, change: impl FnOnce(&mut Config)) -> Self {
        Self::on(&support::database().await, clock, change).await
    }

    /// Over this metadata database.
    pub(crate) async fn on(db: &support::TestDb, clock: Clock, change: impl FnOnce(&mut Config)) -> Self {
        Self::over(db.pool.clone(), clock, change).await
    }

    /// Another Granary over the same metadata, with connections of its own, as another process has them.
    pub(crate) async fn beside(&self) -> Self {
        let pool = PgPoolOptions::new().max_connections(5).connect_lazy_with((*self.app.db.connect_options()).clone());
        Self::over(pool, Clock::System, |config| config.oidc.clone_from(&self.app.config.oidc)).await
    }

    async fn over(db: PgPool, clock: Clock, change: impl FnOnce(&mut Config)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let home = support::home();
        let mut config = support::config(home.path(), &url);
        change(&mut config);
        let app = App::new(Inner {
            config,
            catalogue: config::catalogue::load(None).unwrap(),
            platforms: BTreeMap::from([("local".to_owned(), Arc::new(Fake::default()) as Arc<dyn Platform>)]),
            installed: BTreeMap::from([(("local".to_owned(), EngineKind::PostgreSql), vec![Pretend::version()])]),
            engines: BTreeMap::from([(EngineKind::PostgreSql, Arc::new(Pretend::default()) as Arc<dyn Engine>)]),
            keyring: Keyring::open(&home.path().join("master.key")).unwrap(),
            clock,
            changes: Changes::start(&db),
            pulse: Pulse::default(),
            db,
            host: Uuid::nil(),
        });
        let shutdown = CancellationToken::new();
        let router = router(Web::new(app.clone(), shutdown.clone()).unwrap());
        let service = router.clone().into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(axum::serve(listener, service).with_graceful_shutdown(shutdown.clone().cancelled_owned()).into_future());
        Self { app, url, shutdown, router, _home: home }
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
