//! What the monitor knows of datastores from earlier looks.

use super::decide::{Silence, Verdict};
use crate::server::{
    engine::Health,
    platform::{Activity, Space, Vitals},
};
use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};
use uuid::Uuid;

/// What a server said last counts for so long, should it say nothing: a machine that is busy delays answers, and no page need show that.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often [`Lateness`] looks at the clock.
const TICK: Duration = Duration::from_millis(20);
/// What a sleep may take longer without being late.
const SLACK: Duration = Duration::from_millis(5);

/// What is known of a datastore.
#[derive(Default)]
pub(super) struct Known {
    /// What was written last, and when.
    pub(super) written: Option<(Verdict, Instant)>,
    /// When storage was written down last.
    pub(super) recorded: Option<Instant>,
    /// When it was looked at last.
    pub(super) looked: Option<Instant>,
    /// Whether it has replicas: then it is looked at more often, since somebody could take over.
    pub(super) has_replicas: bool,
    pub(super) of_nodes: HashMap<Uuid, OfNode>,
}

/// What is known of a node.
#[derive(Clone, Default)]
pub(super) struct OfNode {
    pub(super) measured: Option<(Space, Instant)>,
    /// When a replica was seen to receive last; at first, when it was seen first.
    pub(super) heard: Option<Instant>,
    silence: Silence,
    /// The last look, by the clock and by how late the monitor had been in all.
    last: Option<(Instant, Duration)>,
    cpu: Option<Duration>,
    said: Option<Health>,
}

impl OfNode {
    /// Takes an answer in. Where there is none the last one stands for a while.
    pub(super) fn take(&mut self, answer: Result<Health, Unheard>, vitals: Option<Vitals>, late: Duration) -> (Result<Health, String>, Silence) {
        let (now, alive) = (Instant::now(), !matches!(answer, Err(Unheard::Silent(_))));
        let passed = self.last.map_or(Duration::ZERO, |(at, before)| now.duration_since(at).saturating_sub(late.saturating_sub(before)));
        let worked = vitals.zip(self.cpu).is_none_or(|(vitals, before)| vitals.cpu > before);
        self.silence = self.silence.after(passed, alive, vitals.map(|v| v.activity), worked);
        (self.last, self.cpu) = (Some((now, late)), vitals.map(|v| v.cpu));
        let stopped = vitals.is_some_and(|v| v.activity == Activity::Stopped);
        let answer = match (answer, &self.said) {
            (Ok(health), _) => {
                self.said = Some(health.clone());
                Ok(health)
            }
            (Err(Unheard::Silent(_)), Some(said)) if self.silence.unanswered < PATIENCE && !stopped => Ok(said.clone()),
            (Err(why), _) => {
                self.said = None;
                Err(why.words())
            }
        };
        (answer, self.silence)
    }

    /// Its server is gone: what it said was before.
    pub(super) fn forget(&mut self) {
        (self.said, self.silence, self.last, self.cpu) = (None, Silence::default(), None, None);
    }
}

/// Why there is no health of a server that runs.
pub(super) enum Unheard {
    /// It said something else: it lives.
    Said(String),
    /// It said nothing.
    Silent(String),
}

impl Unheard {
    fn words(self) -> String {
        match self {
            Self::Said(why) | Self::Silent(why) => why,
        }
    }
}

/// How late this process was in all: a machine that has no time for the monitor has none for servers either, and their silence says
/// nothing.
#[derive(Default)]
pub(super) struct Lateness(AtomicU64);

impl Lateness {
    /// The sum so far.
    pub(super) fn so_far(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }

    /// Measures for ever.
    pub(super) async fn measure(&self) {
        loop {
            let begun = Instant::now();
            tokio::time::sleep(TICK).await;
            let late = begun.elapsed().saturating_sub(TICK);
            if late > SLACK {
                self.0.fetch_add(u64::try_from(late.as_micros()).unwrap_or(0), Ordering::Relaxed);
            }
        }
    }
}
