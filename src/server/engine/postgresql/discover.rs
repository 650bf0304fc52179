//! Which majors are installed.

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

/// Where distributions and Granary's own packages put each version's programs.
const PATTERNS: [&str; 3] = ["/usr/lib/postgresql/*/bin/postgres", "/usr/pgsql-*/bin/postgres", "/opt/granary/postgresql/*/bin/postgres"];
/// What must lie beside `postgres`: a server alone can neither be made nor copied.
const COMPANIONS: [&str; 2] = ["initdb", "pg_basebackup"];
/// The oldest major whose configuration, roles and functions are known to be as Granary needs them.
const OLDEST: u32 = 11;

/// A version as numbers: major and minor.
type Version = (u32, u32);

/// The newest minor of each major, newest major first.
pub(super) async fn installed(platform: &dyn Platform, roots: &[PathBuf]) -> Vec<Installed> {
    let own = roots.iter().map(|root| format!("{}/*/bin/postgres", root.display()));
    let patterns: Vec<String> = PATTERNS.into_iter().map(str::to_owned).chain(own).collect();
    let servers = platform.find(&patterns).await;
    let found = join_all(servers.iter().map(|server| inspect(platform, server))).await;
    let mut newest: BTreeMap<u32, (Version, Installed)> = BTreeMap::new();
    for (server, result) in servers.iter().zip(found) {
        match result {
            Ok((version, installed)) => {
                let known = newest.entry(version.0).or_insert_with(|| (version, installed.clone()));
                if known.0 < version {
                    *known = (version, installed);
                }
            }
            Err(why) => tracing::debug!(server = %server.display(), "not offered: {why:#}"),
        }
    }
    newest.into_values().rev().map(|(_, installed)| installed).collect()
}

/// The major as a number.
pub(super) fn major(programs: &Installed) -> anyhow::Result<u32> {
    programs.major.parse().with_context(|| format!("“{}” is not a major version of PostgreSQL", programs.major))
}

async fn inspect(platform: &dyn Platform, server: &Path) -> anyhow::Result<(Version, Installed)> {
    let programs = server.parent().context("it lies in no directory")?.to_owned();
    let wanted = COMPANIONS.map(|name| programs.join(name));
    let present = platform.find(&wanted.each_ref().map(|path| path.display().to_string())).await;
    let missing: Vec<&str> = COMPANIONS.into_iter().zip(&wanted).filter(|(_, path)| !present.contains(path)).map(|(name, _)| name).collect();
    ensure!(missing.is_empty(), "{} missing beside it", missing.join(" and "));
    let program = Program { path: server.to_owned(), args: vec!["--version".to_owned()], env: Vec::new() };
    let says = platform.ask(&program).await?.stdout;
    let (version, full) = parse(&says).with_context(|| format!("its version is not a released one: {}", says.trim()))?;
    ensure!(version.0 >= OLDEST, "major {} is older than {OLDEST}", version.0);
    Ok((version, Installed { major: version.0.to_string(), full: full.to_owned(), programs }))
}

/// Reads `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`. Development and beta versions are none.
fn parse(says: &str) -> Option<(Version, &str)> {
    let full = says.strip_prefix("postgres (PostgreSQL) ")?.split_whitespace().next()?;
    let (major, minor) = full.split_once('.')?;
    Some(((major.parse().ok()?, minor.parse().ok()?), full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r005_released_versions_are_read_and_others_are_not() {
        assert_eq!(parse("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(((15, 18), "15.18")));
        assert_eq!(parse("postgres (PostgreSQL) 9.6\n"), Some(((9, 6), "9.6")));
        for other in ["postgres (PostgreSQL) 19beta1", "postgres (PostgreSQL) 19devel", "psql (PostgreSQL) 15.18", "9.6.24", ""] {
            assert_eq!(parse(other), None, "{other}");
        }
        assert_eq!(parse("postgres (PostgreSQL) 9.6.24"), None, "the old three-part numbers are below the oldest major anyway");
    }
}
