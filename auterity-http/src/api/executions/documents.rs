//! What the calls about executions answer with.

use std::collections::BTreeMap;
use std::sync::Arc;

use auterity_core::engine::{ExecutionView, Handle, order_of};
use auterity_core::store::{EventRow, ExecutionRow};
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
    /// `pending`, `running`, `waiting`, `suspended`, `completed`, `faulted`, `cancelled`.
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
    /// `pending`, `running`, `waiting`, `suspended`, `completed`, `faulted`, `cancelled`.
    status: String,
    /// When it was started.
    started_at: Time,
    /// When it ended.
    ended_at: Option<Time>,
    /// How long it took, once it has ended.
    duration_ms: Option<i64>,
    /// What it waits for, when it does.
    waiting_for: Option<String>,
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
    /// Who asked for it, if somebody did: a user, an execution, or `host`.
    by: Option<String>,
    /// Why they asked.
    reason: Option<String>,
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
        let ExecutionView { row, current_tasks } = view;
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
            waiting_for,
            input: Raw::from_text(row.input.as_deref().unwrap_or("null"))?,
            output: raw(&row.output)?,
            error: raw(&row.error)?,
            current_tasks,
            attributes: row.attributes,
            parent: row.parent.map(|parent| parent.to_string()),
        })
    }
}

impl Event {
    pub(super) fn of(row: &EventRow) -> Result<Self, Problem> {
        let order = order_of(row);
        Ok(Self {
            sequence: row.sequence,
            at: Time(row.at),
            kind: row.kind.to_owned(),
            by: order.as_ref().map(|order| order.by.to_string()),
            reason: order.and_then(|order| order.reason),
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
