//! The wizard: a draft from first click to Finish.

use super::Actor;
use crate::{
    error::{AppError, FieldErrors},
    model::{
        catalogue::{Quota, Region},
        draft::{self, Draft, NewDatastore},
        engine::{EngineKind, EngineOffer, VersionOffer, fitting_version},
        format,
        offer::Offer,
        person::Role,
        step::Step,
        storage::Storage,
    },
    server::{
        crypto::random,
        db::{self, creation::Owner, jobs::NewJob},
        jobs::kind::JobKind,
        state::App,
    },
};
use sqlx::PgConnection;
use uuid::Uuid;

/// The size of a volume that the wizard proposes.
pub const PROPOSED_VOLUME_GB: u32 = 10;

/// Makes a draft with values that work, so that five times Continue makes a sensible datastore.
///
/// # Errors
/// [`AppError::Forbidden`], [`AppError::Unavailable`].
pub async fn start(app: &App, actor: &Actor) -> Result<Uuid, AppError> {
    actor.needs(Role::Member)?;
    let mut tx = app.db.begin().await?;
    let quota = db::usage::quota_left(&mut tx, actor.me.project, false).await?;
    let offer = offer(app, &mut tx, quota, "", false, false).await?;
    let mut draft = Draft {
        storage: "volume".into(),
        volume_gb: PROPOSED_VOLUME_GB.to_string(),
        database: "app".into(),
        user: "app_admin".into(),
        topology: "single".into(),
        ..Draft::default()
    };
    if let Some(engine) = offer.engines.iter().find(|e| e.unavailable.is_none()) {
        engine.kind.id().clone_into(&mut draft.engine);
        draft.version = engine.proposed().map(|v| v.major.clone()).unwrap_or_default();
    }
    if let [region] = offer.catalogue.regions.as_slice() {
        draft.region.clone_from(&region.id);
    }
    draft.volume_type = offer.catalogue.volume_types.first().map(|v| v.id.clone()).unwrap_or_default();
    draft.flavor = offer.catalogue.flavors.iter().find(|f| offer.flavor_refused(f, 1).is_none()).map(|f| f.id.clone()).unwrap_or_default();
    draft.name = free_name(&mut tx, actor.me.project).await?;
    let id = db::drafts::create(&mut tx, actor.me.project, actor.me.person, &draft).await?;
    tx.commit().await?;
    Ok(id)
}

/// A name nobody of the project has: `db-1`, `db-2` …
async fn free_name(tx: &mut PgConnection, project: Uuid) -> Result<String, AppError> {
    for n in 1..1000 {
        let name = format!("db-{n}");
        if !db::datastores::name_taken(&mut *tx, project, &name, None).await? {
            return Ok(name);
        }
    }
    Ok(String::new())
}

/// The draft, what it is judged against, and the visitor's own address as a CIDR.
///
/// # Errors
/// [`AppError::NotFound`] when it is not this person's.
pub async fn show(app: &App, actor: &Actor, id: Uuid) -> Result<(Draft, Offer, Option<String>), AppError> {
    let (draft, _) = db::drafts::get(&app.db, actor.me.project, actor.me.person, id).await?.ok_or(AppError::NotFound)?;
    let mut tx = app.db.begin().await?;
    let quota = db::usage::quota_left(&mut tx, actor.me.project, false).await?;
    let taken = db::datastores::name_taken(&mut *tx, actor.me.project, &draft.name, None).await?;
    let offer = offer(app, &mut tx, quota, &draft.region, taken, false).await?;
    Ok((draft, offer, actor.address.map(|a| ipnet::IpNet::from(a).to_string())))
}

/// Stores the raw fields of a step, right or wrong, and says where to go: on, when nothing is wrong; where `go` says, when it
/// names a step; else the same step again.
///
/// # Errors
/// [`AppError::NotFound`] when it is not this person's, [`AppError::Conflict`] when it was finished already.
pub async fn save(app: &App, actor: &Actor, id: Uuid, step: Step, go: &str, fields: Draft) -> Result<Step, AppError> {
    actor.needs(Role::Member)?;
    let mut tx = app.db.begin().await?;
    let (mut draft, became) = db::drafts::lock(&mut tx, actor.me.project, actor.me.person, id).await?.ok_or(AppError::NotFound)?;
    if became.is_some() {
        return Err(AppError::Conflict("This datastore was made already; the draft cannot be changed any more.".to_owned()));
    }
    merge(&mut draft, bounded(fields), step);
    if step == Step::Databases {
        let engines = engine_offers(app, &region_of(app, &draft.region)?.id);
        draft.version = fitting_version(&engines, &draft.engine, &draft.version);
    }
    if !draft.seen.contains(&step) {
        draft.seen.push(step);
    }
    db::drafts::save(&mut tx, id, &draft).await?;
    tx.commit().await?;
    if let Some(step) = Step::from_slug(go) {
        return Ok(step);
    }
    let (draft, offer, _) = show(app, actor, id).await?;
    let errors = draft::validate_step(&draft, &offer, step);
    Ok(if errors.is_empty() { step.next().unwrap_or(Step::Preview) } else { step })
}

/// Takes over the fields that belong to a step.
fn merge(draft: &mut Draft, fields: Draft, step: Step) {
    match step {
        Step::Databases => {
            draft.engine = fields.engine;
            draft.version = fields.version;
        }
        Step::Configuration => {
            draft.name = fields.name;
            draft.tags = fields.tags;
            draft.topology = fields.topology;
            draft.durability = fields.durability;
        }
        Step::CloudService => draft.region = fields.region,
        Step::Resources => {
            draft.flavor = fields.flavor;
            draft.storage = fields.storage;
            draft.volume_type = fields.volume_type;
            draft.volume_gb = fields.volume_gb;
            draft.database = fields.database;
            draft.user = fields.user;
            draft.allow = fields.allow;
        }
        Step::Preview => {}
    }
}

/// Nothing typed is worth more than this much of our database.
fn bounded(mut fields: Draft) -> Draft {
    const MOST: usize = 2000;
    for field in [
        &mut fields.engine,
        &mut fields.version,
        &mut fields.name,
        &mut fields.tags,
        &mut fields.topology,
        &mut fields.durability,
        &mut fields.region,
        &mut fields.flavor,
        &mut fields.storage,
        &mut fields.volume_type,
        &mut fields.volume_gb,
        &mut fields.database,
        &mut fields.user,
        &mut fields.allow,
    ] {
        if field.chars().count() > MOST {
            *field = field.chars().take(MOST).collect();
        }
        // PostgreSQL's json holds no NUL.
        field.retain(|c| c != '\0');
    }
    fields
}

/// Makes the datastore that the draft asks for: row, job and audit event in one transaction. A second Finish of the same
/// draft leads to the same datastore.
///
/// # Errors
/// [`AppError::Invalid`] with all that is wrong, [`AppError::NotFound`] when it is not this person's.
pub async fn finish(app: &App, actor: &Actor, id: Uuid) -> Result<Uuid, AppError> {
    actor.needs(Role::Member)?;
    let mut tx = app.db.begin().await?;
    let (mut draft, became) = db::drafts::lock(&mut tx, actor.me.project, actor.me.person, id).await?.ok_or(AppError::NotFound)?;
    if let Some(datastore) = became {
        return Ok(datastore);
    }
    let quota = db::usage::quota_left(&mut tx, actor.me.project, true).await?;
    let taken = db::datastores::name_taken(&mut *tx, actor.me.project, &draft.name, None).await?;
    let offer = offer(app, &mut tx, quota, &draft.region, taken, true).await?;
    let wanted = match draft::validate(&draft, &offer) {
        Ok(wanted) => wanted,
        Err(errors) => {
            draft.seen = Step::ALL.to_vec();
            db::drafts::save(&mut tx, id, &draft).await?;
            tx.commit().await?;
            return Err(AppError::Invalid(errors));
        }
    };
    let datastore = insert(app, actor, &mut tx, &wanted).await?;
    db::drafts::became(&mut tx, id, datastore).await?;
    tx.commit().await?;
    Ok(datastore)
}

async fn insert(app: &App, actor: &Actor, tx: &mut PgConnection, wanted: &NewDatastore) -> Result<Uuid, AppError> {
    let project = actor.me.project;
    let owner = Owner { project, person: Some(actor.me.person), host: app.host };
    let id = db::creation::datastore(tx, owner, wanted).await.map_err(|e| match e {
        sqlx::Error::Database(e) if e.is_unique_violation() => {
            AppError::Invalid(FieldErrors::one("name", format!("There is already a datastore named “{}” in this project.", wanted.name)))
        }
        e => e.into(),
    })?;
    let purpose = db::secrets::ADMIN_PASSWORD;
    let sealed = app.keyring.seal(&db::secrets::context(id, purpose), &random::password())?;
    db::secrets::put(tx, project, id, purpose, &sealed).await?;
    if let Some(net) = wanted.allow {
        db::firewall::add(tx, project, id, net, "Added with the datastore", actor.me.person).await?;
    }
    let (requested_by, request_id) = (Some(actor.me.person), Some(actor.request_id.as_str()));
    let kind = JobKind::to_create(wanted.topology.nodes());
    db::jobs::enqueue(tx, NewJob { project, datastore: id, host: app.host, kind, requested_by, request_id }).await?;
    let what = format!(
        "{} {} “{}”, {}, {}, {} of storage{}",
        wanted.engine,
        wanted.version,
        wanted.name,
        format::count(wanted.topology.nodes() as usize, "node", "nodes"),
        wanted.flavor.name,
        match &wanted.storage {
            Storage::Ephemeral { gb } => format!("{gb} GB (ephemeral)"),
            Storage::Volume { volume_type, gb } => format!("{gb} GB ({volume_type})"),
        },
        wanted.allow.map(|net| format!(", {net} trusted")).unwrap_or_default()
    );
    db::events::write(tx, actor, Some(id), "Create datastore", &what).await?;
    Ok(id)
}

/// What a draft is judged against. With `lock`, nobody else can promise the same RAM and storage at the same time.
pub(super) async fn offer(
    app: &App,
    tx: &mut PgConnection,
    quota_left: Quota,
    region: &str,
    name_taken: bool,
    lock: bool,
) -> Result<Offer, AppError> {
    let region = region_of(app, region)?;
    let capacity = app.platform(&region.id)?.capacity().await?;
    let (ram, storage) = db::usage::promised(tx, app.host, &region.id, lock).await?;
    let region_left =
        (over(capacity.ram_mb, region.ram_overcommit).saturating_sub(ram), over(capacity.disk_gb, region.storage_overcommit).saturating_sub(storage));
    Ok(Offer { catalogue: app.catalogue.clone(), engines: engine_offers(app, &region.id), quota_left, region_left, name_taken })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "megabytes and gigabytes of one machine, rounded down"
)]
fn over(amount: u64, factor: f64) -> u64 {
    (amount as f64 * factor) as u64
}

/// The region that was chosen, else the first.
fn region_of<'a>(app: &'a App, region: &str) -> anyhow::Result<&'a Region> {
    app.catalogue.region(region).or(app.catalogue.regions.first()).ok_or_else(|| anyhow::anyhow!("the catalogue has no region"))
}

fn engine_offers(app: &App, region: &str) -> Vec<EngineOffer> {
    EngineKind::ALL.into_iter().map(|kind| engine_offer(app, region, kind)).collect()
}

fn engine_offer(app: &App, region: &str, kind: EngineKind) -> EngineOffer {
    let entry = app.catalogue.engine(kind);
    let today = format::exact(app.clock.now());
    let found = app.installed.get(&(region.to_owned(), kind)).map(Vec::as_slice).unwrap_or_default();
    let versions: Vec<VersionOffer> = found
        .iter()
        .map(|i| {
            let ends = entry.and_then(|e| e.support.iter().find(|s| s.major == i.major)).map(|s| s.ends.clone());
            VersionOffer {
                major: i.major.clone(),
                full: i.full.clone(),
                past_support: ends.as_deref().is_some_and(|e| *e < today[..10]),
                end_of_support: ends,
            }
        })
        .collect();
    let unavailable = match (app.engines.contains_key(&kind), entry.is_some(), versions.is_empty()) {
        (false, ..) => Some(format!("This version of Granary cannot run {kind} yet.")),
        (_, false, _) => Some(format!("{kind} is not in this installation's catalogue.")),
        (.., true) => Some(format!("{kind} is not installed on this machine.")),
        _ => None,
    };
    EngineOffer {
        kind,
        summary: entry.map(|e| e.summary.clone()).unwrap_or_default(),
        good_at: entry.map(|e| e.good_at.clone()).unwrap_or_default(),
        versions,
        unavailable,
    }
}
