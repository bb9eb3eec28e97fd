//! What the calls about operations on many executions answer with.

use auterity_core::engine::{BulkAction, BulkPlan};
use auterity_core::store::{BulkItem, BulkOutcome, BulkRow, BulkState};
use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

use crate::error::Problem;
use crate::payload::Time;

/// What is done to each execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub(super) enum BulkActionName {
    /// Asks it to end, after it has undone what its definition says.
    Cancel,
    /// Ends it at once.
    Terminate,
    /// Stops it for a while.
    Suspend,
    /// Lets it go on.
    Resume,
    /// Lets it go on from an earlier task.
    Retry,
    /// Carries it over to another version.
    Migrate,
}

/// How far an operation has come.
#[derive(Debug, Clone, Copy, Serialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub(super) enum BulkOperationState {
    /// Its executions are pinned; nothing is done yet.
    Planned,
    /// It is under way.
    Running,
    /// Every execution has an outcome.
    Done,
    /// Somebody stopped it.
    Stopped,
}

/// What became of one execution.
#[derive(Debug, Clone, Copy, Serialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub(super) enum BulkVerdict {
    /// The action was done.
    Done,
    /// The action did not fit.
    Refused,
}

/// An operation on many executions.
#[derive(Debug, Serialize, Object)]
pub(super) struct BulkOperation {
    /// The id.
    id: String,
    /// How far it has come.
    state: BulkOperationState,
    /// What is done to each execution.
    action: BulkActionName,
    /// With `retry`: the task to go on from; null: the one that failed.
    from_task: Option<String>,
    /// With `retry` and `migrate`: the version to go on with.
    version: Option<String>,
    /// The filter that made the selection, if one did.
    filter: Option<String>,
    /// Who asked for it: a user, or `host`.
    by: String,
    /// Why.
    reason: Option<String>,
    /// Executions that are acted on in a second at most.
    rate: Option<u32>,
    /// How many executions it is about.
    total: u32,
    /// For how many the action was done.
    done: u32,
    /// For how many it did not fit.
    refused: u32,
    /// When it was planned.
    created_at: Time,
    /// When it was done or stopped.
    ended_at: Option<Time>,
}

/// A page of operations.
#[derive(Debug, Serialize, Object)]
pub(super) struct BulkOperationPage {
    /// The newest first.
    pub(super) items: Vec<BulkOperation>,
    /// Leads to the next page; null on the last.
    pub(super) next_cursor: Option<String>,
}

/// One execution that the action does not fit.
#[derive(Debug, Serialize, Object)]
struct Misfit {
    /// The execution.
    id: String,
    /// Why.
    reason: String,
}

/// A planned operation, and what a look at its first executions gave.
#[derive(Debug, Serialize, Object)]
pub(super) struct BulkPreview {
    /// The operation.
    pub(super) operation: BulkOperation,
    /// Some of the executions, the newest first.
    sample: Vec<String>,
    /// How many were looked at.
    checked: u32,
    /// Those among them that the action does not fit.
    refused: Vec<Misfit>,
}

/// An execution of an operation.
#[derive(Debug, Serialize, Object)]
pub(super) struct BulkEntry {
    /// The execution.
    id: String,
    /// What became of it; null: nothing yet.
    outcome: Option<BulkVerdict>,
    /// Why the action did not fit.
    detail: Option<String>,
}

/// A page of an operation's executions.
#[derive(Debug, Serialize, Object)]
pub(super) struct BulkItemPage {
    /// In the order in which they are acted on.
    pub(super) items: Vec<BulkEntry>,
    /// Leads to the next page; null on the last.
    pub(super) next_cursor: Option<String>,
}

impl BulkOperation {
    pub(super) fn of(row: &BulkRow) -> Result<Self, Problem> {
        let action = serde_json::from_str(&row.action).map_err(Problem::internal)?;
        let (action, from_task, version) = match action {
            BulkAction::Cancel => (BulkActionName::Cancel, None, None),
            BulkAction::Terminate => (BulkActionName::Terminate, None, None),
            BulkAction::Suspend => (BulkActionName::Suspend, None, None),
            BulkAction::Resume => (BulkActionName::Resume, None, None),
            BulkAction::Retry { from_task, version } => (BulkActionName::Retry, from_task, version),
            BulkAction::Migrate { version } => (BulkActionName::Migrate, None, Some(version)),
        };
        Ok(Self {
            id: row.id.to_string(),
            state: row.state.into(),
            action,
            from_task,
            version,
            filter: row.filter.clone(),
            by: row.by.to_string(),
            reason: row.reason.clone(),
            rate: row.rate,
            total: row.total,
            done: row.done,
            refused: row.refused,
            created_at: Time(row.created_at),
            ended_at: row.ended_at.map(Time),
        })
    }

    pub(super) fn action(&self) -> BulkActionName {
        self.action
    }
}

impl BulkPreview {
    pub(super) fn of(plan: BulkPlan) -> Result<Self, Problem> {
        let refused = plan.refused.into_iter().map(|(id, reason)| Misfit {
            id: id.to_string(),
            reason,
        });
        Ok(Self {
            operation: BulkOperation::of(&plan.operation)?,
            sample: plan.sample.iter().map(ToString::to_string).collect(),
            checked: plan.checked,
            refused: refused.collect(),
        })
    }
}

impl From<BulkState> for BulkOperationState {
    fn from(state: BulkState) -> Self {
        match state {
            BulkState::Planned => Self::Planned,
            BulkState::Running => Self::Running,
            BulkState::Done => Self::Done,
            BulkState::Stopped => Self::Stopped,
        }
    }
}

impl From<&BulkItem> for BulkEntry {
    fn from(item: &BulkItem) -> Self {
        Self {
            id: item.execution.to_string(),
            outcome: item.outcome.map(|outcome| match outcome {
                BulkOutcome::Done => BulkVerdict::Done,
                BulkOutcome::Refused => BulkVerdict::Refused,
            }),
            detail: item.detail.clone(),
        }
    }
}
