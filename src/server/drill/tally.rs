//! What a probe saw, counted. Pure: times are given.

use crate::model::drill::Outcome;
use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

/// How long a sample lasts at first; twice as long as often as there would be too many.
const SAMPLE: Duration = Duration::from_millis(100);
/// Most samples of a drill.
const MOST_SAMPLES: u128 = 300;
/// Without an acknowledged write for so long, writing is not steady.
const GAP: Duration = Duration::from_millis(500);

/// The count of a probe.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Each write that was acknowledged, and when.
    acknowledged: Vec<(i64, Instant)>,
    /// Sessions that were opened.
    sessions: u32,
    /// When the first of the writes was acknowledged since which none failed.
    steady: Option<Instant>,
    /// Why the last attempt failed.
    trouble: Option<String>,
}

impl Tally {
    /// A session was opened.
    pub(super) fn connected(&mut self) {
        self.sessions += 1;
    }

    /// A write was acknowledged.
    pub(super) fn acknowledged(&mut self, number: i64, at: Instant) {
        let late = self.acknowledged.last().is_some_and(|(_, last)| at.duration_since(*last) > GAP);
        if late || self.steady.is_none() {
            self.steady = Some(at);
        }
        self.acknowledged.push((number, at));
    }

    /// An attempt to connect or to write failed.
    pub(super) fn failed(&mut self, why: String) {
        self.steady = None;
        self.trouble = Some(why);
    }

    /// Since when writes are acknowledged one after another; `None` while they are not.
    pub(super) fn steady_since(&self, now: Instant) -> Option<Instant> {
        let (_, last) = self.acknowledged.last()?;
        self.steady.filter(|_| now.duration_since(*last) <= GAP)
    }

    /// Why the last attempt that failed did.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// What came of it until `end`; `there` is what was read again. `None` when no write was ever acknowledged.
    pub(super) fn outcome(&self, struck: Option<Instant>, end: Instant, there: Option<&HashSet<i64>>) -> Option<Outcome> {
        let begun = self.acknowledged.first()?.1;
        let since = |at: Instant| at.saturating_duration_since(begun);
        let ends = self.acknowledged.iter().skip(1).map(|(_, at)| *at).chain([end]);
        let gaps = self.acknowledged.iter().zip(ends).map(|((_, from), to)| (to.saturating_duration_since(*from), since(*from)));
        let (pause, pause_at) = gaps.max_by_key(|(gap, _)| *gap).unwrap_or_default();
        let (sample, samples) = self.samples(begun, since(end));
        Some(Outcome {
            acknowledged: self.acknowledged.len() as u64,
            lost: there.map(|there| self.acknowledged.iter().filter(|(number, _)| !there.contains(number)).count() as u64),
            reconnects: self.sessions.saturating_sub(1),
            pause_ms: millis(pause),
            pause_at_ms: millis(pause_at),
            struck_at_ms: struck.map(|at| millis(since(at))),
            sample_ms: u32::try_from(sample.as_millis()).unwrap_or(u32::MAX),
            samples,
        })
    }

    fn samples(&self, begun: Instant, all: Duration) -> (Duration, Vec<u32>) {
        let mut sample = SAMPLE;
        while all.as_nanos() / sample.as_nanos() >= MOST_SAMPLES {
            sample *= 2;
        }
        let place = |time: Duration| usize::try_from(time.as_nanos() / sample.as_nanos()).unwrap_or_default();
        let mut samples = vec![0; place(all) + 1];
        for (_, at) in &self.acknowledged {
            if let Some(count) = samples.get_mut(place(at.saturating_duration_since(begun))) {
                *count += 1;
            }
        }
        (sample, samples)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_pause_the_lost_rows_and_the_samples_are_counted() {
        let begun = Instant::now();
        let at = |ms| begun + Duration::from_millis(ms);
        let mut tally = Tally::default();
        assert_eq!(tally.outcome(None, at(0), None), None, "without a write there is nothing to tell");
        tally.connected();
        for (number, ms) in [(1, 0), (2, 20), (3, 40)] {
            tally.acknowledged(number, at(ms));
        }
        assert_eq!(tally.steady_since(at(60)), Some(at(0)));
        assert_eq!(tally.steady_since(at(600)), None, "silence is not steady");
        tally.failed("cut".to_owned());
        assert_eq!((tally.steady_since(at(60)), tally.trouble()), (None, Some("cut")));
        tally.connected();
        tally.acknowledged(7, at(1240));
        assert_eq!(tally.steady_since(at(1300)), Some(at(1240)));
        let there = HashSet::from([1, 3, 4, 7]);
        let outcome = tally.outcome(Some(at(50)), at(1250), Some(&there)).unwrap();
        assert_eq!((outcome.acknowledged, outcome.lost, outcome.reconnects), (4, Some(1), 1), "number 2 is gone; 4 was never acknowledged");
        assert_eq!((outcome.pause_ms, outcome.pause_at_ms, outcome.struck_at_ms), (1200, 40, Some(50)));
        assert_eq!((outcome.sample_ms, outcome.samples.len(), outcome.samples[0], outcome.samples[12]), (100, 13, 3, 1));
        // Had it ended without another write, the time until then counts.
        assert_eq!(tally.outcome(None, at(9240), None).unwrap().pause_ms, 8000);
    }

    #[test]
    fn a_late_write_begins_steadiness_anew() {
        let begun = Instant::now();
        let mut tally = Tally::default();
        tally.acknowledged(1, begun);
        tally.acknowledged(2, begun + GAP * 2);
        assert_eq!(tally.steady_since(begun + GAP * 2), Some(begun + GAP * 2));
    }

    #[test]
    fn there_are_never_more_than_some_hundred_samples() {
        let begun = Instant::now();
        let mut tally = Tally::default();
        tally.acknowledged(1, begun);
        for seconds in [0, 29, 30, 31, 150] {
            let end = begun + Duration::from_secs(seconds);
            let outcome = tally.outcome(None, end, None).unwrap();
            assert!(outcome.samples.len() <= 300, "{seconds} s: {}", outcome.samples.len());
            assert_eq!(outcome.samples.iter().sum::<u32>(), 1);
            let covered = outcome.samples.len() as u64 * u64::from(outcome.sample_ms);
            assert!(covered >= seconds * 1000, "{seconds} s: {covered} ms");
        }
    }
}
