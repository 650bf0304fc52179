//! Chaos: a datastore with replicas is killed, frozen, starved and damaged at random while somebody writes to it. No acknowledged write
//! is ever lost, there are never two primaries, and Granary brings everything back by itself.
//!
//! What happens follows from a seed: the same seed is the same blows with the same pauses in the same order. What the servers make of
//! it is theirs, so a failure may need its seed more than once.

#[path = "chaos/arena.rs"]
mod arena;
#[path = "chaos/checker.rs"]
mod checker;
#[path = "chaos/clock.rs"]
pub(crate) mod clock;
#[path = "chaos/events.rs"]
mod events;
#[path = "chaos/network.rs"]
mod network;
#[path = "chaos/processes.rs"]
mod processes;
#[path = "chaos/writer.rs"]
mod writer;

use super::Home;
use arena::Arena;
use events::Event;
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use std::time::Instant;

/// Each of these once, in this order: what `make test` has time for.
const SHORT: [Event; 8] = [
    Event::KillPrimary,
    Event::FreezeReplica,
    Event::SwitchoverAndGranary,
    Event::KillEverything,
    Event::FreezePrimary,
    Event::ChangeAndGranary,
    Event::Unwatched,
    Event::FailoverAndReplica,
];

/// Rounds of `make chaos` where nobody says how many.
const ROUNDS: usize = 40;

/// What is not done here, and why.
fn skipped() -> Vec<&'static str> {
    let network = (!network::is_own()).then_some("nodes are not cut off: that needs a network namespace of our own, which root may make");
    let clock = (!clock::can_jump()).then_some("the clock does not jump: that needs Debian's libfaketime");
    network.into_iter().chain(clock).collect()
}

/// What was seen over a whole scenario.
#[derive(Debug, Default)]
struct Counts {
    acknowledged: usize,
    lost: Vec<i64>,
    doubles: Vec<String>,
    decisions: usize,
}

/// So many rounds against one datastore. `of` gives the event of a round.
async fn scenario(topology: &str, seed: u64, rounds: usize, of: impl Fn(usize) -> Event) -> Counts {
    let home = Home::new();
    let mut arena = Arena::new(&home, topology).await;
    let begun = Instant::now();
    for round in 0..rounds {
        let event = of(round);
        // Of this round alone: what an earlier one drew changes nothing.
        let mut luck = StdRng::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(round as u64));
        println!("{:6.1} s  {topology} {:>3}/{rounds}  {event:?}", begun.elapsed().as_secs_f64(), round + 1);
        arena.writer.begin();
        let blow = Instant::now();
        event.strike(&mut arena, &mut luck).await;
        arena.until_well().await;
        let (all, pause) = (arena.writer.acknowledged(), arena.writer.longest());
        println!("            well after {:.1} s, longest pause {:.1} s, {all} acknowledged", blow.elapsed().as_secs_f64(), pause.as_secs_f64());
        let doubles = arena.checker.doubles();
        assert!(doubles.is_empty(), "two primaries at once: {doubles:#?}");
    }
    let looks = arena.checker.looks();
    assert!(looks > 100 * rounds, "only {looks} looks: nobody would have seen two primaries");
    let counts = arena.end().await;
    println!(
        "{topology}, seed {seed}, {rounds} rounds, {looks} looks at who takes writes: {} acknowledged, {} lost, {} double primaries, {} times somebody \
         was asked to decide and nobody had to",
        counts.acknowledged,
        counts.lost.len(),
        counts.doubles.len(),
        counts.decisions
    );
    counts
}

fn judge(counts: &Counts) {
    assert!(counts.acknowledged > 500, "{} rows say little", counts.acknowledged);
    assert!(counts.lost.is_empty(), "acknowledged and lost: {:?}", counts.lost);
    assert!(counts.doubles.is_empty(), "two primaries at once: {:#?}", counts.doubles);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_write_is_lost_and_there_is_one_primary_whatever_happens() {
    let seed = 1;
    judge(&scenario("two-replicas", seed, SHORT.len(), |round| SHORT[round]).await);
}

/// A setting of the run.
fn setting(name: &str) -> Option<String> {
    std::env::vars().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value)
}

/// `make chaos`: every event, again and again, in an order and with pauses that follow from the seed; then a datastore with one replica.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes many minutes: `make chaos`"]
async fn the_long_form() {
    let seed = setting("CHAOS_SEED").map_or_else(|| u64::from(rand::random::<u16>()), |seed| seed.parse().unwrap());
    let rounds = setting("CHAOS_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    println!("to replay: make chaos SEED={seed} ROUNDS={rounds}");
    for what in skipped() {
        println!("skipped: {what}");
    }
    let order = |topology: u64| {
        move |round: usize| {
            // Every event once before any comes again.
            let mut deck = Event::ALL;
            let turn = (round / deck.len()) as u64;
            deck.shuffle(&mut StdRng::seed_from_u64(seed ^ topology << 32 ^ turn << 40));
            deck[round % deck.len()]
        }
    };
    judge(&scenario("two-replicas", seed, rounds, order(2)).await);
    judge(&scenario("one-replica", seed, rounds.div_ceil(4), order(1)).await);
}
