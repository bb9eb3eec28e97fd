//! The variables that an expression sees.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

/// Holds variables by name, and the time that `now` gives.
///
/// A variable that nobody set is null. Values are shared, so that building this
/// for each evaluation costs little.
#[derive(Debug, Clone, Default)]
pub struct Variables {
    /// In order of setting; the last of a name counts.
    entries: Vec<(String, Arc<Value>)>,
    now: Timestamp,
}

impl Variables {
    /// Makes an empty set whose `now` is the given time.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self {
            entries: Vec::new(),
            now,
        }
    }

    /// Sets a variable, over an earlier one of the same name; the name has no `$`.
    pub fn set(&mut self, name: &str, value: Arc<Value>) -> &mut Self {
        self.entries.push((name.to_owned(), value));
        self
    }

    /// Gives a variable's value, if it was set.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        let mut latest_first = self.entries.iter().rev();
        let (_, value) = latest_first.find(|(known, _)| known == name)?;
        Some(value)
    }

    /// Gives the time that `now` gives.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }
}
