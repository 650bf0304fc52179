//! System users: as root each datastore has its own, so that one's server cannot read another's files. A comment says
//! whose it is; a user without that comment is never used and never removed.

use super::{dirs::hash, lock};
use anyhow::{Context, bail, ensure};
use std::{fs, path::Path, process::Stdio, time::Duration};
use tokio::{
    process::Command,
    time::{Instant, sleep, timeout_at},
};
use uuid::Uuid;

/// How long changing the machine's list of users may take, waiting for others who change it included.
const LIMIT: Duration = Duration::from_secs(20);

/// Whom a program runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

impl User {
    /// Whoever runs Granary.
    #[must_use]
    pub fn me() -> Self {
        Self { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw() }
    }

    /// Who has no rights on this machine: `nobody` for root, else whoever runs Granary.
    #[must_use]
    pub fn nobody() -> Self {
        const OVERFLOW: User = User { uid: 65534, gid: 65534 };
        if !is_root() {
            return Self::me();
        }
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        entry(&passwd, "nobody").map_or(OVERFLOW, |(user, _)| user)
    }
}

/// Name of whoever runs Granary.
///
/// # Errors
/// When the machine's list of users does not have it.
pub fn my_name() -> anyhow::Result<String> {
    let passwd = fs::read_to_string("/etc/passwd").context("/etc/passwd cannot be read")?;
    let uid = User::me().uid.to_string();
    let line = passwd.lines().find(|line| line.split(':').nth(2) == Some(&uid));
    let name = line.and_then(|line| line.split(':').next());
    name.map(str::to_owned).with_context(|| format!("the user with the id {uid}, who runs Granary, is not in /etc/passwd"))
}

/// Whether nodes have users of their own.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A system user of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    name: String,
    comment: String,
}

impl Account {
    /// That of a datastore's nodes.
    #[must_use]
    pub fn of(datastore: Uuid) -> Self {
        Self { name: format!("granary-{}", hash(datastore.as_bytes(), 12)), comment: format!("Granary datastore {datastore}") }
    }

    /// That of all edges of this machine; it stays when they are gone.
    #[must_use]
    pub fn of_edges() -> Self {
        Self { name: "granary-edge".to_owned(), comment: "Granary edge".to_owned() }
    }

    /// Looks it up.
    ///
    /// # Errors
    /// When somebody else's user has its name.
    pub fn find(&self) -> anyhow::Result<Option<User>> {
        let passwd = fs::read_to_string("/etc/passwd").context("/etc/passwd cannot be read")?;
        let Some((user, comment)) = entry(&passwd, &self.name) else { return Ok(None) };
        ensure!(
            comment == self.comment && user.uid != 0,
            "the system user {} exists, but is not “{}”: Granary leaves it alone. Rename it, then retry.",
            self.name,
            self.comment
        );
        Ok(Some(user))
    }

    /// Makes it unless it is there. `locks` is the home's directory of locks.
    ///
    /// # Errors
    /// When the machine's list of users cannot be changed.
    pub async fn ensure(&self, locks: &Path) -> anyhow::Result<User> {
        let _one_at_a_time = lock::exclusive(&locks.join("users"), LIMIT).await?;
        if let Some(user) = self.find()? {
            return Ok(user);
        }
        let group = fs::read_to_string("/etc/group").unwrap_or_default();
        // A making that was broken off may have left the group alone.
        let group = if has_line(&group, &self.name) { ["--gid", &self.name] } else { ["--user-group", "--no-log-init"] };
        let words = ["--system", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", "--comment", &self.comment];
        change("useradd", &[&words[..], &group, &[&self.name]].concat()).await?;
        self.find()?.with_context(|| format!("useradd ended well, but the system user {} is not there", self.name))
    }

    /// Removes it, if it is there. Nothing runs as it any more.
    ///
    /// # Errors
    /// When the machine's list of users cannot be changed.
    pub async fn remove(&self, locks: &Path) -> anyhow::Result<()> {
        let _one_at_a_time = lock::exclusive(&locks.join("users"), LIMIT).await?;
        if self.find()?.is_some() {
            change("userdel", &[&self.name]).await?;
        }
        // userdel takes the group along only where /etc/login.defs says so.
        if has_line(&fs::read_to_string("/etc/group").unwrap_or_default(), &self.name) {
            change("groupdel", &[&self.name]).await?;
        }
        Ok(())
    }
}

/// Runs a program of the machine's list of users; repeats it while another program holds the list.
async fn change(program: &str, words: &[&str]) -> anyhow::Result<()> {
    let end = Instant::now() + LIMIT;
    loop {
        let mut command = Command::new(program);
        command.args(words).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null()).kill_on_drop(true);
        let output = timeout_at(end, command.output()).await.with_context(|| format!("{program} did not end within {LIMIT:?}"))?;
        let output = output.with_context(|| format!("{program} cannot be started: it is part of the package passwd or shadow-utils"))?;
        let says = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            return Ok(());
        }
        if !says.contains("try again later") || Instant::now() >= end {
            bail!("{program} failed: {}", says.trim());
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// User and comment of a line of `/etc/passwd`.
fn entry<'a>(passwd: &'a str, name: &str) -> Option<(User, &'a str)> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then_some(())?;
        let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        Some((User { uid, gid }, fields.next()?))
    })
}

fn has_line(file: &str, name: &str) -> bool {
    file.lines().any(|line| line.split(':').next() == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_passwd_is_read() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\ngranary-a:x:997:996:Granary datastore a:/nonexistent:/usr/sbin/nologin\n";
        assert_eq!(entry(passwd, "granary-a"), Some((User { uid: 997, gid: 996 }, "Granary datastore a")));
        assert_eq!(entry(passwd, "granary"), None);
        assert!(has_line("granary-a:x:996:\n", "granary-a") && !has_line("granary-ab:x:996:\n", "granary-a"));
    }

    #[test]
    fn a_user_of_somebody_else_is_left_alone() {
        let root = Account { name: "root".to_owned(), comment: "Granary datastore x".to_owned() };
        assert!(root.find().unwrap_err().to_string().contains("leaves it alone"));
    }

    #[tokio::test]
    async fn many_users_are_made_at_once_and_removed() {
        if !is_root() {
            return;
        }
        let home = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        let accounts: Vec<Account> = (0..4).map(|_| Account::of(Uuid::new_v4())).collect();
        // Two homes: only the machine's own lock keeps these apart.
        let locks = |i: usize| if i < 2 { home.path() } else { other.path() };
        let made = futures::future::join_all(accounts.iter().enumerate().map(|(i, a)| a.ensure(locks(i)))).await;
        let again = accounts[0].ensure(home.path()).await;
        let removed = futures::future::join_all(accounts.iter().enumerate().map(|(i, a)| a.remove(locks(i)))).await;
        let mut uids: Vec<u32> = made.into_iter().map(|u| u.unwrap().uid).collect();
        assert_eq!(again.unwrap().uid, uids[0]);
        uids.sort_unstable();
        uids.dedup();
        assert_eq!(uids.len(), 4);
        for done in removed {
            done.unwrap();
        }
        assert!(accounts.iter().all(|a| a.find().unwrap().is_none()));
        accounts[0].remove(home.path()).await.unwrap();
        assert!(!fs::read_to_string("/etc/group").unwrap().contains(&accounts[0].name));
    }
}
