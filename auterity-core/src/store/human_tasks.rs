//! Tasks for people: what a store keeps of them.
//!
//! A human task comes with the journal entry that asks for it and goes with the one that
//! gives it up. What people do with it in between is a change of its own, which counts
//! only on the revision that it was decided on: so of two answers, or of an answer and
//! the deadline, exactly one wins.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{InboxMessage, Page, UnknownStatus};
use crate::definition::WorkflowRef;
use crate::{Error, ExecutionId, HumanTaskId, Scope, TenantId, UserId};

/// Where a human task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HumanTaskState {
    /// Anybody of those whom it is for may take it.
    Open,
    /// Somebody has taken it.
    Claimed,
    /// Its execution is suspended: nobody may answer.
    Held,
    /// Somebody answered.
    Completed,
    /// Nobody answered before its deadline.
    Expired,
    /// Its execution went on without it.
    Withdrawn,
}

impl HumanTaskState {
    /// Every state.
    pub const ALL: [Self; 6] = [
        Self::Open,
        Self::Claimed,
        Self::Held,
        Self::Completed,
        Self::Expired,
        Self::Withdrawn,
    ];

    /// Tells whether somebody may still answer, now or later.
    #[must_use]
    pub fn is_active(self) -> bool {
        matches!(self, Self::Open | Self::Claimed | Self::Held)
    }

    /// Gives the word used in storage and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Claimed => "claimed",
            Self::Held => "held",
            Self::Completed => "completed",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
        }
    }
}

impl fmt::Display for HumanTaskState {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl FromStr for HumanTaskState {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut all = Self::ALL.into_iter();
        all.find(|state| state.as_str() == text)
            .ok_or(UnknownStatus)
    }
}

/// What a journal entry does to one human task of its execution, in this order: asks,
/// escalates, closes.
#[derive(Debug, Clone, PartialEq)]
pub struct HumanTaskChange {
    /// Which one.
    pub id: HumanTaskId,
    /// The effect that asks.
    pub effect: u64,
    /// When.
    pub at: Timestamp,
    /// Opens it, or opens it again with what was not there before; what somebody
    /// answered and what has expired stays as it is.
    pub ask: Option<Box<HumanTaskAsk>>,
    /// Whom it is for from now on, too; whoever has taken it has it no more.
    pub escalate: Vec<String>,
    /// What becomes of it.
    pub close: Option<HumanTaskClose>,
}

impl HumanTaskChange {
    /// Adds a later change to those of an entry, which holds one for each human task.
    pub(crate) fn add_to(changes: &mut Vec<Self>, later: Self) {
        let Some(earlier) = changes.iter_mut().find(|one| one.id == later.id) else {
            changes.push(later);
            return;
        };
        earlier.at = later.at;
        if later.ask.is_some() {
            (earlier.ask, earlier.close) = (later.ask, None);
        }
        earlier.escalate.extend(later.escalate);
        earlier.close = later.close.or(earlier.close);
    }
}

/// How an execution takes a human task away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HumanTaskClose {
    /// For a while.
    Hold,
    /// For good, even if somebody answered meanwhile: the answer does not count.
    Withdraw,
}

/// What people are asked.
#[derive(Debug, Clone, PartialEq)]
pub struct HumanTaskAsk {
    /// The workflow and version.
    pub workflow: WorkflowRef,
    /// The JSON pointer of the task in the definition.
    pub task: String,
    /// What is to be decided or done: one line.
    pub title: String,
    /// Until when.
    pub deadline: Option<Timestamp>,
    /// Whom it is for, as audiences of [`HumanTaskQuery`].
    pub audiences: Vec<String>,
    /// Everything else, as JSON text.
    pub details: Arc<str>,
}

/// A human task as readers see it.
#[derive(Debug, Clone, PartialEq)]
pub struct HumanTaskRow {
    /// Its id.
    pub id: HumanTaskId,
    /// The execution that asks.
    pub execution: ExecutionId,
    /// The effect in it.
    pub effect: u64,
    /// The workflow and version.
    pub workflow: WorkflowRef,
    /// The JSON pointer of the task in the definition.
    pub task: String,
    /// What is to be decided or done: one line.
    pub title: String,
    /// Where it stands.
    pub state: HumanTaskState,
    /// Since when it may be answered.
    pub created_at: Timestamp,
    /// Until when.
    pub deadline: Option<Timestamp>,
    /// Who has taken it.
    pub claimed_by: Option<UserId>,
    /// Who answered.
    pub completed_by: Option<UserId>,
    /// When it was answered, expired or was withdrawn.
    pub closed_at: Option<Timestamp>,
    /// Grows with each change.
    pub revision: u64,
    /// Everything else, as JSON text; absent in lists.
    pub details: Option<Arc<str>>,
    /// What it ended with, as JSON text; absent in lists.
    pub answer: Option<Arc<str>>,
}

/// Something that was done with a human task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HumanTaskNote {
    /// When.
    pub at: Timestamp,
    /// What, as a word: `claimed`, `released`, `delegated`, `escalated`, `completed`,
    /// `expired` or `withdrawn`.
    pub what: String,
    /// Who did it; nobody: the engine.
    pub by: Option<UserId>,
    /// More about it, as JSON text.
    pub details: Option<Arc<str>>,
}

/// A human task with whom it is for and what was done with it.
#[derive(Debug, Clone, PartialEq)]
pub struct HumanTaskWhole {
    /// The task.
    pub row: HumanTaskRow,
    /// Whom it is for; nobody once it is closed.
    pub audiences: Vec<String>,
    /// What was done with it, oldest first.
    pub notes: Vec<HumanTaskNote>,
}

/// What somebody does with a human task.
#[derive(Debug, Clone, PartialEq)]
pub struct HumanTaskUpdate {
    /// Whose it is.
    pub tenant: TenantId,
    /// Which one.
    pub id: HumanTaskId,
    /// The execution that asks.
    pub execution: ExecutionId,
    /// The revision that it was decided on.
    pub revision: u64,
    /// Where it stands from now on.
    pub state: HumanTaskState,
    /// Who has taken it from now on.
    pub claimed_by: Option<UserId>,
    /// Who answered.
    pub completed_by: Option<UserId>,
    /// What it ends with, as JSON text.
    pub answer: Option<Arc<str>>,
    /// Whom it is for from now on, too.
    pub audiences: Vec<String>,
    /// What is noted of it.
    pub note: HumanTaskNote,
    /// The word to the execution.
    pub message: Option<InboxMessage>,
}

/// Selects human tasks.
#[derive(Debug, Clone, Default)]
pub struct HumanTaskQuery {
    /// In one of these states; none: in any.
    pub states: Vec<HumanTaskState>,
    /// For one of these audiences; none: for any. What is closed is for nobody.
    pub audiences: Vec<String>,
    /// Taken by nobody or by this person.
    pub free_for: Option<UserId>,
    /// Taken by this person.
    pub claimed_by: Option<UserId>,
    /// Answered by this person.
    pub completed_by: Option<UserId>,
    /// Of this workflow: namespace and name.
    pub workflow: Option<(String, String)>,
    /// Of this execution.
    pub execution: Option<ExecutionId>,
    /// The time and id before which the page starts.
    pub before: Option<(Timestamp, HumanTaskId)>,
    /// How many at most.
    pub limit: u32,
}

/// How many human tasks wait, up to a bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HumanTaskCounts {
    /// That nobody has taken, of those for the audiences that were asked for.
    pub open: u32,
    /// That this person has taken.
    pub claimed: u32,
}

/// Gives what is noted of an escalation; nothing without one.
pub(super) fn escalated_note(audiences: &[String]) -> Option<Arc<str>> {
    let note = serde_json::json!({ "to": audiences });
    (!audiences.is_empty()).then(|| Arc::from(note.to_string()))
}

/// Keeps human tasks.
#[async_trait]
pub trait HumanTaskStore: Send + Sync + fmt::Debug + 'static {
    /// Fetches one.
    async fn human_task_fetch(
        &self,
        scope: &Scope,
        id: HumanTaskId,
    ) -> Result<Option<HumanTaskWhole>, Error>;

    /// Lists them, newest first, without details and answer.
    async fn human_task_list(
        &self,
        scope: &Scope,
        query: &HumanTaskQuery,
    ) -> Result<Page<HumanTaskRow>, Error>;

    /// Counts those that wait for somebody, each kind up to `most`.
    async fn human_task_count(
        &self,
        scope: &Scope,
        audiences: &[String],
        claimed_by: UserId,
        most: u32,
    ) -> Result<HumanTaskCounts, Error>;

    /// Changes one that is open or claimed, if its revision is still the expected one, and
    /// puts the word to its execution in the same transaction; tells whether it did.
    async fn human_task_update(&self, update: &HumanTaskUpdate) -> Result<bool, Error>;
}
