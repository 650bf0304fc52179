//! Puts a running Granary together from its settings.

use super::{
    config::{self, Config},
    crypto::{derived::Passwords, keyring::Keyring},
    db::{changes::Changes, metadata},
    engine::{self, Engine, Installed},
    monitor::pulse::Pulse,
    platform::{Platform, local::Local},
    state::{App, Clock, Inner},
};
use crate::model::{catalogue::Catalogue, engine::EngineKind};
use anyhow::{Context, bail};
use sqlx::postgres::PgConnectOptions;
use std::{
    collections::BTreeMap,
    fs,
    io::{ErrorKind, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
    sync::Arc,
};
use uuid::Uuid;

/// Puts it together over a metadata database that is migrated.
///
/// # Errors
/// What is missing or wrong, with its place.
pub async fn assemble(config: Config, options: PgConnectOptions) -> anyhow::Result<App> {
    make_home(&config.home)?;
    let catalogue = config::catalogue::load(config.catalogue.as_deref()).map_err(anyhow::Error::from)?;
    let platforms = platforms(&config.home, &catalogue)?;
    let keyring = Keyring::open(&config.key_file())?;
    let engines = engines(&config.home, Some(&keyring.passwords()));
    let installed = discover(&platforms, &engines).await;
    let db = metadata::pool(options);
    Ok(App::new(Inner {
        keyring,
        changes: Changes::start(&db),
        pulse: Pulse::default(),
        host: host_id(&config.home)?,
        clock: Clock::System,
        db,
        catalogue,
        platforms,
        engines,
        installed,
        config,
    }))
}

/// The engines Granary can run, with programs of the system or in the home. Without passwords they can only look for those.
#[must_use]
pub fn engines(home: &Path, passwords: Option<&Passwords>) -> BTreeMap<EngineKind, Arc<dyn Engine>> {
    engine::all(&[home.join("engines")], passwords).into_iter().map(|e| (e.kind(), e)).collect()
}

/// What is installed of every engine, by region.
pub async fn discover(
    platforms: &BTreeMap<String, Arc<dyn Platform>>,
    engines: &BTreeMap<EngineKind, Arc<dyn Engine>>,
) -> BTreeMap<(String, EngineKind), Vec<Installed>> {
    let mut installed = BTreeMap::new();
    for (region, platform) in platforms {
        for (kind, engine) in engines {
            installed.insert((region.clone(), *kind), engine.installed(platform.as_ref()).await);
        }
    }
    installed
}

/// A platform for each region of the catalogue.
///
/// # Errors
/// When the catalogue names a platform that Granary does not have, or the home cannot be used.
pub fn platforms(home: &Path, catalogue: &Catalogue) -> anyhow::Result<BTreeMap<String, Arc<dyn Platform>>> {
    catalogue
        .regions
        .iter()
        .map(|region| match region.platform.as_str() {
            "local" => Ok((region.id.clone(), Arc::new(Local::new(home, region)?) as Arc<dyn Platform>)),
            other => bail!("region “{}” wants the platform “{other}”; this version of Granary has: local", region.id),
        })
        .collect()
}

/// The home: nodes' users pass through it to their own directories, and see nothing else.
///
/// # Errors
/// When it cannot be made.
pub fn make_home(home: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(home).with_context(|| format!("GRANARY_HOME {} cannot be made", home.display()))?;
    fs::set_permissions(home, fs::Permissions::from_mode(0o711)).with_context(|| format!("GRANARY_HOME {} is not ours", home.display()))
}

/// The id of this home, made once: `local` work belongs to it.
fn host_id(home: &Path) -> anyhow::Result<Uuid> {
    let path = home.join("host-id");
    if !path.exists() {
        let temporary = home.join(format!(".host-id.{}", Uuid::new_v4()));
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?.write_all(Uuid::new_v4().to_string().as_bytes())?;
        // A link appears whole or not at all, and never over one that another process made.
        let linked = fs::hard_link(&temporary, &path);
        fs::remove_file(&temporary)?;
        match linked {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error).context("the id of this home cannot be written"),
            _ => {}
        }
    }
    let text = fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    text.trim().parse().with_context(|| format!("{} does not hold an id", path.display()))
}
