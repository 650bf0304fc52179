//! What Granary needs of the machine: control groups, loop devices, users, addresses, its port.

use super::{finding::Report, programs};
use crate::{
    model::catalogue::{Catalogue, Region},
    server::{
        config::Config,
        db::places,
        jobs::{owner::Owner, steps::addresses},
        platform::local::survey::Survey,
    },
};
use rustix::fs::{Access, access};
use sqlx::PgPool;
use std::{
    collections::HashSet,
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    time::Duration,
};
use uuid::Uuid;

/// How long a connection to this machine may take.
const CONNECT: Duration = Duration::from_secs(2);
/// Endpoints of a datastore: each takes a port where a region has one address for all.
const ENDPOINTS: usize = 6;

/// What does not depend on the metadata database.
pub(super) fn look(report: &mut Report, survey: Option<&Survey>) {
    users(report);
    groups(report, survey);
    volumes(report);
}

fn users(report: &mut Report) {
    if !rustix::process::geteuid().is_root() {
        report.ok("users", "Granary is not root here: all datastores run as this user, which is good for one tenant.");
    } else if access("/etc/passwd", Access::WRITE_OK).is_err() {
        report.problem("users", "/etc/passwd cannot be written, so no datastore can get a system user.", "Make /etc writable for Granary.");
    } else {
        report.ok("users", "Each datastore gets a system user of its own.");
    }
}

fn groups(report: &mut Report, survey: Option<&Survey>) {
    const AREA: &str = "cgroups";
    const NONE: &str = "Without one, what runs for a node is known by its open files alone. Run Granary as root, or as a service with Delegate=yes.";
    let parents = survey.map(Survey::control_groups).unwrap_or_default();
    let Some(usable) = parents.iter().find(|group| group.writable) else {
        let seen: Vec<_> = parents.iter().map(|group| group.path.display().to_string()).collect();
        let what = if seen.is_empty() {
            "No control groups are mounted.".to_owned()
        } else {
            format!("No control group can be written in {}.", seen.join(", "))
        };
        return report.warning(AREA, what, NONE);
    };
    report.ok(AREA, format!("Nodes get control groups of version {} in {}.", usable.version, usable.path.display()));
    let missing: Vec<_> = ["memory", "cpu", "pids"].into_iter().filter(|wanted| !parents.iter().any(|g| g.writable && g.can(wanted))).collect();
    if missing.is_empty() {
        report.ok("limits", "The kernel can hold nodes to their memory, processors and number of processes.");
    } else {
        let what = format!("The kernel offers no control of {} here: flavors cannot be enforced for it.", missing.join(", "));
        report.warning("limits", what, "On a machine of its own, boot with control groups of version 2 and these controllers enabled.");
    }
}

fn volumes(report: &mut Report) {
    const AREA: &str = "volumes";
    const ADVICE: &str =
        "Sizes of volumes are watched instead of enforced. Where that is not enough, run Granary as root on a machine with loop devices and ext4.";
    let missing: Vec<_> = ["mkfs.ext4", "mount", "umount", "losetup"].into_iter().filter(|name| programs::find(name).is_none()).collect();
    if !rustix::process::geteuid().is_root() {
        report.ok(AREA, "Granary is not root here: sizes of volumes are watched.");
    } else if access("/dev/loop-control", Access::READ_OK | Access::WRITE_OK).is_err() {
        report.warning(AREA, "There are no loop devices here (/dev/loop-control), so volumes cannot be file systems of their size.", ADVICE);
    } else if missing.is_empty() {
        report.ok(AREA, "Volumes can be file systems of their size.");
    } else {
        report.warning(AREA, format!("{} not installed, so volumes cannot be file systems of their size.", missing.join(", ")), ADVICE);
    }
}

/// Whether Granary holds its port, or could.
pub(super) fn port(report: &mut Report, config: &Config, serving: &[Owner]) {
    const AREA: &str = "port";
    let listen = config.listen;
    let to = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), listen.port()),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::new(Ipv6Addr::LOCALHOST.into(), listen.port()),
        _ => listen,
    };
    let answered = TcpStream::connect_timeout(&to, CONNECT).is_ok();
    let pids: Vec<_> = serving.iter().map(|owner| owner.pid).collect();
    match (answered, pids.is_empty()) {
        (true, false) => report.ok(AREA, format!("Granary listens on {listen} (process {pids:?}).")),
        (true, true) => {
            let what = format!("Another program listens on {listen}, and no Granary of this home runs.");
            report.problem(AREA, what, "End that program, or set GRANARY_LISTEN to another port (and GRANARY_PUBLIC_URL with it).");
        }
        (false, false) => {
            let what = format!("Granary runs (process {pids:?}), but nothing answers on {listen}.");
            report.problem(AREA, what, "See its log. Was it started with another GRANARY_LISTEN than this?");
        }
        (false, true) => match TcpListener::bind((listen.ip(), 0)) {
            Ok(_) => report.warning(AREA, format!("Granary does not run; {listen} is free."), "“granary serve” starts it. Databases run without it."),
            Err(error) => {
                let what = format!("{} is no address of this machine: {error}.", listen.ip());
                report.problem(AREA, what, "Set GRANARY_LISTEN to an address of this machine.");
            }
        },
    }
}

/// Whether datastores can still get addresses.
pub(super) async fn addresses(report: &mut Report, db: &PgPool, host: Uuid, catalogue: Option<&Catalogue>) -> anyhow::Result<()> {
    let taken = places::taken(db, host).await?;
    loopback(report, host, &taken);
    for region in catalogue.into_iter().flat_map(|catalogue| &catalogue.regions) {
        endpoints(report, region, &taken);
    }
    Ok(())
}

fn loopback(report: &mut Report, host: Uuid, taken: &HashSet<SocketAddr>) {
    const AREA: &str = "addresses";
    let (network, blocks) = addresses::network(host);
    let used: HashSet<_> = taken.iter().filter_map(|address| addresses::block(host, address.ip())).collect();
    let free = usize::from(blocks).saturating_sub(used.len());
    if let Err(error) = TcpListener::bind((network.broadcast(), 0)) {
        let what = format!("Addresses of {network}, where nodes of this home listen, cannot be used: {error}.");
        return report.problem(AREA, what, "Give the interface lo the network 127.0.0.0/8, as Linux does by itself.");
    }
    let what = format!("{network} has addresses for {free} more datastores.");
    match free {
        0 => report.problem(AREA, what, "Delete datastores that nobody needs, or make others in another home."),
        1..100 => report.warning(AREA, what, "Soon make datastores in another home."),
        _ => report.ok(AREA, what),
    }
}

fn endpoints(report: &mut Report, region: &Region, taken: &HashSet<SocketAddr>) {
    const AREA: &str = "addresses";
    let Some(address) = region.endpoint_address else { return };
    let [first, last] = region.ports;
    if let Err(error) = TcpListener::bind((address, 0))
        && error.kind() == ErrorKind::AddrNotAvailable
    {
        let what = format!("endpoint_address {address} of the region “{}” is no address of this machine.", region.id);
        report.problem(AREA, what, "Set it in the catalogue to an address of this machine that clients reach.");
    }
    let free = (first..=last).filter(|port| !taken.contains(&SocketAddr::new(address, *port))).count();
    let what = format!("The region “{}” has ports for {} more datastores.", region.id, free / ENDPOINTS);
    if free < ENDPOINTS {
        report.problem(AREA, what, "Widen its range of ports in the catalogue.");
    } else {
        report.ok(AREA, what);
    }
}
