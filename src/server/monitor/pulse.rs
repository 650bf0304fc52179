//! When the monitor looked last, and where it should look next: by this process's monotonic clock, so that no jump of the machine's clock matters.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::mpsc;
use uuid::Uuid;

/// See the module's documentation.
#[derive(Debug)]
pub struct Pulse {
    looks: Mutex<Looks>,
    poke: mpsc::UnboundedSender<Uuid>,
    pokes: tokio::sync::Mutex<mpsc::UnboundedReceiver<Uuid>>,
}

#[derive(Debug)]
struct Looks {
    /// The last look at each datastore that is watched; before the first one, when it was watched first.
    at: HashMap<Uuid, Instant>,
    /// The end of the last round; before the first one, this process's beginning.
    round: Instant,
}

impl Default for Pulse {
    fn default() -> Self {
        let (poke, pokes) = mpsc::unbounded_channel();
        let looks = Mutex::new(Looks { at: HashMap::new(), round: Instant::now() });
        Self { looks, poke, pokes: tokio::sync::Mutex::new(pokes) }
    }
}

impl Pulse {
    fn with<T>(&self, act: impl FnOnce(&mut Looks) -> T) -> T {
        act(&mut self.looks.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has the monitor of this process look at a datastore at once.
    pub fn poke(&self, datastore: Uuid) {
        // An error means that nobody looks any more.
        let _ = self.poke.send(datastore);
    }

    /// The next datastore that should be looked at.
    pub async fn next_poke(&self) -> Uuid {
        match self.pokes.lock().await.recv().await {
            Some(datastore) => datastore,
            None => std::future::pending().await,
        }
    }

    /// A round over these begins; others are not watched any more.
    pub fn watch(&self, ids: &[Uuid]) {
        self.with(|looks| {
            looks.at.retain(|id, _| ids.contains(id));
            for id in ids {
                looks.at.entry(*id).or_insert_with(Instant::now);
            }
        });
    }

    /// It was looked at, whatever was seen.
    pub fn looked(&self, id: Uuid) {
        self.with(|looks| looks.at.insert(id, Instant::now()));
    }

    /// The round has come to its end.
    pub fn rounded(&self) {
        self.with(|looks| looks.round = Instant::now());
    }

    /// Age of the oldest of the last looks.
    #[must_use]
    pub fn oldest_look(&self) -> Duration {
        self.with(|looks| looks.at.values().min().map(Instant::elapsed).unwrap_or_default())
    }

    /// Time since a round ended.
    #[must_use]
    pub fn since_round(&self) -> Duration {
        self.with(|looks| looks.round.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_datastore_that_was_looked_at_longest_ago_counts() {
        let (pulse, [one, two]) = (Pulse::default(), [1, 2].map(Uuid::from_u128));
        assert_eq!(pulse.oldest_look(), Duration::ZERO);
        pulse.watch(&[one, two]);
        std::thread::sleep(Duration::from_millis(20));
        pulse.looked(two);
        assert!(pulse.oldest_look() >= Duration::from_millis(20), "one was never looked at");
        let waited = pulse.since_round();
        pulse.rounded();
        assert!(waited >= Duration::from_millis(20) && pulse.since_round() < waited);
        let before = pulse.oldest_look();
        pulse.watch(&[two]);
        assert!(pulse.oldest_look() < before, "one is watched no more");
    }
}
