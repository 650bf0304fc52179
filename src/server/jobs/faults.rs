//! Deaths on demand: tests have a worker die before or after a given step.

use super::kind::Step;
use std::str::FromStr;

/// The moment around a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// After the step was noted as begun, before its effects.
    Before,
    /// After its effects, before it is noted as done.
    After,
}

/// Where this process kills itself; nowhere by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults(Option<(Moment, Step)>);

impl Faults {
    /// Ends this process as `kill -9` would, if it was asked to at this moment.
    pub fn pass(self, moment: Moment, step: Step) {
        if self.0 == Some((moment, step)) {
            tracing::error!(?moment, %step, "dying here, as asked");
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
    }
}

impl FromStr for Faults {
    type Err = anyhow::Error;

    /// `before:<step>` or `after:<step>`.
    fn from_str(s: &str) -> anyhow::Result<Self> {
        let moment = match s.split_once(':') {
            Some(("before", _)) => Moment::Before,
            Some(("after", _)) => Moment::After,
            _ => anyhow::bail!("a fault is before:<step> or after:<step>, not “{s}”"),
        };
        let step = s.split_once(':').map_or("", |(_, step)| step).parse()?;
        Ok(Self(Some((moment, step))))
    }
}
