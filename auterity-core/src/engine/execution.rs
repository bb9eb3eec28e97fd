//! One execution in memory: waits for what it waits for, applies it, commits, goes on.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::FutureExt;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::{AbortHandle, JoinSet};

use super::ahead::{Ahead, Confirmed, Decided};
use super::control::Command;
use super::figures::Tally;
use super::journal::Appended;
use super::life::{Core, Life};
use super::perform::Performed;
use super::progress::Progress;
use super::transact::Transact;
use super::worker::UNREADABLE_WAIT;
use crate::definition::ProgramHash;
use crate::interpreter::{Effect, EffectResult, Event, Order, Problem, ProblemKind};
use crate::store::{Claim, Entry, InboxMessage, MessageKind, Next, Outcome};
use crate::{Error, ErrorKind, InboxId};

/// Events that one entry holds at most; more wait for the next.
const EVENTS_PER_ENTRY_MAX: usize = 256;

/// An execution at work: its progress, what is under way, and what comes in.
pub(super) struct Active {
    pub(super) core: Arc<Core>,
    pub(super) life: Arc<Life>,
    pub(super) progress: Progress,
    inbox: mpsc::UnboundedReceiver<InboxMessage>,
    waiting: Vec<InboxMessage>,
    seen: HashSet<InboxId>,
    /// Asked for and not yet done: changes of version, which need another program.
    migrations: Vec<(Order, ProgramHash)>,
    /// What it begins with, if it was claimed before it began.
    first: Option<Event>,
    /// Whether its end makes room at a gate.
    gated: bool,
    /// What is to be done first, unless a message that waits says otherwise.
    effects: Vec<Effect>,
    /// Nothing happened for a while: time to leave memory.
    lingering: bool,
    pub(super) performing: JoinSet<Performed>,
    /// What came of effects that ended as they began.
    pub(super) done: Vec<Performed>,
    /// What leaves with the next entry: events that it emitted.
    outgoing: Vec<InboxMessage>,
    /// What is decided and not confirmed.
    ahead: Ahead,
    /// An answer of the journal that is to be looked at.
    confirmed: Option<Result<Confirmed, Error>>,
    /// Whether calls may run ahead of the journal.
    pipelines: bool,
    pub(super) handles: HashMap<u64, AbortHandle>,
    /// Calls that the execution makes itself, each in a transaction.
    pub(super) transacting: VecDeque<Transact>,
    /// After which event it was suspended because its function does not fit its journal.
    pub(super) stuck_at: Option<u64>,
    _permit: OwnedSemaphorePermit,
}

/// What the execution does after a commit.
pub(super) enum After {
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
            migrations: Vec::new(),
            first: None,
            gated: false,
            effects: Vec::new(),
            lingering: false,
            performing: JoinSet::new(),
            done: Vec::new(),
            outgoing: Vec::new(),
            ahead: Ahead::default(),
            confirmed: None,
            pipelines: true,
            handles: HashMap::new(),
            transacting: VecDeque::new(),
            stuck_at: None,
            _permit: permit,
        }
    }

    /// Takes messages that were waiting when the execution was loaded.
    pub(super) fn with_inbox(mut self, messages: Vec<InboxMessage>) -> Self {
        self.waiting = messages;
        self
    }

    /// Says how it was claimed: what it begins with, if it has not begun, and whether
    /// others wait for its end.
    pub(super) fn claimed(mut self, first: Option<Event>, gated: bool) -> Self {
        (self.first, self.gated) = (first, gated);
        self
    }

    /// Works until the execution ends, parks, or is to leave this worker.
    pub(super) async fn work(mut self, effects: Vec<Effect>) {
        let execution = self.progress.identity.execution;
        self.effects = effects;
        if let Err(error) = self.go_on().await {
            // What is committed stays. Another life goes on, or this one a little later.
            let over = matches!(error.kind(), ErrorKind::Fenced | ErrorKind::Stopping);
            if over || self.life.lost.is_cancelled() {
                tracing::debug!(error = ?error, %execution, "an execution is left to others");
            } else {
                tracing::error!(error = ?error, %execution, "an execution left memory");
                let tenant = self.progress.identity.tenant;
                let due = self.core.now() + UNREADABLE_WAIT;
                let claim = Claim { tenant, execution };
                let waiting_for = Some("another try".to_owned());
                self.life.put_back(claim, due, waiting_for).await;
            }
        }
        self.life.discharge(execution, &mut self.inbox);
        // A message may have come between the last look and the leaving. After an end
        // there is nothing to look for, unless others wait for the room.
        let ended = self.progress.state.end().is_some();
        if !ended || self.gated || self.core.behind.load(Ordering::Relaxed) {
            self.core.wake.notify_one();
        }
    }

    async fn go_on(&mut self) -> Result<(), Error> {
        loop {
            if self.waiting.is_empty() {
                let effects = std::mem::take(&mut self.effects);
                self.perform(effects).await;
            }
            if self.progress.is_stuck().is_some() {
                Box::pin(self.suspend_stuck()).await?;
            }
            let mut events = self.wait().await;
            if self.life.lost.is_cancelled() {
                return Ok(());
            }
            if let Some(confirmed) = self.confirmed.take() {
                match self.confirm(confirmed?).await? {
                    ControlFlow::Continue(_) => self.ahead.send(&self.life.journal),
                    ControlFlow::Break(After::Stay) => {}
                    ControlFlow::Break(After::Leave) => return Ok(()),
                }
                continue;
            }
            let mut consumed = Vec::new();
            self.take_messages(&mut events, &mut consumed);
            end_unbegun(&mut events);
            let nothing = events.is_empty() && consumed.is_empty();
            if nothing && let Some((order, program)) = self.migrations.pop() {
                match Box::pin(self.migrate(order, program)).await? {
                    After::Stay => continue,
                    After::Leave => return Ok(()),
                }
            }
            if nothing && !std::mem::take(&mut self.lingering) {
                if self.life.draining.is_cancelled() && self.performing.is_empty() {
                    return self.settle(Vec::new()).await.map(|_| ());
                }
                if let Some(transact) = self.transacting.pop_front()
                    && matches!(Box::pin(self.transact(transact)).await?, After::Leave)
                {
                    return Ok(());
                }
                continue;
            }
            match self.commit(events, consumed).await? {
                After::Stay => {}
                After::Leave => return Ok(()),
            }
        }
    }

    /// Waits until at least one thing happened, and gathers what else has by then. An
    /// answer of the journal comes alone.
    async fn wait(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        self.confirmed = self.ahead.confirmed().now_or_never();
        while self.confirmed.is_none() && self.ahead.is_full() {
            tokio::select! {
                biased;
                confirmed = self.ahead.confirmed() => self.confirmed = Some(confirmed),
                () = self.life.lost.cancelled() => return events,
            }
        }
        if self.confirmed.is_some() {
            return events;
        }
        for done in std::mem::take(&mut self.done) {
            self.take_result(Ok(done), &mut events);
        }
        let idle =
            self.performing.is_empty() && self.transacting.is_empty() && self.ahead.is_empty();
        let linger = idle.then(|| self.core.now() + self.core.options.park_after);
        if let Some(first) = self.first.take() {
            events.push(first);
        } else if !events.is_empty() {
            // A function that never waits leaves the others their turn, and a deadline its
            // own.
            tokio::task::consume_budget().await;
            let now = self.core.now();
            if self.progress.state.next_due().is_some_and(|due| due <= now) {
                self.fire(&mut events);
            }
        } else if self.progress.is_ready() && !self.life.draining.is_cancelled() {
            events.push(Event::Continued);
        } else if !self.transacting.is_empty() {
            // What has happened by now comes before the next transaction.
            let now = self.core.now();
            if self.progress.state.next_due().is_some_and(|due| due <= now) {
                self.fire(&mut events);
            }
        } else if self.waiting.is_empty() && self.migrations.is_empty() {
            let due = self.progress.state.next_due();
            let clock = Arc::clone(&self.core.ports.clock);
            // In this order, so that a simulation can be repeated, and that results
            // without end do not keep a deadline from being seen.
            tokio::select! {
                biased;
                confirmed = self.ahead.confirmed() => {
                    self.confirmed = Some(confirmed);
                    return events;
                }
                () = self.life.lost.cancelled() => return Vec::new(),
                () = self.life.draining.cancelled(), if self.performing.is_empty() => {
                    return Vec::new();
                }
                () = sleep_until(&*clock, due) => self.fire(&mut events),
                Some(done) = self.performing.join_next() => self.take_result(done, &mut events),
                Some(message) = self.inbox.recv() => self.waiting.push(message),
                () = sleep_until(&*clock, linger) => self.lingering = true,
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

    /// Adds the event that a time has come; counts how late that is seen.
    fn fire(&self, events: &mut Vec<Event>) {
        if let Some(due) = self.progress.state.next_due() {
            self.core.meter.timer(self.core.now().duration_since(due));
        }
        events.push(Event::TimerFired);
    }

    fn take_result(
        &mut self,
        done: Result<Performed, tokio::task::JoinError>,
        events: &mut Vec<Event>,
    ) {
        let (effect, result, messages) = match done {
            Ok(Performed::Ended {
                effect,
                result,
                messages,
            }) => (effect, result, messages),
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
            self.outgoing.extend(messages);
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
            let is_answer = message.kind == MessageKind::Answer;
            match as_event(&message) {
                Some(Err(migration)) => {
                    self.migrations.push(migration);
                    continue;
                }
                // An answer that was taken came before the deadline that is seen only now.
                Some(Ok(event)) if is_answer && self.progress.wants(&event) => {
                    events.insert(0, event);
                }
                Some(Ok(event)) if self.progress.wants(&event) => events.push(event),
                Some(Ok(_)) | None => {}
            }
            consumed.push(message.id);
        }
    }

    /// Applies events, hands the entry that records them to the journal and begins what
    /// follows: after the commit, or before it where only calls follow that may be
    /// repeated.
    pub(super) async fn commit(
        &mut self,
        events: Vec<Event>,
        consumed: Vec<InboxId>,
    ) -> Result<After, Error> {
        let idle = self.is_idle();
        let mut prepared = self
            .progress
            .prepare(&self.core, &events, consumed, idle)
            .await?;
        prepared.entry.messages.append(&mut self.outgoing);
        let effects = std::mem::take(&mut prepared.effects);
        let runs_ahead = self.pipelines && self.may_precede_commit(&events, &effects);
        self.ahead.gather(prepared, events, runs_ahead);
        if !runs_ahead {
            return self.settle(effects).await;
        }
        self.ahead.send(&self.life.journal);
        self.perform(effects).await;
        Ok(After::Stay)
    }

    /// Tells whether nothing is under way and nothing waits to be taken in. While the
    /// engine stops, effects are asked for that nobody performs any more.
    pub(super) fn is_idle(&self) -> bool {
        !self.life.is_over()
            && self.performing.is_empty()
            && self.done.is_empty()
            && self.transacting.is_empty()
            && self.effects.is_empty()
            && self.waiting.is_empty()
            && self.inbox.is_empty()
            && self.migrations.is_empty()
    }

    /// Waits until everything decided is committed, then begins the effects.
    pub(super) async fn settle(&mut self, effects: Vec<Effect>) -> Result<After, Error> {
        let mut after = After::Stay;
        loop {
            self.ahead.send(&self.life.journal);
            if self.ahead.is_empty() {
                break;
            }
            let confirmed = self.ahead.confirmed().await?;
            match self.confirm(confirmed).await? {
                ControlFlow::Continue(next) => after = next,
                ControlFlow::Break(after) => return Ok(after),
            }
        }
        if matches!(after, After::Stay) {
            self.perform(effects).await;
        }
        Ok(after)
    }

    /// Takes the journal's answer. A break says that the execution went back to where the
    /// journal has it, so that what was to follow is void.
    async fn confirm(&mut self, confirmed: Confirmed) -> Result<ControlFlow<After, After>, Error> {
        let Confirmed { appended, decided } = confirmed;
        match appended.outcome {
            Outcome::Recorded => {}
            Outcome::Refused(reason) => {
                let refused = Box::pin(self.refused(decided, &reason));
                return refused.await.map(ControlFlow::Break);
            }
            Outcome::AlreadyRecorded | Outcome::Exists(_) => {
                let message = "another worker went on with the execution";
                return Err(Error::new(ErrorKind::Fenced, message));
            }
        }
        let Appended { entry, .. } = &appended;
        let after = self.recorded(entry, &decided.tally).await;
        Ok(ControlFlow::Continue(after))
    }

    /// Counts an entry that is committed, and tells everybody what it brings.
    pub(super) async fn recorded(&mut self, entry: &Entry, tally: &Tally) -> After {
        self.core.meter.committed(tally, &entry.next);
        self.tell(&entry.next);
        if self.core.lifecycle_is_read() {
            let identity = &self.progress.identity;
            self.core
                .tell_lifecycle(identity, &entry.events, &entry.next);
        }
        if !entry.messages.is_empty() {
            Box::pin(self.core.announce(&entry.messages)).await;
        }
        match &entry.next {
            Next::Owned | Next::Queued => After::Stay,
            Next::Parked { .. } | Next::Ended(_) => After::Leave,
        }
    }

    pub(super) fn tell(&mut self, next: &Next) {
        let identity = &self.progress.identity;
        if matches!(next, Next::Ended(_)) {
            // Before the word: who sees it in memory has not missed the word.
            self.life.discharge(identity.execution, &mut self.inbox);
        }
        self.core
            .feed
            .grew(identity.execution, next, || self.progress.growth(next));
        if !matches!(next, Next::Owned) {
            self.core
                .changed(identity.tenant, || self.progress.row(next));
        }
    }

    /// The database cannot take what an event carries: the execution goes back to
    /// where the journal has it. Then the effect fails with the reason instead; if calls
    /// ran ahead, they are first repeated without, so that it is known which one it is.
    async fn refused(&mut self, decided: Decided, reason: &str) -> Result<After, Error> {
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
        self.progress = Progress::take_up(&self.core, &loaded).await?;
        self.ahead.forget();
        if decided.ran_ahead {
            tracing::warn!(reason, "calls that ran ahead of the journal are repeated");
            self.pipelines = false;
            self.begin_again(loaded.inbox).await;
            return Ok(After::Stay);
        }
        let replaced: Vec<Event> = decided
            .events
            .iter()
            .map(|event| without_payload(event, reason))
            .collect();
        if replaced != decided.events {
            return Box::pin(self.commit(replaced, Vec::new())).await;
        }
        let detail = format!("the database refuses what the execution wrote: {reason}");
        if matches!(decided.events[..], [Event::Failed { .. }]) {
            return Err(Error::new(ErrorKind::Internal, detail));
        }
        // Another try would be refused as well.
        let problem = self.progress.failure(detail);
        Box::pin(self.commit(vec![Event::Failed { problem }], Vec::new())).await
    }

    /// Gives up what is under way and begins what the state waits for.
    async fn begin_again(&mut self, inbox: Vec<InboxMessage>) {
        self.performing = JoinSet::new();
        self.done.clear();
        self.outgoing.clear();
        self.handles.clear();
        self.transacting.clear();
        self.seen.clear();
        self.waiting = inbox;
        let effects = self.progress.state.pending();
        let effects = effects.map(|effect| Effect::Perform { effect }).collect();
        self.perform(effects).await;
    }
}

/// Lets end at once what is cancelled before it begins: there is nothing to undo.
fn end_unbegun(events: &mut [Event]) {
    if !matches!(events.first(), Some(Event::Started { .. })) {
        return;
    }
    for event in events {
        if let Event::CancelRequested { order } = event {
            let order = order.clone();
            *event = Event::TerminateRequested { order };
        }
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

/// Gives the event that a message is, or the version that it asks for.
fn as_event(message: &InboxMessage) -> Option<Result<Event, (Order, ProgramHash)>> {
    let read = |text: &str| serde_json::from_str::<Value>(text).ok();
    let event = match (message.kind, message.effect) {
        (MessageKind::CloudEvent, Some(effect)) => Some(Event::CloudEventReceived {
            effect,
            event: Arc::new(read(&message.payload)?),
        }),
        (MessageKind::ChildEnded, Some(effect)) => {
            let result = serde_json::from_str(&message.payload).ok()?;
            Some(Event::ChildEnded { effect, result })
        }
        (MessageKind::Answer, Some(effect)) => Some(Event::HumanTaskCompleted {
            effect,
            answer: Arc::new(read(&message.payload)?),
        }),
        (MessageKind::Control, _) => {
            let command: Command = serde_json::from_str(&message.payload).ok()?;
            return Some(command.into_event(message.id));
        }
        _ => None,
    };
    event.map(Ok)
}

async fn sleep_until(clock: &dyn crate::clock::Clock, due: Option<Timestamp>) {
    match due {
        Some(due) => clock.sleep_until(due).await,
        None => std::future::pending().await,
    }
}
