//! Which versions are installed.

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

/// Where distributions, people who build it themselves, and Granary's own packages put the server.
const PATTERNS: [&str; 4] = ["/usr/sbin/mariadbd", "/usr/bin/mariadbd", "/usr/local/bin/mariadbd", "/opt/granary/mariadb/*/bin/mariadbd"];
/// What must be there besides: a server alone can neither be made nor copied.
const COMPANIONS: [&str; 3] = ["mariadb-install-db", "mariadb-backup", "mbstream"];
/// The oldest version whose programs, rights and settings are known to be as Granary needs them.
const OLDEST: (u32, u32) = (10, 6);

/// A version as numbers.
type Version = (u32, u32, u32);

/// A program of an installation. Where the server lies among those of administrators, the others do not.
pub(super) fn tool(programs: &Path, name: &str) -> PathBuf {
    match programs.file_name() {
        Some(own) if own == "sbin" && name != "mariadbd" => programs.with_file_name("bin").join(name),
        _ => programs.join(name),
    }
}

/// The newest patch of each version, newest version first. What MariaDB calls 10.6 and 10.11 are supported each for its own time,
/// and data of the newer cannot be read by the older: so each is a major of its own here.
pub(super) async fn installed(platform: &dyn Platform, roots: &[PathBuf]) -> Vec<Installed> {
    let own = roots.iter().map(|root| format!("{}/*/bin/mariadbd", root.display()));
    let patterns: Vec<String> = PATTERNS.into_iter().map(str::to_owned).chain(own).collect();
    let servers = platform.find(&patterns).await;
    let found = join_all(servers.iter().map(|server| inspect(platform, server))).await;
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

async fn inspect(platform: &dyn Platform, server: &Path) -> anyhow::Result<(Version, Installed)> {
    let programs = server.parent().context("it lies in no directory")?.to_owned();
    let wanted = COMPANIONS.map(|name| tool(&programs, name));
    let present = platform.find(&wanted.each_ref().map(|path| path.display().to_string())).await;
    let missing: Vec<&str> = COMPANIONS.into_iter().zip(&wanted).filter(|(_, path)| !present.contains(path)).map(|(name, _)| name).collect();
    ensure!(missing.is_empty(), "{} missing beside it", missing.join(" and "));
    let program = Program { path: server.to_owned(), args: vec!["--no-defaults".to_owned(), "--version".to_owned()], env: Vec::new() };
    let says = platform.ask(&program).await?.stdout;
    let (version, full) = parse(&says).with_context(|| format!("its version is not a released one: {}", says.trim()))?;
    ensure!((version.0, version.1) >= OLDEST, "{full} is older than {}.{}", OLDEST.0, OLDEST.1);
    Ok((version, Installed { major: format!("{}.{}", version.0, version.1), full: full.to_owned(), programs }))
}

/// Reads `/usr/sbin/mariadbd  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Debian 12)`.
fn parse(says: &str) -> Option<(Version, &str)> {
    let (_, rest) = says.split_once(" Ver ")?;
    let full = rest.split_whitespace().next()?.split_once("-MariaDB")?.0;
    let mut numbers = full.split('.').map(str::parse::<u32>);
    let mut number = || numbers.next()?.ok();
    let version = (number()?, number()?, number()?);
    numbers.next().is_none().then_some((version, full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r005_released_versions_are_read_and_others_are_not() {
        let says = "/usr/sbin/mariadbd  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Debian 12)\n";
        assert_eq!(parse(says), Some(((10, 11, 19), "10.11.19")));
        assert_eq!(parse("mariadbd  Ver 11.8.3-MariaDB-log for Linux"), Some(((11, 8, 3), "11.8.3")));
        for other in ["mysqld  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)", "mariadbd  Ver 11.8-MariaDB", "", "10.11.19-MariaDB"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn the_other_programs_do_not_lie_among_those_of_administrators() {
        assert_eq!(tool(Path::new("/usr/sbin"), "mariadbd"), Path::new("/usr/sbin/mariadbd"));
        assert_eq!(tool(Path::new("/usr/sbin"), "mbstream"), Path::new("/usr/bin/mbstream"));
        assert_eq!(tool(Path::new("/opt/x/bin"), "mbstream"), Path::new("/opt/x/bin/mbstream"));
    }
}
