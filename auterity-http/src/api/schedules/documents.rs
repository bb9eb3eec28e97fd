//! How schedules look from outside.

use auterity_core::expression::fixed;
use auterity_core::schedule::{CatchUp, Overlap, Policy, Spec, Timing};
use auterity_core::store::{ListedSchedule, ScheduleRow, TickRow};
use jiff::{SignedDuration, Timestamp};
use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Code, Pointed, Problem};
use crate::payload::Time;

/// When a schedule starts its workflow: exactly one of `cron`, `every`, `after`, `on`.
#[derive(Debug, Default, Clone, Serialize, Deserialize, Object)]
#[serde(default, deny_unknown_fields)]
#[oai(deny_unknown_fields, rename = "ScheduleTiming")]
pub(super) struct TimingBody {
    /// A cron expression of five fields, or of six with seconds first.
    #[serde(skip_serializing_if = "Option::is_none")]
    cron: Option<String>,
    /// The time zone of the cron expression, such as `Europe/Berlin`; absent: `UTC`.
    #[serde(skip_serializing_if = "Option::is_none")]
    time_zone: Option<String>,
    /// A period as ISO 8601 duration, such as `PT15M`.
    #[serde(skip_serializing_if = "Option::is_none")]
    every: Option<String>,
    /// How long after the end of the last execution, such as `PT1M`.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<String>,
    /// Events, as the definition language has them: `one`, `any` or `all`.
    #[serde(skip_serializing_if = "Option::is_none")]
    on: Option<Value>,
}

/// What happens to a tick while an execution of the schedule is active.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case", rename = "ScheduleOverlap")]
pub(super) enum OverlapBody {
    /// Start another one.
    Allow,
    /// Leave the tick out.
    Skip,
    /// Wait for the end; while one waits, leave others out.
    QueueOne,
    /// Wait for the end of all before.
    QueueAll,
    /// Cancel the active one, and start once it has ended.
    Cancel,
}

/// What happens to ticks that were missed.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case", rename = "ScheduleCatchUp")]
pub(super) enum CatchUpBody {
    /// Leave them out.
    None,
    /// Make up for the last one.
    Last,
    /// Make up for all.
    All,
    /// Make up for those of the last while: `catch_up_window`.
    Window,
}

/// What a schedule starts.
#[derive(Debug, Clone, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields, rename = "ScheduledWorkflow")]
pub(super) struct WorkflowBody {
    /// Groups workflows.
    namespace: String,
    /// Unique in the namespace.
    name: String,
    /// The version; absent: the highest at each tick.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
}

/// What a person says about a schedule.
#[derive(Debug, Clone, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields, rename = "ScheduleSpec")]
pub(super) struct SpecBody {
    /// Unique in the tenant; cannot be changed.
    pub(super) name: String,
    /// What is started.
    workflow: WorkflowBody,
    /// The input; texts of the form `${ … }` are expressions over `.scheduled_at`,
    /// `.schedule` and `.events`.
    #[serde(default)]
    input: Option<Value>,
    /// Higher comes first when executions have to queue.
    #[serde(default)]
    priority: Option<i32>,
    /// When.
    timing: TimingBody,
    /// Absent: `allow`.
    #[serde(default)]
    overlap: Option<OverlapBody>,
    /// Absent: `last`.
    #[serde(default)]
    catch_up: Option<CatchUpBody>,
    /// How far back `catch_up: window` reaches, such as `PT6H`.
    #[serde(default)]
    catch_up_window: Option<String>,
    /// Ticks come up to this much later, such as `PT5M`, by a share that is the schedule's own.
    #[serde(default)]
    jitter: Option<String>,
    /// No tick comes before this time.
    #[serde(default)]
    starts_at: Option<String>,
    /// No tick comes after this time.
    #[serde(default)]
    ends_at: Option<String>,
    /// The schedule pauses after so many failures in a row.
    #[serde(default)]
    pause_after_failures: Option<u32>,
}

/// Why and since when a schedule stands still.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "SchedulePause")]
pub(super) struct PauseBody {
    /// Why.
    reason: Option<String>,
    /// Since when.
    at: Time,
    /// Whether too many failures caused it.
    by_failures: bool,
}

/// A tick: one time, or one set of events, that a schedule started or left out.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "ScheduleTick")]
pub(super) struct TickBody {
    /// Its place in the schedule; numbers may be left out.
    sequence: u64,
    /// `time`, `event`, `trigger`, `backfill`.
    kind: String,
    /// The time that it stands for.
    scheduled_at: Time,
    /// `queued`, `due`, `started`, `completed`, `faulted`, `cancelled`, `lost`,
    /// `skipped`, `missed`, `failed`.
    state: String,
    /// Its execution.
    execution: Option<String>,
    /// Why it was left out or failed.
    reason: Option<String>,
    /// When it was decided.
    decided_at: Time,
    /// When its execution ended.
    ended_at: Option<Time>,
}

/// A schedule.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "Schedule")]
pub(super) struct ScheduleBody {
    /// The id.
    id: String,
    /// The name.
    name: String,
    /// `active`, `paused`, or `ended` when no tick will come any more.
    state: String,
    /// When it comes, in words.
    description: String,
    /// What is started.
    workflow: WorkflowBody,
    /// The input.
    input: Option<Value>,
    /// Higher comes first when executions have to queue.
    priority: i32,
    /// When.
    timing: TimingBody,
    /// What happens to a tick while an execution is active.
    overlap: OverlapBody,
    /// What happens to missed ticks.
    catch_up: CatchUpBody,
    /// How far back `window` reaches.
    catch_up_window: Option<String>,
    /// Ticks come up to this much later.
    jitter: String,
    /// No tick comes before this.
    starts_at: Option<Time>,
    /// No tick comes after this.
    ends_at: Option<Time>,
    /// The schedule pauses after so many failures in a row.
    pause_after_failures: Option<u32>,
    /// Present while it is paused.
    paused: Option<PauseBody>,
    /// Failures in a row.
    failures: u32,
    /// The next time.
    next_at: Option<Time>,
    /// Up to where times are decided: how far a backfill has come.
    decided_to: Time,
    /// Ticks so far.
    ticks: u64,
    /// Whether it belongs to a definition, which alone may change what it says.
    managed: bool,
    /// The schedule that this one fills up.
    backfill_of: Option<String>,
    /// Raised by every change; the content of the `ETag`.
    revision: u64,
    /// When it was made.
    created_at: Time,
    /// When it was last changed.
    updated_at: Time,
    /// Its last tick; in lists only.
    last_tick: Option<TickBody>,
}

impl SpecBody {
    pub(super) fn spec(self) -> Result<Spec, Problem> {
        let mut wrong = Vec::new();
        let timing = self.timing.timing(&mut wrong);
        let window = length(
            &mut wrong,
            "/catch_up_window",
            self.catch_up_window.as_deref(),
        );
        let catch_up = match (self.catch_up, window) {
            (None | Some(CatchUpBody::Last), _) => CatchUp::Last,
            (Some(CatchUpBody::None), _) => CatchUp::None,
            (Some(CatchUpBody::All), _) => CatchUp::All,
            (Some(CatchUpBody::Window), Some(window)) => CatchUp::Window(window),
            (Some(CatchUpBody::Window), None) => {
                let detail = "say how far back the window reaches, such as PT6H";
                wrong.push(Pointed::new("/catch_up_window", detail));
                CatchUp::Last
            }
        };
        let policy = Policy {
            overlap: self.overlap.map_or(Overlap::Allow, Overlap::from),
            catch_up,
            jitter: length(&mut wrong, "/jitter", self.jitter.as_deref()).unwrap_or_default(),
            starts_at: time(&mut wrong, "/starts_at", self.starts_at.as_deref()),
            ends_at: time(&mut wrong, "/ends_at", self.ends_at.as_deref()),
            pause_after_failures: self.pause_after_failures,
        };
        match timing {
            Some(timing) if wrong.is_empty() => Ok(Spec {
                namespace: self.workflow.namespace,
                workflow: self.workflow.name,
                version: self.workflow.version,
                input: self.input,
                priority: self.priority.unwrap_or_default(),
                timing,
                policy,
            }),
            _ => Err(invalid(wrong)),
        }
    }
}

impl TimingBody {
    /// Reads it, if it has one of its four forms.
    pub(super) fn timing(self, wrong: &mut Vec<Pointed>) -> Option<Timing> {
        let zone = self.time_zone;
        let timing = match (self.cron, self.every, self.after, self.on) {
            (Some(expression), None, None, None) => Some(Timing::Cron {
                expression,
                time_zone: zone.unwrap_or_else(|| "UTC".to_owned()),
            }),
            (None, Some(every), None, None) => {
                length(wrong, "/timing/every", Some(&every)).map(Timing::Every)
            }
            (None, None, Some(after), None) => {
                length(wrong, "/timing/after", Some(&after)).map(Timing::After)
            }
            (None, None, None, Some(on)) => Some(Timing::On(on)),
            _ => {
                let detail = "give exactly one of cron, every, after and on";
                wrong.push(Pointed::new("/timing", detail));
                None
            }
        };
        if timing.is_none() && wrong.is_empty() {
            wrong.push(Pointed::new("/timing", "cannot be read"));
        }
        timing
    }
}

/// Answers that a schedule is wrong in these places.
pub(super) fn invalid(wrong: Vec<Pointed>) -> Problem {
    let detail = wrong.first().map_or_else(
        || "the schedule is not valid".to_owned(),
        |first| {
            format!(
                "the schedule is not valid: {} {}",
                first.pointer, first.detail
            )
        },
    );
    Problem::new(Code::ValidationFailed, detail).with_errors(wrong)
}

fn length(wrong: &mut Vec<Pointed>, pointer: &str, text: Option<&str>) -> Option<SignedDuration> {
    let parsed = fixed::parse(text?);
    if let Err(error) = &parsed {
        let detail = format!("must be an ISO 8601 duration such as PT15M or P1D: {error}");
        wrong.push(Pointed::new(pointer, detail));
    }
    parsed.ok()
}

fn time(wrong: &mut Vec<Pointed>, pointer: &str, text: Option<&str>) -> Option<Timestamp> {
    let parsed = text?.parse();
    if parsed.is_err() {
        let detail = "must be a time such as 2026-01-31T08:00:00Z";
        wrong.push(Pointed::new(pointer, detail));
    }
    parsed.ok()
}

impl From<OverlapBody> for Overlap {
    fn from(overlap: OverlapBody) -> Self {
        match overlap {
            OverlapBody::Allow => Self::Allow,
            OverlapBody::Skip => Self::Skip,
            OverlapBody::QueueOne => Self::QueueOne,
            OverlapBody::QueueAll => Self::QueueAll,
            OverlapBody::Cancel => Self::Cancel,
        }
    }
}

impl From<Overlap> for OverlapBody {
    fn from(overlap: Overlap) -> Self {
        match overlap {
            Overlap::Allow => Self::Allow,
            Overlap::Skip => Self::Skip,
            Overlap::QueueOne => Self::QueueOne,
            Overlap::QueueAll => Self::QueueAll,
            Overlap::Cancel => Self::Cancel,
        }
    }
}

fn timing_body(timing: &Timing) -> TimingBody {
    let mut body = TimingBody::default();
    match timing {
        Timing::Cron {
            expression,
            time_zone,
        } => {
            body.cron = Some(expression.clone());
            body.time_zone = Some(time_zone.clone());
        }
        Timing::Every(period) => body.every = Some(fixed::text(*period)),
        Timing::After(delay) => body.after = Some(delay.to_string()),
        Timing::On(events) => body.on = Some(events.clone()),
    }
    body
}

impl From<ScheduleRow> for ScheduleBody {
    fn from(row: ScheduleRow) -> Self {
        let by_clock = !matches!(row.spec.timing, Timing::On(_) | Timing::After(_));
        let state = match (&row.paused, row.next) {
            (Some(_), _) => "paused",
            (None, None) if by_clock && row.due.is_none() => "ended",
            _ => "active",
        };
        let (catch_up, catch_up_window) = match row.spec.policy.catch_up {
            CatchUp::None => (CatchUpBody::None, None),
            CatchUp::Last => (CatchUpBody::Last, None),
            CatchUp::All => (CatchUpBody::All, None),
            CatchUp::Window(window) => (CatchUpBody::Window, Some(window.to_string())),
        };
        let policy = &row.spec.policy;
        Self {
            id: row.id.to_string(),
            name: row.name,
            state: state.to_owned(),
            description: row.spec.timing.describe(),
            timing: timing_body(&row.spec.timing),
            overlap: policy.overlap.into(),
            catch_up,
            catch_up_window,
            jitter: policy.jitter.to_string(),
            starts_at: policy.starts_at.map(Time),
            ends_at: policy.ends_at.map(Time),
            pause_after_failures: policy.pause_after_failures,
            workflow: WorkflowBody {
                namespace: row.spec.namespace,
                name: row.spec.workflow,
                version: row.spec.version,
            },
            input: row.spec.input,
            priority: row.spec.priority,
            paused: row.paused.map(|pause| PauseBody {
                reason: pause.reason,
                at: Time(pause.at),
                by_failures: pause.by_failures,
            }),
            failures: row.failures,
            next_at: row.next.map(Time),
            decided_to: Time(row.cursor),
            ticks: row.ticks,
            managed: row.managed,
            backfill_of: row.backfill_of.map(|id| id.to_string()),
            revision: row.revision,
            created_at: Time(row.created_at),
            updated_at: Time(row.updated_at),
            last_tick: None,
        }
    }
}

impl From<ListedSchedule> for ScheduleBody {
    fn from(listed: ListedSchedule) -> Self {
        Self {
            last_tick: listed.last.as_ref().map(TickBody::from),
            ..Self::from(listed.row)
        }
    }
}

impl From<&TickRow> for TickBody {
    fn from(tick: &TickRow) -> Self {
        Self {
            sequence: tick.sequence,
            kind: tick.kind.as_str().to_owned(),
            scheduled_at: Time(tick.nominal),
            state: tick.state.as_str().to_owned(),
            execution: tick.execution.map(|id| id.to_string()),
            reason: tick.reason.clone(),
            decided_at: Time(tick.decided_at),
            ended_at: tick.ended_at.map(Time),
        }
    }
}
