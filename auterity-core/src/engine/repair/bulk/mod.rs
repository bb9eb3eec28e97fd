//! The same done to many executions: a pinned selection, a look before, progress, and an
//! outcome for each.

mod act;
mod work;

pub(in crate::engine) use work::BulkWorker;

use futures_util::StreamExt as _;
use futures_util::stream;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::engine::handle::Handle;
use crate::engine::progress::to_json;
use crate::store::{BulkItem, BulkItems, BulkRow, BulkState, ExecutionQuery, Filter, Page};
use crate::{BulkId, Error, ErrorKind, ExecutionId, Scope};

/// Executions that one operation is about at most.
pub const BULK_MAX: usize = 100_000;

/// Operations of a tenant that are planned or running at most.
const OPEN_MAX: u32 = 100;

/// Executions that are acted on in a second at most, where a rate is given.
const RATE_MAX: u32 = 10_000;

/// Executions that a plan is tried with.
const CHECKED_MAX: usize = 100;

/// Executions that are tried, or acted on, at once.
const AT_ONCE: usize = 8;

/// Executions that a plan shows.
const SAMPLE: usize = 5;

/// How long a plan may be started.
const PLAN_FOR: SignedDuration = SignedDuration::from_hours(1);

/// Executions read at once while a selection is made, and items in one answer at most.
const PAGE: u32 = 1_000;

/// What is done to each execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BulkAction {
    /// As [`Handle::cancel`].
    Cancel,
    /// As [`Handle::terminate`].
    Terminate,
    /// As [`Handle::suspend`].
    Suspend,
    /// As [`Handle::resume`].
    Resume,
    /// As [`Handle::retry`], with the same input.
    Retry {
        /// The task from which each goes on; absent: the one that failed.
        from_task: Option<String>,
        /// The version to go on with; absent: the present one.
        version: Option<String>,
    },
    /// As [`Handle::migrate`].
    Migrate {
        /// The version.
        version: String,
    },
}

/// Which executions an operation is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Those that a filter means now.
    Filter {
        /// The filter.
        filter: Filter,
        /// Its text, for people.
        text: String,
    },
    /// These.
    Ids(Vec<ExecutionId>),
}

/// What is to be done to many executions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkOrder {
    /// To which.
    pub selection: Selection,
    /// What.
    pub action: BulkAction,
    /// Why, for their histories.
    pub reason: Option<String>,
    /// Executions that are acted on in a second at most; absent: as many as possible.
    pub rate: Option<u32>,
    /// A repeated order with the same key finds the first operation.
    pub idempotency_key: Option<String>,
}

/// An operation, and what a look at its first executions gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkPlan {
    /// The operation, not started.
    pub operation: BulkRow,
    /// Some of the executions, the newest first.
    pub sample: Vec<ExecutionId>,
    /// How many were looked at.
    pub checked: u32,
    /// Those among them that the action does not fit, with the reason.
    pub refused: Vec<(ExecutionId, String)>,
}

impl Handle {
    /// Pins a selection for an action and tries it with the first executions; nothing is
    /// done before [`bulk_start`](Self::bulk_start).
    ///
    /// # Errors
    /// Kind [`Limit`](ErrorKind::Limit) when more than [`BULK_MAX`] executions are meant
    /// or too many operations are planned or running, [`Invalid`](ErrorKind::Invalid) for
    /// a rate of 0 or over 10,000, [`Conflict`](ErrorKind::Conflict) when the idempotency
    /// key belongs to another operation.
    ///
    /// # Cancel safety
    /// A dropped future may leave a plan behind, which is forgotten after an hour.
    pub async fn bulk_plan(&self, scope: &Scope, order: BulkOrder) -> Result<BulkPlan, Error> {
        let operation = self.bulk_pin(scope, order).await?;
        let store = &self.core.ports.store;
        let most = u32::try_from(CHECKED_MAX).unwrap_or(u32::MAX);
        let first = store
            .bulk_items(operation.id, BulkItems::All, 0, most)
            .await?;
        let ids: Vec<ExecutionId> = first.iter().map(|item| item.execution).collect();
        let action = &read_action(&operation)?;
        let checks: Vec<_> = stream::iter(ids.clone())
            .map(|id| async move { (id, self.fits(scope, id, action).await) })
            .buffered(AT_ONCE)
            .collect()
            .await;
        let mut refused = Vec::new();
        for (id, check) in checks {
            if let Some(reason) = check? {
                refused.push((id, reason));
            }
        }
        Ok(BulkPlan {
            operation,
            sample: ids.iter().take(SAMPLE).copied().collect(),
            checked: u32::try_from(ids.len()).unwrap_or(u32::MAX),
            refused,
        })
    }

    /// Pins a selection for an action.
    async fn bulk_pin(&self, scope: &Scope, order: BulkOrder) -> Result<BulkRow, Error> {
        if order
            .rate
            .is_some_and(|rate| !(1..=RATE_MAX).contains(&rate))
        {
            let message = format!("the rate must be between 1 and {RATE_MAX} a second");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let (now, store) = (self.core.now(), &self.core.ports.store);
        let id = match &order.idempotency_key {
            Some(key) => BulkId::derived(scope.tenant(), key),
            None => BulkId::generate(now, &*self.core.ports.entropy),
        };
        let action = to_json(&order.action)?;
        if let Some(found) = store.bulk_fetch(scope, id).await? {
            let filter = match &order.selection {
                Selection::Filter { text, .. } => Some(text),
                Selection::Ids(_) => None,
            };
            if found.action == action && found.filter.as_ref() == filter {
                return Ok(found);
            }
            let message = "the idempotency key belongs to another operation; take a new one";
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        let asked = self.order(scope, order.reason)?;
        let (filter, ids) = match order.selection {
            Selection::Filter { filter, text } => {
                (Some(text), self.bulk_select(scope, filter).await?)
            }
            Selection::Ids(ids) => (None, distinct(ids)),
        };
        if BULK_MAX < ids.len() {
            return Err(too_many());
        }
        let row = BulkRow {
            id,
            tenant: scope.tenant(),
            action,
            by: asked.by,
            reason: asked.reason,
            filter,
            rate: order.rate,
            state: BulkState::Planned,
            total: u32::try_from(ids.len()).unwrap_or(u32::MAX),
            done: 0,
            refused: 0,
            created_at: now,
            ended_at: None,
        };
        if !store.bulk_put(&row, &ids, OPEN_MAX).await? {
            let message = format!(
                "{OPEN_MAX} operations are planned or running; stop one, or wait for an end"
            );
            return Err(Error::new(ErrorKind::Limit, message));
        }
        Ok(row)
    }

    /// Starts a planned operation; workers do the rest. Harmless when it was started
    /// already.
    ///
    /// # Errors
    /// Kind [`NotFound`](ErrorKind::NotFound) without such an operation,
    /// [`Conflict`](ErrorKind::Conflict) when its plan is too old or it was stopped.
    pub async fn bulk_start(&self, scope: &Scope, id: BulkId) -> Result<BulkRow, Error> {
        let row = self.bulk(scope, id).await?;
        let now = self.core.now();
        let conflict = |message: &str| Err(Error::new(ErrorKind::Conflict, message));
        match row.state {
            BulkState::Running | BulkState::Done => return Ok(row),
            BulkState::Stopped => return conflict("the operation was stopped; plan it anew"),
            BulkState::Planned if PLAN_FOR < now.duration_since(row.created_at) => {
                return conflict("the plan is older than an hour; plan it anew");
            }
            BulkState::Planned => {}
        }
        let turn = (BulkState::Planned, BulkState::Running);
        let store = &self.core.ports.store;
        store.bulk_turn(scope, id, turn, now).await?;
        self.core.bulk.notify_one();
        self.bulk(scope, id).await
    }

    /// Stops an operation; what it has done stays. Harmless when it has ended.
    ///
    /// # Errors
    /// Kind [`NotFound`](ErrorKind::NotFound) without such an operation.
    pub async fn bulk_stop(&self, scope: &Scope, id: BulkId) -> Result<BulkRow, Error> {
        let now = self.core.now();
        for from in [BulkState::Planned, BulkState::Running] {
            let turn = (from, BulkState::Stopped);
            let store = &self.core.ports.store;
            store.bulk_turn(scope, id, turn, now).await?;
        }
        self.bulk(scope, id).await
    }

    /// Fetches an operation with its progress.
    ///
    /// # Errors
    /// Kind [`NotFound`](ErrorKind::NotFound) without such an operation.
    pub async fn bulk(&self, scope: &Scope, id: BulkId) -> Result<BulkRow, Error> {
        let found = self.core.ports.store.bulk_fetch(scope, id).await?;
        found.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "there is no such operation").with("operation", id)
        })
    }

    /// Lists operations, the newest first, before the given place.
    ///
    /// # Errors
    /// What the store says.
    pub async fn bulks(
        &self,
        scope: &Scope,
        before: Option<(Timestamp, BulkId)>,
        limit: u32,
    ) -> Result<Page<BulkRow>, Error> {
        let store = &self.core.ports.store;
        store.bulk_list(scope, before, limit.clamp(1, PAGE)).await
    }

    /// Lists an operation's executions with their outcomes, after a place; 1,000 at most.
    ///
    /// # Errors
    /// Kind [`NotFound`](ErrorKind::NotFound) without such an operation.
    pub async fn bulk_items(
        &self,
        scope: &Scope,
        id: BulkId,
        which: BulkItems,
        (after, limit): (u32, u32),
    ) -> Result<Vec<BulkItem>, Error> {
        self.bulk(scope, id).await?;
        let store = &self.core.ports.store;
        store
            .bulk_items(id, which, after, limit.clamp(1, PAGE))
            .await
    }

    /// Finds what a filter means now, the newest first.
    async fn bulk_select(&self, scope: &Scope, filter: Filter) -> Result<Vec<ExecutionId>, Error> {
        let mut query = ExecutionQuery {
            filter,
            before: None,
            limit: PAGE,
        };
        let mut ids = Vec::new();
        loop {
            let page = self.executions(scope, &query).await?;
            ids.extend(page.items.iter().map(|row| row.id));
            if BULK_MAX < ids.len() {
                return Err(too_many());
            }
            query.before = page.items.last().map(|row| (row.started_at, row.id));
            if !page.more {
                return Ok(ids);
            }
        }
    }
}

fn read_action(operation: &BulkRow) -> Result<BulkAction, Error> {
    serde_json::from_str(&operation.action).map_err(|error| {
        let message = "the action of a bulk operation cannot be read";
        Error::new(ErrorKind::Corrupt, message).with_source(error)
    })
}

/// Leaves out what was there before.
fn distinct(ids: Vec<ExecutionId>) -> Vec<ExecutionId> {
    let mut seen = std::collections::HashSet::new();
    ids.into_iter().filter(|id| seen.insert(*id)).collect()
}

fn too_many() -> Error {
    let message = format!("more than {BULK_MAX} executions are meant; narrow the selection");
    Error::new(ErrorKind::Limit, message)
}
