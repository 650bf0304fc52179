//! What follows from what was seen: a pure function of one datastore's state.

use crate::server::{
    engine::Health,
    platform::{Presence, Route},
};

/// What was seen of a datastore with one node.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Whether its server's processes are there.
    pub node: Presence,
    /// What the server answered; the error's words otherwise. `None` when it was not asked.
    pub answer: Option<Result<Health, String>>,
    /// Whether its edge runs.
    pub edge: Presence,
    /// Routes that are open; `None` when that cannot be told now.
    pub open: Option<Vec<Route>>,
    /// Routes that should be open.
    pub wanted: Vec<Route>,
}

/// What to note, and whether something must be started again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// `healthy`, `unreachable` or `down`.
    pub state: &'static str,
    /// In words.
    pub detail: String,
    /// Why a job should start things again; `None` when nothing is to be done.
    pub heal: Option<&'static str>,
}

/// Decides. Death is acted on; silence of a living server is only noted, since it may be recovering or busy.
#[must_use]
pub fn decide(seen: &Seen) -> Verdict {
    let verdict = |state, detail: &str, heal| Verdict { state, detail: detail.to_owned(), heal };
    match (&seen.node, &seen.answer) {
        (Presence::Dead, _) => verdict("down", "the server's processes are gone", Some("the server stopped")),
        (Presence::Unknown(why), _) | (_, Some(Err(why))) => verdict("unreachable", why, None),
        (_, None) => verdict("unreachable", "the server was not asked", None),
        (_, Some(Ok(health))) if !health.writable => verdict("unreachable", "the server answers, but it is not a writable primary", None),
        (_, Some(Ok(_))) => match (&seen.edge, &seen.open) {
            (Presence::Dead, _) => verdict("down", "the edge's process is gone", Some("the edge stopped")),
            (_, Some(open)) if seen.wanted.iter().any(|r| !open.contains(r)) => {
                verdict("down", "the endpoints are closed", Some("the endpoints were closed"))
            }
            _ => verdict("healthy", "answers as primary", None),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::platform::ListenerKind;
    use time::OffsetDateTime;

    fn well() -> Seen {
        let route = Route { listener: ListenerKind::Primary, slot: 0 };
        let health = Health { version: "15.1".into(), writable: true, started_at: OffsetDateTime::UNIX_EPOCH };
        Seen {
            node: Presence::Running { pid: None },
            answer: Some(Ok(health)),
            edge: Presence::Running { pid: None },
            open: Some(vec![route]),
            wanted: vec![route],
        }
    }

    #[test]
    fn status_is_what_was_checked() {
        assert_eq!(decide(&well()).state, "healthy");
        assert_eq!(decide(&Seen { answer: Some(Err("no".into())), ..well() }), Verdict { state: "unreachable", detail: "no".into(), heal: None });
        assert_eq!(decide(&Seen { answer: None, ..well() }).state, "unreachable");
        assert_eq!(decide(&Seen { node: Presence::Unknown("?".into()), ..well() }).heal, None);
    }

    #[test]
    fn what_died_is_started_again() {
        assert!(decide(&Seen { node: Presence::Dead, answer: None, ..well() }).heal.is_some());
        assert!(decide(&Seen { edge: Presence::Dead, ..well() }).heal.is_some());
        assert!(decide(&Seen { open: Some(vec![]), ..well() }).heal.is_some(), "an edge that was started again has no route");
        assert!(decide(&Seen { open: None, ..well() }).heal.is_none(), "an edge that does not answer at once is not dead");
    }
}
