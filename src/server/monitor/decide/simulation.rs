//! A datastore with three nodes under a simulated clock: servers die, freeze, are slow and come back as chance has it, the monitor is late,
//! jobs take their time. Whatever happens, nobody is promoted who may lack what was acknowledged, nobody is replaced that only was
//! slow, and in the end all is well again.

use super::*;
use crate::server::engine::Follower;
use rand::{Rng, SeedableRng, rngs::StdRng};
use time::OffsetDateTime;

const NODES: usize = 3;
/// The monitor's pause between two looks, and of the simulation.
const STEP: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Well,
    Slow,
    Frozen,
    Dead,
}

struct World {
    random: StdRng,
    state: [State; NODES],
    silence: [Silence; NODES],
    primary: usize,
    /// The newest commit that each node has; and that clients were told is safe.
    has: [u64; NODES],
    acknowledged: u64,
    sets: Vec<SyncSet>,
    failed: Vec<JobKind>,
    /// The job that runs, and when it ends.
    job: Option<(Intent, Duration)>,
    now: Duration,
    failovers: usize,
    /// Whether a primary was lost since the last failover.
    was_lost: bool,
}

fn id(node: usize) -> Uuid {
    Uuid::from_u128(node as u128 + 1)
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = Self {
            random: StdRng::seed_from_u64(seed),
            state: [State::Well; NODES],
            silence: [Silence::default(); NODES],
            primary: 0,
            has: [0; NODES],
            acknowledged: 0,
            sets: Vec::new(),
            failed: Vec::new(),
            job: None,
            now: Duration::ZERO,
            failovers: 0,
            was_lost: false,
        };
        world.sets = vec![Self::set_of(0)];
        world
    }

    fn set_of(primary: usize) -> SyncSet {
        SyncSet::any_half(id(primary), (0..NODES).filter(|n| *n != primary).map(id).collect())
    }

    fn serves(&self, node: usize) -> bool {
        matches!(self.state[node], State::Well | State::Slow)
    }

    /// Clients write: a commit is acknowledged once enough have it.
    fn write(&mut self) {
        if !self.serves(self.primary) {
            return;
        }
        self.has[self.primary] += 1;
        let newest = self.has[self.primary];
        let replicas: Vec<usize> = (0..NODES).filter(|n| *n != self.primary).collect();
        for node in &replicas {
            // A replica may lag behind, or not get it at all.
            if self.serves(*node) && self.random.random_bool(0.7) {
                self.has[*node] = newest;
            }
        }
        if replicas.iter().filter(|n| self.has[**n] >= newest).count() >= self.sets.last().unwrap().acks {
            self.acknowledged = newest;
        }
    }

    fn misfortune(&mut self) {
        for node in 0..NODES {
            self.state[node] = match (self.state[node], self.random.random_range(0..1000)) {
                (State::Well, 0..4) => State::Dead,
                (State::Well, 4..7) => State::Frozen,
                (State::Well, 7..30) => State::Slow,
                (State::Slow, 0..200) | (State::Frozen, 0..30) => State::Well,
                (state, _) => state,
            };
        }
    }

    fn see(&mut self, passed: Duration) -> Seen {
        let followers = (0..NODES).filter(|n| *n != self.primary && self.serves(*n));
        let followers: Vec<_> = followers.map(|n| Follower { node: id(n), lag_bytes: 0, synchronous: true }).collect();
        let nodes = (0..NODES).map(|node| {
            let (primary, state) = (node == self.primary, self.state[node]);
            let answers = state == State::Well || state == State::Slow && self.random.random_bool(0.2);
            let activity = if state == State::Frozen { Activity::Stopped } else { Activity::Busy };
            self.silence[node] = self.silence[node].after(passed, answers, Some(activity), state == State::Slow);
            let health = Health {
                version: String::new(),
                writable: primary,
                receives: !primary && self.serves(self.primary),
                deaf: Duration::ZERO,
                followers: if primary { followers.clone() } else { Vec::new() },
                read_only: false,
                started_at: OffsetDateTime::UNIX_EPOCH,
            };
            let presence = if state == State::Dead { Presence::Dead } else { Presence::Running { pid: None } };
            let answer = (state != State::Dead).then(|| if answers { Ok(health) } else { Err("silent".to_owned()) });
            let slot = u8::try_from(node).unwrap();
            NodeSeen { id: id(node), slot, primary, presence, answer, silence: self.silence[node], deaf: Duration::ZERO, lag: None, space: None }
        });
        Seen {
            engine: EngineKind::PostgreSql,
            nodes: nodes.collect(),
            sync_sets: self.sets.clone(),
            failed: self.failed.clone(),
            storage: Storage::Ephemeral { gb: 5 },
            edge: Presence::Running { pid: None },
            open: None,
            wanted: Vec::new(),
        }
    }

    /// A job does what its steps do; it may fail.
    fn act(&mut self, intent: Intent) {
        let fails = self.random.random_bool(0.2);
        let kind = match intent {
            Intent::FailOver(_) => JobKind::Failover,
            Intent::Heal(_) => JobKind::Revive,
            _ => JobKind::Rejoin,
        };
        self.failed.retain(|failed| *failed != kind);
        match intent {
            Intent::FailOver(_) => {
                self.state[self.primary] = State::Dead;
                // The dead are started before anybody is chosen; not all can be.
                for node in (0..NODES).filter(|n| *n != self.primary) {
                    if !self.serves(node) && self.random.random_bool(0.5) {
                        self.state[node] = State::Well;
                    }
                }
                let heard: Vec<usize> = (0..NODES).filter(|n| *n != self.primary && self.serves(*n)).collect();
                if fails || !quorum::may_promote(&self.sets, &heard.iter().map(|n| id(*n)).collect::<Vec<_>>()) {
                    self.failed.push(kind);
                    return;
                }
                let best = heard.into_iter().max_by_key(|n| self.has[*n]).unwrap();
                assert!(self.has[best] >= self.acknowledged, "promoted with {} of {}", self.has[best], self.acknowledged);
                (self.primary, self.failovers, self.was_lost) = (best, self.failovers + 1, false);
                for node in 0..NODES {
                    // Whoever has more is rewound.
                    self.has[node] = self.has[node].min(self.has[best]);
                }
                self.sets = vec![Self::set_of(best)];
            }
            Intent::Heal(_) if fails => self.failed.push(kind),
            Intent::Heal(_) => self.state[self.primary] = State::Well,
            _ if fails || !self.serves(self.primary) => self.failed.push(kind),
            _ => {
                for node in 0..NODES {
                    if matches!(self.state[node], State::Dead | State::Frozen) {
                        (self.state[node], self.has[node]) = (State::Well, self.has[self.primary]);
                    }
                }
            }
        }
        self.silence = [Silence::default(); NODES];
    }

    fn step(&mut self, calm: bool) {
        self.now += STEP;
        if !calm {
            self.misfortune();
        }
        self.write();
        self.was_lost |= matches!(self.state[self.primary], State::Dead | State::Frozen);
        match self.job {
            Some((intent, end)) if self.now >= end => {
                self.job = None;
                self.act(intent);
            }
            Some(_) => {}
            None => {
                // The monitor is late at times, and knows by how much.
                let seen = self.see(STEP);
                let verdict = decide(&seen);
                self.failed.retain(|kind| !verdict.settled.contains(kind));
                if let Some(intent) = verdict.intent {
                    let healthy = matches!(self.state[self.primary], State::Well | State::Slow);
                    assert!(!healthy || self.was_lost || matches!(intent, Intent::Rejoin(_)), "{intent:?} of a primary that is {:?}", self.state);
                    let takes = Duration::from_millis(self.random.random_range(100..3000));
                    self.job = Some((intent, self.now + takes));
                }
            }
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_and_all_is_well_again_in_the_end() {
    let mut failovers = 0;
    for seed in 0..300 {
        let mut world = World::new(seed);
        for _ in 0..2000 {
            world.step(false);
        }
        for state in &mut world.state {
            if *state == State::Slow {
                *state = State::Well;
            }
        }
        for _ in 0..400 {
            world.step(true);
        }
        assert_eq!(world.state, [State::Well; NODES], "seed {seed}: {:?}, {:?}", world.job, world.failed);
        assert!(world.has[world.primary] >= world.acknowledged, "seed {seed}");
        failovers += world.failovers;
    }
    assert!(failovers > 300, "{failovers} failovers in all: this shows nothing");
}

#[test]
fn load_alone_makes_nobody_fail_over() {
    for seed in 0..50 {
        let mut world = World::new(seed);
        for _ in 0..1200 {
            for node in 0..NODES {
                world.state[node] = if world.random.random_bool(0.9) { State::Slow } else { State::Well };
            }
            let verdict = decide(&world.see(STEP));
            assert_eq!(verdict.intent, None, "seed {seed}");
        }
    }
}
