//! A process that can crash and freeze, and a store whose calls can go wrong.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use super::signal::Signal;
use crate::clock::{Clock, ManualClock};
use crate::definition::{ProgramHash, WorkflowRef};
use crate::store::{
    Amend, Amended, AtGate, Beat, BulkItem, BulkItems, BulkNext, BulkRow, BulkState, BulkStore,
    Claim, ClaimRequest, Claimed, ConnectionSource, Control, Correlated, DefinitionPut,
    DefinitionQuery, DefinitionRow, DefinitionSummary, DefinitionVersion, Entry, EventRow,
    ExecutionLabel, ExecutionQuery, ExecutionRow, FaultGroups, Fence, Filter, FlowPut, FlowRow,
    HumanTaskCounts, HumanTaskQuery, HumanTaskRow, HumanTaskStore, HumanTaskUpdate, HumanTaskWhole,
    InboxMessage, ListedSchedule, Loaded, Outcome, Pace, Page, Queued, RetentionStore,
    ScheduleChange, ScheduleClaim, ScheduleEvent, SchedulePut, ScheduleQuery, ScheduleRow,
    ScheduleStore, StartedTick, Store, Subscription, Survey, TaskProgress, TaskProgressStore,
    TickRow, Transaction, WorkflowAge, WorkflowKey,
};
use crate::{
    BulkId, Error, ErrorKind, ExecutionId, HumanTaskId, ScheduleId, Scope, TenantId, UserId,
    WorkerId,
};

/// How a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    Well,
    /// It stands still, as after SIGSTOP.
    Frozen,
    /// It is gone, as after SIGKILL: what it was about to do never happens.
    Dead,
}

/// What everything a process does to the world passes through.
#[derive(Debug)]
pub(crate) struct Gate {
    health: Signal<Health>,
}

impl Gate {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            health: Signal::new(Health::Well),
        })
    }

    pub(crate) fn health(&self) -> Health {
        self.health.get()
    }

    /// Changes the process's health; the dead stay dead.
    pub(crate) fn set(&self, health: Health) {
        if self.health() != Health::Dead {
            self.health.set(health);
        }
    }

    /// Returns when the process is well; never, when it is dead.
    pub(crate) async fn pass(&self) {
        self.health.until(|health| health == Health::Well).await;
    }

    /// Returns when the process is dead.
    pub(crate) async fn died(&self) {
        self.health.until(|health| health == Health::Dead).await;
    }

    /// Awaits something done in the process; nothing, when it dies first.
    pub(crate) async fn within<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.died() => None,
            result = work => Some(result),
        }
    }
}

/// A process's clock: it may be wrong, and stands still with the process.
#[derive(Debug)]
pub(crate) struct ProcessClock {
    pub(crate) real: Arc<ManualClock>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) ahead: Signal<SignedDuration>,
}

impl ProcessClock {
    pub(crate) fn new(real: Arc<ManualClock>, gate: Arc<Gate>) -> Self {
        Self {
            real,
            gate,
            ahead: Signal::new(SignedDuration::ZERO),
        }
    }
}

#[async_trait]
impl Clock for ProcessClock {
    fn now(&self) -> Timestamp {
        self.real.now() + self.ahead.get()
    }

    async fn sleep_until(&self, at: Timestamp) {
        loop {
            self.gate.pass().await;
            let (ahead, changed) = self.ahead.watch();
            let really = at - ahead;
            if really <= self.real.now() {
                return;
            }
            tokio::select! {
                biased;
                () = changed => {}
                () = self.real.sleep_until(really) => {}
            }
        }
    }
}

/// What becomes of one call of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Well,
    /// It fails and has done nothing.
    Refused(ErrorKind),
    /// It has done its work, and the answer is lost.
    AnswerLost,
    /// It is sent twice, as after a reconnection. Only for what may be repeated.
    Twice,
    /// The process dies.
    Crash(CrashPoint),
}

/// When a process dies, seen from one call of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CrashPoint {
    /// The store never hears of the call.
    Before,
    /// The store has done its work, and nobody hears of it.
    BeforeAnswer,
    /// What follows in the process never leaves it.
    AfterAnswer,
}

/// Decides what becomes of calls, and hears of what is committed.
pub(crate) trait Weather: Send + Sync + fmt::Debug + 'static {
    /// Decides about a call of this method.
    fn fate(&self, method: &'static str) -> Fate;

    /// Decides whether the store takes none of a batch's entries as they are.
    fn rejects(&self) -> bool {
        false
    }

    /// How long the way to the database takes now.
    fn latency(&self) -> SignedDuration {
        SignedDuration::ZERO
    }

    /// Hears of a batch that is committed.
    fn committed(&self, _fence: Option<&Fence>, _entries: &[Entry], _outcomes: &[Outcome]) {}
}

/// One process's way to the store.
#[derive(Debug)]
pub(crate) struct FaultyStore {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) gate: Arc<Gate>,
    /// The real time, in which calls take theirs.
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) weather: Arc<dyn Weather>,
}

impl FaultyStore {
    async fn call<T, F>(&self, method: &'static str, call: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        self.travel().await;
        let fate = self.weather.fate(method);
        match fate {
            Fate::Refused(kind) => {
                self.travel().await;
                return Err(Error::new(kind, "the connection is refused"));
            }
            Fate::Crash(CrashPoint::Before) => self.die().await,
            _ => {}
        }
        let mut result = call().await;
        match fate {
            Fate::Crash(CrashPoint::AfterAnswer) => {
                self.gate.set(Health::Dead);
                return result;
            }
            Fate::Crash(_) => self.die().await,
            Fate::AnswerLost => {
                let message = "the connection is lost";
                result = Err(Error::new(ErrorKind::Unavailable, message));
            }
            Fate::Twice => drop(call().await),
            _ => {}
        }
        self.travel().await;
        result
    }

    async fn append(
        &self,
        fence: Option<&Fence>,
        entries: &[Entry],
    ) -> Result<Vec<Outcome>, Error> {
        let outcomes = self.store.journal_append(fence, entries).await?;
        self.weather.committed(fence, entries, &outcomes);
        Ok(outcomes)
    }

    async fn travel(&self) {
        self.gate.pass().await;
        let latency = self.weather.latency();
        if SignedDuration::ZERO < latency {
            self.clock.sleep_until(self.clock.now() + latency).await;
            self.gate.pass().await;
        }
    }

    async fn die<T>(&self) -> T {
        self.gate.set(Health::Dead);
        std::future::pending().await
    }
}

/// Passes a port's methods on under their names, besides those written out.
macro_rules! passed_on {
    (
        impl $port:ident { $($own:tt)* }
        $(fn $method:ident($($name:ident: $type:ty),*) -> $answer:ty;)*
    ) => {
        #[async_trait]
        impl $port for FaultyStore {
            $($own)*

            $(async fn $method(&self, $($name: $type),*) -> Result<$answer, Error> {
                let call = || self.store.$method($($name),*);
                self.call(stringify!($method), call).await
            })*
        }
    };
}

passed_on! {
    impl Store {
        async fn definition_put(
            &self,
            scope: &Scope,
            row: DefinitionRow,
        ) -> Result<DefinitionPut, Error> {
            let call = || self.store.definition_put(scope, row.clone());
            self.call("definition_put", call).await
        }

        async fn flow_put(&self, scope: &Scope, put: FlowPut) -> Result<Option<u64>, Error> {
            let call = || self.store.flow_put(scope, put.clone());
            self.call("flow_put", call).await
        }

        async fn journal_append(
            &self,
            fence: Option<&Fence>,
            entries: &[Entry],
        ) -> Result<Vec<Outcome>, Error> {
            if self.weather.rejects() {
                let reason = "the test rejects this entry".to_owned();
                return Ok(vec![Outcome::Refused(reason); entries.len()]);
            }
            self.call("journal_append", || self.append(fence, entries)).await
        }
    }
    fn migrate() -> ();
    fn definition_fetch(
        scope: &Scope, namespace: &str, name: &str, version: Option<&str>
    ) -> Option<DefinitionRow>;
    fn definition_fetch_pinned(tenant: TenantId, hash: ProgramHash) -> Option<DefinitionRow>;
    fn definition_list(scope: &Scope, query: &DefinitionQuery) -> Page<DefinitionSummary>;
    fn definition_versions(scope: &Scope, namespace: &str, name: &str) -> Vec<DefinitionVersion>;
    fn definition_delete(scope: &Scope, namespace: &str, name: &str) -> bool;
    fn worker_register(
        name: &str, id: WorkerId, now: Timestamp, lease: SignedDuration
    ) -> Fence;
    fn worker_beat(fence: &Fence, request: ClaimRequest) -> Beat;
    fn worker_claims(fence: &Fence) -> Vec<Claim>;
    fn worker_release(fence: &Fence) -> ();
    fn execution_load(ids: &[ExecutionId]) -> Vec<Loaded>;
    fn inbox_put(messages: &[InboxMessage]) -> ();
    fn control_put(message: &InboxMessage, control: Control) -> bool;
    fn execution_amend(amend: &Amend) -> Amended;
    fn execution_label(label: &ExecutionLabel) -> ();
    fn inbox_fetch(ids: &[ExecutionId]) -> Vec<InboxMessage>;
    fn subscription_match(tenant: TenantId, event_type: &str) -> Vec<Subscription>;
    fn subscription_correlated(
        tenant: TenantId, event_type: &str, wanted: &[Correlated]
    ) -> Vec<Subscription>;
    fn execution_fetch(scope: &Scope, id: ExecutionId) -> Option<ExecutionRow>;
    fn execution_keyed(scope: &Scope, key: &str) -> Option<ExecutionId>;
    fn execution_list(scope: &Scope, query: &ExecutionQuery) -> Page<ExecutionRow>;
    fn fault_groups(scope: &Scope, filter: &Filter, limit: u32) -> FaultGroups;
    fn execution_recent(
        scope: &Scope, workflows: &[WorkflowRef], each_max: u32
    ) -> Vec<ExecutionRow>;
    fn journal_list(scope: &Scope, id: ExecutionId, after: u64, limit: u32) -> Vec<EventRow>;
    fn flow_fetch(scope: &Scope, workflow: Option<(&str, &str)>) -> Option<FlowRow>;
    fn gate_ask(
        scope: &Scope, gate: (&str, &str), pace: Pace, now: Timestamp
    ) -> Option<SignedDuration>;
    fn gate_list(scope: &Scope, gate: (&str, &str), limit: u32) -> Vec<AtGate>;
    fn queue_length(scope: &Scope, prefix: Option<&str>, most: u32) -> u32;
    fn queue_place(scope: &Scope, id: ExecutionId) -> Option<Queued>;
    fn queue_survey(lanes_max: u32, each_max: u32) -> Survey;
    fn wake_send() -> ();
    fn wake_wait() -> ();
    fn ping() -> ();
}

passed_on! {
    impl TaskProgressStore {}
    fn task_progress_put(
        fence: &Fence, said: &[TaskProgress], over: &[(ExecutionId, u64)]
    ) -> ();
    fn task_progress_fetch(scope: &Scope, id: ExecutionId) -> Vec<TaskProgress>;
    fn task_progress_sweep() -> ();
}

passed_on! {
    impl HumanTaskStore {}
    fn human_task_fetch(scope: &Scope, id: HumanTaskId) -> Option<HumanTaskWhole>;
    fn human_task_list(scope: &Scope, query: &HumanTaskQuery) -> Page<HumanTaskRow>;
    fn human_task_count(
        scope: &Scope, audiences: &[String], claimed_by: UserId, most: u32
    ) -> HumanTaskCounts;
    fn human_task_update(update: &HumanTaskUpdate) -> bool;
}

passed_on! {
    impl ConnectionSource {}
    fn begin(scope: &Scope) -> Transaction;
}

passed_on! {
    impl BulkStore {}
    fn bulk_put(row: &BulkRow, executions: &[ExecutionId], most: u32) -> bool;
    fn bulk_fetch(scope: &Scope, id: BulkId) -> Option<BulkRow>;
    fn bulk_list(
        scope: &Scope, before: Option<(Timestamp, BulkId)>, limit: u32
    ) -> Page<BulkRow>;
    fn bulk_turn(
        scope: &Scope, id: BulkId, turn: (BulkState, BulkState), now: Timestamp
    ) -> bool;
    fn bulk_claim(worker: WorkerId, now: Timestamp, until: Timestamp) -> Option<BulkRow>;
    fn bulk_items(id: BulkId, which: BulkItems, after: u32, limit: u32) -> Vec<BulkItem>;
    fn bulk_note(
        id: BulkId, worker: WorkerId, items: &[BulkItem], next: BulkNext
    ) -> bool;
    fn bulk_forget(planned: Timestamp, ended: Timestamp) -> ();
}

passed_on! {
    impl RetentionStore {}
    fn retention_list(after: Option<&WorkflowKey>, limit: u32) -> Vec<WorkflowAge>;
    fn retention_remove(workflow: &WorkflowKey, ended_before: Timestamp, limit: u32) -> u32;
}

passed_on! {
    impl ScheduleStore {}
    fn schedule_put(row: &ScheduleRow, most: u32) -> SchedulePut;
    fn schedule_update(row: &ScheduleRow, revision: u64) -> bool;
    fn schedule_fetch(scope: &Scope, id: ScheduleId) -> Option<ScheduleRow>;
    fn schedule_list(scope: &Scope, query: &ScheduleQuery) -> Page<ListedSchedule>;
    fn schedule_delete(scope: &Scope, id: ScheduleId, revision: Option<u64>) -> bool;
    fn schedule_claim(request: ScheduleClaim) -> Claimed;
    fn schedule_commit(changes: &[ScheduleChange]) -> Vec<ScheduleId>;
    fn schedule_started(after: Option<ExecutionId>, limit: u32) -> Vec<StartedTick>;
    fn schedule_settle(now: Timestamp, ended: &[StartedTick]) -> ();
    fn schedule_ticks(
        scope: &Scope, id: ScheduleId, before: Option<u64>, limit: u32
    ) -> Page<TickRow>;
    fn schedule_tick_find(
        scope: &Scope, id: ScheduleId, identity: &str
    ) -> Option<TickRow>;
    fn schedule_event_put(events: &[ScheduleEvent]) -> ();
}
