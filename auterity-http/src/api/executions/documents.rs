//! What the calls about executions answer with.

use std::collections::BTreeMap;
use std::sync::Arc;

use auterity_core::engine::{ExecutionView, Handle};
use auterity_core::store::{self, EventRow, ExecutionRow};
use auterity_core::{ExecutionId, Scope};
use poem_openapi::Object;
use serde::Serialize;

use crate::error::Problem;
use crate::payload::{Raw, Time};

/// Names a workflow and its version.
#[derive(Debug, Serialize, Object)]
pub(in crate::api) struct WorkflowName {
    /// Groups workflows.
    namespace: String,
    /// Unique in the namespace.
    name: String,
    /// The version that the execution is pinned to.
    version: String,
}

/// An execution in a list.
#[derive(Debug, Serialize, Object)]
pub(in crate::api) struct ExecutionSummary {
    /// The id.
    id: String,
    /// What is executed.
    workflow: WorkflowName,
    /// `pending`, `running`, `waiting`, `completed`, `faulted`, `cancelled`.
    status: String,
    /// When it was started.
    started_at: Time,
    /// When it ended.
    ended_at: Option<Time>,
    /// How long it took, once it has ended.
    duration_ms: Option<i64>,
    /// What it waits for, when it does.
    waiting_for: Option<String>,
}

/// An execution.
#[derive(Debug, Serialize, Object)]
pub(super) struct Execution {
    /// The id.
    id: String,
    /// What is executed.
    workflow: WorkflowName,
    /// `pending`, `running`, `waiting`, `completed`, `faulted`, `cancelled`.
    status: String,
    /// When it was started.
    started_at: Time,
    /// When it ended.
    ended_at: Option<Time>,
    /// How long it took, once it has ended.
    duration_ms: Option<i64>,
    /// What it waits for, when it does.
    waiting_for: Option<String>,
    /// What keeps it from beginning or going on, while it is pending.
    queued: Option<Queued>,
    /// The raw input.
    input: Raw,
    /// The output, once completed.
    output: Option<Raw>,
    /// The error object, once faulted.
    error: Option<Raw>,
    /// The JSON pointers of the tasks at work.
    current_tasks: Vec<String>,
    /// Searchable names and values.
    attributes: BTreeMap<String, String>,
    /// The execution that started this one.
    parent: Option<String>,
}

/// What keeps a pending execution.
#[derive(Debug, Serialize, Object)]
struct Queued {
    /// The limit that holds it; null: it waits for its tenant's turn and a worker.
    limit: Option<String>,
    /// The value of the limit's key.
    key: Option<String>,
    /// How many come before it there, counted up to 10,000.
    ahead: u32,
    /// How many executions the limit allows at work.
    max: Option<u32>,
    /// How many are at work under it.
    in_use: Option<u32>,
    /// When it may go on at the earliest, as far as time alone says.
    not_before: Option<Time>,
}

/// A page of executions.
#[derive(Debug, Serialize, Object)]
pub(super) struct ExecutionPage {
    /// The newest first.
    pub(super) items: Vec<ExecutionSummary>,
    /// Leads to the next page; null on the last.
    pub(super) next_cursor: Option<String>,
}

/// One row of an execution's history.
#[derive(Debug, Serialize, Object)]
pub(super) struct Event {
    /// Its place, from 1 without gaps.
    sequence: u64,
    /// When it happened.
    at: Time,
    /// What happened.
    kind: String,
    /// The changes of tasks that followed, in order.
    tasks: Raw,
}

/// A page of history.
#[derive(Debug, Serialize, Object)]
pub(super) struct EventPage {
    /// In order.
    pub(super) items: Vec<Event>,
    /// Leads to what follows; null at the end.
    pub(super) next_cursor: Option<String>,
}

impl Execution {
    /// Reads an execution of the tenant.
    pub(super) async fn fetch(
        engine: &Handle,
        scope: &Scope,
        id: ExecutionId,
    ) -> Result<Self, Problem> {
        let found = engine.execution(scope, id).await?;
        Self::of(found.ok_or_else(Problem::not_found)?)
    }

    /// Tells whether it has come to its end.
    pub(super) fn has_ended(&self) -> bool {
        self.ended_at.is_some()
    }

    fn of(view: ExecutionView) -> Result<Self, Problem> {
        let ExecutionView {
            row,
            current_tasks,
            queued,
        } = view;
        let queued = queued.map(Queued::of);
        let ExecutionSummary {
            id,
            workflow,
            status,
            started_at,
            ended_at,
            duration_ms,
            waiting_for,
        } = ExecutionSummary::from(&row);
        let raw = |text: &Option<Arc<str>>| text.as_deref().map(Raw::from_text).transpose();
        Ok(Self {
            id,
            workflow,
            status,
            started_at,
            ended_at,
            duration_ms,
            waiting_for: waiting_for.or_else(|| queued.as_ref().map(Queued::words)),
            queued,
            input: Raw::from_text(row.input.as_deref().unwrap_or("null"))?,
            output: raw(&row.output)?,
            error: raw(&row.error)?,
            current_tasks,
            attributes: row.attributes,
            parent: row.parent.map(|parent| parent.to_string()),
        })
    }
}

impl Queued {
    fn of(queued: store::Queued) -> Self {
        let limited = queued.rule.is_some();
        Self {
            limit: queued.rule,
            key: Some(queued.value).filter(|value| !value.is_empty()),
            ahead: queued.ahead,
            max: queued.concurrency,
            in_use: limited.then_some(queued.in_use),
            not_before: queued.not_before.map(Time),
        }
    }

    /// The same in a few words for people.
    fn words(&self) -> String {
        match &self.limit {
            Some(limit) => format!("the limit {limit}, {} before it", self.ahead),
            None => format!("a worker, {} of its tenant before it", self.ahead),
        }
    }
}

impl Event {
    pub(super) fn of(row: &EventRow) -> Result<Self, Problem> {
        Ok(Self {
            sequence: row.sequence,
            at: Time(row.at),
            kind: row.kind.to_owned(),
            tasks: Raw::from_text(&row.records)?,
        })
    }
}

impl From<&ExecutionRow> for ExecutionSummary {
    fn from(row: &ExecutionRow) -> Self {
        Self {
            id: row.id.to_string(),
            workflow: WorkflowName {
                namespace: row.workflow.namespace.clone(),
                name: row.workflow.name.clone(),
                version: row.workflow.version.clone(),
            },
            status: row.status.as_str().to_owned(),
            started_at: Time(row.started_at),
            ended_at: row.ended_at.map(Time),
            duration_ms: duration_ms(row),
            waiting_for: row.waiting_for.clone(),
        }
    }
}

/// Gives how long an execution took, once it has ended.
pub(in crate::api) fn duration_ms(row: &ExecutionRow) -> Option<i64> {
    let took = row.ended_at?.duration_since(row.started_at);
    i64::try_from(took.as_millis()).ok()
}
