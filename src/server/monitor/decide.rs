//! What follows from what was seen: a pure function of one datastore's state.

use crate::{
    model::storage::Storage,
    server::{
        engine::Health,
        platform::{Presence, Route, Space},
    },
};

/// Least that stays free before writes are refused: a server that recovers needs room for its log.
const LEAST_FREE: u64 = 128 << 20;

/// What was seen of a datastore with one node.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Whether its server's processes are there.
    pub node: Presence,
    /// What the server answered; the error's words otherwise. `None` when it was not asked.
    pub answer: Option<Result<Health, String>>,
    /// Its storage as it was measured last.
    pub space: Option<Space>,
    /// Its storage as it was wanted.
    pub storage: Storage,
    /// Whether its edge runs.
    pub edge: Presence,
    /// Routes that are open; `None` when that cannot be told now.
    pub open: Option<Vec<Route>>,
    /// Routes that should be open.
    pub wanted: Vec<Route>,
}

/// What a job should do, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// Start things again.
    Heal(&'static str),
    /// Refuse writes, or admit them again.
    Guard(&'static str),
}

/// What to note, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// `healthy`, `unreachable` or `down`.
    pub state: &'static str,
    /// In words.
    pub detail: String,
    /// What a job should do; `None` when nothing is to be done.
    pub intent: Option<Intent>,
}

/// Decides. Death is acted on; silence of a living server is only noted, since it may be recovering or busy.
#[must_use]
pub fn decide(seen: &Seen) -> Verdict {
    use Intent::Heal;
    let verdict = |state, detail: &str, intent| Verdict { state, detail: detail.to_owned(), intent };
    match (&seen.node, &seen.answer) {
        (Presence::Dead, _) => verdict("down", "the server's processes are gone", Some(Heal("the server stopped"))),
        (Presence::Unknown(why), _) | (_, Some(Err(why))) => verdict("unreachable", why, None),
        (_, None) => verdict("unreachable", "the server was not asked", None),
        (_, Some(Ok(health))) if !health.writable => verdict("unreachable", "the server answers, but it is not a writable primary", None),
        (_, Some(Ok(health))) => match (&seen.edge, &seen.open) {
            (Presence::Dead, _) => verdict("down", "the edge's process is gone", Some(Heal("the edge stopped"))),
            (_, Some(open)) if seen.wanted.iter().any(|r| !open.contains(r)) => {
                verdict("down", "the endpoints are closed", Some(Heal("the endpoints were closed")))
            }
            _ if health.read_only => verdict("healthy", READ_ONLY, guard(seen, health)),
            _ => verdict("healthy", "answers as primary", guard(seen, health)),
        },
    }
}

/// What people are told then.
const READ_ONLY: &str = "answers as primary, read-only: its storage is nearly full. To free some, a session may write after \
    SET default_transaction_read_only = off";

fn guard(seen: &Seen, health: &Health) -> Option<Intent> {
    let must = must_be_read_only(&seen.space?, &seen.storage, health.read_only);
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

    fn well() -> Seen {
        let route = Route { listener: ListenerKind::Primary, slot: 0 };
        let health = Health { version: "15.1".into(), writable: true, read_only: false, started_at: OffsetDateTime::UNIX_EPOCH };
        Seen {
            node: Presence::Running { pid: None },
            answer: Some(Ok(health)),
            space: Some(Space { used: 1 << 30, free: 4 << 30 }),
            storage: Storage::Ephemeral { gb: 5 },
            edge: Presence::Running { pid: None },
            open: Some(vec![route]),
            wanted: vec![route],
        }
    }

    #[test]
    fn status_is_what_was_checked() {
        assert_eq!(decide(&well()).state, "healthy");
        assert_eq!(decide(&Seen { answer: Some(Err("no".into())), ..well() }), Verdict { state: "unreachable", detail: "no".into(), intent: None });
        assert_eq!(decide(&Seen { answer: None, ..well() }).state, "unreachable");
        assert_eq!(decide(&Seen { node: Presence::Unknown("?".into()), ..well() }).intent, None);
    }

    #[test]
    fn what_died_is_started_again() {
        assert!(decide(&Seen { node: Presence::Dead, answer: None, ..well() }).intent.is_some());
        assert!(decide(&Seen { edge: Presence::Dead, ..well() }).intent.is_some());
        assert!(decide(&Seen { open: Some(vec![]), ..well() }).intent.is_some(), "an edge that was started again has no route");
        assert!(decide(&Seen { open: None, ..well() }).intent.is_none(), "an edge that does not answer at once is not dead");
    }

    #[test]
    fn writes_are_refused_before_the_storage_is_full_and_admitted_again_with_room_to_spare() {
        let now = |mb: u64, read_only: bool| {
            let health = Health { read_only, ..well().answer.unwrap().unwrap() };
            decide(&Seen { answer: Some(Ok(health)), space: Some(Space { used: 0, free: mb << 20 }), ..well() })
        };
        // A twentieth of 5 GB is 256 MB.
        assert_eq!(now(257, false).intent, None);
        assert_eq!(now(255, false).intent, Some(Intent::Guard("the storage is nearly full")));
        assert_eq!(now(255, true).intent, None);
        assert_eq!(now(511, true).intent, None, "not back and forth");
        assert_eq!(now(513, true).intent, Some(Intent::Guard("the storage has room again")));
        assert!(now(255, true).detail.contains("read-only") && !now(513, false).detail.contains("read-only"));
        assert_eq!(decide(&Seen { space: None, ..well() }).intent, None, "what was not measured changes nothing");
        let small = Storage::Volume { volume_type: "dynamic".into(), gb: 1 };
        let free = |mb: u64| Space { used: 0, free: mb << 20 };
        assert!(must_be_read_only(&free(127), &small, false) && !must_be_read_only(&free(129), &small, false));
    }
}
