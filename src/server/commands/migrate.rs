//! `granary migrate`

use crate::server::{config::Config, db::metadata};

/// Brings the metadata database up to date.
///
/// # Errors
/// When it cannot be reached or started.
pub(super) async fn run(config: &Config) -> anyhow::Result<()> {
    let options = metadata::reach(config).await?;
    metadata::migrate(&options).await?;
    println!("The metadata database is up to date.");
    Ok(())
}
