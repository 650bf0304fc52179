//! What the kernel says of a process, read from `/proc`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// A line of `/proc/<pid>/stat`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// Process id.
    pub pid: u32,
    /// Name of its program, cut by the kernel at 15 bytes.
    pub name: String,
    /// One letter, see proc(5).
    pub state: char,
    /// Its parent.
    pub parent: u32,
    /// Its session.
    pub session: u32,
    /// CPU time that it and its children that were waited for have used, in clock ticks.
    pub ticks: u64,
    /// How many threads live.
    pub threads: u64,
    /// When it began, in clock ticks since boot: with the pid and the boot it names one process for ever.
    pub started: u64,
}

impl Stat {
    /// Over: only its parent has not asked for its exit code. A leader whose other threads live is not over.
    pub fn is_over(&self) -> bool {
        matches!(self.state, 'Z' | 'X') && self.threads <= 1
    }
}

/// Reads it; `None` when there is no such process.
pub fn stat(pid: u32) -> Option<Stat> {
    parse(&String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/stat")).ok()?))
}

/// The name stands in parentheses and may hold any byte, so the fields are counted from the last one.
fn parse(line: &str) -> Option<Stat> {
    let (head, tail) = line.rsplit_once(')')?;
    let (pid, name) = head.split_once(" (")?;
    let fields: Vec<&str> = tail.split_ascii_whitespace().collect();
    Some(Stat {
        pid: pid.parse().ok()?,
        name: name.to_owned(),
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        ticks: (11..=14).filter_map(|at| fields.get(at)?.parse::<u64>().ok()).sum(),
        threads: fields.get(17)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

/// Whether it lives: it is there and not over.
pub fn lives(pid: u32) -> bool {
    stat(pid).is_some_and(|s| !s.is_over())
}

/// Every process but this one, in no order.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn all() -> io::Result<Vec<u32>> {
    let me = std::process::id();
    let pids = fs::read_dir("/proc")?.filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok());
    Ok(pids.filter(|pid| *pid != me).collect())
}

/// Whether it runs as this user, really or effectively.
pub fn is_of(pid: u32, uid: u32) -> bool {
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { return false };
    let ids = status.lines().find_map(|l| l.strip_prefix("Uid:"));
    ids.is_some_and(|ids| ids.split_ascii_whitespace().take(2).any(|id| id.parse() == Ok(uid)))
}

/// Whether its working directory or one of its open files lies in one of the directories, which are canonical.
/// Directories held open do not count: whoever measures or copies the data is not the node.
pub fn holds(pid: u32, directories: &[PathBuf]) -> bool {
    let within = |link: &Path| {
        fs::read_link(link).is_ok_and(|to| {
            // The kernel marks what was removed; it is still held.
            let to = to.to_string_lossy();
            let to = Path::new(to.strip_suffix(" (deleted)").unwrap_or(&to)).to_owned();
            directories.iter().any(|d| to.starts_with(d))
        })
    };
    let process = Path::new("/proc").join(pid.to_string());
    let files = || fs::read_dir(process.join("fd")).into_iter().flatten().flatten().map(|e| e.path());
    let is_directory = |link: &Path| fs::metadata(link).is_ok_and(|m| m.is_dir());
    within(&process.join("cwd")) || files().any(|f| within(&f) && !is_directory(&f))
}

/// This boot of this machine.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn boot() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let line = "42 (a) R (b c) S 7 42 40 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 3 0 9876 1 1";
        let stat = parse(line).unwrap();
        assert_eq!((stat.pid, stat.name.as_str(), stat.state), (42, "a) R (b c", 'S'));
        assert_eq!((stat.parent, stat.session, stat.threads, stat.started), (7, 40, 3, 9876));
        assert!(!stat.is_over());
        assert!(parse("").is_none() && parse("1 (x").is_none());
    }

    #[test]
    fn a_zombie_is_over_unless_its_threads_live() {
        let line = |threads: u8| format!("42 (x) Z 7 42 40 0 -1 0 1 0 0 0 1 2 0 0 20 0 {threads} 0 9876 1 1");
        assert!(parse(&line(1)).unwrap().is_over());
        assert!(!parse(&line(2)).unwrap().is_over());
    }

    #[test]
    fn a_process_is_known_by_what_it_holds() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().canonicalize().unwrap();
        let inside = dir.join("file");
        fs::write(&inside, "").unwrap();
        let sleep = |cwd: &Path, stdin: std::process::Stdio| {
            std::process::Command::new("/bin/sleep").arg("60").current_dir(cwd).stdin(stdin).spawn().unwrap()
        };
        let file = |path: &Path| fs::File::open(path).unwrap().into();
        let mut held = [
            (sleep(&dir, std::process::Stdio::null()), true),
            (sleep(Path::new("/"), file(&inside)), true),
            (sleep(Path::new("/"), file(&dir)), false),
            (sleep(Path::new("/"), std::process::Stdio::null()), false),
        ];
        fs::remove_file(&inside).unwrap();
        let found: Vec<bool> = held.iter().map(|(c, _)| holds(c.id(), std::slice::from_ref(&dir))).collect();
        let uid = rustix::process::geteuid().as_raw();
        let own: Vec<bool> = held.iter().map(|(c, _)| is_of(c.id(), uid)).collect();
        for (child, _) in &mut held {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert_eq!(found, held.iter().map(|(_, want)| *want).collect::<Vec<_>>());
        assert_eq!(own, [true; 4]);
        assert!(!lives(held[0].0.id()));
    }
}
