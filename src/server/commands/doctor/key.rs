//! The key file, and whether it opens what it should.

use super::finding::Report;
use crate::server::{
    config::Config,
    crypto::keyring::Keyring,
    db::{checkup, secrets},
};
use sqlx::PgPool;

const AREA: &str = "key";

/// Returns the key, when there is one that can be used.
pub(super) fn look(report: &mut Report, config: &Config) -> Option<Keyring> {
    let path = config.key_file();
    match Keyring::existing(&path) {
        Ok(keyring) => keyring,
        Err(error) => {
            let advice = format!("Give {} back to the user who runs Granary with mode 600, or put it back from your backup.", path.display());
            report.problem(AREA, format!("{error:#}."), advice);
            None
        }
    }
}

/// Whether every secret of the metadata database opens. None of them leaves this function.
pub(super) async fn opens(report: &mut Report, db: &PgPool, keyring: Option<&Keyring>) -> anyhow::Result<()> {
    let sealed = checkup::sealed(db).await?;
    let Some(keyring) = keyring else {
        if sealed.is_empty() {
            report.ok(AREA, "There is no key file and nothing to open yet; “granary serve” makes one.");
        } else {
            let what = format!("There is no key file that can be used, but {} secrets are sealed with one.", sealed.len());
            report.problem(AREA, what, "Put the key file back from your backup, at GRANARY_KEY_FILE. Nothing else opens them.");
        }
        return Ok(());
    };
    let shut = sealed.iter().filter_map(|(datastore, purpose, sealed)| keyring.open_sealed(&secrets::context(*datastore, purpose), sealed).err());
    let shut: Vec<_> = shut.collect();
    match shut.first() {
        None => report.ok(AREA, format!("The key file opens all {} secrets. Keep a copy of it apart from the backups.", sealed.len())),
        Some(first) => {
            let what = format!("{} of {} secrets do not open; the first: {first:#}.", shut.len(), sealed.len());
            report.problem(AREA, what, "Put the key file back with which they were sealed, from your backup.");
        }
    }
    Ok(())
}
