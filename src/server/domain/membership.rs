//! Nodes that are added, replaced and removed, and what commits wait for.

use super::{Actor, Change, change, wizard};
use crate::{
    error::{AppError, FieldErrors},
    model::{durability::Durability, person::Role, topology::Topology},
    server::{
        db::{
            self,
            plan::{Membership, Plan, PlannedNode},
        },
        jobs::kind::JobKind,
        platform::MAX_NODES,
        state::App,
    },
};
use sqlx::PgConnection;
use uuid::Uuid;

/// Most nodes that a datastore keeps: one slot is left for a node that replaces another.
pub const MOST_NODES: usize = MAX_NODES as usize - 1;

/// Work that changes which nodes there are, or what commits wait for: one after another.
const CHANGES: [JobKind; 4] = [JobKind::AddNode, JobKind::ReplaceNode, JobKind::RemoveNode, JobKind::Resync];

/// Asks for one more replica. Returns its node.
///
/// # Errors
/// [`AppError::NotFound`]; [`AppError::Conflict`] when it has as many as it can, is not active, or its engine does not replicate here;
/// [`AppError::QuotaExceeded`]; [`AppError::Busy`] while another change is under way.
pub async fn add(app: &App, actor: &Actor, id: Uuid) -> Result<Uuid, AppError> {
    let (mut act, plan) = begin(app, actor, id).await?;
    let topology = plan.engine.topologies().iter().copied().find(|t| t.nodes() as usize == plan.nodes.len() + 1);
    let Some(topology) = topology else {
        return Err(AppError::Conflict(format!("{} cannot have more than {MOST_NODES} nodes here.", plan.engine)));
    };
    let node = another(app, &mut act.tx, &plan).await?;
    db::membership::want(&mut act.tx, id, topology.id()).await?;
    act.enqueue(actor, id, JobKind::AddNode).await?;
    db::events::write(&mut act.tx, actor, Some(id), "Add a replica", "").await?;
    act.tx.commit().await?;
    Ok(node)
}

/// Asks for a new replica in the place of one: the old one goes once the new one follows. Returns the new node.
///
/// # Errors
/// As [`add`]; [`AppError::Conflict`] for the primary, too.
pub async fn replace(app: &App, actor: &Actor, id: Uuid, node: Uuid) -> Result<Uuid, AppError> {
    let (mut act, plan) = begin(app, actor, id).await?;
    let old = replica(&plan, node)?;
    let new = another(app, &mut act.tx, &plan).await?;
    db::membership::leave(&mut act.tx, node).await?;
    act.enqueue(actor, id, JobKind::ReplaceNode).await?;
    db::events::write(&mut act.tx, actor, Some(id), "Replace a replica", &format!("{}-{}", plan.name, old.slot + 1)).await?;
    act.tx.commit().await?;
    Ok(new)
}

/// Asks for a replica to be removed, with its data.
///
/// # Errors
/// As [`replace`]; [`AppError::Conflict`] for the last replica that commits wait for.
pub async fn remove(app: &App, actor: &Actor, id: Uuid, node: Uuid) -> Result<(), AppError> {
    let (mut act, plan) = begin(app, actor, id).await?;
    let old = replica(&plan, node)?;
    if plan.nodes.len() == 2 && plan.durability == Durability::Quorum {
        return Err(AppError::Conflict(
            "It is the last replica that writes wait for. Make the datastore asynchronous in Settings first, or replace the replica.".to_owned(),
        ));
    }
    let topology = Topology::ALL.into_iter().find(|t| t.nodes() as usize == plan.nodes.len() - 1).unwrap_or(Topology::Single);
    db::membership::leave(&mut act.tx, node).await?;
    db::membership::want(&mut act.tx, id, topology.id()).await?;
    act.enqueue(actor, id, JobKind::RemoveNode).await?;
    db::events::write(&mut act.tx, actor, Some(id), "Remove a replica", &format!("{}-{}", plan.name, old.slot + 1)).await?;
    act.tx.commit().await?;
    Ok(())
}

/// Wants another durability.
///
/// # Errors
/// [`AppError::NotFound`]; [`AppError::Invalid`]; [`AppError::Conflict`] where there is no replica; [`AppError::Busy`] while another change
/// is under way.
pub async fn set_durability(app: &App, actor: &Actor, id: Uuid, durability: &str) -> Result<(), AppError> {
    let wanted: Durability = durability.parse().map_err(|e: String| AppError::Invalid(FieldErrors::one("durability", e)))?;
    let (mut act, plan) = begin(app, actor, id).await?;
    if plan.nodes.len() < 2 {
        return Err(AppError::Conflict("There is no replica that writes could wait for.".to_owned()));
    }
    if plan.durability == wanted {
        return Ok(());
    }
    db::sync_sets::want(&mut act.tx, id, wanted.id()).await?;
    act.enqueue(actor, id, JobKind::Resync).await?;
    db::events::write(
        &mut act.tx,
        actor,
        Some(id),
        "Change durability",
        &format!("“{}” is now “{}”", plan.engine.writes(plan.durability), plan.engine.writes(wanted)),
    )
    .await?;
    act.tx.commit().await?;
    Ok(())
}

/// Makes this replica the primary although acknowledged writes may be lost: the way out where nobody can be sure.
///
/// # Errors
/// [`AppError::NotFound`]; [`AppError::Invalid`] unless the datastore's name was typed; [`AppError::Conflict`] while no decision is needed;
/// [`AppError::Busy`] while it is under way.
pub async fn overrule(app: &App, actor: &Actor, id: Uuid, node: Uuid, confirm: &str) -> Result<(), AppError> {
    let mut act = change(app, actor, Role::Owner, id).await?;
    let plan = Plan::load(&app.db, id).await?;
    let chosen = replica(&plan, node)?;
    if db::observed::state(&mut act.tx, id).await? != "undecided" {
        return Err(AppError::Conflict("No decision is needed now: Promote loses nothing.".to_owned()));
    }
    if confirm.trim() != act.datastore.name {
        return Err(AppError::Invalid(FieldErrors::one("confirm", format!("Type the name “{}” to confirm.", act.datastore.name))));
    }
    for kind in [JobKind::Overrule, JobKind::Promote] {
        if db::job_acts::is_under_way(&mut act.tx, id, kind).await? {
            return Err(AppError::Busy("Another promotion is under way.".to_owned()));
        }
    }
    // What Granary itself would try again must not come in its way.
    db::job_acts::give_up_failed(&mut act.tx, id, JobKind::Failover).await?;
    db::lifecycle::want_primary(&mut act.tx, id, Some(node)).await?;
    act.enqueue(actor, id, JobKind::Overrule).await?;
    let what = format!("{}-{}, although acknowledged writes may be lost", plan.name, chosen.slot + 1);
    db::events::write(&mut act.tx, actor, Some(id), "Decide who leads", &what).await?;
    act.tx.commit().await?;
    Ok(())
}

/// Sets how far behind a replica may be and still be read from, and what readers get where none is left.
///
/// # Errors
/// [`AppError::NotFound`], [`AppError::Invalid`].
pub async fn set_readers(app: &App, actor: &Actor, id: Uuid, lag_mb: &str, fallback: &str) -> Result<(), AppError> {
    let mut act = change(app, actor, Role::Member, id).await?;
    let mut errors = FieldErrors::default();
    let most = 1 << 20;
    let lag = lag_mb.trim().parse::<i32>().ok().filter(|lag| (1..=most).contains(lag));
    if lag.is_none() {
        errors.add("lag_mb", format!("A whole number of MB from 1 to {most}, please."));
    }
    // A form's first option is empty.
    let fallback = if fallback.is_empty() { "none" } else { fallback };
    if !["none", "primary"].contains(&fallback) {
        errors.add("fallback", "Choose what readers get.");
    }
    let Some(lag) = lag.filter(|_| errors.is_empty()) else { return Err(AppError::Invalid(errors)) };
    db::membership::want_readers(&mut act.tx, id, lag, fallback).await?;
    db::events::write(&mut act.tx, actor, Some(id), "Set the replica endpoint", &format!("at most {lag} MB behind; without a replica: {fallback}"))
        .await?;
    act.tx.commit().await?;
    Ok(())
}

/// An act on the nodes of an active datastore whose nodes are at rest.
async fn begin(app: &App, actor: &Actor, id: Uuid) -> Result<(Change, Plan), AppError> {
    let mut act = change(app, actor, Role::Member, id).await?;
    if act.datastore.lifecycle != "active" {
        return Err(AppError::Conflict("Only a datastore that was made completely has nodes to change.".to_owned()));
    }
    for kind in CHANGES {
        if db::job_acts::is_under_way(&mut act.tx, id, kind).await? {
            return Err(AppError::Busy("Another change of its nodes is under way.".to_owned()));
        }
        if db::observed::failed(&app.db, id, kind).await?.is_some() {
            return Err(AppError::Conflict(format!("“{}” has failed before: Retry it or Abandon it first.", kind.label())));
        }
    }
    Ok((act, Plan::load(&app.db, id).await?))
}

/// A replica that is there to stay.
fn replica(plan: &Plan, node: Uuid) -> Result<&PlannedNode, AppError> {
    let found = plan.nodes.iter().find(|n| n.id == node && n.membership == Membership::Member).ok_or(AppError::NotFound)?;
    if found.primary {
        return Err(AppError::Conflict("It is the primary. Promote another node first.".to_owned()));
    }
    Ok(found)
}

/// Enters one more node, as large as the others, where the quota and the region have room for it.
async fn another(app: &App, tx: &mut PgConnection, plan: &Plan) -> Result<Uuid, AppError> {
    let quota = db::usage::quota_left(tx, plan.project, true).await?;
    let offer = wizard::offer(app, tx, quota, &plan.region, false, true).await?;
    if let Some(why) = offer.ram_refused(plan.ram_mb, 1).or_else(|| offer.storage_refused(plan.storage.gb(), 1)) {
        return Err(AppError::QuotaExceeded(why));
    }
    let free = (0..MAX_NODES).find(|slot| plan.nodes.iter().all(|n| n.slot != *slot));
    let slot = free.ok_or_else(|| AppError::Conflict("It has as many nodes as it can.".to_owned()))?;
    Ok(db::membership::add(tx, plan.id, slot).await?)
}
