//! What a page shows of a form that was posted before.

use crate::error::FieldErrors;
use serde::{Deserialize, Serialize};

/// A form post that failed, as its page shows it again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Which form.
    pub form: String,
    /// What was typed, by field.
    pub values: Vec<(String, String)>,
    /// What was wrong, by field.
    pub errors: FieldErrors,
    /// What was wrong with the whole.
    pub message: Option<String>,
}

impl Attempt {
    /// What was typed into a field.
    #[must_use]
    pub fn value(&self, field: &str) -> Option<&str> {
        self.values.iter().find(|(name, _)| name == field).map(|(_, value)| value.as_str())
    }
}
