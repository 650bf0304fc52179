//! A network that can be cut: one namespace for the whole run, made by `make chaos` where it may. In it a node's address can be made unreachable
//! for everybody, over the loopback device too; connections that are there stay, and nothing arrives.

use super::setting;
use std::{fs, net::IpAddr, process::Command};

/// Whether this process lives in a network of its own: in the machine's, nothing is ever cut. One that was just made has a loopback
/// device and no other.
pub(super) fn is_own() -> bool {
    let devices = fs::read_to_string("/proc/self/net/dev").unwrap_or_default();
    setting("CHAOS_NETWORK").is_some() && devices.lines().skip(2).all(|line| line.trim_start().starts_with("lo:"))
}

/// A node that nobody reaches, until it is dropped.
pub(super) struct Cut(IpAddr);

impl Cut {
    pub(super) fn off(address: IpAddr) -> Self {
        assert!(is_own(), "this is the machine's own network");
        route("add", address);
        Self(address)
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        route("del", self.0);
    }
}

/// More exact than the route of the loopback device, so it comes before that.
fn route(verb: &str, address: IpAddr) {
    let status = Command::new("ip").args(["route", verb, "unreachable", &format!("{address}/32"), "table", "local"]).status().unwrap();
    assert!(status.success(), "ip route {verb}: {status}");
}
