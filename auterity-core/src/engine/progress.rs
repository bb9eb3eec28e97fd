//! Where an execution stands in memory: rebuilt from its journal, moved on by events,
//! turned into the entry that records them.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::control::Command;
use super::durable_fn::Code;
use super::feed::Growth;
use super::figures::Tally;
use super::human_tasks;
use super::life::Core;
use super::stretch::Stretch;
use super::worker::LACKING_WAIT;
use crate::definition::Program;
use crate::interpreter::{
    Effect, EffectResult, End, Event, Problem, ProblemKind, STATE_FORMAT, State, write_records,
};
use crate::store::{
    Correlation, Ended, Entry, EventRow, ExecutionRow, FaultSignature, InboxMessage, MessageKind,
    Next, Parent, Snapshot, Status, Subscription, TEXT_BYTES_MAX,
};
use crate::{Error, ErrorKind, ExecutionId, InboxId, TenantId};

/// Who an execution is: what stays the same all its life.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) tenant: TenantId,
    pub(super) execution: ExecutionId,
    pub(super) program: Arc<Program>,
    pub(super) parent: Option<Parent>,
    pub(super) started_at: Timestamp,
    pub(super) priority: i32,
    /// What it was started with, where it was started here.
    pub(super) given: Option<Arc<Given>>,
}

/// What an execution was started with, as its row shows it.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) input: Arc<str>,
    pub(super) attributes: BTreeMap<String, String>,
}

/// Where an execution stands in memory.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) identity: Identity,
    pub(super) state: State,
    pub(super) code: Code,
    /// The last event applied.
    pub(super) sequence: u64,
    /// The last event of the newest snapshot.
    pub(super) snapshot: u64,
    /// How large the newest snapshot is.
    pub(super) snapshot_bytes: usize,
    /// How large the events after it are together.
    pub(super) tail_bytes: usize,
}

/// An entry ready to be appended, and what is to be done after its commit.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) entry: Entry,
    pub(super) effects: Vec<Effect>,
    pub(super) tally: Tally,
}

impl Progress {
    /// Makes the progress of an execution that has not begun.
    pub(super) fn new(identity: Identity) -> Self {
        let state = State::new(identity.started_at);
        Self {
            identity,
            state,
            code: Code::Definition,
            sequence: 0,
            snapshot: 0,
            snapshot_bytes: 0,
            tail_bytes: 0,
        }
    }

    /// Applies events and makes the entry that records them.
    ///
    /// `idle` says that no effect is under way and no message waits, so that the
    /// execution may leave memory if nothing is due soon.
    pub(super) async fn prepare(
        &mut self,
        core: &Core,
        events: &[Event],
        consumed: Vec<InboxId>,
        idle: bool,
    ) -> Result<Prepared, Error> {
        let now = core.now();
        let mut rows = Vec::with_capacity(events.len());
        let (mut effects, mut tally) = (Vec::new(), Tally::default());
        let mut stretch = Stretch::begin();
        for event in events {
            stretch.rest().await;
            effects.extend(self.record(core, (event, now), (&mut rows, &mut tally))?);
        }
        if let Some(event) = self.given_up() {
            effects.extend(self.record(core, (&event, now), (&mut rows, &mut tally))?);
        }
        let mut next = self.next(core, &effects, idle, now)?;
        let mut snapshot = None;
        if self.wants_snapshot(core, &next) {
            let kept = self.take_snapshot()?;
            if let Some(problem) = self.too_large(core, kept.state.len()) {
                let failed = Event::Failed { problem };
                effects.extend(self.record(core, (&failed, now), (&mut rows, &mut tally))?);
                next = self.next(core, &effects, idle, now)?;
            } else {
                snapshot = Some(kept);
            }
        }
        let entry = Entry {
            tenant: self.identity.tenant,
            execution: self.identity.execution,
            start: None,
            events: rows,
            snapshot,
            subscribe: self.subscriptions(&effects)?,
            unsubscribe: unsubscribed(&effects),
            human_tasks: human_tasks::changes(&self.identity, &effects, now)?,
            consumed,
            messages: self.messages(&effects, now)?,
            next,
        };
        Ok(Prepared {
            entry,
            effects,
            tally,
        })
    }

    /// Applies an event and adds the row that records it.
    fn record(
        &mut self,
        core: &Core,
        (event, at): (&Event, Timestamp),
        (rows, tally): (&mut Vec<EventRow>, &mut Tally),
    ) -> Result<Vec<Effect>, Error> {
        self.sequence += 1;
        let (advanced, transition) = self.move_on(core, event, at);
        let event = advanced.as_ref().unwrap_or(event);
        tally.add_records(&transition.records);
        let payload = to_json(event)?;
        let records = write_records(&transition.records, event, at).map_err(unwritable)?;
        self.tail_bytes += payload.len() + records.len();
        rows.push(EventRow {
            sequence: self.sequence,
            at,
            kind: event.kind(),
            payload,
            records: Arc::from(records),
        });
        Ok(transition.effects)
    }

    fn wants_snapshot(&self, core: &Core, next: &Next) -> bool {
        if self.identity.program.is_durable() {
            // Its function is answered from the journal: only where it is called with
            // nothing behind it is what was before not needed any more.
            return self.state.begins_anew() && 1 < self.sequence;
        }
        // A large state is not written anew for a few small events: what snapshots
        // write is at most as much as what the events do.
        let pays = self.snapshot_bytes <= self.tail_bytes;
        let overdue = u64::from(core.options.snapshot_every) <= self.sequence - self.snapshot;
        match next {
            Next::Parked { .. } => pays,
            Next::Owned => overdue && pays,
            Next::Queued | Next::Ended(_) => false,
        }
    }

    /// Says so when no database could keep the state: it would be refused at every try.
    fn too_large(&self, core: &Core, bytes: usize) -> Option<Problem> {
        let most = core.options.execution.state_bytes_max.min(TEXT_BYTES_MAX);
        if bytes <= most {
            return None;
        }
        let detail = format!(
            "the execution holds {bytes} bytes, more than {most} (limit state_bytes_max); \
             let tasks give less, or split the work into child executions"
        );
        Some(self.failure(detail))
    }

    /// Makes the error of an execution that the engine cannot go on with.
    pub(super) fn failure(&self, detail: String) -> Problem {
        let tasks = self.state.current_tasks(&self.identity.program);
        let task = tasks.first().map_or("/", String::as_str);
        Problem::new(ProblemKind::Runtime, detail).at(task)
    }

    pub(super) fn wants(&self, event: &Event) -> bool {
        match event {
            Event::CloudEventReceived { effect, .. } => self.state.listens(*effect),
            Event::ChildEnded { effect, .. } => self.state.expects(*effect),
            Event::HumanTaskCompleted { effect, .. } => self.state.asks(*effect),
            _ => true,
        }
    }

    pub(super) fn take_snapshot(&mut self) -> Result<Snapshot, Error> {
        let state = self.state.to_snapshot()?;
        self.snapshot = self.sequence;
        self.snapshot_bytes = state.len();
        self.tail_bytes = 0;
        Ok(Snapshot {
            sequence: self.sequence,
            format: STATE_FORMAT,
            state: Arc::from(state),
        })
    }

    fn next(
        &self,
        core: &Core,
        effects: &[Effect],
        idle: bool,
        now: Timestamp,
    ) -> Result<Next, Error> {
        if let Some(end) = self.state.end() {
            return Ok(Next::Ended(self.ended(end, now)?));
        }
        if idle && !self.state.is_suspended() && matches!(self.code, Code::Missing) {
            return Ok(Next::Parked {
                due: Some(now + LACKING_WAIT),
                waiting_for: Some(self.wanted_worker()),
            });
        }
        let due = self.state.next_due();
        let soon = due.is_some_and(|due| due <= now + core.options.park_after);
        // A child that is awaited needs nobody in memory once it is started.
        let busy = effects
            .iter()
            .any(|effect| matches!(effect, Effect::Perform { .. } | Effect::Continue));
        if !idle || soon || busy || self.is_ready() || self.is_stuck().is_some() {
            return Ok(Next::Owned);
        }
        Ok(Next::Parked {
            due,
            waiting_for: self.waiting_for(),
        })
    }

    fn ended(&self, end: &End, at: Timestamp) -> Result<Ended, Error> {
        let mut ended = Ended {
            status: Status::Cancelled,
            output: None,
            error: None,
            fault: None,
            at,
        };
        match end {
            End::Completed(output) => {
                ended.status = Status::Completed;
                ended.output = Some(to_json(output)?);
            }
            End::Faulted(problem) => {
                ended.status = Status::Faulted;
                ended.error = Some(to_json(problem)?);
                let workflow = self.identity.program.workflow();
                ended.fault = Some(FaultSignature::of(workflow, problem));
            }
            End::Cancelled(_) => {}
        }
        Ok(ended)
    }

    fn waiting_for(&self) -> Option<String> {
        self.state.waiting_for(&self.identity.program)
    }

    fn subscriptions(&self, effects: &[Effect]) -> Result<Vec<Subscription>, Error> {
        let mut found = Vec::new();
        for effect in effects {
            let Effect::Listen { effect, filters } = effect else {
                continue;
            };
            for (place, filter) in filters.iter().enumerate() {
                found.push(Subscription {
                    tenant: self.identity.tenant,
                    execution: self.identity.execution,
                    effect: *effect,
                    filter: u32::try_from(place).unwrap_or(u32::MAX),
                    event_type: filter.event_type().map(str::to_owned),
                    condition: to_json(filter)?,
                    correlation: Correlation::of(filter),
                });
            }
        }
        Ok(found)
    }

    /// The messages that leave with the entry: to the parent at the end, and to
    /// children that are not wanted any more.
    fn messages(&self, effects: &[Effect], now: Timestamp) -> Result<Vec<InboxMessage>, Error> {
        let identity = &self.identity;
        let mut messages = Vec::new();
        for effect in effects {
            if let Effect::Abandon {
                effect,
                child: Some(policy),
            } = effect
                && let Some(command) = Command::from_parent(identity.execution, *policy)
            {
                let child = identity.execution.of_child(*effect);
                messages.push(InboxMessage {
                    id: InboxId::derived(child, "parent closed"),
                    tenant: identity.tenant,
                    execution: child,
                    kind: MessageKind::Control,
                    effect: None,
                    payload: to_json(&command)?,
                    at: now,
                });
            }
        }
        if let (
            Some(end),
            Some(Parent {
                execution,
                effect: Some(effect),
            }),
        ) = (self.state.end(), identity.parent)
        {
            messages.push(InboxMessage {
                id: InboxId::derived(identity.execution, "ended"),
                tenant: identity.tenant,
                execution,
                kind: MessageKind::ChildEnded,
                effect: Some(effect),
                payload: to_json(&as_result(end))?,
                at: now,
            });
        }
        Ok(messages)
    }

    /// The execution as lists show it.
    pub(super) fn row(&self, next: &Next) -> ExecutionRow {
        let suspended = self.state.is_suspended();
        let (status, ended_at, waiting_for) = match next {
            Next::Parked { waiting_for, .. } if suspended => {
                (Status::Suspended, None, waiting_for.clone())
            }
            Next::Owned | Next::Queued if suspended => (Status::Suspended, None, None),
            Next::Owned => (Status::Running, None, None),
            Next::Queued => (Status::Pending, None, None),
            Next::Parked { waiting_for, .. } => (Status::Waiting, None, waiting_for.clone()),
            Next::Ended(ended) => (ended.status, Some(ended.at), None),
        };
        ExecutionRow {
            id: self.identity.execution,
            workflow: self.identity.program.workflow().clone(),
            program: self.identity.program.hash(),
            status,
            started_at: self.identity.started_at,
            ended_at,
            waiting_for,
            input: None,
            output: None,
            error: None,
            parent: self.identity.parent.map(|parent| parent.execution),
            attributes: BTreeMap::new(),
            priority: self.identity.priority,
        }
    }

    /// How far the execution has come, for those who follow it in this process.
    pub(super) fn growth(&self, next: &Next) -> Growth {
        let Next::Ended(ended) = next else {
            return Growth::default();
        };
        let row = self.identity.given.as_ref().map(|given| {
            Arc::new(ExecutionRow {
                input: Some(Arc::clone(&given.input)),
                output: ended.output.clone(),
                error: ended.error.clone(),
                attributes: given.attributes.clone(),
                ..self.row(next)
            })
        });
        Growth { ended: true, row }
    }
}

pub(super) fn to_json(value: &impl serde::Serialize) -> Result<Arc<str>, Error> {
    serde_json::to_string(value)
        .map(Arc::from)
        .map_err(unwritable)
}

fn unwritable(error: serde_json::Error) -> Error {
    Error::new(ErrorKind::Internal, "a record cannot be written as JSON").with_source(error)
}

fn unsubscribed(effects: &[Effect]) -> Vec<u64> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Unlisten { effect } => Some(*effect),
            _ => None,
        })
        .collect()
}

/// What an awaited child's end means for its parent.
fn as_result(end: &End) -> EffectResult {
    match end {
        End::Completed(output) => EffectResult::Value(Arc::clone(output)),
        End::Faulted(problem) => {
            // The pointer names a task of the child's definition, not of the parent's.
            EffectResult::Problem(Problem {
                instance: None,
                ..problem.clone()
            })
        }
        End::Cancelled(_) => EffectResult::Problem(Problem::new(
            ProblemKind::Runtime,
            "the child execution was cancelled",
        )),
    }
}
