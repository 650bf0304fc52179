//! Keeps spares: datastores that are made ready before anybody asks, so that who does gets one at once. Each has a data
//! directory that was initialised for it alone. A round takes no input: it compares what is there with what there should be.

use crate::{
    model::{draft::NewDatastore, durability::Durability, engine::EngineKind, storage::Storage, topology::Topology},
    server::{
        db::{
            self,
            jobs::NewJob,
            spares::{PROJECT, Spare},
        },
        domain,
        jobs::kind::JobKind,
        state::App,
    },
};
use std::time::{Duration, Instant};
use time::{Date, macros::format_description};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Pause between two rounds.
const ROUND: Duration = Duration::from_secs(1);
/// After a spare could not be made, the next one is tried so much later: what was wrong is on the pages of nobody.
const AFTER_A_FAILURE: Duration = Duration::from_mins(10);
/// Size of a spare's volume: what the wizard proposes. It only grows, so who wants less gets none of them; growing takes
/// longer than all the rest.
const VOLUME_GB: u32 = domain::wizard::PROPOSED_VOLUME_GB;
/// Name of its database and its user until somebody names them; the engine has its own.
const NAMELESS: &str = "spare";

/// Keeps them until `stop`.
pub async fn run(app: App, stop: CancellationToken) {
    let mut not_before = Instant::now();
    loop {
        match round(&app, app.config.spares, not_before <= Instant::now()).await {
            Ok(Some(Act::Remove(_, Why::Failed))) => not_before = Instant::now() + AFTER_A_FAILURE,
            Ok(_) => {}
            Err(error) => tracing::warn!(error = format!("{error:#}"), "could not look after the spares"),
        }
        tokio::select! {
            () = tokio::time::sleep(ROUND) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// What a round does: one thing at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Act {
    /// Makes one of the kind with this position.
    Make(usize),
    /// Removes one.
    Remove(Uuid, Why),
}

/// Why one is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// It could not be made ready.
    Failed,
    /// There are more than wanted, or nobody is offered its kind any more.
    Surplus,
}

/// Looks once: `wanted` of each kind should be there. None is begun while people's work waits, nor when not `may_make`.
///
/// # Errors
/// Of the metadata database.
pub(crate) async fn round(app: &App, wanted: usize, may_make: bool) -> anyhow::Result<Option<Act>> {
    let kinds = kinds(app);
    let mut tx = app.db.begin().await?;
    if !db::spares::lock(&mut tx, app.host).await? {
        return Ok(None);
    }
    let spares = db::spares::all(&mut tx, app.host).await?;
    let may_make = may_make && !db::spares::is_host_busy(&mut tx, app.host).await?;
    let act = decide(&kinds, wanted, &spares, may_make);
    match act {
        Some(Act::Make(kind)) => {
            let id = db::creation::spare(&mut tx, app.host, &kinds[kind]).await?;
            enqueue(app, &mut tx, id, JobKind::Prepare).await?;
        }
        Some(Act::Remove(id, why)) if db::spares::lock_one(&mut tx, id).await? => {
            tracing::info!(spare = %id, ?why, "removing a spare");
            db::lifecycle::deleting(&mut tx, id).await?;
            db::job_acts::supersede(&mut tx, id).await?;
            enqueue(app, &mut tx, id, JobKind::Delete).await?;
        }
        _ => {}
    }
    tx.commit().await?;
    Ok(act)
}

async fn enqueue(app: &App, tx: &mut sqlx::PgConnection, spare: Uuid, kind: JobKind) -> sqlx::Result<Uuid> {
    db::jobs::enqueue(tx, NewJob { project: PROJECT, datastore: spare, host: app.host, kind, requested_by: None, request_id: None }).await
}

/// What is wrong goes first, then what is too much, then what is missing: of the kind with the fewest.
fn decide(kinds: &[NewDatastore], wanted: usize, spares: &[Spare], may_make: bool) -> Option<Act> {
    if let Some(failed) = spares.iter().find(|s| s.failed && !s.busy) {
        return Some(Act::Remove(failed.id, Why::Failed));
    }
    let of = |kind: &NewDatastore| spares.iter().filter(|s| is_of(s, kind)).count();
    let surplus = |s: &&Spare| !s.busy && kinds.iter().find(|k| is_of(s, k)).is_none_or(|k| of(k) > wanted);
    if let Some(surplus) = spares.iter().find(surplus) {
        return Some(Act::Remove(surplus.id, Why::Surplus));
    }
    if !may_make || spares.iter().any(|s| s.busy) {
        return None;
    }
    kinds.iter().enumerate().map(|(at, kind)| (of(kind), at)).filter(|(n, _)| *n < wanted).min().map(|(_, at)| Act::Make(at))
}

fn is_of(spare: &Spare, kind: &NewDatastore) -> bool {
    spare.region == kind.region && spare.engine == kind.engine.id() && spare.version == kind.version && spare.storage == kind.storage.kind()
}

/// The kinds that are kept: of each engine that can be made the version that the wizard proposes, on each kind of storage.
fn kinds(app: &App) -> Vec<NewDatastore> {
    let mut kinds = Vec::new();
    for ((region, engine), found) in &app.installed {
        let supported = found.iter().find(|i| !is_past_support(app, *engine, &i.major));
        let (Some(version), true) = (supported, app.engines.contains_key(engine)) else { continue };
        let Some(flavor) = app.catalogue.flavors.iter().min_by_key(|f| f.ram_mb) else { continue };
        let volume = app.catalogue.volume_types.first().map(|v| Storage::Volume { volume_type: v.id.clone(), gb: VOLUME_GB });
        for storage in volume.into_iter().chain([Storage::Ephemeral { gb: flavor.disk_gb }]) {
            kinds.push(NewDatastore {
                engine: *engine,
                version: version.major.clone(),
                name: String::new(),
                tags: Vec::new(),
                topology: Topology::Single,
                durability: Durability::Asynchronous,
                region: region.clone(),
                flavor: flavor.clone(),
                storage,
                database: NAMELESS.to_owned(),
                user: NAMELESS.to_owned(),
                allow: None,
            });
        }
    }
    kinds
}

fn is_past_support(app: &App, engine: EngineKind, major: &str) -> bool {
    let ends = app.catalogue.engine(engine).and_then(|e| e.support.iter().find(|s| s.major == major));
    let ends = ends.and_then(|s| Date::parse(&s.ends, format_description!("[year]-[month]-[day]")).ok());
    ends.is_some_and(|ends| ends < app.clock.now().date())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::catalogue::Flavor;

    fn kind(version: &str, storage: Storage) -> NewDatastore {
        let flavor = Flavor { id: "1".into(), name: "1".into(), ram_mb: 512, vcpus: 1, disk_gb: 5 };
        NewDatastore {
            engine: EngineKind::PostgreSql,
            version: version.to_owned(),
            name: String::new(),
            tags: vec![],
            topology: Topology::Single,
            durability: Durability::Asynchronous,
            region: "local".into(),
            flavor,
            storage,
            database: NAMELESS.into(),
            user: NAMELESS.into(),
            allow: None,
        }
    }

    fn kinds() -> Vec<NewDatastore> {
        vec![kind("15", Storage::Volume { volume_type: "dynamic".into(), gb: 1 }), kind("15", Storage::Ephemeral { gb: 5 })]
    }

    fn spare(n: u128, storage: &str) -> Spare {
        let text = str::to_owned;
        Spare {
            id: Uuid::from_u128(n),
            region: text("local"),
            engine: text("postgresql"),
            version: text("15"),
            storage: text(storage),
            busy: false,
            failed: false,
        }
    }

    #[test]
    fn the_kind_with_the_fewest_is_made_first_until_there_are_enough() {
        assert_eq!(decide(&kinds(), 2, &[], true), Some(Act::Make(0)));
        assert_eq!(decide(&kinds(), 2, &[spare(1, "volume")], true), Some(Act::Make(1)));
        let (volumes, ephemeral) = ([spare(1, "volume"), spare(2, "volume")], spare(3, "ephemeral"));
        assert_eq!(decide(&kinds(), 2, &[&volumes[..], std::slice::from_ref(&ephemeral)].concat(), true), Some(Act::Make(1)));
        assert_eq!(decide(&kinds(), 2, &[&volumes[..], &[ephemeral, spare(4, "ephemeral")]].concat(), true), None);
        assert_eq!(decide(&kinds(), 0, &[], true), None);
    }

    #[test]
    fn one_at_a_time_and_only_when_it_may() {
        assert_eq!(decide(&kinds(), 2, &[Spare { busy: true, ..spare(1, "volume") }], true), None);
        assert_eq!(decide(&kinds(), 2, &[], false), None);
    }

    #[test]
    fn what_failed_or_is_too_much_goes() {
        let failed = Spare { failed: true, ..spare(1, "volume") };
        assert_eq!(decide(&kinds(), 2, std::slice::from_ref(&failed), false), Some(Act::Remove(failed.id, Why::Failed)));
        let old = Spare { version: "14".into(), ..spare(2, "volume") };
        assert_eq!(decide(&kinds(), 2, &[old], true), Some(Act::Remove(Uuid::from_u128(2), Why::Surplus)));
        let many: Vec<Spare> = (1..=3).map(|n| spare(n, "volume")).collect();
        assert_eq!(decide(&kinds(), 2, &many, true), Some(Act::Remove(many[0].id, Why::Surplus)));
        assert_eq!(decide(&kinds(), 0, &many[..1], true), Some(Act::Remove(many[0].id, Why::Surplus)));
    }
}
