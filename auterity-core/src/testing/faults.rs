//! A store whose calls go wrong when it is told so.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use crate::definition::{ProgramHash, WorkflowRef};
use crate::store::{
    Amend, Amended, AtGate, Beat, Claim, ClaimRequest, Claimed, ConnectionSource, Control,
    DefinitionPut, DefinitionQuery, DefinitionRow, DefinitionSummary, DefinitionVersion, Entry,
    EventRow, ExecutionLabel, ExecutionQuery, ExecutionRow, Fence, FlowPut, FlowRow, InboxMessage,
    ListedSchedule, Loaded, Outcome, Pace, Page, Queued, ScheduleChange, ScheduleClaim,
    ScheduleEvent, SchedulePut, ScheduleQuery, ScheduleRow, ScheduleStore, StartedTick, Store,
    Subscription, TickRow, Transaction,
};
use crate::{Error, ErrorKind, ExecutionId, ScheduleId, Scope, TenantId, WorkerId};

/// What becomes of one call of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Well,
    /// It fails and has done nothing.
    Refused(ErrorKind),
    /// It has done its work, and the answer is lost.
    AnswerLost,
    /// The store takes none of the entries as they are.
    Rejected,
}

/// Decides what becomes of calls.
pub(crate) trait Weather: Send + Sync + fmt::Debug + 'static {
    /// Decides about a call of this method.
    fn fate(&self, method: &'static str) -> Fate;
}

/// One process's way to the store.
#[derive(Debug)]
pub(crate) struct FaultyStore {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) weather: Arc<dyn Weather>,
}

impl FaultyStore {
    async fn call<T>(
        &self,
        fate: Fate,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        match fate {
            Fate::Well | Fate::Rejected => call.await,
            Fate::Refused(kind) => Err(Error::new(kind, "the test refuses this call")),
            Fate::AnswerLost => {
                drop(call.await);
                let message = "the connection is lost";
                Err(Error::new(ErrorKind::Unavailable, message))
            }
        }
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
                let fate = self.weather.fate(stringify!($method));
                self.call(fate, self.store.$method($($name),*)).await
            })*
        }
    };
}

passed_on! {
    impl Store {
        async fn journal_append(
            &self,
            fence: Option<&Fence>,
            entries: &[Entry],
        ) -> Result<Vec<Outcome>, Error> {
            let fate = self.weather.fate("journal_append");
            if fate == Fate::Rejected {
                let reason = "the test rejects this entry".to_owned();
                return Ok(vec![Outcome::Refused(reason); entries.len()]);
            }
            self.call(fate, self.store.journal_append(fence, entries)).await
        }
    }
    fn migrate() -> ();
    fn definition_put(scope: &Scope, row: DefinitionRow) -> DefinitionPut;
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
    fn execution_fetch(scope: &Scope, id: ExecutionId) -> Option<ExecutionRow>;
    fn execution_keyed(scope: &Scope, key: &str) -> Option<ExecutionId>;
    fn execution_list(scope: &Scope, query: &ExecutionQuery) -> Page<ExecutionRow>;
    fn execution_recent(
        scope: &Scope, workflows: &[WorkflowRef], each_max: u32
    ) -> Vec<ExecutionRow>;
    fn journal_list(scope: &Scope, id: ExecutionId, after: u64, limit: u32) -> Vec<EventRow>;
    fn flow_put(scope: &Scope, put: FlowPut) -> Option<u64>;
    fn flow_fetch(scope: &Scope, workflow: Option<(&str, &str)>) -> Option<FlowRow>;
    fn gate_ask(
        scope: &Scope, gate: (&str, &str), pace: Pace, now: Timestamp
    ) -> Option<SignedDuration>;
    fn gate_list(scope: &Scope, gate: (&str, &str), limit: u32) -> Vec<AtGate>;
    fn queue_length(scope: &Scope, prefix: Option<&str>, most: u32) -> u32;
    fn queue_place(scope: &Scope, id: ExecutionId) -> Option<Queued>;
    fn wake_send() -> ();
    fn wake_wait() -> ();
    fn ping() -> ();
}

passed_on! {
    impl ConnectionSource {}
    fn begin(scope: &Scope) -> Transaction;
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
