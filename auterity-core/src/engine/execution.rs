//! One execution in memory: waits for what it waits for, applies it, commits, goes on.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::{AbortHandle, JoinSet};

use super::feed::Growth;
use super::life::{Core, Life};
use super::perform::Performed;
use super::worker::UNREADABLE_WAIT;
use crate::definition::Program;
use crate::interpreter::{
    Effect, EffectResult, End, Event, Machine, Problem, ProblemKind, STATE_FORMAT, State,
    Transition, transition,
};
use crate::store::{
    Claim, Ended, Entry, EventRow, ExecutionRow, InboxMessage, Loaded, MessageKind, Next, Outcome,
    Parent, Snapshot, Status, Subscription,
};
use crate::{Error, ErrorKind, ExecutionId, InboxId, TenantId};

/// Events that one entry holds at most; more wait for the next.
const EVENTS_PER_ENTRY_MAX: usize = 256;

/// Who an execution is: what stays the same all its life.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) tenant: TenantId,
    pub(super) execution: ExecutionId,
    pub(super) program: Arc<Program>,
    pub(super) parent: Option<Parent>,
    pub(super) started_at: Timestamp,
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
    /// The last event applied.
    pub(super) sequence: u64,
    /// The last event of the newest snapshot.
    pub(super) snapshot: u64,
}

/// An entry ready to be appended, and what is to be done after its commit.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) entry: Entry,
    pub(super) effects: Vec<Effect>,
}

impl Progress {
    /// Makes the progress of an execution that has not begun.
    pub(super) fn new(identity: Identity) -> Self {
        let state = State::new(identity.started_at);
        Self {
            identity,
            state,
            sequence: 0,
            snapshot: 0,
        }
    }

    /// Rebuilds the progress from snapshot and tail.
    pub(super) fn recover(
        core: &Core,
        loaded: &Loaded,
        program: Arc<Program>,
    ) -> Result<Self, Error> {
        let mut progress = Self::new(Identity {
            tenant: loaded.tenant,
            execution: loaded.execution,
            program,
            parent: loaded.parent,
            started_at: loaded.started_at,
            given: None,
        });
        let damaged = |what: &str| {
            Error::new(
                ErrorKind::Corrupt,
                format!("the journal of an execution is damaged: {what}"),
            )
            .with("execution", loaded.execution)
        };
        if let Some(snapshot) = loaded.snapshot.as_ref() {
            if snapshot.format != STATE_FORMAT {
                return Err(damaged("its snapshot has a format of another version"));
            }
            progress.state = serde_json::from_str(&snapshot.state)
                .map_err(|error| damaged("its snapshot cannot be read").with_source(error))?;
            progress.sequence = snapshot.sequence;
            progress.snapshot = snapshot.sequence;
        }
        for row in &loaded.tail {
            if row.sequence != progress.sequence + 1 {
                return Err(damaged("an event is missing"));
            }
            let event: Event = serde_json::from_str(&row.payload)
                .map_err(|error| damaged("an event cannot be read").with_source(error))?;
            progress.apply(core, &event, row.at);
        }
        Ok(progress)
    }

    fn apply(&mut self, core: &Core, event: &Event, at: Timestamp) -> Transition {
        self.sequence += 1;
        let machine = Machine {
            program: &self.identity.program,
            execution: self.identity.execution,
            limits: &core.options.execution,
            budget: &core.options.expression,
        };
        transition(&machine, &mut self.state, event, at)
    }

    /// Applies events and makes the entry that records them.
    ///
    /// `idle` says that no effect is under way and no message waits, so that the
    /// execution may leave memory if nothing is due soon.
    pub(super) fn prepare(
        &mut self,
        core: &Core,
        events: &[Event],
        consumed: Vec<InboxId>,
        idle: bool,
    ) -> Result<Prepared, Error> {
        let now = core.now();
        let mut rows = Vec::with_capacity(events.len());
        let mut effects = Vec::new();
        for event in events {
            let transition = self.apply(core, event, now);
            rows.push(EventRow {
                sequence: self.sequence,
                at: now,
                kind: event.kind(),
                payload: to_json(event)?,
                records: to_json(&transition.records)?,
            });
            effects.extend(transition.effects);
        }
        let next = self.next(core, &effects, idle, now)?;
        let overdue = u64::from(core.options.snapshot_every) <= self.sequence - self.snapshot;
        let snapshot = match &next {
            Next::Parked { .. } => Some(self.take_snapshot()?),
            Next::Owned if overdue => Some(self.take_snapshot()?),
            _ => None,
        };
        let entry = Entry {
            tenant: self.identity.tenant,
            execution: self.identity.execution,
            start: None,
            events: rows,
            snapshot,
            subscribe: self.subscriptions(&effects)?,
            unsubscribe: unsubscribed(&effects),
            consumed,
            messages: self.messages(&effects, now)?,
            next,
        };
        Ok(Prepared { entry, effects })
    }

    fn wants(&self, event: &Event) -> bool {
        match event {
            Event::CloudEventReceived { effect, .. } => self.state.listens(*effect),
            Event::ChildEnded { effect, .. } => self.state.expects(*effect),
            _ => true,
        }
    }

    fn take_snapshot(&mut self) -> Result<Snapshot, Error> {
        self.snapshot = self.sequence;
        Ok(Snapshot {
            sequence: self.sequence,
            format: STATE_FORMAT,
            state: to_json(&self.state)?,
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
            return Ok(Next::Ended(ended(end, now)?));
        }
        let due = self.state.next_due();
        let soon = due.is_some_and(|due| due <= now + core.options.park_after);
        // A child that is awaited needs nobody in memory once it is started.
        let busy = effects
            .iter()
            .any(|effect| matches!(effect, Effect::Perform { .. } | Effect::Continue));
        if !idle || soon || busy || self.state.is_ready() {
            return Ok(Next::Owned);
        }
        Ok(Next::Parked {
            due,
            waiting_for: self.waiting_for(),
        })
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
                child: true,
            } = effect
            {
                let child = identity.execution.of_child(*effect);
                let reason = Value::from("the execution that started it went on without it");
                messages.push(InboxMessage {
                    id: InboxId::derived(child, "cancel"),
                    tenant: identity.tenant,
                    execution: child,
                    kind: MessageKind::Cancel,
                    effect: None,
                    payload: to_json(&reason)?,
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
        let (status, ended_at, waiting_for) = match next {
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
        .map_err(|error| {
            Error::new(ErrorKind::Internal, "a record cannot be written as JSON").with_source(error)
        })
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

fn ended(end: &End, at: Timestamp) -> Result<Ended, Error> {
    Ok(match end {
        End::Completed(output) => Ended {
            status: Status::Completed,
            output: Some(to_json(output)?),
            error: None,
            at,
        },
        End::Faulted(problem) => Ended {
            status: Status::Faulted,
            output: None,
            error: Some(to_json(problem)?),
            at,
        },
        End::Cancelled(_) => Ended {
            status: Status::Cancelled,
            output: None,
            error: None,
            at,
        },
    })
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

/// An execution at work: its progress, what is under way, and what comes in.
pub(super) struct Active {
    pub(super) core: Arc<Core>,
    pub(super) life: Arc<Life>,
    pub(super) progress: Progress,
    inbox: mpsc::UnboundedReceiver<InboxMessage>,
    waiting: Vec<InboxMessage>,
    seen: HashSet<InboxId>,
    /// Nothing happened for a while: time to leave memory.
    lingering: bool,
    pub(super) performing: JoinSet<Performed>,
    pub(super) handles: HashMap<u64, AbortHandle>,
    _permit: OwnedSemaphorePermit,
}

/// What the execution does after a commit.
enum After {
    Stay,
    Leave,
}

impl Active {
    pub(super) fn new(
        core: Arc<Core>,
        life: Arc<Life>,
        progress: Progress,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let inbox = life.enlist(progress.identity.tenant, progress.identity.execution);
        Self {
            core,
            life,
            progress,
            inbox,
            waiting: Vec::new(),
            seen: HashSet::new(),
            lingering: false,
            performing: JoinSet::new(),
            handles: HashMap::new(),
            _permit: permit,
        }
    }

    /// Takes messages that were waiting when the execution was loaded.
    pub(super) fn with_inbox(mut self, messages: Vec<InboxMessage>) -> Self {
        self.waiting = messages;
        self
    }

    /// Works until the execution ends, parks, or is to leave this worker.
    pub(super) async fn work(mut self, effects: Vec<Effect>) {
        let execution = self.progress.identity.execution;
        self.perform(effects);
        if let Err(error) = self.go_on().await {
            tracing::error!(error = ?error, %execution, "an execution left memory");
            // What is committed stays. Another life goes on, or this one a little later.
            if !matches!(error.kind(), ErrorKind::Fenced | ErrorKind::Stopping) {
                let tenant = self.progress.identity.tenant;
                let due = self.core.now() + UNREADABLE_WAIT;
                let claim = Claim { tenant, execution };
                self.life.put_back(claim, due, Some("another try")).await;
            }
        }
        self.life.discharge(execution);
        // A message may have come between the last look and the leaving. After an end
        // there is nothing to look for, unless others wait for the room.
        let ended = self.progress.state.end().is_some();
        if !ended || self.core.behind.load(Ordering::Relaxed) {
            self.core.wake.notify_one();
        }
    }

    async fn go_on(&mut self) -> Result<(), Error> {
        loop {
            let mut events = self.wait().await;
            if self.life.lost.is_cancelled() {
                return Ok(());
            }
            let mut consumed = Vec::new();
            self.take_messages(&mut events, &mut consumed);
            if events.is_empty() && consumed.is_empty() && !std::mem::take(&mut self.lingering) {
                if self.life.draining.is_cancelled() && self.performing.is_empty() {
                    return Ok(());
                }
                continue;
            }
            match self.commit(&events, consumed).await? {
                After::Stay => {}
                After::Leave => return Ok(()),
            }
        }
    }

    /// Waits until at least one thing happened, and gathers what else has by then.
    async fn wait(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        let idle = self.performing.is_empty();
        let linger = idle.then(|| self.core.now() + self.core.options.park_after);
        if self.progress.state.is_ready() && !self.life.draining.is_cancelled() {
            events.push(Event::Continued);
        } else if self.waiting.is_empty() {
            let due = self.progress.state.next_due();
            let clock = Arc::clone(&self.core.ports.clock);
            tokio::select! {
                Some(done) = self.performing.join_next() => self.take_result(done, &mut events),
                Some(message) = self.inbox.recv() => self.waiting.push(message),
                () = sleep_until(&*clock, due) => events.push(Event::TimerFired),
                () = sleep_until(&*clock, linger) => self.lingering = true,
                () = self.life.lost.cancelled() => return Vec::new(),
                () = self.life.draining.cancelled(), if self.performing.is_empty() => {
                    return Vec::new();
                }
            }
        }
        while events.len() < EVENTS_PER_ENTRY_MAX
            && let Some(done) = self.performing.try_join_next()
        {
            self.take_result(done, &mut events);
        }
        while let Ok(message) = self.inbox.try_recv() {
            self.waiting.push(message);
        }
        events
    }

    fn take_result(
        &mut self,
        done: Result<Performed, tokio::task::JoinError>,
        events: &mut Vec<Event>,
    ) {
        let (effect, result) = match done {
            Ok(Performed::Ended { effect, result }) => (effect, result),
            Ok(Performed::Awaiting { effect }) => {
                self.handles.remove(&effect);
                return;
            }
            // Aborted because its result was not wanted; a panic is caught inside.
            Err(_) => return,
        };
        self.handles.remove(&effect);
        if self.progress.state.expects(effect) {
            events.push(Event::EffectEnded { effect, result });
        }
    }

    fn take_messages(&mut self, events: &mut Vec<Event>, consumed: &mut Vec<InboxId>) {
        let room = EVENTS_PER_ENTRY_MAX
            .saturating_sub(events.len())
            .min(self.waiting.len());
        for message in self.waiting.drain(..room) {
            if !self.seen.insert(message.id) {
                continue;
            }
            consumed.push(message.id);
            if let Some(event) = as_event(&message)
                && self.progress.wants(&event)
            {
                events.push(event);
            }
        }
    }

    async fn commit(&mut self, events: &[Event], consumed: Vec<InboxId>) -> Result<After, Error> {
        let idle = self.performing.is_empty() && self.waiting.is_empty() && self.inbox.is_empty();
        let prepared = self.progress.prepare(&self.core, events, consumed, idle)?;
        let Prepared { entry, effects } = prepared;
        let (next, messages) = (entry.next.clone(), entry.messages.clone());
        match self.life.journal.append(entry).await? {
            Outcome::Recorded => {}
            Outcome::Refused(reason) => return self.refused(events, &reason).await,
            Outcome::AlreadyRecorded | Outcome::Exists(_) => {
                let message = "another worker went on with the execution";
                return Err(Error::new(ErrorKind::Fenced, message));
            }
        }
        self.tell(&next);
        self.core.announce(&messages).await;
        Ok(match next {
            Next::Owned | Next::Queued => {
                self.perform(effects);
                After::Stay
            }
            Next::Parked { .. } | Next::Ended(_) => After::Leave,
        })
    }

    pub(super) fn tell(&self, next: &Next) {
        let identity = &self.progress.identity;
        if matches!(next, Next::Ended(_)) {
            // Before the word: who sees it in memory has not missed the word.
            self.life.discharge(identity.execution);
        }
        self.core
            .feed
            .grew(identity.execution, || self.progress.growth(next));
        if !matches!(next, Next::Owned) {
            self.core
                .changed(identity.tenant, || self.progress.row(next));
        }
    }

    /// The database cannot take what an event carries: the execution goes back to
    /// where it was, and the effect fails with the reason instead.
    async fn refused(&mut self, events: &[Event], reason: &str) -> Result<After, Error> {
        let identity = &self.progress.identity;
        let loaded = self
            .core
            .ports
            .store
            .execution_load(&[identity.execution])
            .await?;
        let loaded = loaded.into_iter().next().ok_or_else(|| {
            Error::new(
                ErrorKind::Corrupt,
                "an execution is gone while it was at work",
            )
        })?;
        let program = Arc::clone(&identity.program);
        self.progress = Progress::recover(&self.core, &loaded, program)?;
        let replaced: Vec<Event> = events
            .iter()
            .map(|event| without_payload(event, reason))
            .collect();
        if replaced == events {
            let message = format!("the database refuses what an execution wrote: {reason}");
            return Err(Error::new(ErrorKind::Internal, message));
        }
        Box::pin(self.commit(&replaced, Vec::new())).await
    }
}

fn without_payload(event: &Event, reason: &str) -> Event {
    match event {
        Event::EffectEnded { effect, .. } => {
            let detail = format!("the result cannot be kept: {reason}");
            let problem = Problem::new(ProblemKind::Runtime, detail);
            Event::EffectEnded {
                effect: *effect,
                result: EffectResult::Problem(problem),
            }
        }
        other => other.clone(),
    }
}

fn as_event(message: &InboxMessage) -> Option<Event> {
    let read = |text: &str| serde_json::from_str::<Value>(text).ok();
    match (message.kind, message.effect) {
        (MessageKind::CloudEvent, Some(effect)) => Some(Event::CloudEventReceived {
            effect,
            event: Arc::new(read(&message.payload)?),
        }),
        (MessageKind::ChildEnded, Some(effect)) => {
            let result = serde_json::from_str(&message.payload).ok()?;
            Some(Event::ChildEnded { effect, result })
        }
        (MessageKind::Cancel, _) => {
            let reason = read(&message.payload).and_then(|text| text.as_str().map(str::to_owned));
            Some(Event::CancelRequested { reason })
        }
        _ => None,
    }
}

async fn sleep_until(clock: &dyn crate::clock::Clock, due: Option<Timestamp>) {
    match due {
        Some(due) => clock.sleep_until(due).await,
        None => std::future::pending().await,
    }
}
