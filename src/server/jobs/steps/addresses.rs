//! Takes the addresses of a datastore.
//!
//! Private ones are loopback addresses: 127.A.0.0/16, with A from the home's id, so that two homes of one machine do not
//! meet; a datastore has a block of 16 of them. Public ones are of the same block, with the engine's standard port, or
//! ports of the region's endpoint address.

use super::Context;
use crate::server::{
    db::{places, plan::Purpose},
    platform::ListenerKind,
};
use anyhow::{Context as _, bail};
use ipnet::Ipv4Net;
use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};
use uuid::Uuid;

/// Addresses of a datastore's block.
const BLOCK: u16 = 16;

/// The loopback network of a home, and how many datastores it has addresses for.
#[must_use]
pub fn network(host: Uuid) -> (Ipv4Net, u16) {
    let network = Ipv4Net::new_assert(Ipv4Addr::new(127, second_octet(host), 0, 0), 16);
    (network, u16::MAX / BLOCK)
}

/// The block of the home's network in which an address lies; `None` when it is elsewhere.
#[must_use]
pub fn block(host: Uuid, address: IpAddr) -> Option<u16> {
    let IpAddr::V4(address) = address else { return None };
    let [_, _, high, low] = address.octets();
    network(host).0.contains(&address).then(|| u16::from_be_bytes([high, low]) / BLOCK)
}

/// A block in which everything is free, entered as this datastore's.
pub(super) async fn allocate(cx: &Context<'_>) -> anyhow::Result<()> {
    let slots: Vec<u8> = cx.plan.nodes.iter().map(|n| n.slot).collect();
    let missing: Vec<Purpose> = Purpose::all(&slots).into_iter().filter(|p| cx.plan.address(*p).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let taken = places::taken(&cx.app.db, cx.app.host).await?;
    let mut in_the_way = None;
    // A node that is added gets an address beside the others'.
    let own = cx.plan.address(Purpose::Source).and_then(|source| block(cx.app.host, source.ip()));
    for block in own.into_iter().chain(0..u16::MAX / BLOCK) {
        let wanted = candidates(cx, &missing, block, &taken)?;
        if wanted.iter().any(|(_, address)| taken.contains(address)) {
            continue;
        }
        match first_held(cx, &wanted).await? {
            Some(address) => in_the_way = Some(address),
            None if enter(cx, &wanted).await? => return Ok(()),
            None => {}
        }
    }
    match in_the_way {
        Some(address) => bail!("no free addresses are left: the last one tried, {address}, is held by another program"),
        None => bail!("no free addresses are left in 127.{}.0.0/16", second_octet(cx.app.host)),
    }
}

fn candidates(cx: &Context<'_>, missing: &[Purpose], block: u16, taken: &HashSet<SocketAddr>) -> anyhow::Result<Vec<(Purpose, SocketAddr)>> {
    let region = cx.app.catalogue.region(&cx.plan.region).context("the catalogue lost the region")?;
    let standard = cx.plan.engine.port();
    let mut ports = (region.ports[0]..=region.ports[1])
        .skip(usize::from(block))
        .filter(|p| region.endpoint_address.is_none_or(|a| !taken.contains(&SocketAddr::new(a, *p))));
    missing
        .iter()
        .map(|purpose| {
            let address = match (purpose, region.endpoint_address) {
                (Purpose::Listener(_), Some(public)) => SocketAddr::new(public, ports.next().context("no free ports are left for endpoints")?),
                _ => SocketAddr::new(loopback(cx.app.host, block, offset(*purpose)), standard),
            };
            Ok((*purpose, address))
        })
        .collect()
}

/// The first address that another program holds. The edge's source is only ever connected from, so nobody listens there.
async fn first_held(cx: &Context<'_>, wanted: &[(Purpose, SocketAddr)]) -> anyhow::Result<Option<SocketAddr>> {
    for (_, address) in wanted.iter().filter(|(purpose, _)| *purpose != Purpose::Source) {
        if !cx.platform()?.is_free(*address).await? {
            return Ok(Some(*address));
        }
    }
    Ok(None)
}

async fn enter(cx: &Context<'_>, wanted: &[(Purpose, SocketAddr)]) -> anyhow::Result<bool> {
    let mut tx = cx.transaction().await?;
    for (purpose, address) in wanted {
        if !places::take(&mut tx, cx.app.host, cx.plan.project, cx.plan.id, *purpose, *address).await? {
            return Ok(false);
        }
    }
    tx.commit().await?;
    Ok(true)
}

/// 2 to 253: 127.0 and 127.1 are left to others.
fn second_octet(host: Uuid) -> u8 {
    2 + u8::try_from(host.as_u128() % 252).unwrap_or(0)
}

fn loopback(host: Uuid, block: u16, offset: u16) -> IpAddr {
    let [high, low] = (block * BLOCK + offset).to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(127, second_octet(host), high, low))
}

/// Position within the block; 0 is never used, so that no address ends in .0.
fn offset(purpose: Purpose) -> u16 {
    match purpose {
        Purpose::Source => 1,
        Purpose::Listener(ListenerKind::Primary) => 2,
        Purpose::Listener(ListenerKind::Replica) => 3,
        Purpose::Listener(ListenerKind::Node(slot)) => 4 + u16::from(slot),
        Purpose::Private(slot) => 8 + u16::from(slot),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::platform::MAX_NODES;

    #[test]
    fn no_two_purposes_share_an_address() {
        let slots: Vec<u8> = (0..MAX_NODES).collect();
        let offsets: HashSet<u16> = Purpose::all(&slots).into_iter().map(offset).collect();
        assert_eq!(offsets.len(), Purpose::all(&slots).len());
        assert!(offsets.iter().all(|o| (1..BLOCK).contains(o)));
    }

    #[test]
    fn an_address_leads_back_to_its_block() {
        let host = Uuid::from_u128(77);
        for at in [0, 1, 4094] {
            assert_eq!(block(host, loopback(host, at, 15)), Some(at));
        }
        assert_eq!(block(host, IpAddr::V4(Ipv4Addr::LOCALHOST)), None);
        assert_eq!(network(host).0.to_string(), "127.79.0.0/16");
    }

    #[test]
    fn homes_stay_clear_of_127_0_and_127_1() {
        for n in 0..600_u128 {
            assert!((2..=253).contains(&second_octet(Uuid::from_u128(n))));
        }
        assert_eq!(loopback(Uuid::nil(), 0x123, 5), IpAddr::V4(Ipv4Addr::new(127, 2, 0x12, 0x35)));
    }
}
