//! The system's own programs for file systems, run with a limit and without Granary's environment.

use anyhow::{Context, bail, ensure};
use std::{
    ffi::OsStr,
    path::PathBuf,
    process::{Command, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// Each takes milliseconds; a check or a growth of a large volume takes seconds.
const LIMIT: Duration = Duration::from_secs(20);

/// Where they lie, and what brings them.
const DIRECTORIES: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Programs that volumes of real size need.
pub const PROGRAMS: [&str; 6] = ["mkfs.ext4", "e2fsck", "resize2fs", "mount", "umount", "losetup"];

/// Where a program is.
pub fn find(name: &str) -> Option<PathBuf> {
    DIRECTORIES.iter().map(|dir| PathBuf::from(dir).join(name)).find(|path| path.is_file())
}

/// Runs one to its end.
///
/// # Errors
/// When it is missing, does not end in time, or ends with a code that is none of `fine`.
pub fn call<A: AsRef<OsStr>>(name: &str, args: impl IntoIterator<Item = A>, fine: &[i32]) -> anyhow::Result<()> {
    let path = find(name).with_context(|| format!("{name} is missing: install the packages e2fsprogs, mount and util-linux"))?;
    let mut command = Command::new(path);
    command.args(args).env_clear().envs([("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), ("LC_ALL", "C")]);
    let output = complete(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()), name)?;
    let says = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code().is_some_and(|code| fine.contains(&code)), "{name} failed: {}", says.trim());
    Ok(())
}

fn complete(command: &mut Command, name: &str) -> anyhow::Result<Output> {
    const PAUSE: Duration = Duration::from_millis(1);
    let mut child = command.spawn().with_context(|| format!("{name} cannot be started"))?;
    let end = Instant::now() + LIMIT;
    while child.try_wait()?.is_none() {
        if Instant::now() > end {
            child.kill()?;
            child.wait()?;
            bail!("{name} did not end within {LIMIT:?} and was killed");
        }
        sleep(PAUSE);
    }
    Ok(child.wait_with_output()?)
}
