//! What the calls about executions answer with.

use std::collections::BTreeMap;

use auterity_core::engine::{ExecutionView, Handle, order_of, tasks_of};
use auterity_core::store::{self, EventRow, ExecutionRow, Status};
use auterity_core::{ExecutionId, Scope};
use poem_openapi::{Enum, Object};
use serde::Serialize;

use crate::error::Problem;
use crate::payload::{Raw, RawAs, Time};

/// Where an execution stands.
#[derive(Debug, Clone, Copy, Serialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub(in crate::api) enum ExecutionStatus {
    /// It is in the queue: any worker may take it now.
    Pending,
    /// A worker has it.
    Running,
    /// It waits for a time, an event or a child.
    Waiting,
    /// It is held until somebody resumes it.
    Suspended,
    /// It ended well.
    Completed,
    /// It ended with an error.
    Faulted,
    /// It was ended by request.
    Cancelled,
}

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
    /// Where it stands.
    status: ExecutionStatus,
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
    /// Where it stands.
    status: ExecutionStatus,
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
    error: Option<RawAs<TaskError>>,
    /// The signature of that error: `fault:` and this in a filter means all executions
    /// that failed so.
    fault: Option<String>,
    /// The JSON pointers of the tasks at work.
    current_tasks: Vec<String>,
    /// How far functions at work have come, in their own words.
    progress: Vec<TaskProgress>,
    /// Searchable names and values.
    attributes: BTreeMap<String, String>,
    /// Higher comes first when executions have to queue.
    priority: i32,
    /// The execution that started this one.
    parent: Option<String>,
}

/// What a function at work said of itself last.
#[derive(Debug, Serialize, Object)]
struct TaskProgress {
    /// The JSON pointer of the task.
    task: String,
    /// When it said so.
    at: Time,
    /// What it said: any JSON.
    details: Raw,
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
    /// Who asked for it, if somebody did: a user, an execution, or `host`.
    by: Option<String>,
    /// Why they asked.
    reason: Option<String>,
    /// The changes of tasks that followed, in order.
    tasks: RawAs<Vec<TaskRecord>>,
}

// What follows is written by the engine, and described here for the OpenAPI document.

/// One change of one task.
#[derive(Debug, Object)]
struct TaskRecord {
    /// The JSON pointer of the task in the definition.
    task: String,
    /// The task's name.
    name: String,
    /// The kind of task: `call`, `set`, …
    kind: String,
    /// Names this activation of the task: unique for each iteration and branch.
    path: String,
    /// What became of it.
    state: TaskState,
    /// When.
    at: Time,
    /// When it began.
    started_at: Time,
    /// Which try of the enclosing `try` this was, from 1.
    attempt: u32,
    /// What it gave, when completed; `{"$truncated": true}` in place of what is long.
    output: Option<Raw>,
    /// Why it failed.
    error: Option<TaskError>,
}

/// What becomes of a task.
#[derive(Debug, Enum)]
#[oai(rename_all = "snake_case")]
enum TaskState {
    /// It began.
    Started,
    /// It ended well.
    Completed,
    /// It ended with an error.
    Faulted,
    /// It was ended by request, or by the end of a race.
    Cancelled,
    /// Its condition did not hold.
    Skipped,
    /// It failed and will be tried again.
    Retrying,
}

/// An error as the standard describes it (RFC 9457).
#[derive(Debug, Object)]
pub(super) struct TaskError {
    /// A URI that names the class of failure.
    #[oai(rename = "type")]
    kind: String,
    /// The status, as HTTP counts.
    status: u16,
    /// The class of failure in a few words.
    title: Option<String>,
    /// What failed.
    detail: Option<String>,
    /// The JSON pointer of the task.
    instance: Option<String>,
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
            progress,
            queued,
        } = view;
        let progress: Result<_, Problem> = progress.iter().map(TaskProgress::of).collect();
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
        let error = row.error.as_deref().map(RawAs::from_text).transpose()?;
        let output = row.output.as_deref().map(Raw::from_text).transpose()?;
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
            output,
            error,
            fault: row.fault().map(|fault| fault.to_string()),
            current_tasks,
            progress: progress?,
            attributes: row.attributes,
            priority: row.priority,
            parent: row.parent.map(|parent| parent.to_string()),
        })
    }
}

impl TaskProgress {
    fn of(said: &store::TaskProgress) -> Result<Self, Problem> {
        Ok(Self {
            task: said.task.clone(),
            at: Time(said.at),
            details: Raw::from_text(&said.details)?,
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
        let order = order_of(row);
        Ok(Self {
            sequence: row.sequence,
            at: Time(row.at),
            kind: row.kind.to_owned(),
            by: order.as_ref().map(|order| order.by.to_string()),
            reason: order.and_then(|order| order.reason),
            tasks: RawAs::of(&tasks_of(row)?)?,
        })
    }
}

impl From<Status> for ExecutionStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Pending => Self::Pending,
            Status::Running => Self::Running,
            Status::Waiting => Self::Waiting,
            Status::Suspended => Self::Suspended,
            Status::Completed => Self::Completed,
            Status::Faulted => Self::Faulted,
            Status::Cancelled => Self::Cancelled,
        }
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
            status: row.status.into(),
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
