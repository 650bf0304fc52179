//! What a browser loads, compressed as it is sent.

use crate::report::Report;
use std::path::Path;

pub(crate) fn measure(report: &mut Report) {
    let mut all = 0;
    let mut parts = Vec::new();
    let site = Path::new(env!("CARGO_MANIFEST_DIR")).join("site");
    let folder = site.join("pkg").join(std::fs::read_to_string(site.join("hash.txt")).expect("make site was run").trim());
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.extension().is_some_and(|e| e == "br") {
            let bytes = entry.metadata().unwrap().len();
            all += bytes;
            parts.push(format!("{} {:.1} KB", name.trim_end_matches(".br"), kb(bytes)));
        }
    }
    parts.sort();
    report.value("payload of list and wizard, brotli", &format!("{:.1} KB", kb(all)), &format!("{}; aim: at most 150 KB", parts.join(", ")));
}

#[expect(clippy::cast_precision_loss, reason = "sizes of files")]
fn kb(bytes: u64) -> f64 {
    bytes as f64 / 1024.0
}
