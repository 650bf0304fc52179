//! Starting a program: in its set's control group, in a session of its own, with its user's rights and no more.

use super::{
    proc,
    record::Record,
    users::{User, is_root},
};
use crate::server::platform::Program;
use anyhow::{Context, bail, ensure};
use std::{
    ffi::OsString,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    process::{Child, Command},
    time::{sleep, timeout},
};

/// Enters `$1` control groups, which follow, says so, and waits for the word to go on: when Granary dies before the process is on
/// record, the end of the stream ends it too, and nothing was started. Everything comes as positional arguments.
const WAIT_THEN_EXEC: &str = r#"umask 077
left=$1
shift
while [ "$left" -gt 0 ]; do
    echo $$ >"$1/cgroup.procs" || exit 125
    shift
    left=$((left - 1))
done
echo ready >&0 || exit 125
read -r go || exit 125
exec "$@" </dev/null"#;

/// How long the steps of a start may take; each takes a few milliseconds.
const STEP: Duration = Duration::from_secs(5);

/// What to start, and how.
pub struct Launch<'a> {
    /// The program.
    pub program: &'a Program,
    /// Its working directory.
    pub directory: &'a Path,
    /// Its user.
    pub user: User,
    /// Directories of its control groups.
    pub groups: Vec<PathBuf>,
    /// Whether it gives way to everything else.
    pub in_background: bool,
    /// Where it is put on record before it runs.
    pub record: &'a Path,
    /// Its standard output.
    pub stdout: Stdio,
    /// Its standard error.
    pub stderr: Stdio,
}

impl Launch<'_> {
    /// Starts it. When this returns the process is on record, in its group and without rights.
    pub async fn start(mut self) -> anyhow::Result<Child> {
        ensure!(self.program.path.is_file(), "{} is not there: is the product still installed?", self.program.path.display());
        let (ours, theirs) = UnixStream::pair()?;
        let mut child = self.command(theirs)?.spawn().context("/bin/sh cannot be started")?;
        let user = self.user;
        let started = async {
            let pid = child.id().context("the process ended at once")?;
            hold(ours, pid, self.record).await?;
            settle(pid, user).await?;
            if self.in_background {
                give_way(pid);
            }
            anyhow::Ok(())
        };
        if let Err(error) = started.await {
            // Nobody else has heard of it yet, and unreaped its pid is its own.
            let _ = child.kill().await;
            return Err(error.context(format!("{} could not be started", self.program.path.display())));
        }
        Ok(child)
    }

    fn command(&mut self, stdin: UnixStream) -> anyhow::Result<Command> {
        let stdin = stdin.into_std()?;
        stdin.set_nonblocking(false)?;
        let mut command = Command::new("/bin/sh");
        command.args(["-c", WAIT_THEN_EXEC, "granary"]).arg(self.groups.len().to_string()).args(&self.groups);
        command.arg(tool("setsid")).args(with_rights_of(self.user));
        if self.in_background {
            command.arg(tool("nice")).args(["-n", "19"]);
        }
        command.arg(&self.program.path).args(&self.program.args);
        environment(&mut command, self.program);
        command.current_dir(self.directory);
        command.stdin(OwnedFd::from(stdin));
        command.stdout(std::mem::replace(&mut self.stdout, Stdio::null()));
        command.stderr(std::mem::replace(&mut self.stderr, Stdio::null()));
        Ok(command)
    }
}

/// Waits until the shell is in its group, puts it on record, lets it go on, and waits until it has.
async fn hold(mut stream: UnixStream, pid: u32, record: &Path) -> anyhow::Result<()> {
    let mut ready = [0; 6];
    timeout(STEP, stream.read_exact(&mut ready)).await.context("its shell does not answer")?.context("it could not enter its control group")?;
    Record::of(pid)?.write(record)?;
    stream.write_all(b"go\n").await?;
    timeout(STEP, stream.read_to_end(&mut Vec::new())).await.context("its shell does not go on")??;
    Ok(())
}

/// Waits until the process has its user's rights: before that a search by user would not find it.
async fn settle(pid: u32, user: User) -> anyhow::Result<()> {
    const PAUSE: Duration = Duration::from_millis(1);
    let settled = async {
        while proc::lives(pid) && !proc::is_of(pid, user.uid) {
            sleep(PAUSE).await;
        }
    };
    if timeout(STEP, settled).await.is_err() {
        bail!("setpriv does not give up its rights");
    }
    Ok(())
}

/// Its session is a scheduling group of its own where the kernel makes such groups; within one, `nice` says nothing to the
/// others. Not every kernel does, and then there is no such file.
fn give_way(pid: u32) {
    let _ = std::fs::write(format!("/proc/{pid}/autogroup"), "19");
}

/// The words that run what follows them as this user, for ever without a way to gain rights.
pub fn with_rights_of(user: User) -> Vec<OsString> {
    let mut words = vec!["--no-new-privs".to_owned()];
    if is_root() {
        words.extend([format!("--reuid={}", user.uid), format!("--regid={}", user.gid), "--clear-groups".to_owned()]);
    }
    words.push("--".to_owned());
    std::iter::once(tool("setpriv").into()).chain(words.into_iter().map(OsString::from)).collect()
}

/// Where a program of the system is: a program's own PATH must not decide which one drops its rights.
pub fn tool(name: &str) -> PathBuf {
    let usual = Path::new("/usr/bin").join(name);
    if usual.is_file() { usual } else { Path::new("/bin").join(name) }
}

/// The minimal environment and the program's own: nothing of Granary's settings reaches it.
pub fn environment(command: &mut Command, program: &Program) {
    command.env_clear();
    command.envs([("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"), ("LANG", "C.UTF-8"), ("LC_ALL", "C.UTF-8")]);
    command.envs(program.env.iter().map(|(k, v)| (k, v)));
}
