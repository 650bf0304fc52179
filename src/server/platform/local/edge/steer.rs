//! Brings a running HAProxy to what is wanted: who may come in, and where to. Repeating it is harmless; each ends by
//! asking HAProxy whether it is so.

use super::{
    config::{self, Family},
    runtime::{Runtime, Server, Session},
};
use crate::server::platform::{EdgeSpec, Route};
use anyhow::ensure;
use ipnet::IpNet;
use std::{net::IpAddr, time::Duration};
use tokio::time::{Instant, sleep};

/// How long sessions that should end may take to. HAProxy ends one the next time it comes round: 2000 took 140 ms.
const CUT: Duration = Duration::from_secs(2);

/// One family's part of the sources, sorted, each once.
pub(super) fn sources_of(family: Family, sources: &[IpNet]) -> Vec<IpNet> {
    let mut own: Vec<_> = sources.iter().filter(|net| Family::of(net.addr().is_ipv4()) == family).map(IpNet::trunc).collect();
    own.sort_unstable();
    own.dedup();
    own
}

/// Makes exactly these sources trusted, then cuts every session from elsewhere.
pub(super) async fn trust(runtime: &Runtime, spec: &EdgeSpec, sources: &[IpNet]) -> anyhow::Result<()> {
    for family in Family::ALL.into_iter().filter(|family| family.is_used(spec)) {
        let wanted = sources_of(family, sources);
        if runtime.sources(family).await? != wanted {
            runtime.replace_sources(family, &wanted).await?;
            ensure!(runtime.sources(family).await? == wanted, "the edge did not take over the trusted sources; try again");
        }
    }
    let trusted = |client: IpAddr| sources.iter().any(|net| net.contains(&client));
    cut(runtime, |session| !session.client.is_some_and(trusted)).await
}

/// Makes exactly these routes open. What closes is closed and cut before anything is opened or pointed elsewhere, so at
/// no moment do two nodes take writes of one endpoint.
pub(super) async fn route(runtime: &Runtime, spec: &EdgeSpec, routes: &[Route]) -> anyhow::Result<()> {
    let leads_right = |server: &Server| server.address == config::node_address(spec, server.route.slot);
    let is_wanted = |server: &Server| routes.contains(&server.route);
    let servers = runtime.servers().await?;
    let stays = |server: &Server| server.open && is_wanted(server) && leads_right(server);
    for server in servers.iter().filter(|server| server.open && !stays(server)) {
        runtime.set_open(server.route, false).await?;
    }
    let stay: Vec<_> = servers.iter().filter(|server| stays(server)).map(|server| server.route).collect();
    cut(runtime, |session| session.route.is_some_and(|route| !stay.contains(&route))).await?;
    for server in servers.iter().filter(|server| is_wanted(server) && !stays(server)) {
        if !leads_right(server) {
            runtime.set_address(server.route, config::node_address(spec, server.route.slot)).await?;
        }
        runtime.set_open(server.route, true).await?;
    }
    let servers = runtime.servers().await?;
    let wrong = servers.iter().find(|server| server.open != is_wanted(server) || (server.open && !leads_right(server)));
    ensure!(wrong.is_none(), "the edge did not take over its routes ({wrong:?}); try again");
    Ok(())
}

/// Ends the sessions that match, and returns after seeing that none is left.
async fn cut(runtime: &Runtime, matches: impl Fn(&Session) -> bool) -> anyhow::Result<()> {
    let end = Instant::now() + CUT;
    loop {
        let sessions: Vec<_> = runtime.sessions().await?.into_iter().filter(&matches).collect();
        if sessions.is_empty() {
            return Ok(());
        }
        ensure!(Instant::now() < end, "the edge still has {} sessions that should have ended; new ones are refused; try again", sessions.len());
        runtime.cut(&sessions).await?;
        sleep(Duration::from_millis(1)).await;
    }
}
