//! What happened to tasks: the history that people, the UI and mining read.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Problem;

/// What became of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// It began and has not ended within the same event.
    Started,
    /// It ended well.
    Completed,
    /// It ended with an error.
    Faulted,
    /// It was ended from outside: a time-out, a lost race, a cancelled execution.
    Cancelled,
    /// Its `if` did not hold.
    Skipped,
    /// It failed and will be tried again.
    Retrying,
}

/// One change of one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// The JSON pointer of the task in the definition.
    pub task: String,
    /// The task's name.
    pub name: String,
    /// The kind of task: `call`, `set`, …
    pub kind: String,
    /// Names this activation of the task: pointer and number.
    pub path: String,
    /// What became of it.
    pub state: TaskState,
    /// When.
    pub at: Timestamp,
    /// When it began.
    pub started_at: Timestamp,
    /// Whether its beginning was told by a record of an earlier event.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub announced: bool,
    /// Which try of the enclosing `try` this was, from 1.
    pub attempt: u32,
    /// What it gave, when completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Problem>,
}

/// Gives a value as history keeps it: whole, or its size where it is too long.
pub(super) fn excerpt(value: &Value, bytes_max: usize) -> Value {
    match size_up_to(value, bytes_max) {
        Some(_) => value.clone(),
        None => serde_json::json!({ "$truncated": true }),
    }
}

/// Tells whether a value's JSON is within the limit, give or take escapes.
#[must_use]
pub fn fits(value: &Value, bytes_max: usize) -> bool {
    size_up_to(value, bytes_max).is_some()
}

/// Gives about the number of bytes of the value's JSON, unless it is over the limit.
pub(super) fn size_up_to(value: &Value, most: usize) -> Option<usize> {
    let size = match value {
        Value::Null | Value::Bool(_) => 5,
        Value::Number(_) => 8,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => {
            let mut sum = 2;
            for item in items {
                sum += size_up_to(item, most.checked_sub(sum)?)? + 1;
            }
            sum
        }
        Value::Object(entries) => {
            let mut sum = 2;
            for (name, item) in entries {
                sum += name.len() + 4;
                sum += size_up_to(item, most.checked_sub(sum)?)?;
            }
            sum
        }
    };
    (size <= most).then_some(size)
}
