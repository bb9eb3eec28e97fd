//! The schedules' part of the store port.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Page, Status, Subscription};
use crate::schedule::{Group, Spec, filters};
use crate::{Error, ExecutionId, InboxId, ScheduleId, Scope, TenantId};

/// Open ticks that a look has at most.
pub(super) const OPEN_MAX: u32 = 500;

/// Events that a look has at most.
pub(super) const EVENTS_MAX: u32 = 100;

/// Why and since when a schedule stands still.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Why, for people.
    pub reason: Option<String>,
    /// Since when.
    pub at: Timestamp,
    /// Whether too many failures caused it, and not a person.
    pub by_failures: bool,
}

/// Keys that say what made a schedule; the store keeps each at most once per tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScheduleKey {
    /// A person, under this name.
    Name(String),
    /// The `schedule` of a definition: namespace, name and kind of timing.
    Definition(String, String, &'static str),
    /// A backfill.
    Backfill(ScheduleId),
}

impl fmt::Display for ScheduleKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(out, "name:{name}"),
            Self::Definition(namespace, name, kind) => {
                write!(out, "definition:{namespace}/{name}/{kind}")
            }
            Self::Backfill(id) => write!(out, "backfill:{id}"),
        }
    }
}

/// A schedule, or a backfill of one, which is a schedule of the past.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduleRow {
    /// Its id.
    pub id: ScheduleId,
    /// Whose it is.
    pub tenant: TenantId,
    /// What made it, as text; unique in the tenant.
    pub key: String,
    /// Its name, for people.
    pub name: String,
    /// What a person said.
    pub spec: Spec,
    /// Whether it belongs to a definition, which alone may change what it says.
    pub managed: bool,
    /// The schedule that this one fills up.
    pub backfill_of: Option<ScheduleId>,
    /// Raised by every change that a person makes.
    pub revision: u64,
    /// Present while it stands still.
    pub paused: Option<Pause>,
    /// Faulted executions in a row.
    pub failures: u32,
    /// From where equal distances count.
    pub anchor: Timestamp,
    /// Up to where nominal times are decided; for `after`, from where the delay counts.
    pub cursor: Timestamp,
    /// The next nominal time, if there is one.
    pub next: Option<Timestamp>,
    /// When a worker is to look at it.
    pub due: Option<Timestamp>,
    /// Ticks so far: the sequence number of the last.
    pub ticks: u64,
    /// Whether the ends of its executions decide anything.
    pub watches: bool,
    /// Events that wait for others of their `all`.
    pub collecting: Vec<Group>,
    /// Raised whenever a worker takes it; a worker's decision counts only for its own.
    pub claim: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When a person last changed it.
    pub updated_at: Timestamp,
}

/// What caused a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TickKind {
    /// Its time came.
    Time,
    /// Its events came.
    Event,
    /// A person asked for it.
    Trigger,
    /// A person asked for a range of the past.
    Backfill,
}

impl TickKind {
    /// Gives the word used in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Event => "event",
            Self::Trigger => "trigger",
            Self::Backfill => "backfill",
        }
    }
}

/// Where a tick stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TickState {
    /// It waits for the end of an execution before it.
    Queued,
    /// It is decided; its execution is about to start.
    Due,
    /// Its execution is started.
    Started,
    /// Its execution ended well.
    Completed,
    /// Its execution ended with an error.
    Faulted,
    /// Its execution was cancelled.
    Cancelled,
    /// Its execution is not kept any more, and how it ended is not known.
    Lost,
    /// It was left out because of the overlap policy.
    Skipped,
    /// It and those after it were left out because of the catch-up policy.
    Missed,
    /// Its execution could not be started.
    Failed,
}

impl TickState {
    /// Gives the word used in storage and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Due => "due",
            Self::Started => "started",
            Self::Completed => "completed",
            Self::Faulted => "faulted",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
            Self::Skipped => "skipped",
            Self::Missed => "missed",
            Self::Failed => "failed",
        }
    }
}

impl From<Option<Status>> for TickState {
    /// What an execution's end makes of its tick.
    fn from(status: Option<Status>) -> Self {
        match status {
            Some(Status::Completed) => Self::Completed,
            Some(Status::Faulted) => Self::Faulted,
            Some(Status::Cancelled) => Self::Cancelled,
            Some(_) => Self::Started,
            None => Self::Lost,
        }
    }
}

/// One tick of a schedule. Its identity makes it happen once, whoever decides it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TickRow {
    /// Whose tick it is.
    pub schedule: ScheduleId,
    /// Unique in the schedule: its nominal time, or what its events are.
    pub identity: String,
    /// Its place in the schedule, from 1; numbers may be left out.
    pub sequence: u64,
    /// What caused it.
    pub kind: TickKind,
    /// The time that it stands for.
    pub nominal: Timestamp,
    /// Where it stands.
    pub state: TickState,
    /// Whether the schedule still has to take note of something about it.
    pub open: bool,
    /// Its execution, derived from schedule and identity.
    pub execution: Option<ExecutionId>,
    /// Why it was left out or failed.
    pub reason: Option<String>,
    /// Its events, as a JSON array.
    pub events: Option<Arc<str>>,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// When its execution ended.
    pub ended_at: Option<Timestamp>,
}

/// An event for a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleEvent {
    /// The receiver.
    pub schedule: ScheduleId,
    /// Makes a repetition recognisable.
    pub id: InboxId,
    /// The event as JSON text.
    pub payload: Arc<str>,
    /// When it was put.
    pub at: Timestamp,
}

/// What a worker asks for.
#[derive(Debug, Clone, Copy)]
pub struct ScheduleClaim {
    /// The present time of the engine's clock.
    pub now: Timestamp,
    /// For how long nobody else gets what is claimed, unless it is given back.
    pub hold: SignedDuration,
    /// How many schedules at most.
    pub limit: u32,
    /// This one only, due or not.
    pub only: Option<ScheduleId>,
}

/// A schedule with all that its next decision depends on.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// The schedule.
    pub row: ScheduleRow,
    /// Its open ticks: those that wait first, then the started, each in order.
    pub open: Vec<TickRow>,
    /// Events that nothing was made of yet, oldest first.
    pub events: Vec<ScheduleEvent>,
}

/// What a worker claimed.
#[derive(Debug, Clone, Default)]
pub struct Claimed {
    /// The schedules, the longest due first.
    pub looks: Vec<Look>,
    /// When the next of the others is due.
    pub next_due: Option<Timestamp>,
}

/// A worker's decision about one schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduleChange {
    /// The schedule as it is from now on; counts only if its claim is still the last.
    pub row: ScheduleRow,
    /// New and changed ticks. A new one whose identity is there already is left out.
    pub ticks: Vec<TickRow>,
    /// Events that something was made of.
    pub consumed: Vec<InboxId>,
    /// Ticks up to this sequence number that are not open are forgotten.
    pub forget: Option<u64>,
    /// Whether the worker keeps it until the due time of the row. Otherwise that time
    /// comes earlier if something happened since the claim.
    pub holds: bool,
    /// The present time of the engine's clock.
    pub at: Timestamp,
}

/// A started tick, and how its execution ended if it did.
#[derive(Debug, Clone, PartialEq)]
pub struct StartedTick {
    /// The schedule.
    pub schedule: ScheduleId,
    /// The tick's sequence number.
    pub sequence: u64,
    /// Its execution.
    pub execution: ExecutionId,
    /// Present once the execution has ended, or is not kept any more: how and when.
    pub ended: Option<(TickState, Option<Timestamp>)>,
}

/// What became of a schedule that was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchedulePut {
    /// It is kept.
    Created,
    /// There is one with this key, or this id.
    Exists(ScheduleId),
    /// The tenant has as many as it may have.
    Full,
}

/// Selects schedules.
#[derive(Debug, Clone, Default)]
pub struct ScheduleQuery {
    /// Only those of this workflow: namespace and name.
    pub workflow: Option<(String, String)>,
    /// The backfills of this schedule; absent: schedules.
    pub backfills_of: Option<ScheduleId>,
    /// The name and id after which the page starts.
    pub after: Option<(String, ScheduleId)>,
    /// How many at most.
    pub limit: u32,
}

/// A schedule in a list.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedSchedule {
    /// The schedule.
    pub row: ScheduleRow,
    /// Its last tick.
    pub last: Option<TickRow>,
}

/// Keeps schedules, their ticks and the events that wait for them.
#[async_trait]
pub trait ScheduleStore: Send + Sync + fmt::Debug + 'static {
    /// Adds a schedule, with its subscriptions if events start it, unless the tenant has
    /// `most` schedules; backfills do not count. Of many that are put at once a few more
    /// may be taken.
    async fn schedule_put(&self, row: &ScheduleRow, most: u32) -> Result<SchedulePut, Error>;

    /// Replaces a schedule if its revision is still the given one; tells whether it
    /// was. Takes it away from a worker that has claimed it.
    async fn schedule_update(&self, row: &ScheduleRow, revision: u64) -> Result<bool, Error>;

    /// Fetches a schedule or backfill.
    async fn schedule_fetch(
        &self,
        scope: &Scope,
        id: ScheduleId,
    ) -> Result<Option<ScheduleRow>, Error>;

    /// Lists schedules by name, each with its last tick.
    async fn schedule_list(
        &self,
        scope: &Scope,
        query: &ScheduleQuery,
    ) -> Result<Page<ListedSchedule>, Error>;

    /// Removes a schedule with its ticks, events and backfills, if its revision is the
    /// given one; tells whether it did. Executions that it started go on.
    async fn schedule_delete(
        &self,
        scope: &Scope,
        id: ScheduleId,
        revision: Option<u64>,
    ) -> Result<bool, Error>;

    /// Claims schedules that are due, the longest due first. Never waits for locked rows.
    async fn schedule_claim(&self, request: ScheduleClaim) -> Result<Claimed, Error>;

    /// Records decisions, each only if its claim is still the schedule's last. Gives
    /// the ids of the schedules whose decision was recorded.
    async fn schedule_commit(&self, changes: &[ScheduleChange]) -> Result<Vec<ScheduleId>, Error>;

    /// Lists started ticks by their execution's id, after the given one.
    async fn schedule_started(
        &self,
        after: Option<ExecutionId>,
        limit: u32,
    ) -> Result<Vec<StartedTick>, Error>;

    /// Notes how executions of ticks ended, and makes schedules due that want to know.
    async fn schedule_settle(&self, now: Timestamp, ended: &[StartedTick]) -> Result<(), Error>;

    /// Lists a schedule's ticks before a sequence number, the newest first.
    async fn schedule_ticks(
        &self,
        scope: &Scope,
        id: ScheduleId,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Page<TickRow>, Error>;

    /// Fetches the tick of a schedule that has this identity.
    async fn schedule_tick_find(
        &self,
        scope: &Scope,
        id: ScheduleId,
        identity: &str,
    ) -> Result<Option<TickRow>, Error>;

    /// Puts events for schedules and makes these due. An event whose id was put before
    /// is dropped, and so is one for a schedule that stands still.
    async fn schedule_event_put(&self, events: &[ScheduleEvent]) -> Result<(), Error>;
}

impl ScheduleRow {
    /// Gives what the schedule subscribes to, for the table that executions use too.
    pub(crate) fn subscriptions(&self) -> Vec<Subscription> {
        let filters = filters(&self.spec.timing);
        let all = filters.iter().enumerate();
        all.map(|(place, filter)| Subscription {
            tenant: self.tenant,
            execution: ExecutionId::from_uuid(self.id.as_uuid()),
            effect: Subscription::OF_SCHEDULE,
            filter: u32::try_from(place).unwrap_or(u32::MAX),
            event_type: filter.event_type().map(str::to_owned),
            condition: serde_json::to_string(filter).unwrap_or_default().into(),
            correlation: None,
        })
        .collect()
    }
}

impl Subscription {
    /// Stands in place of an effect where a schedule listens; the execution's id is the
    /// schedule's then. No execution ever has so many effects.
    pub const OF_SCHEDULE: u64 = i64::MAX as u64;
}
