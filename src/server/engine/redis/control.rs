//! A server's life: made, started, reloaded, stopped.

use super::{
    REPLICATION, SERVICE,
    admin::{self, is_starting},
    check::info,
    client::Client,
    config::{self, MAIN, MIN_REPLICAS, NO_MORE, OWN_USERS, Own, USERS},
    product::Product,
    sizing::Sizing,
};
use crate::server::{
    engine::{
        Site,
        service::{self, POLL},
    },
    platform::{File, Presence, Program, Signal},
};
use anyhow::{Context, bail, ensure};
use secrecy::{ExposeSecret, SecretString};
use std::{path::Path, time::Duration};
use tokio::time::{Instant, sleep};

/// Lies in the data directory once it is a server's: a primary's own, or a replica's that has had a whole copy; holds the version that
/// it was made for.
pub(super) const MARK: &str = "initialised";
/// Lies there once a server has begun its log of changes.
const SERVED: &str = "served";
/// What the log of changes begins with. A server that does not find it begins with nothing, and says nothing.
const LOG: &str = "appendonlydir/appendonly.aof.manifest";
/// How far a primary was when it was stopped; gone once it is started.
pub(super) const STOPPED_AT: &str = "stopped-at";
/// From the start to the first answer, when there is nothing to read.
const START_LIMIT: Duration = Duration::from_mins(1);
/// The same, while the server says that it reads its data.
const LOADING_LIMIT: Duration = Duration::from_mins(10);
/// A stop writes what is left of the last second.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// See [`crate::server::engine::Engine::initialise`]. The server makes its files itself; the list of its users must be there
/// before it starts, and must never be lost afterwards without a word.
pub(super) async fn initialise(site: Site<'_>) -> anyhow::Result<()> {
    let Site { platform, lease, node, programs } = site;
    if platform.has_file(node, MARK).await? {
        ensure!(
            platform.has_file(node, USERS).await?,
            "the data directory was initialised, but its list of users is gone: it is left as it is; restore a backup to a new datastore"
        );
        return Ok(());
    }
    // In this order: the mark speaks of the list.
    platform.put_files(lease, node, &[users(&[]), data_file(MARK, format!("{}\n", programs.full))]).await
}

/// A file in the data directory.
fn data_file(name: &str, text: String) -> File {
    File { name: format!("data/{name}"), content: text.into_bytes(), secret: false }
}

/// The list of users with these lines. Granary's own are put in at the start.
pub(super) fn users(lines: &[String]) -> File {
    let text = lines.iter().fold(String::new(), |text, line| text + line + "\n");
    File { secret: true, ..data_file(USERS, text) }
}

/// Marks the data directory as one that has a server's data.
pub(super) async fn finish(site: Site<'_>) -> anyhow::Result<()> {
    site.platform.put_files(site.lease, site.node, &[data_file(MARK, format!("{}\n", site.programs.full))]).await
}

/// Puts Granary's own users (`$1`), as they must be now, in the place of those in the list of users (`$2`), forgets how far the
/// server was when it was stopped (`$3`), then becomes the program after it. When there is no room to write it, the list stays as it was.
const OWN_USERS_THEN_EXEC: &str = r#"if { cat "$1" && { grep -v '^user \(default\|granary_admin\|granary_replication\) ' "$2" || [ $? = 1 ]; }; } >"$2.new" && sync "$2.new"; then
    mv -f "$2.new" "$2"
else
    rm -f "$2.new"
fi
rm -f "$3"
shift 3
exec "$@""#;

/// See [`crate::server::engine::Engine::start`].
pub(super) async fn start(site: Site<'_>, product: &Product, password: &SecretString) -> anyhow::Result<()> {
    let Site { platform, lease, node, programs } = site;
    let (paths, server) = (platform.paths(node), text(&programs.programs.join(product.server)));
    ensure!(!platform.find(std::slice::from_ref(&server)).await.is_empty(), "{server} is not there: is {} still installed?", product.kind);
    ensure!(
        !platform.has_file(node, SERVED).await? || platform.has_file(node, LOG).await?,
        "the server's data is gone: it is not started, because it would begin with nothing, and replicas would follow it in that"
    );
    let [own, all, stopped] = [paths.config.join(OWN_USERS), paths.data.join(USERS), paths.data.join(STOPPED_AT)].map(|path| text(&path));
    let args = ["-c", OWN_USERS_THEN_EXEC, SERVICE, &own, &all, &stopped, &server];
    let args = args.into_iter().map(str::to_owned).chain([text(&paths.config.join(MAIN))]).collect();
    // The log's times are local ones, and tell no zone.
    let program = Program { path: "/bin/sh".into(), args, env: vec![("TZ".to_owned(), "UTC".to_owned())] };
    platform.start(lease, node, SERVICE, &program).await?;
    wait_until_it_answers(site, password).await?;
    if !platform.has_file(node, SERVED).await? {
        platform.put_files(lease, node, &[data_file(SERVED, String::new())]).await?;
    }
    Ok(())
}

/// Waits for [`START_LIMIT`], or for [`LOADING_LIMIT`] while the server says that it is on its way.
async fn wait_until_it_answers(site: Site<'_>, password: &SecretString) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        // In this order: a server that is gone after the question cannot have answered it.
        let presence = site.platform.presence(site.node).await;
        let Err(error) = answers(site, password).await else { return Ok(()) };
        if presence == Presence::Dead {
            bail!("the server ended while it started. Its log ends with:\n{}", service::tail(site, SERVICE).await);
        }
        let limit = if is_starting(&error) { LOADING_LIMIT } else { START_LIMIT };
        if started.elapsed() > limit {
            let log = service::tail(site, SERVICE).await;
            return Err(error.context(format!("the server did not answer within {} s. Its log ends with:\n{log}", limit.as_secs())));
        }
        sleep(POLL).await;
    }
}

async fn answers(site: Site<'_>, password: &SecretString) -> anyhow::Result<()> {
    Client::sign_in(site.platform, site.node, password).await?.ask(&["PING"]).await.map(drop)
}

/// For how long a primary takes no writes while it is being stopped, at most: should Granary end before it is, they go on.
const PAUSE_MS: &str = "5000";

/// See [`crate::server::engine::Engine::stop`].
pub(super) async fn stop(site: Site<'_>, password: &SecretString) -> anyhow::Result<()> {
    if matches!(site.platform.presence(site.node).await, Presence::Running { .. })
        && let Err(why) = note_end(site, password).await
    {
        tracing::warn!(node = %site.node.id, "how far it was is not known: {why:#}");
    }
    service::stop(site, Signal::Terminate, STOP_LIMIT).await
}

/// Writes down how far a primary is that takes no more writes: its files do not tell.
async fn note_end(site: Site<'_>, password: &SecretString) -> anyhow::Result<()> {
    let mut client = Client::sign_in(site.platform, site.node, password).await?;
    if info(&mut client).await?.is_primary()? {
        client.act(&["CLIENT", "PAUSE", PAUSE_MS, "WRITE"]).await?;
        let end = info(&mut client).await?.offset()?;
        site.platform.put_files(site.lease, site.node, &[data_file(STOPPED_AT, format!("{end}\n"))]).await?;
    }
    Ok(())
}

/// The server takes up certificates, Granary's own users and for how many replicas writes wait; what follows from a node's size waits
/// for its next start, as its limits do.
pub(super) async fn reload(site: Site<'_>, client: &mut Client, own: &Own) -> anyhow::Result<()> {
    let files = config::certificates(&site.platform.paths(site.node));
    let words: Vec<&str> = ["CONFIG", "SET"].into_iter().chain(files.iter().flat_map(|(name, path)| [*name, path])).collect();
    if let Err(error) = client.act(&words).await {
        let log = service::tail(site, SERVICE).await;
        return Err(error.context(format!("the server keeps its certificate, it refused the new one. Its log ends with:\n{log}")));
    }
    admin::ensure_own(client, own).await?;
    set_primary_user(client, own).await?;
    let (name, number) = (MIN_REPLICAS, configured(site, MIN_REPLICAS).await?);
    client.act(&["CONFIG", "SET", name, &number, "min-replicas-max-lag", &config::MAX_LAG_SECONDS.to_string()]).await
}

/// As whom the server comes to a primary, should it follow one. The server keeps these out of its own logs.
pub(super) async fn set_primary_user(client: &mut Client, own: &Own) -> anyhow::Result<()> {
    let words = ["CONFIG", "SET", "masteruser", REPLICATION, "masterauth", own.replication.expose_secret()];
    client.act(&words).await.context("the server does not take its password for primaries")
}

/// What the main file says of a setting: the server reads it only when it starts.
async fn configured(site: Site<'_>, name: &str) -> anyhow::Result<String> {
    let main = text(&site.platform.paths(site.node).config.join(MAIN));
    let look = Program { path: "/bin/grep".into(), args: vec![format!("^{name} "), main], env: Vec::new() };
    let line = site.platform.run(site.lease, site.node, &look, Duration::from_secs(10)).await?.stdout;
    Ok(line.split_whitespace().nth(1).with_context(|| format!("the configuration does not say {name}"))?.to_owned())
}

/// See [`crate::server::engine::Engine::set_read_only`].
///
/// Full memory is how Redis itself says "no more": every command that may need room is refused, those that give some (DEL,
/// UNLINK, EXPIRE, FLUSHALL) are not. Asking for replicas that are not there would refuse these as well, and taking rights
/// from users would need to know, and later to give back, what each had.
pub(super) async fn set_read_only(site: Site<'_>, client: &mut Client, on: bool) -> anyhow::Result<()> {
    site.platform.put_files(site.lease, site.node, &[config::storage(on)]).await?;
    let limit = if on { NO_MORE.to_owned() } else { Sizing::of(site.node).maxmemory.to_string() };
    client.act(&["CONFIG", "SET", "maxmemory", &limit]).await.context("the server did not take up whether it may write")
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
