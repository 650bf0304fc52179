//! Which versions are installed.

use super::product::Product;
use crate::server::{
    engine::Installed,
    platform::{Platform, Program},
};
use anyhow::{Context, ensure};
use futures::future::join_all;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Where distributions, people who build it themselves, and Granary's own packages put a server.
fn patterns(product: &Product) -> [String; 3] {
    let Product { kind, server, .. } = product;
    [format!("/usr/bin/{server}"), format!("/usr/local/bin/{server}"), format!("/opt/granary/{}/*/bin/{server}", kind.id())]
}

/// A version as numbers.
type Version = (u32, u32, u32);

/// The newest patch of each version, newest version first. What Redis calls 7.0 and 7.2 are supported each for its own time,
/// and data of the newer cannot be read by the older: so each is a major of its own here.
pub(super) async fn installed(platform: &dyn Platform, product: &Product, roots: &[PathBuf]) -> Vec<Installed> {
    let own = roots.iter().map(|root| format!("{}/*/bin/{}", root.display(), product.server));
    let patterns: Vec<String> = patterns(product).into_iter().chain(own).collect();
    let servers = platform.find(&patterns).await;
    let found = join_all(servers.iter().map(|server| inspect(platform, product, server))).await;
    let mut newest: BTreeMap<(u32, u32), (Version, Installed)> = BTreeMap::new();
    for (server, result) in servers.iter().zip(found) {
        match result {
            Ok((version, installed)) => {
                let known = newest.entry((version.0, version.1)).or_insert_with(|| (version, installed.clone()));
                if known.0 < version {
                    *known = (version, installed);
                }
            }
            Err(why) => tracing::debug!(server = %server.display(), "not offered: {why:#}"),
        }
    }
    newest.into_values().rev().map(|(_, installed)| installed).collect()
}

async fn inspect(platform: &dyn Platform, product: &Product, server: &Path) -> anyhow::Result<(Version, Installed)> {
    let programs = server.parent().context("it lies in no directory")?.to_owned();
    let program = Program { path: server.to_owned(), args: vec!["--version".to_owned()], env: Vec::new() };
    let says = platform.ask(&program).await?.stdout;
    let (version, full) = parse(product, &says).with_context(|| format!("its version is not a released one: {}", says.trim()))?;
    let oldest = product.oldest;
    ensure!((version.0, version.1) >= oldest, "{full} is older than {}.{}", oldest.0, oldest.1);
    Ok((version, Installed { major: format!("{}.{}", version.0, version.1), full: full.to_owned(), programs }))
}

/// Reads `Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=ae4d7c971a948f0`. Builds of the branch under
/// development say 255.255.255.
fn parse<'a>(product: &Product, says: &'a str) -> Option<(Version, &'a str)> {
    let full = says.strip_prefix(product.says)?.split_whitespace().next()?;
    let mut numbers = full.split('.').map(str::parse::<u32>);
    let mut number = || numbers.next()?.ok();
    let version = (number()?, number()?, number()?);
    (numbers.next().is_none() && version.0 != 255).then_some((version, full))
}

#[cfg(test)]
mod tests {
    use super::super::product::{REDIS, VALKEY};
    use super::*;

    #[test]
    fn r005_released_versions_are_read_and_others_are_not() {
        let says = "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=ae4d7c971a948f0\n";
        assert_eq!(parse(&REDIS, says), Some(((7, 0, 15), "7.0.15")));
        assert_eq!(parse(&VALKEY, says), None);
        assert_eq!(parse(&VALKEY, "Valkey server v=8.0.1 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=39f7\n"), Some(((8, 0, 1), "8.0.1")));
        for other in ["Redis server v=255.255.255 sha=0", "Redis server v=7.0", "Redis server v=8.0-rc1 x", "redis-cli 7.0.15", "v=7.0.15", ""] {
            assert_eq!(parse(&REDIS, other), None, "{other}");
        }
    }
}
