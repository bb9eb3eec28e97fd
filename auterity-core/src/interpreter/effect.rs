//! What an execution wants done outside.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Something to do after the event that asked for it is committed.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Perform the effect with this number; [`request`](super::request) tells what it is.
    Perform {
        /// The effect's number in its execution.
        effect: u64,
    },
    /// Watch for `CloudEvent`s.
    Listen {
        /// The effect's number.
        effect: u64,
        /// What it wants: an event that passes any of them.
        filters: Vec<Filter>,
    },
    /// Stop watching.
    Unlisten {
        /// The effect's number.
        effect: u64,
    },
    /// Stop the effect if possible; its result is not wanted any more.
    Abandon {
        /// The effect's number.
        effect: u64,
        /// What becomes of it if it is a child execution.
        child: Option<ParentClose>,
    },
    /// Append [`Continued`](super::Event::Continued) and go on.
    Continue,
}

/// What becomes of an awaited child execution when its parent stops waiting for it:
/// `metadata.parent_close` of the task that started it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ParentClose {
    /// It is cancelled, and compensates.
    #[default]
    Cancel,
    /// It is ended at once.
    Terminate,
    /// It goes on by itself.
    Abandon,
}

impl ParentClose {
    /// Reads the policy of a task; anything else than the three words means `cancel`.
    pub(super) fn of(task: &Value) -> Self {
        match task
            .pointer("/metadata/parent_close")
            .and_then(Value::as_str)
        {
            Some("terminate") => Self::Terminate,
            Some("abandon") => Self::Abandon,
            _ => Self::Cancel,
        }
    }
}

/// A filter whose parts that depend on the execution are resolved.
///
/// It lets a publisher decide without loading the execution. What depends on
/// earlier events is left to the execution itself, so a match here is a candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Filter {
    /// Attributes that must equal a value.
    pub with: Vec<(String, Value)>,
    /// Values that must be found in the event.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub correlate: Vec<FilterCorrelation>,
}

impl Filter {
    /// Gives the event type, if the filter names one.
    #[must_use]
    pub fn event_type(&self) -> Option<&str> {
        self.with
            .iter()
            .find(|(name, _)| name == "type")
            .and_then(|(_, value)| value.as_str())
    }
}

/// A correlation with a known expectation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FilterCorrelation {
    /// The expression, applied to the event.
    pub from: String,
    /// What it must give.
    pub expect: Value,
}
