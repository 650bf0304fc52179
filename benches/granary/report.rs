//! Numbers, and the table they are shown in.

use std::{fmt, time::Duration};

/// Samples of one thing, in order of size.
#[derive(Debug, Clone)]
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    pub(crate) fn new(mut samples: Vec<Duration>) -> Self {
        assert!(!samples.is_empty(), "nothing was measured");
        samples.sort_unstable();
        Self(samples)
    }

    pub(crate) fn median(&self) -> Duration {
        self.0[self.0.len() / 2]
    }

    pub(crate) fn worst(&self) -> Duration {
        self.0[self.0.len() - 1]
    }

    /// The time within which 99 of 100 were done.
    pub(crate) fn p99(&self) -> Duration {
        self.0[(self.0.len() * 99).div_ceil(100) - 1]
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }
}

/// Rows of the table.
#[derive(Debug, Default)]
pub(crate) struct Report(Vec<[String; 5]>);

impl Report {
    /// A row of times; printed at once too, so that a long run is followed.
    pub(crate) fn times(&mut self, what: &str, samples: &Samples, note: &str) {
        self.row(what, &format!("{} (n = {})", ms(samples.median()), samples.count()), &ms(samples.p99()), &ms(samples.worst()), note);
    }

    /// A row with one value.
    pub(crate) fn value(&mut self, what: &str, value: &str, note: &str) {
        self.row(what, value, "", "", note);
    }

    fn row(&mut self, what: &str, value: &str, p99: &str, worst: &str, note: &str) {
        eprintln!("{what}: {value}  worst {worst}  {note}");
        self.0.push([what, value, p99, worst, note].map(str::to_owned));
    }
}

/// What became of an aim.
pub(crate) fn verdict(aim: &str, met: bool) -> String {
    format!("aim: {aim}: {}", if met { "met" } else { "**missed**" })
}

/// Milliseconds.
pub(crate) fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

/// How many times `a` is `b`.
pub(crate) fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n| what | median | p99 | worst | |\n|---|---|---|---|---|")?;
        self.0.iter().try_for_each(|row| writeln!(f, "| {} |", row.join(" | ")))
    }
}
