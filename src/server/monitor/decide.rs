//! What follows from what was seen: a pure function of one datastore's state.

use crate::{
    model::{engine::EngineKind, storage::Storage},
    server::{
        engine::Health,
        platform::{Presence, Route, Space},
    },
};
use std::time::Duration;

/// Least that stays free before writes are refused: a server that recovers needs room for its log.
const LEAST_FREE: u64 = 128 << 20;

/// A replica that hears nothing from its primary for so long is led to no more: what it shows is old.
const DEAF: Duration = Duration::from_secs(10);

/// A replica that hears nothing for so long will not by itself: the log that it lacks may be gone.
const LOST: Duration = Duration::from_mins(1);

/// What people are told of a primary that serves.
pub const PRIMARY: &str = "answers as primary";
/// What people are told of a replica that follows.
pub const REPLICA: &str = "follows the primary";
/// What people are told of a replica that has lost its primary a moment ago.
const WAITS: &str = "waits for the primary";
/// What people are told of a primary that must not fill its storage, before how it is done.
const READ_ONLY: &str = "answers as primary, read-only: its storage is nearly full. To free some:";

/// What was seen of a node.
#[derive(Debug, Clone)]
pub struct NodeSeen {
    /// Its slot.
    pub slot: u8,
    /// Whether it was wanted as the primary.
    pub primary: bool,
    /// Whether its server's processes are there.
    pub presence: Presence,
    /// What the server answered; the error's words otherwise. `None` when it was not asked.
    pub answer: Option<Result<Health, String>>,
    /// Since when a replica has received nothing.
    pub deaf: Duration,
    /// Its storage as it was measured last.
    pub space: Option<Space>,
}

/// What was seen of a datastore.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Its engine.
    pub engine: EngineKind,
    /// Its nodes.
    pub nodes: Vec<NodeSeen>,
    /// The storage of each, as it was wanted.
    pub storage: Storage,
    /// Whether its edge runs.
    pub edge: Presence,
    /// Routes that are open; `None` when that cannot be told now.
    pub open: Option<Vec<Route>>,
    /// Routes that should be open, to the nodes that serve.
    pub wanted: Vec<Route>,
}

/// What a job should do, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// Start things again.
    Heal(&'static str),
    /// Have replicas follow again.
    Rejoin(&'static str),
    /// Lead the endpoints to the nodes that serve, and to no other.
    Lead(&'static str),
    /// Refuse writes, or admit them again.
    Guard(&'static str),
}

/// What to note of something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// `healthy`, `degraded`, `unreachable` or `down`.
    pub state: &'static str,
    /// In words.
    pub detail: String,
}

/// What to note, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Of the datastore.
    pub note: Note,
    /// Of each node, in the order in which they were seen.
    pub nodes: Vec<Note>,
    /// What a job should do; `None` when nothing is to be done.
    pub intent: Option<Intent>,
}

/// Whether a node serves as what it was wanted: only then is an endpoint led to it.
#[must_use]
pub fn serves(node: &NodeSeen) -> bool {
    let (Presence::Running { .. }, Some(Ok(health))) = (&node.presence, &node.answer) else { return false };
    if node.primary { health.writable } else { !health.writable && (health.receives || node.deaf < DEAF) }
}

/// Decides. Death is acted on; silence of a living server is only noted, since it may be recovering or busy.
#[must_use]
pub fn decide(seen: &Seen) -> Verdict {
    let nodes: Vec<Note> = seen.nodes.iter().map(|node| note(node, seen.engine)).collect();
    let primary = seen.nodes.iter().zip(&nodes).find(|(node, _)| node.primary);
    let (mut note, served) = match primary {
        Some((seen, note)) => (note.clone(), serves(seen)),
        None => (Note { state: "unreachable", detail: "there is no primary".to_owned() }, false),
    };
    let mut intent = dead(&seen.nodes).or_else(|| seen.nodes.iter().filter(|_| served).find_map(astray));
    if served {
        match (&seen.edge, &seen.open) {
            (Presence::Dead, _) => {
                note = Note { state: "down", detail: "the edge's process is gone".to_owned() };
                intent = Some(Intent::Heal("the edge stopped"));
            }
            (_, Some(open)) if primary.is_some_and(|(node, _)| leads_elsewhere(seen, open, Some(node.slot))) => {
                note = Note { state: "down", detail: "the endpoints are closed".to_owned() };
                intent = intent.or(Some(Intent::Heal("the endpoints were closed")));
            }
            (_, Some(open)) if leads_elsewhere(seen, open, None) => intent = intent.or(Some(Intent::Lead("the nodes that serve are others"))),
            _ => intent = intent.or_else(|| seen.nodes.iter().find_map(|node| guard(node, &seen.storage))),
        }
        if let (true, Some((node, it))) = (note.state == "healthy", seen.nodes.iter().zip(&nodes).find(|(_, it)| it.state != "healthy")) {
            note = Note { state: "degraded", detail: format!("{}; node {}: {}", note.detail, node.slot + 1, it.detail) };
        }
    }
    Verdict { note, nodes, intent }
}

fn note(node: &NodeSeen, engine: EngineKind) -> Note {
    let read_only = || format!("{READ_ONLY} {}", engine.frees_space_by());
    let (state, detail) = match (&node.presence, &node.answer) {
        (Presence::Dead, _) => ("down", "the server's processes are gone"),
        (Presence::Unknown(why), _) | (_, Some(Err(why))) => ("unreachable", why.as_str()),
        (_, None) => ("unreachable", "the server was not asked"),
        (_, Some(Ok(health))) => match (node.primary, health.writable, health.receives) {
            (true, true, _) if health.read_only => return Note { state: "healthy", detail: read_only() },
            (true, true, _) => ("healthy", PRIMARY),
            (true, false, _) => ("unreachable", "the server answers, but it is not a writable primary"),
            (false, true, _) => ("unreachable", "the server answers, but it is no replica: it takes writes of its own"),
            (false, false, true) => ("healthy", REPLICA),
            (false, false, false) if node.deaf < DEAF => ("healthy", WAITS),
            (false, false, false) => ("unreachable", "the server answers, but receives nothing from the primary"),
        },
    };
    Note { state, detail: detail.to_owned() }
}

/// What is dead is started again, the primary first.
fn dead(nodes: &[NodeSeen]) -> Option<Intent> {
    let dead = |primary: bool| nodes.iter().any(|node| node.primary == primary && node.presence == Presence::Dead);
    match (dead(true), dead(false)) {
        (true, _) => Some(Intent::Heal("the server stopped")),
        (false, true) => Some(Intent::Rejoin("a replica stopped")),
        (false, false) => None,
    }
}

/// A replica that runs and will not follow by itself, while there is somebody to follow.
fn astray(node: &NodeSeen) -> Option<Intent> {
    let health = node.answer.as_ref().filter(|_| !node.primary)?.as_ref().ok()?;
    match (health.writable, health.receives) {
        (true, _) => Some(Intent::Rejoin("a replica takes writes of its own")),
        (false, false) if node.deaf >= LOST => Some(Intent::Rejoin("a replica has lost the primary")),
        _ => None,
    }
}

/// Whether the edge leads elsewhere than it should: to any node, or to the one of a slot.
fn leads_elsewhere(seen: &Seen, open: &[Route], slot: Option<u8>) -> bool {
    let of = |route: &&Route| slot.is_none_or(|slot| route.slot == slot);
    let closed = seen.wanted.iter().filter(of).any(|route| !open.contains(route));
    closed || slot.is_none() && open.iter().any(|route| !seen.wanted.contains(route))
}

fn guard(node: &NodeSeen, storage: &Storage) -> Option<Intent> {
    let health = node.answer.as_ref()?.as_ref().ok()?;
    let must = must_be_read_only(&node.space?, storage, health.read_only);
    (must != health.read_only).then_some(Intent::Guard(if must { "the storage is nearly full" } else { "the storage has room again" }))
}

/// Whether writes must be refused: from less than a twentieth free on, until twice that is.
#[must_use]
pub fn must_be_read_only(space: &Space, storage: &Storage, is_now: bool) -> bool {
    let low = ((u64::from(storage.gb()) << 30) / 20).max(LEAST_FREE);
    space.free < if is_now { 2 * low } else { low }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::platform::ListenerKind;
    use time::OffsetDateTime;

    const RUNS: Presence = Presence::Running { pid: None };

    fn health(primary: bool) -> Health {
        let started_at = OffsetDateTime::UNIX_EPOCH;
        Health { version: "15.1".into(), writable: primary, receives: !primary, followers: Vec::new(), read_only: false, started_at }
    }

    fn node(slot: u8) -> NodeSeen {
        let space = Some(Space { used: 1 << 30, free: 4 << 30 });
        NodeSeen { slot, primary: slot == 0, presence: RUNS, answer: Some(Ok(health(slot == 0))), deaf: Duration::ZERO, space }
    }

    fn routes(slots: &[u8]) -> Vec<Route> {
        let listener = |slot| if slot == 0 { ListenerKind::Primary } else { ListenerKind::Replica };
        slots.iter().map(|slot| Route { listener: listener(*slot), slot: *slot }).collect()
    }

    /// So many nodes, all well.
    fn well(nodes: u8) -> Seen {
        let slots: Vec<u8> = (0..nodes).collect();
        let nodes = slots.iter().map(|slot| node(*slot)).collect();
        Seen {
            engine: EngineKind::PostgreSql,
            nodes,
            storage: Storage::Ephemeral { gb: 5 },
            edge: RUNS,
            open: Some(routes(&slots)),
            wanted: routes(&slots),
        }
    }

    /// All are well but the one of this slot; routes are wanted to those that serve.
    fn but(nodes: u8, slot: u8, change: impl FnOnce(&mut NodeSeen)) -> Seen {
        let mut seen = well(nodes);
        change(&mut seen.nodes[usize::from(slot)]);
        let serving: Vec<u8> = seen.nodes.iter().filter(|node| serves(node)).map(|node| node.slot).collect();
        seen.wanted = routes(&serving);
        seen
    }

    #[test]
    fn status_is_what_was_checked() {
        for nodes in 1..=3 {
            let verdict = decide(&well(nodes));
            assert_eq!((verdict.note.state, verdict.note.detail.as_str(), verdict.intent), ("healthy", PRIMARY, None));
            assert!(verdict.nodes.iter().all(|note| note.state == "healthy") && verdict.nodes.len() == usize::from(nodes));
            let silent = decide(&but(nodes, 0, |node| node.answer = Some(Err("no".into()))));
            assert_eq!((silent.note.state, silent.note.detail.as_str(), silent.intent), ("unreachable", "no", None), "silence is not death");
            assert_eq!(decide(&but(nodes, 0, |node| node.answer = None)).note.state, "unreachable");
            assert_eq!(decide(&but(nodes, 0, |node| node.presence = Presence::Unknown("?".into()))).intent, None);
        }
    }

    #[test]
    fn what_died_is_started_again() {
        let dead = |node: &mut NodeSeen| (node.presence, node.answer) = (Presence::Dead, None);
        let verdict = decide(&but(1, 0, dead));
        assert_eq!((verdict.note.state, verdict.intent), ("down", Some(Intent::Heal("the server stopped"))));
        assert!(decide(&Seen { edge: Presence::Dead, ..well(1) }).intent.is_some());
        assert!(decide(&Seen { open: Some(vec![]), ..well(1) }).intent.is_some(), "an edge that was started again has no route");
        assert!(decide(&Seen { open: None, ..well(1) }).intent.is_none(), "an edge that does not answer at once is not dead");

        let verdict = decide(&but(3, 2, dead));
        assert_eq!((verdict.note.state, verdict.intent), ("degraded", Some(Intent::Rejoin("a replica stopped"))));
        assert_eq!(verdict.note.detail, "answers as primary; node 3: the server's processes are gone");
        let both = Seen { nodes: [0, 1].map(|slot| NodeSeen { presence: Presence::Dead, answer: None, ..node(slot) }).into(), ..well(2) };
        assert_eq!(decide(&both).intent, Some(Intent::Heal("the server stopped")));
    }

    #[test]
    fn endpoints_lead_to_replicas_that_follow_and_to_no_other() {
        let deaf = |node: &mut NodeSeen| {
            node.answer = Some(Ok(Health { receives: false, ..health(false) }));
            node.deaf = DEAF;
        };
        let waits = decide(&but(3, 1, |node| {
            deaf(node);
            node.deaf = DEAF / 2;
        }));
        assert_eq!((waits.note.state, waits.intent), ("healthy", None), "not at once: a primary that restarts is back soon");
        let verdict = decide(&but(3, 1, deaf));
        assert_eq!((verdict.note.state, verdict.nodes[1].state), ("degraded", "unreachable"));
        assert_eq!(verdict.intent, Some(Intent::Lead("the nodes that serve are others")), "readers must not see what is old");
        let led = Seen { open: Some(routes(&[0, 2])), ..but(3, 1, deaf) };
        assert_eq!(decide(&led).intent, None);
        let mut lost = led;
        lost.nodes[1].deaf = LOST;
        assert_eq!(decide(&lost).intent, Some(Intent::Rejoin("a replica has lost the primary")));
        lost.nodes[0].answer = Some(Err("no".into()));
        assert_eq!(decide(&lost).intent, None, "there is nobody to follow");
        assert_eq!(decide(&Seen { open: Some(routes(&[0, 2])), ..well(3) }).intent, Some(Intent::Lead("the nodes that serve are others")));
        assert_eq!(decide(&Seen { open: Some(routes(&[1, 2])), ..well(3) }).note.state, "down", "the primary endpoint is closed");
    }

    #[test]
    fn a_replica_that_takes_writes_is_never_led_to() {
        let astray = but(2, 1, |node| node.answer = Some(Ok(health(true))));
        assert!(!serves(&astray.nodes[1]));
        let verdict = decide(&astray);
        assert_eq!((verdict.note.state, verdict.nodes[1].state), ("degraded", "unreachable"));
        assert_eq!(verdict.intent, Some(Intent::Rejoin("a replica takes writes of its own")));
        assert!(!serves(&but(2, 0, |node| node.answer = Some(Ok(health(false)))).nodes[0]), "nor a primary that takes none");
    }

    #[test]
    fn writes_are_refused_before_the_storage_is_full_and_admitted_again_with_room_to_spare() {
        let now = |mb: u64, read_only: bool| {
            decide(&but(1, 0, |node| {
                node.answer = Some(Ok(Health { read_only, ..health(true) }));
                node.space = Some(Space { used: 0, free: mb << 20 });
            }))
        };
        // A twentieth of 5 GB is 256 MB.
        assert_eq!(now(257, false).intent, None);
        assert_eq!(now(255, false).intent, Some(Intent::Guard("the storage is nearly full")));
        assert_eq!(now(255, true).intent, None);
        assert_eq!(now(511, true).intent, None, "not back and forth");
        assert_eq!(now(513, true).intent, Some(Intent::Guard("the storage has room again")));
        assert!(now(255, true).note.detail.contains("read-only") && !now(513, false).note.detail.contains("read-only"));
        assert_eq!(decide(&but(1, 0, |node| node.space = None)).intent, None, "what was not measured changes nothing");
        let small = Storage::Volume { volume_type: "dynamic".into(), gb: 1 };
        let free = |mb: u64| Space { used: 0, free: mb << 20 };
        assert!(must_be_read_only(&free(127), &small, false) && !must_be_read_only(&free(129), &small, false));
    }
}
