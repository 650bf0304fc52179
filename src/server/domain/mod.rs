//! Use cases: check the actor, validate, one transaction. Pages and the API call the same ones.

pub mod access;
pub mod activity;
pub mod datastore;
pub mod drill;
pub mod firewall;
pub mod logs;
pub mod membership;
pub mod wizard;
pub mod work;

use super::{
    db::{self, datastores::Locked, jobs::NewJob},
    jobs::kind::JobKind,
    state::App,
};
use crate::{
    error::AppError,
    model::person::{Me, Role},
};
use sqlx::{Postgres, Transaction};
use std::net::IpAddr;
use uuid::Uuid;

/// Who asks, from where.
#[derive(Debug, Clone)]
pub struct Actor {
    /// The person and the project they act in.
    pub me: Me,
    /// The client's address, where it is known for sure.
    pub address: Option<IpAddr>,
    /// The request.
    pub request_id: String,
}

impl Actor {
    /// Refuses those whose role is not enough.
    ///
    /// # Errors
    /// [`AppError::Forbidden`].
    pub fn needs(&self, role: Role) -> Result<(), AppError> {
        if self.me.role >= role { Ok(()) } else { Err(AppError::Forbidden) }
    }
}

/// A change of a datastore: its row is locked in the transaction.
struct Change {
    tx: Transaction<'static, Postgres>,
    datastore: Locked,
}

impl Change {
    /// Writes a job for it.
    async fn enqueue(&mut self, actor: &Actor, id: Uuid, kind: JobKind) -> Result<(), AppError> {
        let job = NewJob {
            project: actor.me.project,
            datastore: id,
            host: self.datastore.host,
            kind,
            requested_by: Some(actor.me.person),
            request_id: Some(&actor.request_id),
        };
        db::jobs::enqueue(&mut self.tx, job).await?;
        Ok(())
    }
}

/// Begins a change by someone whose role is enough, of a datastore of theirs that is not being deleted. That it does not
/// exist is said before anything else: other projects' datastores do not exist.
async fn change(app: &App, actor: &Actor, role: Role, id: Uuid) -> Result<Change, AppError> {
    let mut tx = app.db.begin().await?;
    let datastore = db::datastores::lock(&mut tx, actor.me.project, id).await?.ok_or(AppError::NotFound)?;
    actor.needs(role)?;
    Ok(Change { tx, datastore })
}
