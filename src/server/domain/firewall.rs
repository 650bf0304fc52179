//! Trusted sources: no source, no access.

use super::{Actor, Change, change};
use crate::{
    error::{AppError, FieldErrors},
    model::{
        cidr,
        firewall::{Exposure, FirewallView, RefusedAddress},
        person::Role,
    },
    server::{db, jobs::kind::JobKind, state::App},
};
use ipnet::IpNet;
use uuid::Uuid;

/// What is typed to open a datastore to everyone (rule 26).
pub const CONSENT: &str = "open to everyone";

/// Longest description, in characters.
const DESCRIPTION_MAX: usize = 200;

/// The Firewall (Connect) tab.
///
/// # Errors
/// [`AppError::NotFound`].
pub async fn show(app: &App, actor: &Actor, id: Uuid) -> Result<FirewallView, AppError> {
    let region = db::lifecycle::region(&app.db, actor.me.project, id).await?.ok_or(AppError::NotFound)?;
    let sources = db::firewall::list(&app.db, id).await?;
    let nets: Vec<IpNet> = sources.iter().filter_map(|s| s.cidr.parse().ok()).collect();
    let your_address = actor.address.map(|a| (IpNet::from(a).to_string(), nets.iter().any(|n| n.contains(&a))));
    // Without an edge there is nothing that refuses.
    let refused = app.platform(&region)?.refused(id).await.unwrap_or_default();
    let refused = refused
        .into_iter()
        .filter(|r| !nets.iter().any(|n| n.contains(&r.address)))
        .map(|r| RefusedAddress { address: r.address.to_string(), count: r.count, seconds_ago: r.ago.as_secs() })
        .collect();
    Ok(FirewallView { your_address, sources, refused, exposure: exposure(&nets) })
}

fn exposure(nets: &[IpNet]) -> Exposure {
    match nets {
        [] => Exposure::Closed,
        nets if nets.iter().copied().any(cidr::is_everyone) => Exposure::Open,
        nets => Exposure::Restricted(nets.len()),
    }
}

/// Trusts a network.
///
/// # Errors
/// [`AppError::Invalid`] with the reason beside the field; [`AppError::NotFound`].
pub async fn add(app: &App, actor: &Actor, id: Uuid, cidr: &str, description: &str, consent: &str) -> Result<(), AppError> {
    let mut act = change(app, actor, Role::Member, id).await?;
    refuse_while_deleting(&act)?;
    let description = description.trim();
    let mut errors = FieldErrors::default();
    if description.chars().count() > DESCRIPTION_MAX {
        errors.add("description", format!("At most {DESCRIPTION_MAX} characters."));
    }
    let net = errors.check("cidr", cidr::parse(cidr));
    if let Some(net) = net.filter(|n| cidr::is_everyone(*n) && consent.trim() != CONSENT) {
        errors.add("consent", format!("{net} lets everyone try to connect. Type “{CONSENT}” to confirm."));
    }
    let most = app.catalogue.limits.max_trusted_sources;
    let present = db::firewall::count(&mut act.tx, id).await?;
    if usize::try_from(present).unwrap_or(usize::MAX) >= most {
        errors.add("cidr", format!("At most {most} trusted sources; remove one first."));
    }
    errors.into_result()?;
    let Some(net) = net else { return Ok(()) };
    if !db::firewall::add(&mut act.tx, actor.me.project, id, net, description, actor.me.person).await? {
        return Err(AppError::Invalid(FieldErrors::one("cidr", format!("{net} is trusted already."))));
    }
    act.enqueue(actor, id, JobKind::Trust).await?;
    db::events::write(&mut act.tx, actor, Some(id), "Create trusted source", &format!("{net} {description}")).await?;
    act.tx.commit().await?;
    Ok(())
}

/// Trusts a network no more; its connections are cut.
///
/// # Errors
/// [`AppError::NotFound`].
pub async fn remove(app: &App, actor: &Actor, id: Uuid, source: Uuid) -> Result<(), AppError> {
    let mut act = change(app, actor, Role::Member, id).await?;
    refuse_while_deleting(&act)?;
    let net = db::firewall::remove(&mut act.tx, id, source).await?.ok_or(AppError::NotFound)?;
    act.enqueue(actor, id, JobKind::Trust).await?;
    db::events::write(&mut act.tx, actor, Some(id), "Remove trusted source", &net.to_string()).await?;
    act.tx.commit().await?;
    Ok(())
}

fn refuse_while_deleting(act: &Change) -> Result<(), AppError> {
    if act.datastore.lifecycle == "deleting" { Err(AppError::Conflict("The datastore is being deleted.".to_owned())) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r026_exposure_is_said_as_it_is() {
        let net = |s: &str| cidr::parse(s).unwrap();
        assert_eq!(exposure(&[]), Exposure::Closed);
        assert_eq!(exposure(&[net("10.0.0.0/8")]), Exposure::Restricted(1));
        assert_eq!(exposure(&[net("10.0.0.0/8"), net("::/0")]), Exposure::Open);
    }
}
