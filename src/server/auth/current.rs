//! Who asks: found once for each request, from its session.

use super::{
    session::{self, PERSON, PROJECT},
    trouble,
};
use crate::{
    error::AppError,
    model::person::Me,
    server::{
        db::{
            changes::{Change, Subscription},
            people, sessions,
        },
        domain::Actor,
        state::App,
        web::{Web, address::ClientAddress, observe::RequestId},
    },
};
use axum::{
    extract::{Request, State},
    http::{Extensions, request::Parts},
    middleware::Next,
    response::Response,
};
use std::sync::Arc;
use tower_sessions::Session;
use uuid::Uuid;

/// Who asks.
#[derive(Debug, Clone)]
pub enum Who {
    /// Nobody is signed in.
    Nobody,
    /// This person.
    Somebody(Arc<Actor>),
    /// It cannot be told now.
    Unknown(AppError),
}

impl Who {
    /// The actor.
    ///
    /// # Errors
    /// [`AppError::SignedOut`] when nobody is signed in, [`AppError::Unavailable`] when that cannot be told.
    pub fn actor(&self) -> Result<Arc<Actor>, AppError> {
        match self {
            Self::Nobody => Err(AppError::SignedOut),
            Self::Somebody(actor) => Ok(actor.clone()),
            Self::Unknown(error) => Err(error.clone()),
        }
    }

    /// That of a request; nobody where no session is looked at.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Self {
        extensions.get().cloned().unwrap_or(Self::Nobody)
    }
}

/// Puts [`Who`] into the request.
pub async fn layer(State(web): State<Web>, mut request: Request, next: Next) -> Response {
    let who = match find(&web.app, request.extensions()).await {
        Ok(Some(actor)) => Who::Somebody(Arc::new(actor)),
        Ok(None) => Who::Nobody,
        Err(error) => Who::Unknown(error),
    };
    request.extensions_mut().insert(who);
    next.run(request).await
}

async fn find(app: &App, extensions: &Extensions) -> Result<Option<Actor>, AppError> {
    let Some(session) = extensions.get::<Session>() else { return Ok(None) };
    let Some(person) = read(session, PERSON).await? else { return Ok(None) };
    let project = read(session, PROJECT).await?;
    let Some(found) = people::membership(&app.db, person, project).await? else { return Ok(None) };
    let me = Me {
        person,
        name: found.name,
        project: found.project,
        project_name: found.project_name,
        role: found.role,
        single_tenant: !rustix::process::geteuid().is_root(),
        development: app.config.oidc.is_none(),
    };
    let address = extensions.get::<ClientAddress>().and_then(|a| a.0);
    let request_id = extensions.get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
    Ok(Some(Actor { me, address, request_id }))
}

/// Sessions are read from the metadata database: an error means that it is away.
async fn read(session: &Session, key: &str) -> Result<Option<Uuid>, AppError> {
    session.get(key).await.map_err(|_| trouble::noted())
}

/// What a long answer asks from time to time: whether the one it was begun for is still signed in, and a member of the
/// project.
#[derive(Debug, Clone)]
pub struct Pass {
    session: Option<sessions::IdHash>,
    project: Uuid,
}

impl Pass {
    /// That of a request, for a project.
    #[must_use]
    pub fn of(parts: &Parts, project: Uuid) -> Self {
        Self { session: parts.extensions.get::<Session>().and_then(Session::id).map(session::hash), project }
    }

    /// Whether it still holds. While the metadata database is away there is nothing to show, and it is left open.
    pub async fn holds(&self, app: &App) -> bool {
        let Some(session) = self.session else { return false };
        sessions::admits(&app.db, &session, self.project, app.clock.now()).await.unwrap_or(true)
    }

    /// Waits until the session is ended, by whichever process. It may have been before `changes` was there, or while changes
    /// could not be heard.
    pub async fn ended(&self, app: &App, mut changes: Subscription) {
        while self.holds(app).await {
            loop {
                match changes.next().await {
                    Change::SessionEnded(ended) if Some(ended) == self.session => return,
                    Change::Resync => break,
                    Change::SessionEnded(_) | Change::Datastore { .. } => {}
                }
            }
        }
    }
}
