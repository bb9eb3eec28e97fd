//! What passes between the engine and a store.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::correlation::Correlation;
use super::fault::FaultSignature;
use super::filter::Filter;
use super::flow::Gate;
use super::human_tasks::HumanTaskChange;
use crate::definition::{ProgramHash, WorkflowRef};
use crate::{ExecutionId, InboxId, TenantId, WorkerId};

/// Where an execution stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It is in the queue: any worker may take it when its turn comes and the limits
    /// that it was started under let it.
    Pending,
    /// A worker has it.
    Running,
    /// It waits for a time, an event or a child; no worker has it.
    Waiting,
    /// Somebody stopped it for a while: nothing new begins until it is resumed.
    Suspended,
    /// It ended well.
    Completed,
    /// It ended with an error.
    Faulted,
    /// It was ended by request.
    Cancelled,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Running,
        Self::Waiting,
        Self::Suspended,
        Self::Completed,
        Self::Faulted,
        Self::Cancelled,
    ];

    /// Tells whether nothing will happen any more.
    #[must_use]
    pub fn is_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Faulted | Self::Cancelled)
    }

    /// Gives the word used in storage and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Suspended => "suspended",
            Self::Completed => "completed",
            Self::Faulted => "faulted",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// The text is not the word of a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown execution status")]
pub struct UnknownStatus;

impl FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut all = Self::ALL.into_iter();
        all.find(|status| status.as_str() == text)
            .ok_or(UnknownStatus)
    }
}

/// One version of a workflow, as deployed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinitionRow {
    /// Namespace, name and version.
    pub workflow: WorkflowRef,
    /// The SHA-256 of the text and what it takes from elsewhere.
    pub hash: ProgramHash,
    /// The title, if the definition has one.
    pub title: Option<String>,
    /// The summary, if the definition has one.
    pub summary: Option<String>,
    /// The definition as it was sent.
    pub text: Arc<str>,
    /// What it takes from elsewhere, as JSON.
    pub externals: Option<Arc<str>>,
    /// When it was deployed.
    pub created_at: Timestamp,
}

/// What became of a definition that was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefinitionPut {
    /// The version is new.
    Created,
    /// The same version with the same text is there already.
    Same,
    /// The version is there with another text; nothing was changed.
    Conflict,
}

/// A workflow in a list: its highest version without the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinitionSummary {
    /// Namespace, name and highest version.
    pub workflow: WorkflowRef,
    /// The title, if the definition has one.
    pub title: Option<String>,
    /// The summary, if the definition has one.
    pub summary: Option<String>,
    /// When that version was deployed.
    pub created_at: Timestamp,
}

/// One version in a workflow's list of versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinitionVersion {
    /// The semantic version.
    pub version: String,
    /// The SHA-256 of the text.
    pub hash: ProgramHash,
    /// When it was deployed.
    pub created_at: Timestamp,
}

/// Selects workflows.
#[derive(Debug, Clone, Default)]
pub struct DefinitionQuery {
    /// Text that namespace, name or title must contain, whatever the case.
    pub text: Option<String>,
    /// Namespace and name after which the page starts.
    pub after: Option<(String, String)>,
    /// How many at most.
    pub limit: u32,
}

/// One page of a list.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// What is on the page.
    pub items: Vec<T>,
    /// Whether more follows.
    pub more: bool,
}

/// Proof that a worker holds its lease: checked with every append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// The worker's present life.
    pub worker: WorkerId,
    /// The name that outlives restarts.
    pub name: String,
    /// Raised by every take-over of the name.
    pub epoch: i64,
}

/// How much a worker can take on.
#[derive(Debug, Clone, Copy)]
pub struct ClaimRequest {
    /// The present time of the engine's clock.
    pub now: Timestamp,
    /// For how long the lease is renewed.
    pub lease: SignedDuration,
    /// How many executions may be claimed; zero only renews.
    pub limit: u32,
}

/// An execution that now belongs to the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Whose it is.
    pub tenant: TenantId,
    /// Which one.
    pub execution: ExecutionId,
}

/// What a worker's beat gave.
#[derive(Debug, Clone, Default)]
pub struct Beat {
    /// What the worker has now.
    pub claims: Vec<Claim>,
    /// When something may become due without being told, by a timer or at a gate, if
    /// anything waits for that.
    pub look_at: Option<Timestamp>,
}

/// Who waits for an execution's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    /// The execution that started it.
    pub execution: ExecutionId,
    /// The effect that waits; absent if nobody does.
    pub effect: Option<u64>,
}

/// A new execution.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// The workflow and version.
    pub workflow: WorkflowRef,
    /// The definition it is pinned to.
    pub program: ProgramHash,
    /// The raw input as JSON text.
    pub input: Arc<str>,
    /// Who started it, if another execution did.
    pub parent: Option<Parent>,
    /// Makes a repeated start find the first, for as long as the execution is kept.
    pub idempotency_key: Option<String>,
    /// Searchable names and values.
    pub attributes: BTreeMap<String, String>,
    /// Higher comes first.
    pub priority: i32,
    /// What it has to pass before it begins; only a start that queues has any.
    pub gates: Vec<Gate>,
    /// When it was started.
    pub at: Timestamp,
}

/// How an execution ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// Completed, faulted or cancelled.
    pub status: Status,
    /// The output as JSON text, when completed.
    pub output: Option<Arc<str>>,
    /// The error object as JSON text, when faulted.
    pub error: Option<Arc<str>>,
    /// What the error has in common with others of the same reason, when faulted.
    pub fault: Option<FaultSignature>,
    /// When it ended.
    pub at: Timestamp,
}

/// One row of the journal.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRow {
    /// Its place in the execution, from 1 without gaps.
    pub sequence: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened, as a word: `execution.started`, `effect.completed`, …
    pub kind: &'static str,
    /// The interpreter's event as JSON text.
    pub payload: Arc<str>,
    /// The task records that followed from it, in the interpreter's short form as JSON
    /// text (an array); [`tasks_of`](crate::engine::tasks_of) reads them.
    pub records: Arc<str>,
}

/// The interpreter's state after an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The last event that it contains.
    pub sequence: u64,
    /// The format version of the state.
    pub format: u16,
    /// The state as JSON text; the adapter keeps a checksum beside it.
    pub state: Arc<str>,
}

/// What an execution listens for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Whose it is.
    pub tenant: TenantId,
    /// The execution that listens.
    pub execution: ExecutionId,
    /// The effect in it.
    pub effect: u64,
    /// A number within the effect: one per filter.
    pub filter: u32,
    /// The event type, if the filter names one literally.
    pub event_type: Option<String>,
    /// The resolved filter as JSON text, for the engine.
    pub condition: Arc<str>,
    /// The key of the filter's correlations, if it has any.
    pub correlation: Option<Correlation>,
}

/// What an inbox message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// A `CloudEvent` that a subscription matched; the payload is the event.
    CloudEvent,
    /// A child execution ended; the payload is its outcome.
    ChildEnded,
    /// A person answered; the payload is the answer.
    Answer,
    /// Somebody asks for something to be done to the execution; the payload is the
    /// engine's command.
    Control,
}

impl MessageKind {
    /// Gives the word used in storage.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CloudEvent => "cloud_event",
            Self::ChildEnded => "child_ended",
            Self::Answer => "answer",
            Self::Control => "control",
        }
    }

    /// Reads the word used in storage.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "cloud_event" => Self::CloudEvent,
            "child_ended" => Self::ChildEnded,
            "answer" => Self::Answer,
            "control" => Self::Control,
            _ => return None,
        })
    }
}

/// Something that reaches an execution from outside. It stays, marked as consumed,
/// as long as the execution lives, so that a repetition is recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxMessage {
    /// Makes a repetition recognisable.
    pub id: InboxId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The receiver.
    pub execution: ExecutionId,
    /// What it is.
    pub kind: MessageKind,
    /// The effect that waits for it, if it is for one.
    pub effect: Option<u64>,
    /// The content as JSON text.
    pub payload: Arc<str>,
    /// When it was put.
    pub at: Timestamp,
}

/// What a message of control does at once to where its receiver stands in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Nothing.
    Tell,
    /// Marks it as suspended: it waits at no gate.
    Suspend,
    /// Takes the mark away.
    Resume,
    /// Takes the mark away; what is held at gates is claimed without passing them.
    End,
}

/// What becomes of an execution after an entry.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// It becomes, or stays, the appending worker's.
    Owned,
    /// It waits in the queue for any worker, from now on (a start without a worker), or
    /// behind the gates of its start. A start may queue without any event: then it
    /// begins when it is claimed.
    Queued,
    /// It waits without a worker until a time or a message comes. If an unconsumed
    /// message is there already, it is due at once.
    Parked {
        /// The earliest time at which it has something to do.
        due: Option<Timestamp>,
        /// What it waits for, in a word or two for people.
        waiting_for: Option<String>,
    },
    /// It has ended; queue row, snapshot and subscriptions go.
    Ended(Ended),
}

/// One execution's part of a journal batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Whose it is.
    pub tenant: TenantId,
    /// Which execution.
    pub execution: ExecutionId,
    /// Present in the entry that creates the execution.
    pub start: Option<Box<Start>>,
    /// The new events, in order.
    pub events: Vec<EventRow>,
    /// The state after the last of the events, if it is to be kept.
    pub snapshot: Option<Snapshot>,
    /// New subscriptions.
    pub subscribe: Vec<Subscription>,
    /// Effects whose subscriptions end.
    pub unsubscribe: Vec<u64>,
    /// What becomes of its human tasks, one change for each at most.
    pub human_tasks: Vec<HumanTaskChange>,
    /// Messages that these events consumed.
    pub consumed: Vec<InboxId>,
    /// Messages to other executions, put in the same transaction.
    pub messages: Vec<InboxMessage>,
    /// What becomes of the execution.
    pub next: Next,
}

/// What became of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is committed.
    Recorded,
    /// Its first event is in the journal already, or the execution is not (or no
    /// longer) the appending worker's; nothing was written.
    AlreadyRecorded,
    /// The tenant has used the idempotency key before, for this execution; nothing
    /// was written.
    Exists(ExecutionId),
    /// The database cannot take it, for the reason given; nothing was written.
    Refused(String),
}

/// A change of an execution that no worker has: one that has ended goes on, or one that
/// is parked is put back. It replaces state, subscriptions and version, and makes the
/// execution due.
#[derive(Debug, Clone, PartialEq)]
pub struct Amend {
    /// Whose it is.
    pub tenant: TenantId,
    /// Which execution.
    pub execution: ExecutionId,
    /// The last event that the change builds on.
    pub after: u64,
    /// The new events, in order.
    pub events: Vec<EventRow>,
    /// The state after the last of them.
    pub snapshot: Snapshot,
    /// Everything that it listens for from now on.
    pub subscribe: Vec<Subscription>,
    /// Every human task that it waits for from now on; others that are open are
    /// withdrawn.
    pub human_tasks: Vec<HumanTaskChange>,
    /// Messages to other executions.
    pub messages: Vec<InboxMessage>,
    /// The workflow and version from now on.
    pub workflow: WorkflowRef,
    /// The definition from now on.
    pub program: ProgramHash,
    /// The raw input from now on, if it changes.
    pub input: Option<Arc<str>>,
    /// What an execution that had ended has to pass before it goes on.
    pub gates: Vec<Gate>,
    /// When it is due.
    pub at: Timestamp,
}

/// What became of an amendment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amended {
    /// It is committed.
    Done,
    /// A worker has the execution; nothing was written.
    Owned,
    /// The execution has other events by now, or is not there; nothing was written.
    Moved,
}

/// The version that an execution's row is to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutionLabel {
    /// Whose it is.
    pub tenant: TenantId,
    /// Which execution.
    pub execution: ExecutionId,
    /// The workflow and version.
    pub workflow: WorkflowRef,
    /// The definition.
    pub program: ProgramHash,
}

/// What is needed to go on with an execution.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Whose it is.
    pub tenant: TenantId,
    /// Which one.
    pub execution: ExecutionId,
    /// Its workflow.
    pub workflow: WorkflowRef,
    /// The definition it is pinned to.
    pub program: ProgramHash,
    /// Who waits for its end.
    pub parent: Option<Parent>,
    /// When it was started.
    pub started_at: Timestamp,
    /// Higher comes first.
    pub priority: i32,
    /// Whether its end makes room at a gate.
    pub gated: bool,
    /// The raw input as JSON text, while it has no event.
    pub input: Option<Arc<str>>,
    /// The newest snapshot whose checksum is right.
    pub snapshot: Option<Snapshot>,
    /// The events after the snapshot, or all.
    pub tail: Vec<EventRow>,
    /// Unconsumed messages, oldest first.
    pub inbox: Vec<InboxMessage>,
}

/// An execution as readers see it.
#[derive(Debug, Clone, PartialEq)]
pub struct ExecutionRow {
    /// Its id.
    pub id: ExecutionId,
    /// Its workflow and version.
    pub workflow: WorkflowRef,
    /// The definition it is pinned to.
    pub program: ProgramHash,
    /// Where it stands.
    pub status: Status,
    /// When it was started.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// What it waits for, when it is parked.
    pub waiting_for: Option<String>,
    /// The raw input as JSON text; absent in lists.
    pub input: Option<Arc<str>>,
    /// The output as JSON text.
    pub output: Option<Arc<str>>,
    /// The error as JSON text.
    pub error: Option<Arc<str>>,
    /// Who started it, if another execution did.
    pub parent: Option<ExecutionId>,
    /// Searchable names and values.
    pub attributes: BTreeMap<String, String>,
    /// Higher comes first when executions of its tenant have to queue.
    pub priority: i32,
}

/// Selects executions.
#[derive(Debug, Clone, Default)]
pub struct ExecutionQuery {
    /// Which ones.
    pub filter: Filter,
    /// The start time and id before which the page starts.
    pub before: Option<(Timestamp, ExecutionId)>,
    /// How many at most.
    pub limit: u32,
}
