//! Datastores: look at them, change them, delete them.

use super::{Actor, change};
use crate::{
    error::{AppError, FieldErrors},
    model::{
        datastore::{DatastoreView, ListPage, ListQuery},
        job::Snapshot,
        names,
        person::Role,
        storage::Enforcement,
    },
    server::{
        db::{self, datastores::Locked, plan::Plan},
        jobs::kind::JobKind,
        platform::Platform,
        state::App,
    },
};
use sqlx::PgConnection;
use uuid::Uuid;

/// A page of the project's datastores.
///
/// # Errors
/// [`AppError::Unavailable`].
pub async fn list(app: &App, actor: &Actor, query: ListQuery) -> Result<ListPage, AppError> {
    Ok(db::list::page(&app.db, &app.catalogue, actor.me.project, &query).await?)
}

/// One datastore with its unfinished or newest job.
///
/// # Errors
/// [`AppError::NotFound`].
pub async fn get(app: &App, actor: &Actor, id: Uuid) -> Result<DatastoreView, AppError> {
    let enforcement = |region: &str| app.platform(region).map_or_else(|_| Enforcement::default(), Platform::enforcement);
    let found = db::datastores::get(&app.db, &app.catalogue, &app.config.public_url, enforcement, actor.me.project, id).await?;
    let mut view = found.ok_or(AppError::NotFound)?;
    view.job = db::job_views::of_datastore(&app.db, id, 1).await?.pop();
    Ok(view)
}

/// What a live page shows of a datastore; a status of `None` says that it is gone.
///
/// # Errors
/// [`AppError::NotFound`] when it never was this project's.
pub async fn snapshot(app: &App, actor: &Actor, id: Uuid) -> Result<Snapshot, AppError> {
    let (status, detail) = db::datastores::status_of(&app.db, actor.me.project, id).await?.ok_or(AppError::NotFound)?;
    let job = db::job_views::of_datastore(&app.db, id, 1).await?.pop().map(Into::into);
    Ok(Snapshot { datastore: id, status, detail, job })
}

/// Those of the project that have gone a moment ago: a list that was drawn before may still show them.
///
/// # Errors
/// [`AppError::Unavailable`].
pub async fn gone_lately(app: &App, actor: &Actor) -> Result<Vec<Uuid>, AppError> {
    Ok(db::datastores::gone_lately(&app.db, actor.me.project).await?)
}

/// Gives it another name. Addresses, certificates and connections stay as they are.
///
/// # Errors
/// [`AppError::Invalid`], [`AppError::NotFound`].
pub async fn rename(app: &App, actor: &Actor, id: Uuid, name: &str) -> Result<(), AppError> {
    let mut act = change(app, actor, Role::Member, id).await?;
    let name = names::datastore(name).map_err(|e| AppError::Invalid(FieldErrors::one("name", e)))?;
    db::lifecycle::rename(&mut act.tx, id, &name).await.map_err(|e| match e {
        sqlx::Error::Database(e) if e.is_unique_violation() => {
            AppError::Invalid(FieldErrors::one("name", format!("There is already a datastore named “{name}” in this project.")))
        }
        e => e.into(),
    })?;
    db::events::write(&mut act.tx, actor, Some(id), "Rename", &format!("“{}” is now “{name}”", act.datastore.name)).await?;
    act.tx.commit().await?;
    Ok(())
}

/// Sets its tags.
///
/// # Errors
/// [`AppError::Invalid`], [`AppError::NotFound`].
pub async fn set_tags(app: &App, actor: &Actor, id: Uuid, tags: &str) -> Result<(), AppError> {
    let mut act = change(app, actor, Role::Member, id).await?;
    let tags = names::tags(tags, app.catalogue.limits.max_tags).map_err(|e| AppError::Invalid(FieldErrors::one("tags", e)))?;
    db::lifecycle::set_tags(&mut act.tx, id, &tags).await?;
    db::events::write(&mut act.tx, actor, Some(id), "Set tags", &tags.join(", ")).await?;
    act.tx.commit().await?;
    Ok(())
}

/// Switches termination protection.
///
/// # Errors
/// [`AppError::NotFound`].
pub async fn protect(app: &App, actor: &Actor, id: Uuid, on: bool) -> Result<(), AppError> {
    let mut act = change(app, actor, Role::Owner, id).await?;
    db::lifecycle::protect(&mut act.tx, id, on).await?;
    db::events::write(&mut act.tx, actor, Some(id), "Termination protection", if on { "on" } else { "off" }).await?;
    act.tx.commit().await?;
    Ok(())
}

/// Asks for a restart of all nodes.
///
/// # Errors
/// [`AppError::Conflict`] unless it is active; [`AppError::Busy`] while another restart waits or runs.
pub async fn restart(app: &App, actor: &Actor, id: Uuid) -> Result<(), AppError> {
    let mut act = change(app, actor, Role::Member, id).await?;
    if act.datastore.lifecycle != "active" {
        return Err(AppError::Conflict("Only a datastore that was made completely can be restarted.".to_owned()));
    }
    for kind in [JobKind::Restart, JobKind::RestartInTurn] {
        if db::job_acts::is_under_way(&mut act.tx, id, kind).await? {
            return Err(AppError::Busy("A restart of this datastore is under way already.".to_owned()));
        }
    }
    // With replicas one node after another, so that readers always have one.
    let nodes = Plan::load(&app.db, id).await?.nodes.len();
    act.enqueue(actor, id, if nodes == 1 { JobKind::Restart } else { JobKind::RestartInTurn }).await?;
    db::events::write(&mut act.tx, actor, Some(id), "Restart", "").await?;
    act.tx.commit().await?;
    Ok(())
}

/// Asks for a replica to become the primary; the primary becomes a replica. Nothing that was acknowledged is lost.
///
/// # Errors
/// [`AppError::NotFound`]; [`AppError::Conflict`] unless it is a replica of a datastore that is active; [`AppError::Busy`] while
/// another promotion waits or runs.
pub async fn promote(app: &App, actor: &Actor, id: Uuid, node: Uuid) -> Result<(), AppError> {
    let mut act = change(app, actor, Role::Member, id).await?;
    let name = want_promotion(app, &mut act.tx, &act.datastore, id, node).await?;
    act.enqueue(actor, id, JobKind::Promote).await?;
    db::events::write(&mut act.tx, actor, Some(id), "Promote", &name).await?;
    act.tx.commit().await?;
    Ok(())
}

/// Notes that a node should become the primary, where that can be; the job is the caller's to write. Returns the node's name.
pub(super) async fn want_promotion(app: &App, tx: &mut PgConnection, datastore: &Locked, id: Uuid, node: Uuid) -> Result<String, AppError> {
    let plan = Plan::load(&app.db, id).await?;
    let wanted = plan.nodes.iter().find(|n| n.id == node).ok_or(AppError::NotFound)?;
    if datastore.lifecycle != "active" {
        return Err(AppError::Conflict("Only a datastore that was made completely has replicas to promote.".to_owned()));
    }
    if wanted.primary {
        return Err(AppError::Conflict("That node is the primary already.".to_owned()));
    }
    if ["down", "undecided"].contains(&db::observed::state(tx, id).await?.as_str()) {
        return Err(AppError::Conflict("The primary does not serve, so it cannot hand over: Granary sees to that first.".to_owned()));
    }
    for kind in [JobKind::Promote, JobKind::Failover] {
        if db::job_acts::is_under_way(tx, id, kind).await? {
            return Err(AppError::Busy("Another promotion is under way.".to_owned()));
        }
    }
    db::lifecycle::want_primary(tx, id, Some(node)).await?;
    Ok(format!("{}-{}", datastore.name, wanted.slot + 1))
}

/// Deletes it, its users and its data: immediate and final. Whatever else was going on with it ends.
///
/// # Errors
/// [`AppError::Invalid`] unless its name was typed; [`AppError::Conflict`] when termination protection is on.
pub async fn delete(app: &App, actor: &Actor, id: Uuid, confirm: &str) -> Result<(), AppError> {
    let mut act = change(app, actor, Role::Owner, id).await?;
    if act.datastore.termination_protection {
        return Err(AppError::Conflict("Termination protection is on. Switch it off in Settings first.".to_owned()));
    }
    if confirm.trim() != act.datastore.name {
        return Err(AppError::Invalid(FieldErrors::one("confirm", format!("Type the name “{}” to confirm.", act.datastore.name))));
    }
    if db::job_acts::is_under_way(&mut act.tx, id, JobKind::Delete).await? {
        return Ok(());
    }
    db::job_acts::supersede(&mut act.tx, id).await?;
    db::lifecycle::deleting(&mut act.tx, id).await?;
    act.enqueue(actor, id, JobKind::Delete).await?;
    db::events::write(&mut act.tx, actor, Some(id), "Delete datastore", &format!("“{}”", act.datastore.name)).await?;
    act.tx.commit().await?;
    Ok(())
}
