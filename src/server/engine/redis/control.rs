//! A server's life: made, started, reloaded, stopped.

use super::{
    SERVICE,
    admin::is_starting,
    client::Client,
    config::{self, MAIN, NO_MORE, OWN_USERS, USERS},
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
use secrecy::SecretString;
use std::{path::Path, time::Duration};
use tokio::time::{Instant, sleep};

/// Lies in the data directory once it is a server's; holds the version that it was made for.
const MARK: &str = "initialised";
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
    let file = |name: &str, text: String| File { name: format!("data/{name}"), content: text.into_bytes(), secret: false };
    // In this order: the mark speaks of the list.
    let files = [File { secret: true, ..file(USERS, String::new()) }, file(MARK, format!("{}\n", programs.full))];
    platform.put_files(lease, node, &files).await
}

/// Puts Granary's own users (`$1`), as they must be now, in the place of those in the list of users (`$2`), then becomes the
/// program after it. When there is no room to write it, the list stays as it was.
const OWN_USERS_THEN_EXEC: &str = r#"if { cat "$1" && { grep -v '^user \(default\|granary_.*\) ' "$2" || [ $? = 1 ]; }; } >"$2.new" && sync "$2.new"; then
    mv -f "$2.new" "$2"
else
    rm -f "$2.new"
fi
shift 2
exec "$@""#;

/// See [`crate::server::engine::Engine::start`].
pub(super) async fn start(site: Site<'_>, password: &SecretString) -> anyhow::Result<()> {
    let Site { platform, lease, node, programs } = site;
    let (paths, server) = (platform.paths(node), text(&programs.programs.join("redis-server")));
    ensure!(!platform.find(std::slice::from_ref(&server)).await.is_empty(), "{server} is not there: is Redis still installed?");
    let args = ["-c", OWN_USERS_THEN_EXEC, SERVICE, &text(&paths.config.join(OWN_USERS)), &text(&paths.data.join(USERS)), &server];
    let args = args.into_iter().map(str::to_owned).chain([text(&paths.config.join(MAIN))]).collect();
    // The log's times are local ones, and tell no zone.
    let program = Program { path: "/bin/sh".into(), args, env: vec![("TZ".to_owned(), "UTC".to_owned())] };
    platform.start(lease, node, SERVICE, &program).await?;
    wait_until_it_answers(site, password).await
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

/// See [`crate::server::engine::Engine::stop`].
pub(super) async fn stop(site: Site<'_>) -> anyhow::Result<()> {
    service::stop(site, Signal::Terminate, STOP_LIMIT).await
}

/// The server takes up certificates alone; what follows from a node's size waits for its next start, as its limits do.
pub(super) async fn reload(site: Site<'_>, client: &mut Client) -> anyhow::Result<()> {
    let files = config::certificates(&site.platform.paths(site.node));
    let words: Vec<&str> = ["CONFIG", "SET"].into_iter().chain(files.iter().flat_map(|(name, path)| [*name, path])).collect();
    if let Err(error) = client.act(&words).await {
        let log = service::tail(site, SERVICE).await;
        return Err(error.context(format!("the server keeps its certificate, it refused the new one. Its log ends with:\n{log}")));
    }
    Ok(())
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
