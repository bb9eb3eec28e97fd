//! Bulk operations.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;

use super::{MemoryStore, page};
use crate::store::{
    BulkItem, BulkItems, BulkNext, BulkOutcome, BulkRow, BulkState, BulkStore, Page,
};
use crate::{BulkId, Error, ExecutionId, Scope, TenantId, WorkerId};

/// Every operation.
#[derive(Debug, Default)]
pub(super) struct Bulk(BTreeMap<BulkId, Operation>);

#[derive(Debug)]
struct Operation {
    row: BulkRow,
    items: Vec<BulkItem>,
    owner: Option<(WorkerId, Timestamp)>,
}

#[async_trait]
impl BulkStore for MemoryStore {
    async fn bulk_put(
        &self,
        row: &BulkRow,
        executions: &[ExecutionId],
        most: u32,
    ) -> Result<bool, Error> {
        let operations = &mut self.state().bulk.0;
        if operations.contains_key(&row.id) {
            return Ok(true);
        }
        let open = |one: &&Operation| {
            one.row.tenant == row.tenant
                && matches!(one.row.state, BulkState::Planned | BulkState::Running)
        };
        if most as usize <= operations.values().filter(open).count() {
            return Ok(false);
        }
        let items = executions.iter().zip(1..).map(|(id, place)| BulkItem {
            place,
            execution: *id,
            outcome: None,
            detail: None,
        });
        let operation = Operation {
            row: row.clone(),
            items: items.collect(),
            owner: None,
        };
        operations.insert(row.id, operation);
        Ok(true)
    }

    async fn bulk_fetch(&self, scope: &Scope, id: BulkId) -> Result<Option<BulkRow>, Error> {
        let mut state = self.state();
        let found = state.bulk.own(scope.tenant(), id);
        Ok(found.map(|operation| operation.row()))
    }

    async fn bulk_list(
        &self,
        scope: &Scope,
        before: Option<(Timestamp, BulkId)>,
        limit: u32,
    ) -> Result<Page<BulkRow>, Error> {
        let state = self.state();
        let mine = state.bulk.0.values().filter(|one| {
            let place = (one.row.created_at, one.row.id);
            one.row.tenant == scope.tenant() && before.is_none_or(|before| place < before)
        });
        let mut rows: Vec<BulkRow> = mine.map(Operation::row).collect();
        rows.sort_by_key(|row| std::cmp::Reverse((row.created_at, row.id)));
        Ok(page(rows.into_iter(), limit))
    }

    async fn bulk_turn(
        &self,
        scope: &Scope,
        id: BulkId,
        (from, to): (BulkState, BulkState),
        now: Timestamp,
    ) -> Result<bool, Error> {
        let mut state = self.state();
        let found = state.bulk.own(scope.tenant(), id);
        let Some(operation) = found.filter(|one| one.row.state == from) else {
            return Ok(false);
        };
        operation.row.state = to;
        if to == BulkState::Stopped {
            operation.row.ended_at = Some(now);
        }
        Ok(true)
    }

    async fn bulk_claim(
        &self,
        worker: WorkerId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<BulkRow>, Error> {
        let mut state = self.state();
        let free = |one: &&mut Operation| {
            let left = one.owner.is_none_or(|(_, until)| until < now);
            left && one.row.state == BulkState::Running
        };
        let operations = state.bulk.0.values_mut().filter(free);
        let oldest = operations.min_by_key(|one| (one.row.created_at, one.row.id));
        Ok(oldest.map(|operation| {
            operation.owner = Some((worker, until));
            operation.row()
        }))
    }

    async fn bulk_items(
        &self,
        id: BulkId,
        which: BulkItems,
        after: u32,
        limit: u32,
    ) -> Result<Vec<BulkItem>, Error> {
        let state = self.state();
        let items = state.bulk.0.get(&id).map(|one| one.items.as_slice());
        let wanted = items.unwrap_or_default().iter().filter(|item| {
            let meant = match which {
                BulkItems::All => true,
                BulkItems::Open => item.outcome.is_none(),
                BulkItems::With(outcome) => item.outcome == Some(outcome),
            };
            meant && after < item.place
        });
        Ok(wanted.take(limit as usize).cloned().collect())
    }

    async fn bulk_note(
        &self,
        id: BulkId,
        worker: WorkerId,
        items: &[BulkItem],
        next: BulkNext,
    ) -> Result<bool, Error> {
        let mut state = self.state();
        let Some(operation) = state.bulk.0.get_mut(&id) else {
            return Ok(false);
        };
        for item in items {
            let mut kept = operation.items.iter_mut();
            if let Some(kept) = kept.find(|kept| kept.place == item.place) {
                kept.clone_from(item);
            }
        }
        let ours = operation.owner.is_some_and(|(owner, _)| owner == worker);
        if !ours || operation.row.state != BulkState::Running {
            return Ok(false);
        }
        match next {
            BulkNext::Keep(until) => operation.owner = Some((worker, until)),
            BulkNext::Release => operation.owner = None,
            BulkNext::End(at) => {
                operation.row.state = BulkState::Done;
                operation.row.ended_at = Some(at);
            }
        }
        Ok(true)
    }

    async fn bulk_forget(&self, planned: Timestamp, ended: Timestamp) -> Result<(), Error> {
        self.state().bulk.0.retain(|_, one| match one.row.state {
            BulkState::Planned => planned <= one.row.created_at,
            BulkState::Running => true,
            BulkState::Done | BulkState::Stopped => one.row.ended_at.is_none_or(|at| ended <= at),
        });
        Ok(())
    }
}

impl Bulk {
    fn own(&mut self, tenant: TenantId, id: BulkId) -> Option<&mut Operation> {
        let found = self.0.get_mut(&id);
        found.filter(|operation| operation.row.tenant == tenant)
    }
}

impl Operation {
    /// Gives the row with its counts.
    fn row(&self) -> BulkRow {
        let count = |outcome| {
            let items = self.items.iter();
            let count = items.filter(|item| item.outcome == Some(outcome)).count();
            u32::try_from(count).unwrap_or(u32::MAX)
        };
        BulkRow {
            done: count(BulkOutcome::Done),
            refused: count(BulkOutcome::Refused),
            ..self.row.clone()
        }
    }
}
