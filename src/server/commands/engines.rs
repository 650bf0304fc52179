//! `granary engines`

use crate::{
    model::{catalogue::Catalogue, engine::EngineKind},
    server::{
        assemble,
        config::{self, Config},
        engine::Installed,
    },
};

/// Lists every version found.
///
/// # Errors
/// When the catalogue is wrong.
pub(super) async fn run(config: &Config) -> anyhow::Result<()> {
    let catalogue = config::catalogue::load(config.catalogue.as_deref())?;
    assemble::make_home(&config.home)?;
    let platforms = assemble::platforms(&config.home, &catalogue)?;
    let engines = assemble::engines(&config.home, None);
    let installed = assemble::discover(&platforms, &engines).await;
    let mut found = false;
    for ((region, kind), versions) in &installed {
        for version in versions {
            println!("{}", line(&catalogue, region, *kind, version));
            found = true;
        }
    }
    if !found {
        let packages: Vec<_> = engines.keys().map(|kind| kind.package(None)).collect();
        println!("No database programs were found. On Debian: apt install {}", packages.join(" or "));
    }
    Ok(())
}

fn line(catalogue: &Catalogue, region: &str, kind: EngineKind, version: &Installed) -> String {
    let support = catalogue.engine(kind).and_then(|entry| entry.support.iter().find(|s| s.major == version.major));
    let support = support.map_or_else(|| "end of support not known".to_owned(), |s| format!("supported until {}", s.ends));
    format!("{region}  {:<22}  {support:<26}  {}", format!("{kind} {}", version.full), version.programs.display())
}
