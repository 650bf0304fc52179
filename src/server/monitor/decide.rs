//! What follows from what was seen: a pure function of one datastore's state.

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use crate::{
    model::{engine::EngineKind, storage::Storage},
    server::{
        engine::{
            Health,
            quorum::{self, SyncSet},
        },
        jobs::kind::JobKind,
        platform::{Activity, ListenerKind, Presence, Route, Space},
    },
};
use std::time::Duration;
use uuid::Uuid;

/// Least that stays free before writes are refused: a server that recovers needs room for its log.
const LEAST_FREE: u64 = 128 << 20;

/// A replica that hears nothing from its primary for so long is led to no more: what it shows is old.
const DEAF: Duration = Duration::from_secs(10);

/// A replica that hears nothing for so long will not by itself: the log that it lacks may be gone.
const LOST: Duration = Duration::from_mins(1);

/// A replica that received from its primary until so long before it was looked at lacks nothing that matters: a death is seen sooner.
const IN_STEP: Duration = Duration::from_secs(3);

/// A server that was stopped, and was silent, for so long is frozen: longer than a debugger or a snapshot stops one.
pub const FROZEN: Duration = Duration::from_millis(1200);

/// A server that waits for something to do, and answers nobody, for so long will never answer.
pub const HUNG: Duration = Duration::from_secs(30);

/// What people are told of a primary that serves.
pub const PRIMARY: &str = "answers as primary";
/// What people are told of a replica that follows.
pub const REPLICA: &str = "follows the primary";
/// What people are told of a replica that has lost its primary a moment ago.
const WAITS: &str = "waits for the primary";
/// What people are told of a primary that must not fill its storage, before how it is done.
const READ_ONLY: &str = "answers as primary, read-only: its storage is nearly full. To free some:";
/// What people are told where going on may lose writes.
const UNDECIDED: &str = "the primary cannot be started, and not enough replicas are left to be sure that no acknowledged write is lost";
const BLOCKED: &str = "writes wait for replicas, and those cannot be brought back";

/// For how long a server has said nothing, and done nothing: less by as much as the monitor itself was late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Silence {
    /// Since it answered last.
    pub unanswered: Duration,
    /// Since it was seen to be anything but stopped.
    pub stopped: Duration,
    /// Since it was seen to work, or to be about to.
    pub idle: Duration,
}

impl Silence {
    /// Goes on from the last look: `activity` is what it was seen at in this one, `worked` whether it has used CPU time since.
    #[must_use]
    pub fn after(self, passed: Duration, answered: bool, activity: Option<Activity>, worked: bool) -> Self {
        if answered {
            return Self::default();
        }
        let stopped = activity == Some(Activity::Stopped);
        let busy = worked || matches!(activity, None | Some(Activity::Busy));
        let longer = |since: Duration, goes_on: bool| if goes_on { since + passed } else { Duration::ZERO };
        Self { unanswered: self.unanswered + passed, stopped: longer(self.stopped, stopped), idle: longer(self.idle, !busy) }
    }

    /// Why it will not answer any more; `None` while it may.
    #[must_use]
    pub fn hopeless(&self) -> Option<&'static str> {
        if self.unanswered >= FROZEN && self.stopped >= FROZEN {
            Some("the server is frozen")
        } else if self.unanswered >= HUNG && self.idle >= HUNG {
            Some("the server hangs")
        } else {
            None
        }
    }
}

/// What was seen of a node.
#[derive(Debug, Clone)]
pub struct NodeSeen {
    /// Its id.
    pub id: Uuid,
    /// Its slot.
    pub slot: u8,
    /// Whether it was wanted as the primary.
    pub primary: bool,
    /// Whether its server's processes are there.
    pub presence: Presence,
    /// What the server answered; the error's words otherwise. `None` when it was not asked.
    pub answer: Option<Result<Health, String>>,
    /// For how long it has said nothing.
    pub silence: Silence,
    /// Since when a replica has received nothing.
    pub deaf: Duration,
    /// Bytes of log that a replica lacks, where its primary tells.
    pub lag: Option<u64>,
    /// Its storage as it was measured last.
    pub space: Option<Space>,
}

impl NodeSeen {
    fn health(&self) -> Option<&Health> {
        self.answer.as_ref()?.as_ref().ok()
    }

    /// Why it is of no use any more, whatever its processes may still do.
    fn lost(&self) -> Option<&'static str> {
        if self.presence.is_gone() { Some("the server stopped") } else { self.silence.hopeless() }
    }

    /// Whether it is a replica that could say now what it has.
    fn can_be_heard(&self) -> bool {
        !self.primary && self.lost().is_none() && self.health().is_some_and(|health| !health.writable)
    }
}

/// What was seen of a datastore.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Its engine.
    pub engine: EngineKind,
    /// Its nodes.
    pub nodes: Vec<NodeSeen>,
    /// What commits wait for, as recorded.
    pub sync_sets: Vec<SyncSet>,
    /// Work that failed for good.
    pub failed: Vec<JobKind>,
    /// The storage of each, as it was wanted.
    pub storage: Storage,
    /// Whether its edge runs.
    pub edge: Presence,
    /// Routes that are open; `None` when that cannot be told now.
    pub open: Option<Vec<Route>>,
    /// Routes that should be open, to the nodes that serve.
    pub wanted: Vec<Route>,
}

impl Seen {
    fn primary(&self) -> Option<&NodeSeen> {
        self.nodes.iter().find(|node| node.primary)
    }

    fn replicas(&self) -> impl Iterator<Item = &NodeSeen> {
        self.nodes.iter().filter(|node| !node.primary)
    }

    /// Under what acknowledged writes are found again; nothing where the engine cannot promise that.
    fn promises(&self) -> &[SyncSet] {
        if self.engine.keeps_acknowledged() { &self.sync_sets } else { &[] }
    }

    /// How many of the replicas that commits wait for they find, and how many they need.
    fn found(&self) -> (usize, usize) {
        let (Some(set), Some(health)) = (self.sync_sets.last(), self.primary().and_then(NodeSeen::health)) else { return (0, 0) };
        (health.followers.iter().filter(|f| f.synchronous && set.members.contains(&f.node)).count(), set.acks)
    }
}

/// What a job should do, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// Make a replica the primary.
    FailOver(&'static str),
    /// Start things again.
    Heal(&'static str),
    /// Have replicas follow again.
    Rejoin(&'static str),
    /// Go on with work that gave way.
    GoOn(JobKind),
    /// Lead the endpoints to the nodes that serve, and to no other.
    Lead(&'static str),
    /// Refuse writes, or admit them again.
    Guard(&'static str),
}

/// What to note of something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// `healthy`, `degraded`, `unreachable`, `down` or `undecided`.
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
    /// Failed work that is done by now, whoever did it: it is given up, so that the next need finds none.
    pub settled: Vec<JobKind>,
}

/// Whether a node serves as what it was wanted: only then is an endpoint led to it. One whose lag is over the bound is led to again at
/// half of it.
#[must_use]
pub fn serves(node: &NodeSeen, open: Option<&[Route]>, bound: u64) -> bool {
    let (Presence::Running { .. }, Some(health)) = (&node.presence, node.health()) else { return false };
    let route = Route { listener: ListenerKind::Replica, slot: node.slot };
    let bound = if open.is_some_and(|open| open.contains(&route)) { bound } else { bound / 2 };
    if node.primary { health.writable } else { !health.writable && (health.receives || node.deaf < DEAF) && node.lag.is_none_or(|lag| lag <= bound) }
}

/// Decides, in this order: a primary that is lost, the edge, replicas, endpoints, work that gave way, storage. Death is acted on; silence of
/// a server that may still answer is only noted, since it may be recovering or busy.
#[must_use]
pub fn decide(seen: &Seen) -> Verdict {
    let nodes: Vec<Note> = seen.nodes.iter().map(|node| note(node, seen.engine)).collect();
    let Some((primary, noted)) = seen.nodes.iter().zip(&nodes).find(|(node, _)| node.primary) else {
        let note = Note { state: "unreachable", detail: "there is no primary".to_owned() };
        return Verdict { note, nodes, intent: None, settled: Vec::new() };
    };
    let mut verdict = if let Some(why) = primary.lost() {
        Verdict { note: without_primary(seen, noted), intent: Some(save(seen, why)), nodes: Vec::new(), settled: Vec::new() }
    } else if matches!(primary.presence, Presence::Running { .. }) && primary.health().is_some_and(|health| health.writable) {
        let (note, intent) = with_primary(seen, primary, noted);
        Verdict { note, intent, nodes: Vec::new(), settled: settled(seen) }
    } else {
        Verdict { note: noted.clone(), intent: None, nodes: Vec::new(), settled: Vec::new() }
    };
    if let (true, Some((node, it))) = (verdict.note.state == "healthy", seen.nodes.iter().zip(&nodes).find(|(_, it)| it.state != "healthy")) {
        verdict.note = Note { state: "degraded", detail: format!("{}; node {}: {}", verdict.note.detail, node.slot + 1, it.detail) };
    }
    Verdict { nodes, ..verdict }
}

/// What brings writes back. Where commits wait for replicas, one of these takes over at once, if enough are there to be sure that it has
/// everything and that its own commits find enough others. Where the primary itself acknowledges before it has written down, a replica
/// that was in step has more than the primary will have, and takes over at once, too. Else what is dead is started again first: nothing
/// is lost by that.
fn save(seen: &Seen, why: &'static str) -> Intent {
    let heard: Vec<Uuid> = seen.replicas().filter(|node| node.can_be_heard()).map(|node| node.id).collect();
    let promised = seen.promises().iter().any(|set| set.acks > 0);
    let others = seen.replicas().count();
    if !seen.engine.keeps_acknowledged() && seen.replicas().any(|node| node.can_be_heard() && node.deaf < IN_STEP) {
        return Intent::FailOver(why);
    }
    let enough = quorum::may_promote(seen.promises(), &heard) && heard.len() > others.div_ceil(2);
    let tried = seen.failed.iter().any(|kind| matches!(kind, JobKind::Revive | JobKind::Failover));
    if others > 0 && (promised && enough || tried) {
        return Intent::FailOver(if promised && enough { why } else { "the primary could not be started again" });
    }
    Intent::Heal(why)
}

fn without_primary(seen: &Seen, noted: &Note) -> Note {
    let promised = seen.promises().iter().any(|set| set.acks > 0);
    if promised && seen.failed.contains(&JobKind::Failover) {
        return Note { state: "undecided", detail: UNDECIDED.to_owned() };
    }
    Note { state: "down", detail: noted.detail.clone() }
}

fn with_primary(seen: &Seen, primary: &NodeSeen, noted: &Note) -> (Note, Option<Intent>) {
    let mut note = noted.clone();
    let mut intent = seen.replicas().find_map(astray);
    match (&seen.edge, &seen.open) {
        (edge, _) if edge.is_gone() => {
            note = Note { state: "down", detail: "the edge's process is gone".to_owned() };
            intent = Some(Intent::Heal("the edge stopped"));
        }
        (_, Some(open)) if leads_elsewhere(seen, open, Some(primary.slot)) => {
            note = Note { state: "down", detail: "the endpoints are closed".to_owned() };
            // Whatever else is amiss: clients wait.
            intent = Some(Intent::Lead("the endpoints were closed"));
        }
        (_, Some(open)) if leads_elsewhere(seen, open, None) => intent = Some(Intent::Lead("the nodes that serve are others")),
        _ => {
            let goes_on = || seen.failed.iter().copied().find(|kind| kind.goes_on()).map(Intent::GoOn);
            let guard = || seen.nodes.iter().find_map(|node| guard(node, &seen.storage));
            intent = intent.or_else(goes_on).or_else(guard);
        }
    }
    let (found, needed) = seen.found();
    if note.state == "healthy" && found < needed {
        let stuck = seen.failed.iter().any(|kind| matches!(kind, JobKind::Rejoin | JobKind::Resync));
        let detail = if stuck { BLOCKED.to_owned() } else { format!("{}; writes wait for {needed} of the replicas, {found} follow", note.detail) };
        note = Note { state: if stuck { "undecided" } else { "degraded" }, detail };
    }
    (note, intent)
}

/// With a primary that serves, work that was to bring one back is over; with replicas that follow, what was to bring those back.
fn settled(seen: &Seen) -> Vec<JobKind> {
    let all_follow = seen.replicas().all(|node| node.health().is_some_and(|health| health.receives));
    let over = |kind: &JobKind| match kind {
        JobKind::Revive | JobKind::Failover => true,
        JobKind::Rejoin => all_follow,
        _ => false,
    };
    seen.failed.iter().copied().filter(over).collect()
}

fn note(node: &NodeSeen, engine: EngineKind) -> Note {
    let read_only = || format!("{READ_ONLY} {}", engine.frees_space_by());
    let (state, detail) = match (&node.presence, &node.answer) {
        (Presence::Dead, _) => ("down", "the server's processes are gone"),
        (Presence::Leaderless(why), _) => ("down", why.as_str()),
        (Presence::Unknown(why), _) => ("unreachable", why.as_str()),
        (_, Some(Err(why))) => node.silence.hopeless().map_or(("unreachable", why.as_str()), |why| ("down", why)),
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

/// A replica that is lost, or that runs and will not follow by itself.
fn astray(node: &NodeSeen) -> Option<Intent> {
    if let Some(why) = node.lost() {
        return Some(Intent::Rejoin(if node.presence.is_gone() { "a replica stopped" } else { why }));
    }
    let health = node.health()?;
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
    let health = node.health()?;
    let must = must_be_read_only(&node.space?, storage, health.read_only);
    (must != health.read_only).then_some(Intent::Guard(if must { "the storage is nearly full" } else { "the storage has room again" }))
}

/// Whether writes must be refused: from less than a twentieth free on, until twice that is.
#[must_use]
pub fn must_be_read_only(space: &Space, storage: &Storage, is_now: bool) -> bool {
    let low = ((u64::from(storage.gb()) << 30) / 20).max(LEAST_FREE);
    space.free < if is_now { 2 * low } else { low }
}
