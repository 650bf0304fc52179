//! Whose processes and files the metadata server's are.

use anyhow::{Context, bail, ensure};
use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::Path,
};
use tokio::process::Command;

/// The system user of the metadata server when Granary runs as root: a datastore's processes have other users.
const SYSTEM_USER: &str = "granary-meta";

/// The user who runs the metadata server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Name.
    name: String,
    uid: u32,
    gid: u32,
    /// True when Granary is root and has to become this user.
    other: bool,
}

impl Account {
    /// As root the system user, made when it is missing; else the user who runs Granary.
    ///
    /// # Errors
    /// When it cannot be made, or has no name.
    pub async fn ensure() -> anyhow::Result<Self> {
        let me = rustix::process::geteuid();
        if !me.is_root() {
            let found = look_up(&me.as_raw().to_string()).await?;
            return found.with_context(|| {
                format!(
                    "user id {} has no name on this system, and PostgreSQL refuses to run without one. \
                     Give it a line in /etc/passwd, or set DATABASE_URL",
                    me.as_raw()
                )
            });
        }
        if let Some(account) = look_up(SYSTEM_USER).await? {
            return Ok(account);
        }
        let made = Command::new("useradd")
            .args(["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", SYSTEM_USER])
            .output()
            .await
            .context("the program useradd, which makes the metadata server's system user, cannot be run")?;
        // Another Granary may have made it at the same moment.
        let account = look_up(SYSTEM_USER).await?;
        account.with_context(|| format!("useradd could not make the system user {SYSTEM_USER}: {}", String::from_utf8_lossy(&made.stderr).trim()))
    }

    /// A command that runs `program` as this user, with nothing of Granary's environment.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = if self.other {
            let mut command = Command::new("setpriv");
            command.args([&format!("--reuid={}", self.uid), &format!("--regid={}", self.gid), "--clear-groups", "--no-new-privs", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        minimal(&mut command);
        command
    }

    /// Like [`Account::command`], in a process session of its own that outlives Granary. The command itself ends at once.
    pub fn detached(&self, program: &Path) -> Command {
        let inner = self.command(program);
        let inner = inner.as_std();
        let mut command = Command::new("setsid");
        command.arg("--fork").arg(inner.get_program()).args(inner.get_args());
        minimal(&mut command);
        command
    }

    /// Makes a directory of this user that nobody else can look into.
    ///
    /// # Errors
    /// When something else is in its place.
    pub fn directory(&self, path: &Path) -> anyhow::Result<()> {
        match fs::DirBuilder::new().create(path) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(e).with_context(|| format!("{} cannot be made", path.display())),
            _ => {}
        }
        let found = fs::symlink_metadata(path)?;
        ensure!(found.is_dir(), "{} is not a directory", path.display());
        let mine = found.uid() == rustix::process::geteuid().as_raw() || found.uid() == self.uid;
        ensure!(mine, "{} belongs to user id {}, neither to Granary nor to {}", path.display(), found.uid(), self.name);
        if self.other {
            chown(path, Some(self.uid), Some(self.gid))?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
        Ok(())
    }

    /// Checks that this user can pass through all directories above `path`.
    ///
    /// # Errors
    /// Names the one that is closed.
    pub fn check_way(&self, path: &Path) -> anyhow::Result<()> {
        for directory in path.ancestors().skip(1) {
            let found = fs::metadata(directory).with_context(|| format!("{} cannot be looked at", directory.display()))?;
            if self.other && found.mode() & 0o001 == 0 && found.uid() != self.uid {
                bail!(
                    "the system user {} cannot pass through {}. Allow it with “chmod o+x {1}”, or choose another GRANARY_HOME",
                    self.name,
                    directory.display()
                );
            }
        }
        Ok(())
    }
}

fn minimal(command: &mut Command) {
    command.env_clear().envs([("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"), ("LANG", "C.UTF-8"), ("LC_ALL", "C.UTF-8")]);
    command.current_dir("/");
}

/// Finds a user by name or id, wherever the system keeps its users.
async fn look_up(user: impl AsRef<OsStr>) -> anyhow::Result<Option<Account>> {
    let output = Command::new("getent").arg("passwd").arg(user).output().await.context("the program getent, which looks users up, cannot be run")?;
    let line = String::from_utf8(output.stdout)?;
    let mut fields = line.trim_end().split(':');
    let (Some(name), _, Some(uid), Some(gid)) = (fields.next().filter(|n| !n.is_empty()), fields.next(), fields.next(), fields.next()) else {
        return Ok(None);
    };
    let other = rustix::process::geteuid().is_root();
    Ok(Some(Account { name: name.to_owned(), uid: uid.parse()?, gid: gid.parse()?, other }))
}

/// Name of the user who runs Granary, as `PostgreSQL`'s peer authentication will see it.
///
/// # Errors
/// When the user has none.
pub async fn own_name() -> anyhow::Result<String> {
    let uid = rustix::process::geteuid().as_raw();
    let account = look_up(uid.to_string()).await?;
    Ok(account.with_context(|| format!("user id {uid} has no name on this system"))?.name)
}
