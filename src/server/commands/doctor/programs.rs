//! Programs that Granary runs.

use super::finding::Report;
use crate::{
    model::engine::EngineKind,
    server::{
        assemble,
        config::Config,
        engine::Installed,
        platform::{Platform, Program, local::survey::Survey},
    },
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

const AREA: &str = "programs";

/// Where programs of the system are: the PATH of everything Granary starts.
const PLACES: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// What Granary runs itself: the program, its package on Debian, whether only root's Granary needs it.
const NEEDED: [(&str, &str, bool); 8] = [
    ("haproxy", "haproxy", false),
    ("sh", "dash", false),
    ("setpriv", "util-linux", false),
    ("setsid", "util-linux", false),
    ("getent", "libc-bin", false),
    ("useradd", "passwd", true),
    ("userdel", "passwd", true),
    ("groupdel", "passwd", true),
];

/// Where a program is; `None` when it is nowhere.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    PLACES.iter().map(|place| Path::new(place).join(name)).find(|path| path.is_file())
}

/// Those of the system.
pub(super) fn of_the_system(report: &mut Report) {
    let root = rustix::process::geteuid().is_root();
    let missing: Vec<_> = NEEDED.iter().filter(|(name, _, for_root)| (root || !for_root) && find(name).is_none()).collect();
    for (name, package, _) in &missing {
        report.problem(AREA, format!("{name} is not installed."), format!("apt install {package}, or what your system calls it."));
    }
    if missing.is_empty() {
        report.ok(AREA, "All programs of the system that Granary runs are there.");
    }
}

/// Those of the engines, by kind.
pub(super) async fn of_engines(report: &mut Report, config: &Config, survey: Option<&Survey>) -> BTreeMap<EngineKind, Vec<Installed>> {
    let Some(platform) = survey.map(Survey::platform) else { return BTreeMap::new() };
    haproxy(report, &platform).await;
    let mut installed = BTreeMap::new();
    for (kind, engine) in assemble::engines(&config.home, None) {
        installed.insert(kind, engine.installed(&platform).await);
    }
    let none_at_all = installed.values().all(Vec::is_empty);
    for (kind, found) in &installed {
        let versions: Vec<_> = found.iter().map(|i| i.full.as_str()).collect();
        let what = format!("No version of {kind} is installed, so no datastore of it can be made or run.");
        let advice = format!("On Debian: apt install {}.", kind.package(None));
        match (versions.is_empty(), none_at_all) {
            (false, _) => report.ok(AREA, format!("{kind} {} can be run.", versions.join(", "))),
            (true, true) => report.problem(AREA, what, advice),
            // Who wants no such datastores needs no such programs; a datastore without its programs is told of each by itself.
            (true, false) => report.warning(AREA, what, advice),
        }
    }
    installed
}

async fn haproxy(report: &mut Report, platform: &dyn Platform) {
    let Some(path) = find("haproxy") else { return };
    let program = Program { path: path.clone(), args: vec!["-v".to_owned()], env: Vec::new() };
    match platform.ask(&program).await {
        Ok(output) if output.code == Some(0) => report.ok(AREA, output.stdout.lines().next().unwrap_or("haproxy")),
        Ok(output) => report.problem(AREA, format!("{} cannot be run: {}", path.display(), output.stderr), "Install the package haproxy again."),
        Err(error) => report.problem(AREA, format!("{} cannot be run: {error:#}.", path.display()), "Install the package haproxy again."),
    }
}
