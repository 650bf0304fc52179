//! Granary's own small `PostgreSQL`, in `<home>/metadata`.
//!
//! It runs in a process session of its own, outlives Granary and is adopted by the next one. Everything that changes it
//! happens under a lock on its directory, so that two Granary processes never start two.
//!
//! `<home>/metadata` belongs to Granary and holds the lock and the configuration; `data` and `run` in it belong to the
//! server's user. As root, Granary never writes where that user could have put a link.

use super::{
    account::Account,
    configuration,
    process::{self, Process},
    programs::Programs,
};
use anyhow::{Context, bail, ensure};
use rustix::process::Signal;
use sha2::{Digest, Sha256};
use sqlx::{
    ConnectOptions, Connection, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};
use std::{
    fs::{self, File, TryLockError},
    io::{Read, Seek, SeekFrom},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// Name of role and database.
pub(super) const GRANARY: &str = "granary";
/// The number in the socket's name; nothing listens on TCP.
pub(super) const PORT: u16 = 5432;
const SOCKET: &str = ".s.PGSQL.5432";
/// Longest path of a socket on Linux is 107 bytes.
const LONGEST_DIRECTORY: usize = 107 - "/".len() - SOCKET.len();
/// How long a server may take to come up: long enough to replay what a crash left.
const START: Duration = Duration::from_mins(1);
/// How long a server that was just started may take until its pid file is there.
const APPEAR: Duration = Duration::from_secs(5);
/// How long it may take to stop.
const STOP: Duration = Duration::from_mins(1);
/// How long to wait for another Granary that starts or stops it.
const LOCK: Duration = Duration::from_secs(150);
const POLL: Duration = Duration::from_millis(50);
/// The log begins anew when it is larger at a start. Only starts, stops and crashes are written to it.
const LARGEST_LOG: u64 = 8 << 20;

/// What a server is given.
#[derive(Debug, Clone, Copy)]
pub struct Sizing {
    /// Connections at the same time: each Granary process needs [`super::POOL`] and one to listen.
    pub max_connections: u16,
    /// False only for databases that are thrown away: a crash of the machine may then destroy it.
    pub durable: bool,
}

impl Default for Sizing {
    fn default() -> Self {
        Self { max_connections: 40, durable: true }
    }
}

/// What a look at a metadata server saw.
#[derive(Debug)]
pub struct Seen {
    /// The major its data directory was made with; `None` when there is none.
    pub major: Option<u32>,
    /// Its first process, when it runs.
    pub pid: Option<i32>,
    /// Processes that a former one left.
    pub left: usize,
    /// How to reach it.
    pub connect: PgConnectOptions,
}

/// The metadata server of a home.
#[derive(Debug, Clone)]
pub struct Server {
    pub(super) directory: PathBuf,
    pub(super) data: PathBuf,
    pub(super) sizing: Sizing,
}

impl Server {
    /// That of this home; touches nothing.
    #[must_use]
    pub fn of(home: &Path, sizing: Sizing) -> Self {
        let directory = home.join("metadata");
        Self { data: directory.join("data"), directory, sizing }
    }

    /// Finds it running, or starts it; makes it first when there is none. Returns how to connect to it.
    ///
    /// # Errors
    /// Says what is missing or went wrong, with the end of the server's log.
    pub async fn ensure(&self) -> anyhow::Result<PgConnectOptions> {
        make_directory(&self.directory).context("Granary's home cannot be made")?;
        let _lock = self.lock().await?;
        let account = Account::ensure().await?;
        account.check_way(&self.data)?;
        let sockets = self.sockets(&account)?;
        let options = connect_options(&sockets);
        let programs = match self.major()? {
            Some(major) => Programs::of(major)?,
            None => self.initialise(&account).await?,
        };
        let mut answer = self.answer(&options, Duration::ZERO).await?;
        if answer.is_none() {
            self.clear_remains(&sockets).await?;
            configuration::write(self, &sockets).await?;
            self.start(&account, &programs)?;
            answer = self.answer(&options, APPEAR).await?;
        }
        let mut connection = answer.with_context(|| format!("it ended at once. The end of {}:\n{}", self.log().display(), self.log_end()))?;
        self.prove(&mut connection).await?;
        create_database(&mut connection).await?;
        connection.close().await?;
        Ok(options.database(GRANARY))
    }

    /// What there is of it; touches nothing.
    ///
    /// # Errors
    /// When its files cannot be read.
    pub fn look(&self) -> anyhow::Result<Seen> {
        let pid = self.running()?.map(|process| process.pid);
        let left = if pid.is_none() { process::working_in(&self.data).len() } else { 0 };
        Ok(Seen { major: self.major()?, pid, left, connect: connect_options(&self.socket_directory()).database(GRANARY) })
    }

    /// Whether there is one, running or not.
    #[must_use]
    pub fn is_made(&self) -> bool {
        self.data.is_dir()
    }

    /// Whether it runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        matches!(self.running(), Ok(Some(_)))
    }

    /// Whether its socket is there: what clears directories of sockets does not ask whose they are.
    #[must_use]
    pub fn has_socket(&self) -> bool {
        self.socket_directory().join(SOCKET).exists()
    }

    /// Stops it cleanly. `false` when it did not run.
    ///
    /// # Errors
    /// When it does not end; it is never killed, as that would leave work for its next start.
    pub async fn stop(&self) -> anyhow::Result<bool> {
        if !self.data.is_dir() {
            return Ok(false);
        }
        let _lock = self.lock().await?;
        let Some(postmaster) = self.running()? else { return Ok(false) };
        // "Fast": ends sessions, writes a checkpoint, leaves nothing to recover.
        postmaster.signal(Signal::INT)?;
        let deadline = Instant::now() + STOP;
        while !process::working_in(&self.data).is_empty() {
            ensure!(Instant::now() < deadline, "the metadata server (process {}) was asked to stop and still runs after {STOP:?}", postmaster.pid);
            sleep(POLL).await;
        }
        Ok(true)
    }

    /// The major its data directory was made with: the directory itself says so, and no other can open it.
    fn major(&self) -> anyhow::Result<Option<u32>> {
        let file = self.data.join("PG_VERSION");
        match fs::read_to_string(&file) {
            Ok(text) => Ok(Some(text.trim().parse().with_context(|| format!("{} does not hold a version", file.display()))?)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && !self.data.exists() => Ok(None),
            Err(e) => Err(e).with_context(|| format!("{} cannot be read, so {} is not touched", file.display(), self.data.display())),
        }
    }

    /// Makes the data directory beside its place and moves it there when it is complete: what an interrupted run left is
    /// told apart and made again, a finished one is never touched.
    async fn initialise(&self, account: &Account) -> anyhow::Result<Programs> {
        let programs = Programs::newest()?;
        let unfinished = self.directory.join("data.new");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).with_context(|| format!("{} cannot be removed", unfinished.display()))?;
        }
        account.directory(&unfinished)?;
        let output = account
            .command(&programs.path("initdb"))
            .args(["--username", GRANARY, "--encoding=UTF8", "--locale=C.UTF-8", "--auth=reject", "--data-checksums", "--pgdata"])
            .arg(&unfinished)
            .output()
            .await
            .with_context(|| format!("{} cannot be run", programs.path("initdb").display()))?;
        ensure!(output.status.success(), "initdb could not make the metadata database: {}", String::from_utf8_lossy(&output.stderr).trim());
        fs::rename(&unfinished, &self.data)?;
        File::open(&self.directory)?.sync_all()?;
        Ok(programs)
    }

    /// The server's first process, when `postmaster.pid` names one that is a `PostgreSQL` process in this data directory.
    fn running(&self) -> anyhow::Result<Option<Process>> {
        let text = match fs::read_to_string(self.data.join("postmaster.pid")) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e).context("the metadata server's postmaster.pid cannot be read"),
        };
        let named = text.lines().next().and_then(|pid| pid.trim().parse().ok()).and_then(Process::find);
        Ok(named.filter(|process| process.name.starts_with("postgres") && process.works_in(&self.data)))
    }

    /// After a crash or a reboot: waits until nothing of a former server is left, then removes its pid files, whose number
    /// may belong to another process today.
    async fn clear_remains(&self, sockets: &Path) -> anyhow::Result<()> {
        let deadline = Instant::now() + STOP;
        loop {
            let left = process::working_in(&self.data);
            if left.is_empty() {
                break;
            }
            let pids: Vec<_> = left.iter().map(|p| p.pid).collect();
            ensure!(
                Instant::now() < deadline,
                "processes {pids:?} of a former metadata server still work in {}; end them first",
                self.data.display()
            );
            sleep(POLL).await;
        }
        for file in [self.data.join("postmaster.pid"), sockets.join(format!("{SOCKET}.lock"))] {
            match fs::remove_file(&file) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e).with_context(|| format!("{} cannot be removed", file.display())),
                _ => {}
            }
        }
        Ok(())
    }

    fn start(&self, account: &Account, programs: &Programs) -> anyhow::Result<()> {
        let log = File::options().create(true).append(true).open(self.log())?;
        if log.metadata()?.len() > LARGEST_LOG {
            log.set_len(0)?;
        }
        let mut configuration = std::ffi::OsString::from("config_file=");
        configuration.push(self.directory.join("postgresql.conf"));
        let postgres = programs.path("postgres");
        let mut server = account.detached(&postgres);
        server.arg("-D").arg(&self.data).arg("-c").arg(configuration);
        server.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // Not waited for: it ends at once, having put the server into its own session.
        server.spawn().with_context(|| format!("setsid (package util-linux) or {} cannot be run", postgres.display()))?;
        Ok(())
    }

    /// Waits until the server answers; `None` when it is gone. One that was just started may need `appear` until it is seen.
    async fn answer(&self, options: &PgConnectOptions, appear: Duration) -> anyhow::Result<Option<PgConnection>> {
        let begin = Instant::now();
        loop {
            if self.running()?.is_none() {
                if begin.elapsed() >= appear {
                    return Ok(None);
                }
            } else {
                match options.clone().database("postgres").connect().await {
                    Ok(connection) => return Ok(Some(connection)),
                    Err(error) if begin.elapsed() > START => {
                        bail!("it runs, but does not answer: {error}. The end of {}:\n{}", self.log().display(), self.log_end())
                    }
                    Err(_) => {}
                }
            }
            sleep(POLL).await;
        }
    }

    /// Proves that who answers on the socket serves this very directory.
    async fn prove(&self, connection: &mut PgConnection) -> anyhow::Result<()> {
        let served: String = sqlx::query_scalar("SHOW data_directory").fetch_one(connection).await?;
        let same = fs::canonicalize(&served)? == fs::canonicalize(&self.data)?;
        ensure!(same, "the server on Granary's own socket serves {served}, not {}", self.data.display());
        Ok(())
    }

    fn log(&self) -> PathBuf {
        self.directory.join("server.log")
    }

    fn log_end(&self) -> String {
        let mut end = Vec::new();
        if let Ok(mut file) = File::open(self.log()) {
            let length = file.metadata().map_or(0, |m| m.len());
            let read = file.seek(SeekFrom::Start(length.saturating_sub(2000))).and_then(|_| file.read_to_end(&mut end));
            if read.is_err() {
                return "(cannot be read)".to_owned();
            }
        }
        String::from_utf8_lossy(&end).trim().to_owned()
    }

    /// The lock is the kernel's: it ends with the process that holds it.
    async fn lock(&self) -> anyhow::Result<File> {
        let file = File::options().create(true).append(true).open(self.directory.join("lock"))?;
        let deadline = Instant::now() + LOCK;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(e)) => return Err(e).context("the metadata server's directory cannot be locked"),
                Err(TryLockError::WouldBlock) if Instant::now() > deadline => {
                    bail!("another Granary process has held {} for {LOCK:?}", self.directory.join("lock").display())
                }
                Err(TryLockError::WouldBlock) => sleep(POLL).await,
            }
        }
    }

    /// The sockets' directory: in the home, or, where that path is too long for a socket, a private one of a short name.
    fn sockets(&self, account: &Account) -> anyhow::Result<PathBuf> {
        let directory = self.socket_directory();
        account.directory(&directory)?;
        Ok(directory)
    }

    fn socket_directory(&self) -> PathBuf {
        let mut directory = self.directory.join("run");
        if directory.as_os_str().len() > LONGEST_DIRECTORY {
            let digest = Sha256::digest(self.directory.as_os_str().as_encoded_bytes());
            let name = digest[..6].iter().fold(String::from("granary-"), |name, byte| format!("{name}{byte:02x}"));
            let root = rustix::process::geteuid().is_root();
            directory = Path::new(if root { "/run" } else { "/tmp" }).join(name);
        }
        directory
    }
}

fn connect_options(sockets: &Path) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass().socket(sockets).port(PORT).username(GRANARY).ssl_mode(PgSslMode::Disable)
}

async fn create_database(connection: &mut PgConnection) -> sqlx::Result<()> {
    let there: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = 'granary')").fetch_one(&mut *connection).await?;
    if !there {
        sqlx::query("CREATE DATABASE granary").execute(connection).await?;
    }
    Ok(())
}

/// A directory of Granary's that others may pass through but not list.
fn make_directory(path: &Path) -> anyhow::Result<()> {
    if let Some(home) = path.parent()
        && !home.is_dir()
    {
        fs::create_dir_all(home).with_context(|| format!("{} cannot be made", home.display()))?;
        fs::set_permissions(home, fs::Permissions::from_mode(0o711))?;
    }
    match fs::create_dir(path) {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(e).with_context(|| format!("{} cannot be made", path.display())),
        Ok(()) => Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o711))?),
    }
}
