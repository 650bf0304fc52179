//! The systemd unit, where there is one.

use super::finding::Report;
use std::{
    fs,
    path::{Path, PathBuf},
};

const AREA: &str = "service";
/// Where units are, the ones that count first.
const PLACES: [&str; 4] = ["/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system"];
const UNIT: &str = "granary.service";

/// Looks at the system's units.
pub(super) fn look(report: &mut Report) {
    look_in(report, &PLACES.map(PathBuf::from));
}

fn look_in(report: &mut Report, places: &[PathBuf]) {
    let Some(unit) = places.iter().map(|place| place.join(UNIT)).find(|path| path.is_file()) else {
        return report.ok(AREA, "There is no systemd unit granary.service; deploy/ has one.");
    };
    let text = whole(&unit, places);
    let before = report.len();
    let kill = setting(&text, "KillMode").unwrap_or("control-group");
    if kill != "process" {
        let what = format!("{} has KillMode={kill}: stopping or restarting Granary kills every database.", unit.display());
        report.problem(AREA, what, "Set KillMode=process, then systemctl daemon-reload.");
    }
    let delegate = setting(&text, "Delegate").unwrap_or("no");
    if matches!(delegate, "no" | "false" | "0" | "off") {
        let what = format!("{} does not let Granary divide its control group (Delegate={delegate}).", unit.display());
        report.warning(AREA, what, "Set Delegate=yes, then systemctl daemon-reload.");
    }
    if report.len() == before {
        report.ok(AREA, format!("{} leaves databases running when Granary stops.", unit.display()));
    }
}

/// The unit and what was laid over it, in the order in which systemd reads them.
fn whole(unit: &Path, places: &[PathBuf]) -> String {
    let folders = places.iter().map(|place| place.join(format!("{UNIT}.d")));
    let mut parts: Vec<PathBuf> = folders.filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten().map(|entry| entry.path()).collect();
    parts.retain(|path| path.extension().is_some_and(|end| end == "conf"));
    parts.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
    [unit.to_owned()].iter().chain(&parts).filter_map(|path| fs::read_to_string(path).ok()).collect::<Vec<_>>().join("\n")
}

/// The last value counts.
fn setting<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let values = text.lines().filter_map(|line| line.trim().strip_prefix(name)?.trim_start().strip_prefix('='));
    values.map(str::trim).rfind(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(unit: &str, over: Option<&str>) -> (usize, bool) {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join(UNIT), unit).unwrap();
        if let Some(over) = over {
            fs::create_dir(place.path().join("granary.service.d")).unwrap();
            fs::write(place.path().join("granary.service.d/local.conf"), over).unwrap();
        }
        let mut report = Report::default();
        look_in(&mut report, &[place.path().to_owned()]);
        (report.len(), report.has_problems())
    }

    #[test]
    fn a_unit_that_would_kill_databases_is_a_problem() {
        let ours = include_str!("../../../../deploy/granary.service");
        assert_eq!(findings(ours, None), (1, false));
        assert_eq!(findings(&ours.replace("KillMode=process", ""), None), (1, true), "systemd's default kills all");
        assert_eq!(findings(ours, Some("[Service]\nKillMode = mixed")), (1, true), "what is laid over it counts");
        assert_eq!(findings(&ours.replace("Delegate=yes", "Delegate=no"), None), (1, false));
        assert_eq!(findings("[Service]\n", None), (2, true));
    }
}
