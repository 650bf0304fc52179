//! What happens to a datastore.

use super::{arena::Arena, network};
use granary::server::{domain, platform::NodeSpec};
use rand::{Rng, rngs::StdRng};
use rustix::{fs, process::Signal};
use std::{io::ErrorKind, net::TcpListener, path::PathBuf, time::Duration};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

/// One of them. "XAndY": X, and Y a random moment later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    KillPrimary,
    KillReplica,
    KillAllNodes,
    /// Nodes, edge and Granary itself.
    KillEverything,
    FreezePostmaster,
    FreezePrimary,
    FreezeReplica,
    FailoverAndGranary,
    FailoverAndReplica,
    SwitchoverAndPrimary,
    SwitchoverAndTarget,
    SwitchoverAndGranary,
    ChangeAndPrimary,
    ChangeAndGranary,
    /// The primary dies while Granary is down.
    Unwatched,
    FullDisk,
    LaggingReplica,
    DamagedReplica,
    PortTaken,
    /// Nobody reaches the primary, or a replica, for some seconds.
    CutOff,
    /// Granary's clock is set, while the primary dies.
    ClockJump,
    /// A replica is lost for good, and the primary cannot be started until somebody was asked to decide.
    Undecided,
}

impl Event {
    /// All of them.
    pub(super) const ALL: [Self; 22] = [
        Self::KillPrimary,
        Self::KillReplica,
        Self::KillAllNodes,
        Self::KillEverything,
        Self::FreezePostmaster,
        Self::FreezePrimary,
        Self::FreezeReplica,
        Self::FailoverAndGranary,
        Self::FailoverAndReplica,
        Self::SwitchoverAndPrimary,
        Self::SwitchoverAndTarget,
        Self::SwitchoverAndGranary,
        Self::ChangeAndPrimary,
        Self::ChangeAndGranary,
        Self::Unwatched,
        Self::FullDisk,
        Self::LaggingReplica,
        Self::DamagedReplica,
        Self::PortTaken,
        Self::CutOff,
        Self::ClockJump,
        Self::Undecided,
    ];

    /// Lets it happen.
    pub(super) async fn strike(self, arena: &mut Arena<'_>, luck: &mut StdRng) {
        let (primary, replicas) = (arena.primary().await, arena.replicas().await);
        let replica = &replicas[luck.random_range(0..replicas.len())];
        match self {
            Self::KillPrimary => arena.strike(&primary, Signal::KILL).await,
            Self::KillReplica => arena.strike(replica, Signal::KILL).await,
            Self::KillAllNodes => kill_all(arena, &primary, &replicas).await,
            Self::KillEverything => {
                arena.kill_granary();
                arena.kill_edge().await;
                kill_all(arena, &primary, &replicas).await;
            }
            Self::FreezePostmaster => drop(arena.first(&primary).await.unwrap().signal(Signal::STOP).unwrap()),
            Self::FreezePrimary => arena.strike(&primary, Signal::STOP).await,
            Self::FreezeReplica => arena.strike(replica, Signal::STOP).await,
            Self::FailoverAndGranary => {
                arena.strike(&primary, Signal::KILL).await;
                soon(luck).await;
                restart_granary(arena, luck).await;
            }
            Self::FailoverAndReplica => {
                arena.strike(&primary, Signal::KILL).await;
                soon(luck).await;
                let best = replicas.iter().max_by_key(|node| arena.checker.received(node.id)).unwrap();
                arena.strike(best, Signal::KILL).await;
            }
            Self::SwitchoverAndPrimary => {
                switch_over(arena, luck, replica).await;
                arena.strike(&primary, Signal::KILL).await;
            }
            Self::SwitchoverAndTarget => {
                switch_over(arena, luck, replica).await;
                arena.strike(replica, Signal::KILL).await;
            }
            Self::SwitchoverAndGranary => {
                switch_over(arena, luck, replica).await;
                restart_granary(arena, luck).await;
            }
            Self::ChangeAndPrimary | Self::ChangeAndGranary => Change::happen(arena, luck, self, &primary, replica.id).await,
            Self::Unwatched => {
                arena.kill_granary();
                arena.strike(&primary, Signal::KILL).await;
                sleep(Duration::from_millis(luck.random_range(100..2000))).await;
            }
            Self::FullDisk => fill(arena, luck, &primary).await,
            Self::LaggingReplica => {
                let receiver = arena.receiver(replica).await.unwrap();
                receiver.signal(Signal::STOP).unwrap();
                sleep(Duration::from_millis(luck.random_range(2000..8000))).await;
                receiver.signal(Signal::CONT).unwrap();
            }
            Self::DamagedReplica => damage(arena, luck, replica).await,
            Self::PortTaken => {
                let node = if luck.random() { &primary } else { replica };
                arena.strike(node, Signal::KILL).await;
                let keep = Duration::from_millis(luck.random_range(2000..8000));
                with_port_taken(node, || sleep(keep)).await;
            }
            Self::CutOff => {
                let node = if luck.random() { &primary } else { replica };
                cut_off(luck, node).await;
            }
            Self::ClockJump => {
                arena.jump(luck.random_range(-7200..7200));
                soon(luck).await;
                arena.strike(&primary, Signal::KILL).await;
                soon(luck).await;
                arena.jump(luck.random_range(-7200..7200));
            }
            Self::Undecided => {
                arena.kill_granary();
                damage(arena, luck, replica).await;
                arena.strike(&primary, Signal::KILL).await;
                arena.start_granary();
                with_port_taken(&primary, || arena.until_undecided()).await;
            }
        }
    }
}

/// While what was begun is under way.
async fn soon(luck: &mut StdRng) {
    sleep(Duration::from_millis(luck.random_range(5..400))).await;
}

async fn restart_granary(arena: &mut Arena<'_>, luck: &mut StdRng) {
    arena.kill_granary();
    soon(luck).await;
    arena.start_granary();
}

async fn kill_all(arena: &Arena<'_>, primary: &NodeSpec, replicas: &[NodeSpec]) {
    let nodes: Vec<&NodeSpec> = replicas.iter().chain([primary]).collect();
    futures::future::join_all(nodes.into_iter().map(|node| arena.strike(node, Signal::KILL))).await;
}

async fn switch_over(arena: &Arena<'_>, luck: &mut StdRng, to: &NodeSpec) {
    domain::datastore::promote(&arena.app, &arena.actor, arena.id, to.id).await.unwrap();
    soon(luck).await;
}

/// A change of the nodes, or of what commits wait for.
#[derive(Debug, Clone, Copy)]
enum Change {
    Replace,
    /// And one added in its place.
    Remove,
    /// And back.
    Durability,
}

impl Change {
    async fn happen(arena: &mut Arena<'_>, luck: &mut StdRng, event: Event, primary: &NodeSpec, replica: Uuid) {
        // The last replica that commits wait for cannot be removed.
        let possible: &[Self] =
            if arena.replicas().await.len() > 1 { &[Self::Remove, Self::Replace, Self::Durability] } else { &[Self::Replace, Self::Durability] };
        let change = possible[luck.random_range(0..possible.len())];
        println!("            {change:?}");
        let (app, actor, id) = (&arena.app, &arena.actor, arena.id);
        match change {
            Self::Replace => drop(domain::membership::replace(app, actor, id, replica).await.unwrap()),
            Self::Remove => domain::membership::remove(app, actor, id, replica).await.unwrap(),
            Self::Durability => {
                // What is acknowledged without a replica may be lost with the primary.
                arena.writer.promise(false);
                domain::membership::set_durability(app, actor, id, "asynchronous").await.unwrap();
            }
        }
        Self::blow(event, arena, luck, primary).await;
        if matches!(change, Self::Replace) {
            return;
        }
        arena.until_well().await;
        let (app, actor, id) = (&arena.app, &arena.actor, arena.id);
        if matches!(change, Self::Remove) {
            domain::membership::add(app, actor, id).await.unwrap();
        } else {
            domain::membership::set_durability(app, actor, id, "quorum").await.unwrap();
        }
        let primary = arena.primary().await;
        Self::blow(event, arena, luck, &primary).await;
        arena.until_well().await;
        arena.writer.promise(true);
    }

    /// While the change is under way: it takes longer than a promotion.
    async fn blow(event: Event, arena: &mut Arena<'_>, luck: &mut StdRng, primary: &NodeSpec) {
        sleep(Duration::from_millis(luck.random_range(5..1200))).await;
        if event == Event::ChangeAndPrimary {
            arena.strike(primary, Signal::KILL).await;
        } else {
            restart_granary(arena, luck).await;
        }
    }
}

async fn cut_off(luck: &mut StdRng, node: &NodeSpec) {
    let pause = Duration::from_millis(luck.random_range(1000..12_000));
    if !network::is_own() {
        return println!("            skipped: this is the machine's own network");
    }
    let _cut = network::Cut::off(node.address.ip());
    sleep(pause).await;
}

/// Leaves no byte free on a node's volume for some seconds.
async fn fill(arena: &Arena<'_>, luck: &mut StdRng, node: &NodeSpec) {
    if !arena.platform().enforcement().volumes {
        return println!("            skipped: volumes have a size of their own only where Granary runs as root");
    }
    let path = arena.platform().paths(node).data.join("chaos");
    let file = std::fs::File::create_new(&path).unwrap();
    let mut size = arena.platform().space(node).await.unwrap().free;
    // In ever smaller pieces, since files of others and of the file system come in between.
    let (mut end, begun) = (0, Instant::now());
    while size >= 4096 && begun.elapsed() < Duration::from_secs(5) {
        match fs::fallocate(&file, fs::FallocateFlags::empty(), end, size) {
            Ok(()) => end += size,
            Err(_) => size /= 2,
        }
    }
    sleep(Duration::from_millis(luck.random_range(3000..10_000))).await;
    drop(file);
    match std::fs::remove_file(&path) {
        // The node may have been copied anew meanwhile.
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        result => result.unwrap(),
    }
}

/// Damages what a replica cannot be started or asked without, and kills it. Damage to a table would be noticed by nobody.
async fn damage(arena: &Arena<'_>, luck: &mut StdRng, replica: &NodeSpec) {
    let cluster: PathBuf = arena.cluster(replica);
    let what = ["global/pg_control", "global/pg_filenode.map", "PG_VERSION"][luck.random_range(0..3)];
    let removed = luck.random();
    println!("            {what} is {}", if removed { "removed" } else { "cut off" });
    if removed {
        std::fs::remove_file(cluster.join(what)).unwrap();
    } else {
        std::fs::File::options().write(true).open(cluster.join(what)).unwrap().set_len(0).unwrap();
    }
    arena.strike(replica, Signal::KILL).await;
}

/// Takes a dead node's port before its next server can, and keeps it meanwhile.
async fn with_port_taken<F: Future<Output = ()>>(node: &NodeSpec, meanwhile: impl FnOnce() -> F) {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        if let Ok(_taken) = TcpListener::bind(node.address) {
            return meanwhile().await;
        }
        sleep(Duration::from_millis(1)).await;
    }
    println!("            its next server was quicker");
}
