//! The store port: everything the engine asks of a database.
//!
//! Each method is one transaction or one place in a journal batch. The meaning of
//! the port is the conformance suite in [`crate::testing`]; adapters exist for
//! SQLite, PostgreSQL and memory.
//!
//! The port is public for tests and for hosts with a database of their own, but it
//! is not stable yet.

mod bulk;
mod check;
mod correlation;
mod fair;
mod fault;
mod filter;
mod flow;
mod human_tasks;
mod memory;
mod precedence;
mod records;
mod retention;
mod schedules;
mod sea;
mod task_progress;
mod transaction;

pub use bulk::{BulkItem, BulkItems, BulkNext, BulkOutcome, BulkRow, BulkState, BulkStore};
pub use check::{NAME_BYTES_MAX, TEXT_BYTES_MAX};
pub use correlation::{Correlated, Correlation};
pub use fault::{FaultGroup, FaultGroups, FaultSignature, ParseSignatureError};
pub use filter::{Filter, FilterMistake, Term, Test};
pub use flow::{
    AHEAD_MAX, AtGate, FlowPut, FlowRow, GATE_VALUE_BYTES_MAX, GATES_MAX, Gate, LaneLength, Pace,
    Queued, Rule, Survey, WEIGHT_MAX,
};
pub use human_tasks::{
    HumanTaskAsk, HumanTaskChange, HumanTaskClose, HumanTaskCounts, HumanTaskNote, HumanTaskQuery,
    HumanTaskRow, HumanTaskState, HumanTaskStore, HumanTaskUpdate, HumanTaskWhole,
};
pub use memory::MemoryStore;
pub use records::{
    Amend, Amended, Beat, Claim, ClaimRequest, Control, DefinitionPut, DefinitionQuery,
    DefinitionRow, DefinitionSummary, DefinitionVersion, Ended, Entry, EventRow, ExecutionLabel,
    ExecutionQuery, ExecutionRow, Fence, InboxMessage, Loaded, MessageKind, Next, Outcome, Page,
    Parent, Snapshot, Start, Status, Subscription, UnknownStatus,
};
pub use retention::{RetentionStore, WorkflowAge, WorkflowKey};
pub use schedules::{
    Claimed, ListedSchedule, Look, Pause, ScheduleChange, ScheduleClaim, ScheduleEvent,
    ScheduleKey, SchedulePut, ScheduleQuery, ScheduleRow, ScheduleStore, StartedTick, TickKind,
    TickRow, TickState,
};
pub use sea::{SchemaStatus, SeaOptions, SeaStore, Synchronous};
pub use task_progress::{TaskProgress, TaskProgressStore};
pub use transaction::{ConnectionSource, Transaction};
pub(crate) use transaction::{Failure, KEYS_MAX, Written};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use crate::definition::{ProgramHash, WorkflowRef};
use crate::{Error, ExecutionId, Scope, TenantId, WorkerId};

/// Keeps definitions, executions and their journal.
///
/// Every method either has its whole effect or none. An error of kind
/// [`Unavailable`](crate::ErrorKind::Unavailable) leaves the outcome unknown; all
/// writes may be repeated with the same arguments.
#[async_trait]
pub trait Store:
    BulkStore + ScheduleStore + ConnectionSource + RetentionStore + TaskProgressStore + HumanTaskStore
{
    /// Tells whether other processes may work on the same data.
    fn is_shared(&self) -> bool {
        false
    }

    /// Brings the schema to this version; harmless when it is there already.
    async fn migrate(&self) -> Result<(), Error>;

    /// Adds a version of a workflow.
    async fn definition_put(
        &self,
        scope: &Scope,
        row: DefinitionRow,
    ) -> Result<DefinitionPut, Error>;

    /// Fetches one version, or the highest by semantic versioning.
    async fn definition_fetch(
        &self,
        scope: &Scope,
        namespace: &str,
        name: &str,
        version: Option<&str>,
    ) -> Result<Option<DefinitionRow>, Error>;

    /// Fetches a definition by the hash that an execution is pinned to, deleted
    /// workflows included.
    async fn definition_fetch_pinned(
        &self,
        tenant: TenantId,
        hash: ProgramHash,
    ) -> Result<Option<DefinitionRow>, Error>;

    /// Lists the highest version of each workflow, by namespace and name, without texts.
    async fn definition_list(
        &self,
        scope: &Scope,
        query: &DefinitionQuery,
    ) -> Result<Page<DefinitionSummary>, Error>;

    /// Lists the versions of a workflow, highest first.
    async fn definition_versions(
        &self,
        scope: &Scope,
        namespace: &str,
        name: &str,
    ) -> Result<Vec<DefinitionVersion>, Error>;

    /// Hides all versions of a workflow; tells whether there were any. Executions
    /// that are pinned to them go on.
    async fn definition_delete(
        &self,
        scope: &Scope,
        namespace: &str,
        name: &str,
    ) -> Result<bool, Error>;

    /// Starts a new life of the named worker. An earlier life with the same name is
    /// fenced off at once and its executions become claimable.
    async fn worker_register(
        &self,
        name: &str,
        id: WorkerId,
        now: Timestamp,
        lease: SignedDuration,
    ) -> Result<Fence, Error>;

    /// Renews the worker's lease, fences off workers whose lease has run out (their
    /// executions become claimable), lets held executions through their gates as far as
    /// the rules allow, and claims executions that are due. Tenants take turns by their
    /// weights; within a tenant the order is priority (higher first), then due time.
    /// Never waits for locked executions.
    ///
    /// # Errors
    /// Kind [`Fenced`](crate::ErrorKind::Fenced) when the lease was lost.
    async fn worker_beat(&self, fence: &Fence, request: ClaimRequest) -> Result<Beat, Error>;

    /// Lists the executions that this life of the worker owns: for a worker that may
    /// have lost the answer to a claim.
    async fn worker_claims(&self, fence: &Fence) -> Result<Vec<Claim>, Error>;

    /// Ends the worker's life: its executions become claimable at once. Harmless for
    /// a life that has ended already.
    async fn worker_release(&self, fence: &Fence) -> Result<(), Error>;

    /// Appends a batch to the journal in one transaction, together with everything
    /// that hangs on it: starts, snapshots, subscriptions, queue state, ends,
    /// messages to other executions.
    ///
    /// A batch holds at most one entry per execution; without a fence it only starts
    /// executions. With a fence, the whole batch is refused when the worker has lost
    /// its lease; the check conflicts with take-over, so no take-over can commit in
    /// between. An entry for an execution that the worker does not own is left out.
    /// Outcomes come in the order of the entries; a bad entry never harms its
    /// neighbours. A very large batch may be written in several transactions.
    ///
    /// # Errors
    /// Kind [`Fenced`](crate::ErrorKind::Fenced) when the lease was lost.
    async fn journal_append(
        &self,
        fence: Option<&Fence>,
        entries: &[Entry],
    ) -> Result<Vec<Outcome>, Error>;

    /// Loads what is needed to go on with executions: snapshot, the events after
    /// it, unconsumed messages. Ended or unknown executions are left out.
    async fn execution_load(&self, ids: &[ExecutionId]) -> Result<Vec<Loaded>, Error>;

    /// Puts messages into inboxes and makes parked receivers due now; those held at gates
    /// read them when they are through. A message whose id was put before, or whose
    /// receiver has ended, is dropped.
    async fn inbox_put(&self, messages: &[InboxMessage]) -> Result<(), Error>;

    /// Puts a message of control like [`inbox_put`](Self::inbox_put), and in the same
    /// transaction changes where its receiver stands in the queue. Tells whether there is
    /// such an execution that has not ended; otherwise nothing is written.
    async fn control_put(&self, message: &InboxMessage, control: Control) -> Result<bool, Error>;

    /// Changes an execution that no worker has, in one transaction, if it has no other
    /// events than the change builds on. Output, error and end go. One that had ended
    /// queues again with its priority, behind the gates of the change; any other keeps
    /// its places at gates.
    async fn execution_amend(&self, amend: &Amend) -> Result<Amended, Error>;

    /// Lets an execution's row show another version.
    async fn execution_label(&self, label: &ExecutionLabel) -> Result<(), Error>;

    /// Fetches the unconsumed messages of executions, oldest first.
    async fn inbox_fetch(&self, ids: &[ExecutionId]) -> Result<Vec<InboxMessage>, Error>;

    /// Lists a tenant's subscriptions that may want an event of this type: those for
    /// any type and those for this one. Of those for this type that have correlations
    /// there is one of each kind, and of others only such as expect the same; it tells
    /// what to ask [`subscription_correlated`](Self::subscription_correlated) for.
    async fn subscription_match(
        &self,
        tenant: TenantId,
        event_type: &str,
    ) -> Result<Vec<Subscription>, Error>;

    /// Lists a tenant's subscriptions for this type of events with these correlations.
    async fn subscription_correlated(
        &self,
        tenant: TenantId,
        event_type: &str,
        wanted: &[Correlated],
    ) -> Result<Vec<Subscription>, Error>;

    /// Fetches one execution.
    async fn execution_fetch(
        &self,
        scope: &Scope,
        id: ExecutionId,
    ) -> Result<Option<ExecutionRow>, Error>;

    /// Finds the execution that a start with this idempotency key gave.
    async fn execution_keyed(&self, scope: &Scope, key: &str)
    -> Result<Option<ExecutionId>, Error>;

    /// Lists executions, newest first, without input, output and error.
    async fn execution_list(
        &self,
        scope: &Scope,
        query: &ExecutionQuery,
    ) -> Result<Page<ExecutionRow>, Error>;

    /// Groups faulted executions by signature, the group with the latest fault first.
    /// Counts 100,000 executions at most, the last started ones.
    async fn fault_groups(
        &self,
        scope: &Scope,
        filter: &Filter,
        limit: u32,
    ) -> Result<FaultGroups, Error>;

    /// Lists the newest executions of each of the workflows (version ignored),
    /// at most `each_max` per workflow, without input, output and error.
    async fn execution_recent(
        &self,
        scope: &Scope,
        workflows: &[WorkflowRef],
        each_max: u32,
    ) -> Result<Vec<ExecutionRow>, Error>;

    /// Lists an execution's events after a sequence number, in order.
    async fn journal_list(
        &self,
        scope: &Scope,
        id: ExecutionId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<EventRow>, Error>;

    /// Keeps flow settings and puts their rules in place of the earlier ones; whoever
    /// waits at a gate of theirs is judged anew at the next beat. Gives the new
    /// revision, or nothing if the expected one is not the present one.
    async fn flow_put(&self, scope: &Scope, put: FlowPut) -> Result<Option<u64>, Error>;

    /// Fetches the flow settings of a workflow, or the tenant's own.
    async fn flow_fetch(
        &self,
        scope: &Scope,
        workflow: Option<(&str, &str)>,
    ) -> Result<Option<FlowRow>, Error>;

    /// Asks for leave at a gate that nobody waits at, and takes it if there is some.
    /// Otherwise gives the time until the next.
    async fn gate_ask(
        &self,
        scope: &Scope,
        gate: (&str, &str),
        pace: Pace,
        now: Timestamp,
    ) -> Result<Option<SignedDuration>, Error>;

    /// Lists the executions that wait at a gate or have passed it and not ended, in the
    /// order of their ids.
    async fn gate_list(
        &self,
        scope: &Scope,
        gate: (&str, &str),
        limit: u32,
    ) -> Result<Vec<AtGate>, Error>;

    /// Counts executions that wait in the queue, up to a bound: those held at gates whose
    /// rules begin so, or all of the tenant, those included that wait for a worker.
    async fn queue_length(
        &self,
        scope: &Scope,
        prefix: Option<&str>,
        most: u32,
    ) -> Result<u32, Error>;

    /// Says what a pending execution waits for; nothing for any other.
    async fn queue_place(&self, scope: &Scope, id: ExecutionId) -> Result<Option<Queued>, Error>;

    /// Counts what waits in the queue: at most so many lanes, and so many executions of
    /// each and of those that are held.
    async fn queue_survey(&self, lanes_max: u32, each_max: u32) -> Result<Survey, Error>;

    /// Tells other processes on the same database that something became due.
    async fn wake_send(&self) -> Result<(), Error>;

    /// Waits until another process, or another engine on this store, says that
    /// something became due. Returns only on such a word or on failure.
    ///
    /// # Cancel safety
    /// A word that comes while nobody waits may be lost; callers poll as well.
    async fn wake_wait(&self) -> Result<(), Error>;

    /// Checks that the database answers.
    async fn ping(&self) -> Result<(), Error>;
}
