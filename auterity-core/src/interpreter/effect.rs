//! What an execution wants done outside.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::definition::Assignees;

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
    /// Let people answer a human task, or let them again.
    Ask {
        /// The effect's number.
        effect: u64,
        /// What they are asked.
        human_task: Box<HumanTask>,
    },
    /// Let more people answer, and take the task from whoever has claimed it.
    Escalate {
        /// The effect's number.
        effect: u64,
        /// Who may answer too.
        to: Assignees,
    },
    /// Let nobody answer for a while.
    Hold {
        /// The effect's number.
        effect: u64,
    },
    /// Let nobody answer any more; an answer that was given does not count.
    Withdraw {
        /// The effect's number.
        effect: u64,
    },
    /// Append [`Continued`](super::Event::Continued) and go on.
    Continue,
}

/// A task for a person.
#[derive(Debug, Clone, PartialEq)]
pub struct HumanTask {
    /// The JSON pointer of the task in the definition.
    pub task: String,
    /// What is to be decided or done: one line.
    pub title: String,
    /// What one has to know for it.
    pub description: Option<String>,
    /// The JSON Schema of what is to be filled in.
    pub form: Option<Value>,
    /// What the person is shown.
    pub data: Option<Value>,
    /// What may come of it.
    pub outcomes: Vec<String>,
    /// Who may answer; everybody if nobody is named.
    pub assignees: Assignees,
    /// Since when it may be answered.
    pub at: Timestamp,
    /// Until when.
    pub deadline: Option<Timestamp>,
    /// The outcome at the deadline; without one it is a time-out error.
    pub deadline_outcome: Option<String>,
    /// When others may answer too, if that is still to come.
    pub escalate_at: Option<Timestamp>,
    /// Who they are.
    pub escalate_to: Option<Assignees>,
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
