//! Processes by where they run. A database server runs in its data directory, with every process of it.

use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

/// Every process whose working directory lies in this one, which is the benchmark's own.
pub(crate) fn within(directory: &Path) -> Vec<Pid> {
    let directory = directory.canonicalize().unwrap();
    let runs_there = |pid: &Pid| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(&directory));
    let all = fs::read_dir("/proc").unwrap().filter_map(|entry| Pid::from_raw(entry.ok()?.file_name().to_str()?.parse().ok()?));
    all.filter(runs_there).collect()
}

/// Signals all of them at once; when that began. They are looked for before, since that takes longer than the signals.
pub(crate) fn signal(directory: &Path, signal: Signal) -> Instant {
    let all = within(directory);
    assert!(!all.is_empty(), "nothing runs in {}", directory.display());
    let begun = Instant::now();
    for pid in all {
        // One may have ended by itself.
        let _ = kill_process(pid, signal);
    }
    begun
}

/// Stops all of them where they are, those included that were begun meanwhile; when that began.
pub(crate) fn freeze(directory: &Path) -> Instant {
    let begun = signal(directory, Signal::STOP);
    signal(directory, Signal::STOP);
    begun
}

/// Lets go on what is still there.
pub(crate) fn thaw(directory: &Path) {
    for pid in within(directory) {
        let _ = kill_process(pid, Signal::CONT);
    }
}

/// Ends all of them; returns when none is left.
pub(crate) fn end(directory: &Path) {
    let begun = Instant::now();
    loop {
        let left: Vec<Pid> = within(directory).into_iter().filter(|pid| !is_over(*pid)).collect();
        if left.is_empty() {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{left:?} cannot be ended");
        for pid in left {
            let _ = kill_process(pid, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn is_over(pid: Pid) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
}

/// Memory in MB that is its own, and its share of what it shares (PSS).
pub(crate) fn memory_mb(pid: Pid) -> f64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1024.0
}
