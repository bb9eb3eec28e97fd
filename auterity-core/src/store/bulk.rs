//! Operations on many executions: what is to be done, to which, and what became of each.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;

use super::Page;
use crate::{Actor, BulkId, Error, ExecutionId, Scope, TenantId, WorkerId};

/// How far a bulk operation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkState {
    /// Its executions are pinned; nothing is done yet.
    Planned,
    /// A worker works it off.
    Running,
    /// Every execution has an outcome.
    Done,
    /// Somebody stopped it.
    Stopped,
}

/// What became of one execution of a bulk operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkOutcome {
    /// The action was done.
    Done,
    /// The action did not fit the execution.
    Refused,
}

/// A bulk operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkRow {
    /// Its id.
    pub id: BulkId,
    /// Whose it is.
    pub tenant: TenantId,
    /// What is done to each execution, as JSON text.
    pub action: Arc<str>,
    /// Who asked for it.
    pub by: Actor,
    /// Why, if they said so.
    pub reason: Option<String>,
    /// The filter that made the selection, if one did.
    pub filter: Option<String>,
    /// Executions that are acted on in a second at most; absent: as many as possible.
    pub rate: Option<u32>,
    /// How far it has come.
    pub state: BulkState,
    /// How many executions it is about.
    pub total: u32,
    /// For how many the action was done.
    pub done: u32,
    /// For how many it did not fit.
    pub refused: u32,
    /// When it was planned.
    pub created_at: Timestamp,
    /// When it was done or stopped.
    pub ended_at: Option<Timestamp>,
}

/// One execution of a bulk operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkItem {
    /// Its place, from 1.
    pub place: u32,
    /// Which execution.
    pub execution: ExecutionId,
    /// What became of it; absent: nothing yet.
    pub outcome: Option<BulkOutcome>,
    /// Why the action did not fit.
    pub detail: Option<String>,
}

/// Which of an operation's executions are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkItems {
    /// All.
    All,
    /// Those without an outcome.
    Open,
    /// Those with this outcome.
    With(BulkOutcome),
}

/// How a worker goes on with an operation that it has claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkNext {
    /// It stays the worker's until then.
    Keep(Timestamp),
    /// Another one may claim it.
    Release,
    /// Every execution has an outcome, since then.
    End(Timestamp),
}

/// Keeps bulk operations.
#[async_trait]
pub trait BulkStore: Send + Sync + fmt::Debug + 'static {
    /// Adds a planned operation with its executions, in order, unless the tenant has
    /// `most` that are planned or running; tells whether it is there. Harmless when
    /// repeated. Nobody sees it before all its executions are there.
    async fn bulk_put(
        &self,
        row: &BulkRow,
        executions: &[ExecutionId],
        most: u32,
    ) -> Result<bool, Error>;

    /// Fetches an operation with its progress.
    async fn bulk_fetch(&self, scope: &Scope, id: BulkId) -> Result<Option<BulkRow>, Error>;

    /// Lists a tenant's operations that were planned before one, the newest first.
    async fn bulk_list(
        &self,
        scope: &Scope,
        before: Option<(Timestamp, BulkId)>,
        limit: u32,
    ) -> Result<Page<BulkRow>, Error>;

    /// Turns an operation from one state to another; tells whether it was in the first.
    async fn bulk_turn(
        &self,
        scope: &Scope,
        id: BulkId,
        turn: (BulkState, BulkState),
        now: Timestamp,
    ) -> Result<bool, Error>;

    /// Hands the oldest running operation that no worker has to this one, until the
    /// given time.
    async fn bulk_claim(
        &self,
        worker: WorkerId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<BulkRow>, Error>;

    /// Lists executions of an operation after a place, in order.
    async fn bulk_items(
        &self,
        id: BulkId,
        which: BulkItems,
        after: u32,
        limit: u32,
    ) -> Result<Vec<BulkItem>, Error>;

    /// Notes outcomes, and how the worker goes on. Tells whether the operation is still
    /// the worker's, and running.
    async fn bulk_note(
        &self,
        id: BulkId,
        worker: WorkerId,
        items: &[BulkItem],
        next: BulkNext,
    ) -> Result<bool, Error>;

    /// Removes operations that were planned before the first time and never started,
    /// and those that ended before the second.
    async fn bulk_forget(&self, planned: Timestamp, ended: Timestamp) -> Result<(), Error>;
}

impl BulkState {
    /// Gives the word used in storage and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Running => "running",
            Self::Done => "done",
            Self::Stopped => "stopped",
        }
    }

    /// Reads the word used in storage.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        let all = [Self::Planned, Self::Running, Self::Done, Self::Stopped];
        all.into_iter().find(|state| state.as_str() == word)
    }
}

impl BulkOutcome {
    /// Gives the word used in storage and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
        }
    }

    /// Reads the word used in storage.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        let all = [Self::Done, Self::Refused];
        all.into_iter().find(|outcome| outcome.as_str() == word)
    }
}
