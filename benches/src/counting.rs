//! A store that counts what the engine asks of the one behind it, for databases that
//! do not count their transactions.

mod human_tasks;

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use auterity_core::definition::{ProgramHash, WorkflowRef};
use auterity_core::store::{
    Amend, Amended, AtGate, Beat, BulkItem, BulkItems, BulkNext, BulkRow, BulkState, BulkStore,
    Claim, ClaimRequest, Claimed, ConnectionSource, Control, Correlated, DefinitionPut,
    DefinitionQuery, DefinitionRow, DefinitionSummary, DefinitionVersion, Entry, EventRow,
    ExecutionLabel, ExecutionQuery, ExecutionRow, FaultGroups, Fence, Filter, FlowPut, FlowRow,
    InboxMessage, ListedSchedule, Loaded, Outcome, Pace, Page, Queued, RetentionStore,
    ScheduleChange, ScheduleClaim, ScheduleEvent, SchedulePut, ScheduleQuery, ScheduleRow,
    ScheduleStore, StartedTick, Store, Subscription, Survey, TaskProgress, TaskProgressStore,
    TickRow, Transaction, WorkflowAge, WorkflowKey,
};
use auterity_core::{BulkId, Error, ExecutionId, ScheduleId, Scope, TenantId, WorkerId};
use jiff::{SignedDuration, Timestamp};

/// Counts calls; each is one transaction.
#[derive(Debug)]
pub struct Counting<S> {
    store: S,
    calls: AtomicU64,
}

impl<S> Counting<S> {
    /// Stands before a store.
    pub fn new(store: S) -> Self {
        Self {
            store,
            calls: AtomicU64::new(0),
        }
    }

    /// Gives how many calls there were.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    fn count(&self) -> &S {
        self.calls.fetch_add(1, Ordering::Relaxed);
        &self.store
    }
}

#[async_trait]
impl<S: Store> ConnectionSource for Counting<S> {
    async fn begin(&self, scope: &Scope) -> Result<Transaction, Error> {
        self.count().begin(scope).await
    }
}

#[async_trait]
impl<S: Store> RetentionStore for Counting<S> {
    async fn retention_list(
        &self,
        after: Option<&WorkflowKey>,
        limit: u32,
    ) -> Result<Vec<WorkflowAge>, Error> {
        self.count().retention_list(after, limit).await
    }

    async fn retention_remove(
        &self,
        workflow: &WorkflowKey,
        ended_before: Timestamp,
        limit: u32,
    ) -> Result<u32, Error> {
        let removed = self.count().retention_remove(workflow, ended_before, limit);
        removed.await
    }
}

#[async_trait]
impl<S: Store> TaskProgressStore for Counting<S> {
    async fn task_progress_put(
        &self,
        fence: &Fence,
        said: &[TaskProgress],
        over: &[(ExecutionId, u64)],
    ) -> Result<(), Error> {
        self.count().task_progress_put(fence, said, over).await
    }

    async fn task_progress_fetch(
        &self,
        scope: &Scope,
        id: ExecutionId,
    ) -> Result<Vec<TaskProgress>, Error> {
        self.count().task_progress_fetch(scope, id).await
    }

    async fn task_progress_sweep(&self) -> Result<(), Error> {
        self.store.task_progress_sweep().await
    }
}

/// The measurements have no bulk operations, so these calls are not counted.
#[async_trait]
impl<S: Store> BulkStore for Counting<S> {
    async fn bulk_put(
        &self,
        row: &BulkRow,
        executions: &[ExecutionId],
        most: u32,
    ) -> Result<bool, Error> {
        self.store.bulk_put(row, executions, most).await
    }

    async fn bulk_fetch(&self, scope: &Scope, id: BulkId) -> Result<Option<BulkRow>, Error> {
        self.store.bulk_fetch(scope, id).await
    }

    async fn bulk_list(
        &self,
        scope: &Scope,
        before: Option<(Timestamp, BulkId)>,
        limit: u32,
    ) -> Result<Page<BulkRow>, Error> {
        self.store.bulk_list(scope, before, limit).await
    }

    async fn bulk_turn(
        &self,
        scope: &Scope,
        id: BulkId,
        turn: (BulkState, BulkState),
        now: Timestamp,
    ) -> Result<bool, Error> {
        self.store.bulk_turn(scope, id, turn, now).await
    }

    async fn bulk_claim(
        &self,
        worker: WorkerId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<BulkRow>, Error> {
        self.store.bulk_claim(worker, now, until).await
    }

    async fn bulk_items(
        &self,
        id: BulkId,
        which: BulkItems,
        after: u32,
        limit: u32,
    ) -> Result<Vec<BulkItem>, Error> {
        self.store.bulk_items(id, which, after, limit).await
    }

    async fn bulk_note(
        &self,
        id: BulkId,
        worker: WorkerId,
        items: &[BulkItem],
        next: BulkNext,
    ) -> Result<bool, Error> {
        self.store.bulk_note(id, worker, items, next).await
    }

    async fn bulk_forget(&self, planned: Timestamp, ended: Timestamp) -> Result<(), Error> {
        self.store.bulk_forget(planned, ended).await
    }
}

/// The measurements have no schedules, so these calls are not counted.
#[async_trait]
impl<S: Store> ScheduleStore for Counting<S> {
    async fn schedule_put(&self, row: &ScheduleRow, most: u32) -> Result<SchedulePut, Error> {
        self.store.schedule_put(row, most).await
    }

    async fn schedule_update(&self, row: &ScheduleRow, revision: u64) -> Result<bool, Error> {
        self.store.schedule_update(row, revision).await
    }

    async fn schedule_fetch(
        &self,
        scope: &Scope,
        id: ScheduleId,
    ) -> Result<Option<ScheduleRow>, Error> {
        self.store.schedule_fetch(scope, id).await
    }

    async fn schedule_list(
        &self,
        scope: &Scope,
        query: &ScheduleQuery,
    ) -> Result<Page<ListedSchedule>, Error> {
        self.store.schedule_list(scope, query).await
    }

    async fn schedule_delete(
        &self,
        scope: &Scope,
        id: ScheduleId,
        revision: Option<u64>,
    ) -> Result<bool, Error> {
        self.store.schedule_delete(scope, id, revision).await
    }

    async fn schedule_claim(&self, request: ScheduleClaim) -> Result<Claimed, Error> {
        self.store.schedule_claim(request).await
    }

    async fn schedule_commit(&self, changes: &[ScheduleChange]) -> Result<Vec<ScheduleId>, Error> {
        self.store.schedule_commit(changes).await
    }

    async fn schedule_started(
        &self,
        after: Option<ExecutionId>,
        limit: u32,
    ) -> Result<Vec<StartedTick>, Error> {
        self.store.schedule_started(after, limit).await
    }

    async fn schedule_settle(&self, now: Timestamp, ended: &[StartedTick]) -> Result<(), Error> {
        self.store.schedule_settle(now, ended).await
    }

    async fn schedule_ticks(
        &self,
        scope: &Scope,
        id: ScheduleId,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Page<TickRow>, Error> {
        self.store.schedule_ticks(scope, id, before, limit).await
    }

    async fn schedule_tick_find(
        &self,
        scope: &Scope,
        id: ScheduleId,
        identity: &str,
    ) -> Result<Option<TickRow>, Error> {
        self.store.schedule_tick_find(scope, id, identity).await
    }

    async fn schedule_event_put(&self, events: &[ScheduleEvent]) -> Result<(), Error> {
        self.store.schedule_event_put(events).await
    }
}

#[async_trait]
impl<S: Store> Store for Counting<S> {
    async fn migrate(&self) -> Result<(), Error> {
        self.store.migrate().await
    }

    async fn definition_put(
        &self,
        scope: &Scope,
        row: DefinitionRow,
    ) -> Result<DefinitionPut, Error> {
        self.count().definition_put(scope, row).await
    }

    async fn definition_fetch(
        &self,
        scope: &Scope,
        namespace: &str,
        name: &str,
        version: Option<&str>,
    ) -> Result<Option<DefinitionRow>, Error> {
        self.count()
            .definition_fetch(scope, namespace, name, version)
            .await
    }

    async fn definition_fetch_pinned(
        &self,
        tenant: TenantId,
        hash: ProgramHash,
    ) -> Result<Option<DefinitionRow>, Error> {
        self.count().definition_fetch_pinned(tenant, hash).await
    }

    async fn definition_list(
        &self,
        scope: &Scope,
        query: &DefinitionQuery,
    ) -> Result<Page<DefinitionSummary>, Error> {
        self.count().definition_list(scope, query).await
    }

    async fn definition_versions(
        &self,
        scope: &Scope,
        namespace: &str,
        name: &str,
    ) -> Result<Vec<DefinitionVersion>, Error> {
        self.count()
            .definition_versions(scope, namespace, name)
            .await
    }

    async fn definition_delete(
        &self,
        scope: &Scope,
        namespace: &str,
        name: &str,
    ) -> Result<bool, Error> {
        self.count().definition_delete(scope, namespace, name).await
    }

    async fn worker_register(
        &self,
        name: &str,
        id: WorkerId,
        now: Timestamp,
        lease: SignedDuration,
    ) -> Result<Fence, Error> {
        self.count().worker_register(name, id, now, lease).await
    }

    async fn worker_beat(&self, fence: &Fence, request: ClaimRequest) -> Result<Beat, Error> {
        self.count().worker_beat(fence, request).await
    }

    async fn worker_claims(&self, fence: &Fence) -> Result<Vec<Claim>, Error> {
        self.count().worker_claims(fence).await
    }

    async fn worker_release(&self, fence: &Fence) -> Result<(), Error> {
        self.count().worker_release(fence).await
    }

    async fn journal_append(
        &self,
        fence: Option<&Fence>,
        entries: &[Entry],
    ) -> Result<Vec<Outcome>, Error> {
        self.count().journal_append(fence, entries).await
    }

    async fn execution_load(&self, ids: &[ExecutionId]) -> Result<Vec<Loaded>, Error> {
        self.count().execution_load(ids).await
    }

    async fn inbox_put(&self, messages: &[InboxMessage]) -> Result<(), Error> {
        self.count().inbox_put(messages).await
    }

    async fn control_put(&self, message: &InboxMessage, control: Control) -> Result<bool, Error> {
        self.count().control_put(message, control).await
    }

    async fn execution_amend(&self, amend: &Amend) -> Result<Amended, Error> {
        self.count().execution_amend(amend).await
    }

    async fn execution_label(&self, label: &ExecutionLabel) -> Result<(), Error> {
        self.count().execution_label(label).await
    }

    async fn inbox_fetch(&self, ids: &[ExecutionId]) -> Result<Vec<InboxMessage>, Error> {
        self.count().inbox_fetch(ids).await
    }

    async fn subscription_match(
        &self,
        tenant: TenantId,
        event_type: &str,
    ) -> Result<Vec<Subscription>, Error> {
        self.count().subscription_match(tenant, event_type).await
    }

    async fn subscription_correlated(
        &self,
        tenant: TenantId,
        event_type: &str,
        wanted: &[Correlated],
    ) -> Result<Vec<Subscription>, Error> {
        let found = self
            .count()
            .subscription_correlated(tenant, event_type, wanted);
        found.await
    }

    async fn execution_fetch(
        &self,
        scope: &Scope,
        id: ExecutionId,
    ) -> Result<Option<ExecutionRow>, Error> {
        self.count().execution_fetch(scope, id).await
    }

    async fn execution_keyed(
        &self,
        scope: &Scope,
        key: &str,
    ) -> Result<Option<ExecutionId>, Error> {
        self.count().execution_keyed(scope, key).await
    }

    async fn execution_list(
        &self,
        scope: &Scope,
        query: &ExecutionQuery,
    ) -> Result<Page<ExecutionRow>, Error> {
        self.count().execution_list(scope, query).await
    }

    async fn fault_groups(
        &self,
        scope: &Scope,
        filter: &Filter,
        limit: u32,
    ) -> Result<FaultGroups, Error> {
        self.count().fault_groups(scope, filter, limit).await
    }

    async fn execution_recent(
        &self,
        scope: &Scope,
        workflows: &[WorkflowRef],
        each_max: u32,
    ) -> Result<Vec<ExecutionRow>, Error> {
        self.count()
            .execution_recent(scope, workflows, each_max)
            .await
    }

    async fn journal_list(
        &self,
        scope: &Scope,
        id: ExecutionId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<EventRow>, Error> {
        self.count().journal_list(scope, id, after, limit).await
    }

    async fn flow_put(&self, scope: &Scope, put: FlowPut) -> Result<Option<u64>, Error> {
        self.count().flow_put(scope, put).await
    }

    async fn flow_fetch(
        &self,
        scope: &Scope,
        workflow: Option<(&str, &str)>,
    ) -> Result<Option<FlowRow>, Error> {
        self.count().flow_fetch(scope, workflow).await
    }

    async fn gate_ask(
        &self,
        scope: &Scope,
        gate: (&str, &str),
        pace: Pace,
        now: Timestamp,
    ) -> Result<Option<SignedDuration>, Error> {
        self.count().gate_ask(scope, gate, pace, now).await
    }

    async fn gate_list(
        &self,
        scope: &Scope,
        gate: (&str, &str),
        limit: u32,
    ) -> Result<Vec<AtGate>, Error> {
        self.count().gate_list(scope, gate, limit).await
    }

    async fn queue_length(
        &self,
        scope: &Scope,
        prefix: Option<&str>,
        most: u32,
    ) -> Result<u32, Error> {
        self.count().queue_length(scope, prefix, most).await
    }

    async fn queue_place(&self, scope: &Scope, id: ExecutionId) -> Result<Option<Queued>, Error> {
        self.count().queue_place(scope, id).await
    }

    async fn queue_survey(&self, lanes_max: u32, each_max: u32) -> Result<Survey, Error> {
        self.count().queue_survey(lanes_max, each_max).await
    }

    async fn wake_send(&self) -> Result<(), Error> {
        self.store.wake_send().await
    }

    async fn wake_wait(&self) -> Result<(), Error> {
        self.store.wake_wait().await
    }

    async fn ping(&self) -> Result<(), Error> {
        self.store.ping().await
    }
}
