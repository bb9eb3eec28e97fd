//! The store in memory: for tests, and for hosts whose work need not outlast them.

mod bulk;
mod faults;
mod flow;
mod human_tasks;
mod retention;
mod schedules;
mod state;
mod task_progress;
mod transaction;

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;

use self::state::{Definition, State};
pub(super) use self::transaction::MemoryTransaction;
use crate::definition::{ProgramHash, WorkflowRef};
use crate::store::precedence::precedence;
use crate::store::{
    Amend, Amended, AtGate, Beat, Claim, ClaimRequest, ConnectionSource, Control, Correlated,
    DefinitionPut, DefinitionQuery, DefinitionRow, DefinitionSummary, DefinitionVersion, Entry,
    EventRow, ExecutionLabel, ExecutionQuery, ExecutionRow, FaultGroups, Fence, Filter, FlowPut,
    FlowRow, InboxMessage, Loaded, Outcome, Pace, Page, Queued, Store, Subscription, Survey,
    Transaction, check,
};
use crate::{Error, ExecutionId, Scope, TenantId, WorkerId};

/// Keeps everything in memory; nothing outlasts it. Leases run by the times that
/// workers give.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
    /// Held by the one transaction that is open.
    transaction: Arc<tokio::sync::Mutex<()>>,
    wake: Notify,
    /// Those who wait to be woken now.
    listeners: AtomicUsize,
}

/// One who waits to be woken.
struct Listener<'s>(&'s AtomicUsize);

impl<'s> Listener<'s> {
    fn new(count: &'s AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Listener<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl MemoryStore {
    /// Makes an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives the earliest time at which something parked becomes due.
    #[cfg(feature = "testing")]
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.state().next_due()
    }

    /// Wakes all engines on this store; tells whether any was waiting for that.
    pub(crate) fn ring(&self) -> bool {
        self.wake.notify_waiters();
        0 < self.listeners.load(Ordering::Relaxed)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl ConnectionSource for MemoryStore {
    async fn begin(&self, _scope: &Scope) -> Result<Transaction, Error> {
        let alone = Arc::clone(&self.transaction).lock_owned().await;
        let session = MemoryTransaction::new(Arc::clone(&self.state), alone);
        Ok(Transaction::memory(session))
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn migrate(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn definition_put(
        &self,
        scope: &Scope,
        row: DefinitionRow,
    ) -> Result<DefinitionPut, Error> {
        check::definition(&row)?;
        let workflow = &row.workflow;
        let key = (
            scope.tenant(),
            workflow.namespace.clone(),
            workflow.name.clone(),
        );
        let mut state = self.state();
        let versions = state.definitions.entry(key).or_default();
        for kept in versions.iter() {
            if !kept.deleted && kept.row.workflow.version == workflow.version {
                return Ok(if kept.row.hash == row.hash {
                    DefinitionPut::Same
                } else {
                    DefinitionPut::Conflict
                });
            }
        }
        versions.retain(|kept| kept.row.hash != row.hash || kept.row.workflow != row.workflow);
        versions.push(Definition {
            row,
            deleted: false,
        });
        Ok(DefinitionPut::Created)
    }

    async fn definition_fetch(
        &self,
        scope: &Scope,
        namespace: &str,
        name: &str,
        version: Option<&str>,
    ) -> Result<Option<DefinitionRow>, Error> {
        let state = self.state();
        let mut rows = live(&state, scope, namespace, name);
        let found = match version {
            Some(version) => rows.into_iter().find(|row| row.workflow.version == version),
            None => rows.pop(),
        };
        Ok(found.cloned())
    }

    async fn definition_fetch_pinned(
        &self,
        tenant: TenantId,
        hash: ProgramHash,
    ) -> Result<Option<DefinitionRow>, Error> {
        let state = self.state();
        let mut all = state
            .definitions
            .iter()
            .filter(|((owner, _, _), _)| *owner == tenant)
            .flat_map(|(_, versions)| versions);
        let found = all.find(|kept| kept.row.hash == hash);
        Ok(found.map(|kept| kept.row.clone()))
    }

    async fn definition_list(
        &self,
        scope: &Scope,
        query: &DefinitionQuery,
    ) -> Result<Page<DefinitionSummary>, Error> {
        let wanted = query.text.as_deref().map(str::to_lowercase);
        let state = self.state();
        let mut found = Vec::new();
        for (tenant, namespace, name) in state.definitions.keys() {
            let after = query.after.as_ref();
            let comes_after = after.is_none_or(|(space, last)| (space, last) < (namespace, name));
            if *tenant != scope.tenant() || !comes_after {
                continue;
            }
            let Some(row) = live(&state, scope, namespace, name).pop() else {
                continue;
            };
            let title = row.title.as_deref().unwrap_or_default();
            let matches = wanted.as_ref().is_none_or(|wanted| {
                [namespace, name, title]
                    .iter()
                    .any(|text| text.to_lowercase().contains(wanted))
            });
            if matches {
                found.push(DefinitionSummary {
                    workflow: row.workflow.clone(),
                    title: row.title.clone(),
                    summary: row.summary.clone(),
                    created_at: row.created_at,
                });
            }
        }
        Ok(page(found.into_iter(), query.limit))
    }

    async fn definition_versions(
        &self,
        scope: &Scope,
        namespace: &str,
        name: &str,
    ) -> Result<Vec<DefinitionVersion>, Error> {
        let state = self.state();
        let rows = live(&state, scope, namespace, name);
        let versions = rows.into_iter().rev().map(|row| DefinitionVersion {
            version: row.workflow.version.clone(),
            hash: row.hash,
            created_at: row.created_at,
        });
        Ok(versions.collect())
    }

    async fn definition_delete(
        &self,
        scope: &Scope,
        namespace: &str,
        name: &str,
    ) -> Result<bool, Error> {
        let key = (scope.tenant(), namespace.to_owned(), name.to_owned());
        let mut state = self.state();
        let versions = state.definitions.get_mut(&key);
        let mut any = false;
        for kept in versions.into_iter().flatten() {
            any |= !kept.deleted;
            kept.deleted = true;
        }
        Ok(any)
    }

    async fn worker_register(
        &self,
        name: &str,
        id: WorkerId,
        now: Timestamp,
        lease: SignedDuration,
    ) -> Result<Fence, Error> {
        Ok(self.state().register(name, id, now, lease))
    }

    async fn worker_beat(&self, fence: &Fence, request: ClaimRequest) -> Result<Beat, Error> {
        self.state().beat(fence, request)
    }

    async fn worker_claims(&self, fence: &Fence) -> Result<Vec<Claim>, Error> {
        Ok(self.state().claims(fence.worker))
    }

    async fn worker_release(&self, fence: &Fence) -> Result<(), Error> {
        self.state().release(fence);
        Ok(())
    }

    async fn journal_append(
        &self,
        fence: Option<&Fence>,
        entries: &[Entry],
    ) -> Result<Vec<Outcome>, Error> {
        self.state().append(fence, entries)
    }

    async fn execution_load(&self, ids: &[ExecutionId]) -> Result<Vec<Loaded>, Error> {
        let state = self.state();
        Ok(ids.iter().filter_map(|id| state.load(*id)).collect())
    }

    async fn inbox_put(&self, messages: &[InboxMessage]) -> Result<(), Error> {
        let mut state = self.state();
        for message in messages {
            state.deliver(message);
        }
        Ok(())
    }

    async fn control_put(&self, message: &InboxMessage, control: Control) -> Result<bool, Error> {
        Ok(self.state().control(message, control))
    }

    async fn execution_amend(&self, amend: &Amend) -> Result<Amended, Error> {
        check::amend(amend)?;
        Ok(self.state().amend(amend))
    }

    async fn execution_label(&self, label: &ExecutionLabel) -> Result<(), Error> {
        let mut state = self.state();
        let found = state.executions.get_mut(&label.execution);
        if let Some(execution) = found.filter(|one| one.tenant == label.tenant) {
            execution.start.workflow = label.workflow.clone();
            execution.start.program = label.program;
        }
        Ok(())
    }

    async fn inbox_fetch(&self, ids: &[ExecutionId]) -> Result<Vec<InboxMessage>, Error> {
        let state = self.state();
        Ok(ids.iter().flat_map(|id| state.inbox(*id)).collect())
    }

    async fn subscription_match(
        &self,
        tenant: TenantId,
        event_type: &str,
    ) -> Result<Vec<Subscription>, Error> {
        let state = self.state();
        let mut kinds = HashSet::new();
        let mut found: Vec<_> = state
            .subscriptions(tenant)
            .filter(|one| match check::event_type_key(one) {
                None => true,
                Some(wanted) if wanted != event_type => false,
                Some(_) => one.correlation.is_none_or(|key| kinds.insert(key.by)),
            })
            .cloned()
            .collect();
        found.extend(state.schedules.subscriptions(tenant, event_type));
        Ok(found)
    }

    async fn subscription_correlated(
        &self,
        tenant: TenantId,
        event_type: &str,
        wanted: &[Correlated],
    ) -> Result<Vec<Subscription>, Error> {
        let state = self.state();
        let all = state.subscriptions(tenant);
        let of_type = all.filter(|one| check::event_type_key(one) == Some(event_type));
        let found = of_type.filter(|one| {
            one.correlation.is_some_and(|key| {
                let mut wanted = wanted.iter();
                wanted.any(|one| one.by == key.by && one.to.is_none_or(|to| to == key.to))
            })
        });
        Ok(found.cloned().collect())
    }

    async fn execution_fetch(
        &self,
        scope: &Scope,
        id: ExecutionId,
    ) -> Result<Option<ExecutionRow>, Error> {
        let state = self.state();
        let found = state.executions.get(&id);
        let own = found.filter(|execution| execution.tenant == scope.tenant());
        Ok(own.map(|execution| execution.row(id, true)))
    }

    async fn execution_keyed(
        &self,
        scope: &Scope,
        key: &str,
    ) -> Result<Option<ExecutionId>, Error> {
        Ok(self.state().keyed(scope.tenant(), key))
    }

    async fn execution_list(
        &self,
        scope: &Scope,
        query: &ExecutionQuery,
    ) -> Result<Page<ExecutionRow>, Error> {
        let state = self.state();
        let found = newest(&state, scope).filter(|row| {
            let before = query.before;
            before.is_none_or(|before| (row.started_at, row.id) < before)
                && query.filter.holds(row, state.fault(row.id))
        });
        Ok(page(found, query.limit))
    }

    async fn fault_groups(
        &self,
        scope: &Scope,
        filter: &Filter,
        limit: u32,
    ) -> Result<FaultGroups, Error> {
        let state = self.state();
        let rows = newest(&state, scope);
        Ok(state.fault_groups(rows, filter, limit))
    }

    async fn execution_recent(
        &self,
        scope: &Scope,
        workflows: &[WorkflowRef],
        each_max: u32,
    ) -> Result<Vec<ExecutionRow>, Error> {
        let state = self.state();
        let mut found = Vec::new();
        for workflow in workflows {
            let of_workflow = newest(&state, scope).filter(|row| {
                row.workflow.namespace == workflow.namespace && row.workflow.name == workflow.name
            });
            found.extend(of_workflow.take(each_max as usize));
        }
        Ok(found)
    }

    async fn journal_list(
        &self,
        scope: &Scope,
        id: ExecutionId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<EventRow>, Error> {
        let state = self.state();
        let found = state.executions.get(&id);
        let Some(execution) = found.filter(|one| one.tenant == scope.tenant()) else {
            return Ok(Vec::new());
        };
        let rows = execution.journal.iter().filter(|row| after < row.sequence);
        Ok(rows.take(limit as usize).cloned().collect())
    }

    async fn flow_put(&self, scope: &Scope, put: FlowPut) -> Result<Option<u64>, Error> {
        let weight = put.workflow.is_none().then_some(put.weight);
        let mut state = self.state();
        let revision = state.flow.put(scope.tenant(), put);
        if let (Some(_), Some(weight)) = (revision, weight) {
            state.weigh(scope.tenant(), weight);
        }
        Ok(revision)
    }

    async fn flow_fetch(
        &self,
        scope: &Scope,
        workflow: Option<(&str, &str)>,
    ) -> Result<Option<FlowRow>, Error> {
        Ok(self.state().flow.fetch(scope.tenant(), workflow))
    }

    async fn gate_ask(
        &self,
        scope: &Scope,
        gate: (&str, &str),
        pace: Pace,
        now: Timestamp,
    ) -> Result<Option<SignedDuration>, Error> {
        Ok(self.state().flow.ask(scope.tenant(), gate, pace, now))
    }

    async fn gate_list(
        &self,
        scope: &Scope,
        (rule, value): (&str, &str),
        limit: u32,
    ) -> Result<Vec<AtGate>, Error> {
        let name = (scope.tenant(), rule.to_owned(), value.to_owned());
        Ok(self.state().flow.list(&name, limit))
    }

    async fn queue_length(
        &self,
        scope: &Scope,
        prefix: Option<&str>,
        most: u32,
    ) -> Result<u32, Error> {
        let length = self.state().queue_length(scope.tenant(), prefix);
        Ok(u32::try_from(length).unwrap_or(most).min(most))
    }

    async fn queue_place(&self, scope: &Scope, id: ExecutionId) -> Result<Option<Queued>, Error> {
        Ok(self.state().queued(scope.tenant(), id))
    }

    async fn queue_survey(&self, lanes_max: u32, each_max: u32) -> Result<Survey, Error> {
        Ok(self.state().survey(lanes_max as usize, each_max as usize))
    }

    async fn wake_send(&self) -> Result<(), Error> {
        self.ring();
        Ok(())
    }

    async fn wake_wait(&self) -> Result<(), Error> {
        let _listener = Listener::new(&self.listeners);
        self.wake.notified().await;
        Ok(())
    }

    async fn ping(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// Gives the visible versions of a workflow, lowest first.
fn live<'a>(
    state: &'a State,
    scope: &Scope,
    namespace: &str,
    name: &str,
) -> Vec<&'a DefinitionRow> {
    let key = (scope.tenant(), namespace.to_owned(), name.to_owned());
    let versions = state.definitions.get(&key);
    let mut rows: Vec<&DefinitionRow> = versions
        .into_iter()
        .flatten()
        .filter(|kept| !kept.deleted)
        .map(|kept| &kept.row)
        .collect();
    rows.sort_by_cached_key(|row| precedence(&row.workflow.version));
    rows
}

/// Gives a tenant's executions, newest first.
fn newest<'a>(state: &'a State, scope: &Scope) -> impl Iterator<Item = ExecutionRow> + 'a {
    let tenant = scope.tenant();
    let mine = state
        .by_start
        .iter()
        .rev()
        .filter(move |one| one.0 == tenant);
    mine.filter_map(|(_, _, id)| state.executions.get(id).map(|one| one.row(*id, false)))
}

fn page<T>(found: impl Iterator<Item = T>, limit: u32) -> Page<T> {
    let limit = limit as usize;
    let mut items: Vec<T> = found.take(limit + 1).collect();
    let more = limit < items.len();
    items.truncate(limit);
    Page { items, more }
}
