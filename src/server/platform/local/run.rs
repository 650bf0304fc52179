//! Programs that run until they end, with a limit. Nothing of one is left afterwards.

use super::{
    launch::{Launch, environment, tool, with_rights_of},
    proc::{self, Stat},
    processes::{FENCE, ProcessSet, kill, until_empty},
    record::Record,
    users::User,
};
use crate::server::platform::{Output, Program};
use anyhow::{Context, bail};
use rustix::{
    io::retry_on_intr,
    process::{Pid, WaitId, WaitIdOptions, waitid},
};
use std::{io, path::Path, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    task::{JoinHandle, spawn_blocking},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Most that is kept of an output: its end.
const KEPT: usize = 1 << 20;

/// How long a program's version may take to be told.
const ASK: Duration = Duration::from_secs(10);

impl ProcessSet {
    /// Runs a program as the set's user until it ends. After `limit`, or once it is `unwanted`, it is killed; whatever it
    /// started is killed in any case. So is what an earlier run left whose Granary died; without a service, everything of the set.
    ///
    /// # Errors
    /// When it ends with another code than 0 or not in time: carries the end of its standard error.
    pub async fn run(&self, program: &Program, directory: &Path, limit: Duration, unwanted: CancellationToken) -> anyhow::Result<Output> {
        self.end_earlier().await.context("what an earlier run left could not be ended")?;
        let launch = Launch {
            program,
            directory,
            user: self.user.context("its system user is gone")?,
            groups: self.groups("run")?,
            in_background: self.in_background,
            record: &self.records.join("run"),
            stdout: Stdio::piped(),
            stderr: Stdio::piped(),
        };
        let child = launch.start().await?;
        let set = self.clone();
        let output = complete(child, program, limit, unwanted, move |leader| set.end_run(leader)).await?;
        match output.code {
            Some(0) => Ok(output),
            Some(code) => bail!("{} ended with code {code}: {}", name(program), excerpt(&output)),
            None => bail!("{} was ended by a signal: {}", name(program), excerpt(&output)),
        }
    }

    async fn end_earlier(&self) -> anyhow::Result<()> {
        let Some(_) = self.first() else { return self.kill_all(FENCE).await };
        let earlier = Record::read(&self.records.join("run")).filter(Record::lives).map_or(0, |r| r.pid);
        let set = self.clone();
        spawn_blocking(move || set.end_run(earlier)).await?
    }

    /// Ends what belongs to the run that `leader` led, which is not reaped yet; 0 when it is not known.
    fn end_run(&self, leader: u32) -> anyhow::Result<()> {
        let part = self.cgroup.as_ref().map(|group| group.part("run"));
        until_empty(FENCE, || {
            let Some(part) = &part else { return kill(|| family(leader)) };
            part.kill();
            kill(|| Ok(part.pids()?.into_iter().filter(|pid| proc::lives(*pid)).collect()))
        })
    }
}

/// Runs an installed program outside any node, without rights.
///
/// # Errors
/// When it cannot be started or does not end within 10 s.
pub async fn ask(program: &Program) -> anyhow::Result<Output> {
    let mut command = Command::new(tool("setsid"));
    command.args(with_rights_of(User::nobody())).arg(&program.path).args(&program.args);
    environment(&mut command, program);
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().context("setsid cannot be started: it is part of the package util-linux")?;
    complete(child, program, ASK, CancellationToken::new(), |leader| until_empty(FENCE, || kill(|| family(leader)))).await
}

/// Waits for a program, ends what is left of it, and returns what it wrote.
async fn complete(
    mut child: Child,
    program: &Program,
    limit: Duration,
    unwanted: CancellationToken,
    end: impl FnOnce(u32) -> anyhow::Result<()> + Send + 'static,
) -> anyhow::Result<Output> {
    let pid = child.id().context("the program was reaped too early")?;
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let ended = timeout(limit, unwanted.run_until_cancelled(exit_of(pid))).await;
    // It is not reaped yet, so its pid and its session cannot be anybody else's.
    let nothing_left = spawn_blocking(move || end(pid)).await?;
    let status = child.wait().await?;
    let output = Output { code: status.code(), stdout: text(stdout).await, stderr: text(stderr).await };
    match ended {
        Ok(Some(ended)) => ended?,
        Ok(None) => bail!("{} was killed: what it was run for has come to nothing", name(program)),
        Err(_) => bail!("{} did not end within {limit:?} and was killed: {}", name(program), excerpt(&output)),
    }
    nothing_left.with_context(|| format!("{} left processes behind", name(program)))?;
    Ok(output)
}

/// Returns when the process has ended; leaves it to be reaped.
async fn exit_of(pid: u32) -> anyhow::Result<()> {
    let pid = Pid::from_raw(pid.try_into()?).context("no pid")?;
    let wait = move || retry_on_intr(|| waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT));
    spawn_blocking(wait).await??;
    Ok(())
}

/// A process with its session and descendants: all that can be known of a run where there is no control group.
fn family(leader: u32) -> io::Result<Vec<u32>> {
    if leader == 0 {
        return Ok(Vec::new());
    }
    let all: Vec<Stat> = proc::all()?.into_iter().filter_map(proc::stat).collect();
    let mut family = vec![leader];
    loop {
        let more: Vec<u32> =
            all.iter().filter(|s| !family.contains(&s.pid) && (s.session == leader || family.contains(&s.parent))).map(|s| s.pid).collect();
        if more.is_empty() {
            break;
        }
        family.extend(more);
    }
    family.retain(|pid| all.iter().any(|s| s.pid == *pid && !s.is_over()));
    Ok(family)
}

/// Reads to the end, so that the program never waits for us; keeps the last part.
fn collect(from: Option<impl AsyncRead + Send + Unpin + 'static>) -> JoinHandle<Vec<u8>> {
    tokio::spawn(async move {
        let mut kept = Vec::new();
        let Some(mut from) = from else { return kept };
        let mut part = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from.read(&mut part).await {
            kept.extend_from_slice(&part[..read]);
            if kept.len() > 2 * KEPT {
                kept.drain(..kept.len() - KEPT);
            }
        }
        kept.drain(..kept.len().saturating_sub(KEPT));
        kept
    })
}

/// Everything of the program is gone, so the pipes are closed; a process that hid from us must not hold us up.
async fn text(mut output: JoinHandle<Vec<u8>>) -> String {
    let read = timeout(Duration::from_secs(2), &mut output).await;
    output.abort();
    String::from_utf8_lossy(&read.ok().and_then(Result::ok).unwrap_or_default()).into_owned()
}

/// The program's file name: arguments stay out of messages.
fn name(program: &Program) -> String {
    program.path.file_name().unwrap_or(program.path.as_os_str()).to_string_lossy().into_owned()
}

/// The end of what it said.
fn excerpt(output: &Output) -> String {
    const LONGEST: usize = 2000;
    let said = if output.stderr.trim().is_empty() { &output.stdout } else { &output.stderr };
    let said = said.trim();
    if said.is_empty() {
        return "it said nothing".to_owned();
    }
    let skip = said.chars().count().saturating_sub(LONGEST);
    said.chars().skip(skip).collect()
}
