//! Bad luck on demand: tests have a worker die, or be stopped, before or after a given step.

use super::kind::Step;
use rustix::process::{Signal, getpid, kill_process};
use std::{
    str::FromStr,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

/// The moment around a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// After the step was noted as begun, before its effects.
    Before,
    /// After its effects, before it is noted as done.
    After,
}

/// A moment of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(Moment, Step);

/// Where this process has bad luck; nowhere by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// Where it kills itself.
    pub die: Option<Place>,
    /// Where it stops itself, once, until somebody has it go on.
    pub freeze: Option<Place>,
}

impl Faults {
    /// Ends this process as `kill -9` would, or stops it as Ctrl-Z would, if it was asked to at this moment.
    pub fn pass(self, moment: Moment, step: Step) {
        static FROZEN: AtomicBool = AtomicBool::new(false);
        let here = Some(Place(moment, step));
        if self.die == here {
            tracing::error!(?moment, %step, "dying here, as asked");
            let _ = kill_process(getpid(), Signal::KILL);
        }
        if self.freeze == here && !FROZEN.swap(true, Ordering::Relaxed) {
            tracing::error!(?moment, %step, "stopping here, as asked");
            let _ = kill_process(getpid(), Signal::STOP);
            // Another thread may take the signal: none goes on before all are stopped.
            std::thread::sleep(Duration::from_millis(100));
            tracing::warn!("going on again");
        }
    }
}

impl FromStr for Place {
    type Err = anyhow::Error;

    /// `before:<step>` or `after:<step>`.
    fn from_str(s: &str) -> anyhow::Result<Self> {
        let moment = match s.split_once(':') {
            Some(("before", _)) => Moment::Before,
            Some(("after", _)) => Moment::After,
            _ => anyhow::bail!("a fault is before:<step> or after:<step>, not “{s}”"),
        };
        let step = s.split_once(':').map_or("", |(_, step)| step).parse()?;
        Ok(Self(moment, step))
    }
}
