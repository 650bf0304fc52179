//! `granary down`

use super::instance;
use crate::server::{assemble, config::Config, db::metadata, jobs};
use anyhow::{Context, ensure};

/// Stops everything of this home, in the order in which the one needs the other. A metadata database that is run by others
/// is theirs to stop.
///
/// # Errors
/// Names what could not be stopped; what that needs is left running, so that it can be tried again.
pub(super) async fn run(config: Config) -> anyhow::Result<()> {
    let served = instance::stop_all(&config.home).await?;
    if served > 0 {
        println!("Granary has ended.");
    }
    let own = metadata::own_server(&config);
    let is_own = config.database_url.is_none();
    if is_own && !own.is_made() {
        println!("There is nothing in {}.", config.home.display());
        return Ok(());
    }
    let options = metadata::reach(&config).await.context("the metadata database says what runs, so nothing was stopped")?;
    metadata::migrate(&options).await?;
    let app = assemble::assemble(config, options).await?;
    let left = jobs::stop_all::stop_all(&app).await?;
    ensure!(left == 0, "{left} datastores could not be stopped; the log says why. Try again");
    println!("All datastores are stopped.");
    app.db.close().await;
    if is_own && own.stop().await? {
        println!("The metadata database is stopped.");
    }
    Ok(())
}
