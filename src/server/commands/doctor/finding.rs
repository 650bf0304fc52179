//! What was found, and how it is told.

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Warning,
    Problem,
}

/// One line.
#[derive(Debug, Serialize)]
struct Finding {
    state: State,
    area: &'static str,
    what: String,
    /// What to do; there is always something when it is not ok.
    advice: Option<String>,
}

/// All that was found.
#[derive(Debug, Default)]
pub(super) struct Report(Vec<Finding>);

impl Report {
    /// It is as it should be.
    pub(super) fn ok(&mut self, area: &'static str, what: impl AsRef<str>) {
        self.add(State::Ok, area, what.as_ref(), None);
    }

    /// It works, but will not for ever, or not as well as it could.
    pub(super) fn warning(&mut self, area: &'static str, what: impl AsRef<str>, advice: impl AsRef<str>) {
        self.add(State::Warning, area, what.as_ref(), Some(advice.as_ref()));
    }

    /// Something does not work.
    pub(super) fn problem(&mut self, area: &'static str, what: impl AsRef<str>, advice: impl AsRef<str>) {
        self.add(State::Problem, area, what.as_ref(), Some(advice.as_ref()));
    }

    fn add(&mut self, state: State, area: &'static str, what: &str, advice: Option<&str>) {
        self.0.push(Finding { state, area, what: one_line(what), advice: advice.map(one_line) });
    }

    /// How many findings there are, to see whether a check added any.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether something does not work.
    pub(super) fn has_problems(&self) -> bool {
        self.0.iter().any(|finding| finding.state == State::Problem)
    }

    /// To standard output, a line for each; for programs as JSON.
    pub(super) fn print(&self, json: bool) {
        if json {
            println!("{}", serde_json::json!({ "ok": !self.has_problems(), "findings": self.0 }));
            return;
        }
        for Finding { state, area, what, advice } in &self.0 {
            let word = match state {
                State::Ok => "ok",
                State::Warning => "warning",
                State::Problem => "PROBLEM",
            };
            let advice = advice.as_ref().map(|advice| format!(" → {advice}")).unwrap_or_default();
            println!("{word:<8} {area:<11} {what}{advice}");
        }
    }
}

/// Errors of other programs come in many lines.
fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" | ")
}
