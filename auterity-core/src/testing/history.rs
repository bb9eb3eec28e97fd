//! What an execution did, and assertions on it.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::engine::tasks_of;
use crate::interpreter::{TaskRecord, TaskState};
use crate::store::{EventRow, ExecutionRow, Status};

/// An execution with its whole journal.
///
/// Assertions panic with what they expected and the history as a table. They give the
/// history back, so that they can be chained.
#[derive(Debug, Clone)]
pub struct History {
    row: ExecutionRow,
    events: Vec<(EventRow, Vec<TaskRecord>)>,
}

impl History {
    /// Puts a history together from an execution and its events.
    ///
    /// # Panics
    /// When the records of an event cannot be read.
    #[must_use]
    pub fn new(row: ExecutionRow, events: Vec<EventRow>) -> Self {
        let events = events.into_iter().map(|event| {
            let records = tasks_of(&event).expect("records are what the interpreter wrote");
            (event, records)
        });
        Self {
            row,
            events: events.collect(),
        }
    }

    /// Gives the execution.
    #[must_use]
    pub fn row(&self) -> &ExecutionRow {
        &self.row
    }

    /// Gives the journal's rows.
    pub fn events(&self) -> impl Iterator<Item = &EventRow> {
        self.events.iter().map(|(event, _)| event)
    }

    /// Gives every change of every task, in order.
    pub fn records(&self) -> impl Iterator<Item = &TaskRecord> {
        self.events.iter().flat_map(|(_, records)| records)
    }

    /// Gives the output; null when there is none.
    ///
    /// # Panics
    /// When the output is not JSON.
    #[must_use]
    pub fn output(&self) -> Value {
        read(self.row.output.as_deref())
    }

    /// Gives the error; null when there is none.
    ///
    /// # Panics
    /// When the error is not JSON.
    #[must_use]
    pub fn error(&self) -> Value {
        read(self.row.error.as_deref())
    }

    /// Asserts that the execution completed.
    ///
    /// # Panics
    /// When it did not.
    pub fn assert_completed(&self) -> &Self {
        self.assert_status(Status::Completed)
    }

    /// Asserts that the execution ended with an error of this status code.
    ///
    /// # Panics
    /// When it did not.
    pub fn assert_faulted(&self, status: u16) -> &Self {
        self.assert_status(Status::Faulted);
        let found = self.error()["status"].clone();
        let message = format!("expected an error with status {status}");
        self.require(found == status, &message)
    }

    /// Asserts where the execution stands.
    ///
    /// # Panics
    /// When it stands elsewhere.
    pub fn assert_status(&self, status: Status) -> &Self {
        let message = format!("expected the execution to be {status}");
        self.require(self.row.status == status, &message)
    }

    /// Asserts the output.
    ///
    /// # Panics
    /// When it is another.
    pub fn assert_output(&self, output: &Value) -> &Self {
        let message = format!("expected the output {output}");
        self.require(self.output() == *output, &message)
    }

    /// Asserts that these tasks completed, in this order; others may lie between.
    ///
    /// # Panics
    /// When one is missing or out of order.
    pub fn assert_order(&self, names: &[&str]) -> &Self {
        let mut completed = self
            .records()
            .filter(|record| record.state == TaskState::Completed)
            .map(|record| record.name.as_str());
        for name in names {
            let message = format!("expected {} to complete in this order", names.join(", "));
            self.require(completed.any(|found| found == *name), &message);
        }
        self
    }

    /// Selects the task of a name, in all its activations.
    #[must_use]
    pub fn task<'a>(&'a self, name: &'a str) -> TaskHistory<'a> {
        TaskHistory {
            history: self,
            name,
        }
    }

    fn require(&self, holds: bool, message: &str) -> &Self {
        assert!(holds, "{message}\n{self}");
        self
    }
}

fn read(text: Option<&str>) -> Value {
    text.map_or(Value::Null, |text| {
        serde_json::from_str(text).expect("the engine writes JSON")
    })
}

/// A task of a [`History`], in all its activations.
#[derive(Debug, Clone, Copy)]
pub struct TaskHistory<'a> {
    history: &'a History,
    name: &'a str,
}

impl<'a> TaskHistory<'a> {
    /// Gives the task's changes, in order.
    pub fn records(&self) -> impl Iterator<Item = &'a TaskRecord> + use<'a> {
        let name = self.name;
        self.history
            .records()
            .filter(move |record| record.name == name)
    }

    /// Asserts how often the task completed.
    ///
    /// # Panics
    /// When it was another number of times.
    #[expect(clippy::return_self_not_must_use, reason = "it is for chaining only")]
    pub fn assert_completed(self, times: usize) -> Self {
        self.assert_count(TaskState::Completed, times)
    }

    /// Asserts how often the task ended with an error.
    ///
    /// # Panics
    /// When it was another number of times.
    #[expect(clippy::return_self_not_must_use, reason = "it is for chaining only")]
    pub fn assert_faulted(self, times: usize) -> Self {
        self.assert_count(TaskState::Faulted, times)
    }

    /// Asserts that the task was never reached.
    ///
    /// # Panics
    /// When it was.
    #[expect(clippy::return_self_not_must_use, reason = "it is for chaining only")]
    pub fn assert_never(self) -> Self {
        let message = format!("expected the task {} never to be reached", self.name);
        self.history
            .require(self.records().next().is_none(), &message);
        self
    }

    /// Asserts how often the task came to a state.
    ///
    /// # Panics
    /// When it was another number of times.
    #[expect(clippy::return_self_not_must_use, reason = "it is for chaining only")]
    pub fn assert_count(self, state: TaskState, times: usize) -> Self {
        let found = self.records().filter(|record| record.state == state);
        let found = found.count();
        let name = self.name;
        let message = format!("expected the task {name} {state:?} {times} times, not {found}");
        self.history.require(found == times, &message);
        self
    }

    /// Asserts what the task gave when it last completed.
    ///
    /// # Panics
    /// When it gave something else, or did not complete.
    #[expect(clippy::return_self_not_must_use, reason = "it is for chaining only")]
    pub fn assert_output(self, output: &Value) -> Self {
        let completed = self
            .records()
            .filter(|record| record.state == TaskState::Completed);
        let given = completed.last().and_then(|record| record.output.as_ref());
        let message = format!("expected the task {} to give {output}", self.name);
        self.history.require(given == Some(output), &message);
        self
    }

    /// Gives how long the task took in its last activation that ended.
    #[must_use]
    pub fn took(&self) -> Option<SignedDuration> {
        let ended = |record: &&TaskRecord| record.state != TaskState::Started;
        let last = self.records().filter(ended).last()?;
        Some(last.at.duration_since(last.started_at))
    }
}

impl fmt::Display for History {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = &self.row;
        let workflow = &row.workflow;
        write!(
            out,
            "{} of {}/{} ",
            row.id, workflow.namespace, workflow.name
        )?;
        write!(out, "{}: {}", workflow.version, row.status)?;
        if let Some(waiting_for) = &row.waiting_for {
            write!(out, ", waiting for {waiting_for}")?;
        }
        for (word, text) in [("output", &row.output), ("error", &row.error)] {
            if let Some(text) = text {
                write!(out, "\n  {word} {text}")?;
            }
        }
        for (event, records) in &self.events {
            let since = since(row.started_at, event.at);
            write!(out, "\n  {:>4} {since:>9} {}", event.sequence, event.kind)?;
            for record in records {
                write_record(out, record)?;
            }
        }
        writeln!(out)
    }
}

fn write_record(out: &mut fmt::Formatter<'_>, record: &TaskRecord) -> fmt::Result {
    let state = format!("{:?}", record.state).to_lowercase();
    write!(out, "\n{:>20} {state:<9} {}", record.kind, record.path)?;
    if 1 < record.attempt {
        write!(out, " attempt {}", record.attempt)?;
    }
    if let Some(output) = &record.output {
        write!(out, " gave {output}")?;
    }
    if let Some(error) = &record.error {
        let detail = error.detail.as_deref().unwrap_or_default();
        write!(out, " failed with {}: {detail}", error.status)?;
    }
    Ok(())
}

fn since(start: Timestamp, at: Timestamp) -> String {
    format!("+{:.3}s", at.duration_since(start).as_secs_f64())
}
