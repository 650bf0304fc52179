//! Which process a worker is, so that its death can be proved.

use std::fs;

/// A process of a boot: pids come again, this triple does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The kernel's id of this boot.
    pub boot_id: String,
    /// Process id.
    pub pid: i32,
    /// When it was started, in clock ticks after the boot (field 22 of /proc/pid/stat).
    pub start_ticks: i64,
}

impl Owner {
    /// This process.
    ///
    /// # Errors
    /// Without a readable /proc.
    pub fn me() -> anyhow::Result<Self> {
        let pid = i32::try_from(std::process::id())?;
        Ok(Self { boot_id: boot_id()?, pid, start_ticks: start_ticks(pid).ok_or_else(|| anyhow::anyhow!("/proc does not tell about this process"))? })
    }

    /// True when it certainly runs no more: another boot, or its pid and start time are gone.
    #[must_use]
    pub fn is_proved_dead(&self) -> bool {
        match boot_id() {
            Ok(boot) if boot == self.boot_id => start_ticks(self.pid) != Some(self.start_ticks),
            Ok(_) => true,
            Err(_) => false,
        }
    }
}

fn boot_id() -> anyhow::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// Start time of a living process. A zombie is dead: it can do nothing more.
fn start_ticks(pid: i32) -> Option<i64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    if matches!(fields.first(), Some(&("Z" | "X"))) {
        return None;
    }
    fields.get(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_dead_only_when_that_is_proved() {
        let me = Owner::me().unwrap();
        assert!(!me.is_proved_dead());
        assert!(Owner { start_ticks: me.start_ticks + 1, ..me.clone() }.is_proved_dead(), "the pid came again");
        assert!(Owner { boot_id: "another".into(), ..me.clone() }.is_proved_dead());
        let mut child = std::process::Command::new("/bin/sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let ticks = start_ticks(pid).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(Owner { pid, start_ticks: ticks, ..me }.is_proved_dead());
    }
}
