//! Durable functions: code in place of a definition, on the same state and journal.
//!
//! The function itself is not here. It is called by the engine, and what it asked for
//! after an event is part of that event, as an [`Advance`]. So this half stays pure,
//! and a journal can be read where the function is not known. The state holds what is
//! open; the results of what has ended are in the journal, from which the engine
//! answers when it calls the function again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::record::excerpt;
use super::state::Data;
use super::{
    Effect, EffectResult, End, Event, Filter, Machine, Problem, ProblemKind, Request, State,
    TaskRecord, TaskState, Transition,
};

/// What a durable function did after an event.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Advance {
    /// What it asks for, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<Wish>,
    /// The numbers of steps whose end it does not want any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<u64>,
    /// How it ended, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<FunctionEnd>,
}

/// How a durable function ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FunctionEnd {
    /// It returned this.
    Returned(Arc<Value>),
    /// It failed.
    Failed(Problem),
    /// It is to be called anew, with this input and nothing done yet.
    Again(Arc<Value>),
}

/// A step that a durable function asks for. Steps are numbered from 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wish {
    /// The step's name.
    pub name: String,
    /// What is to be done.
    pub what: What,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Do the body that the function has for this step.
    Body(Tries),
    /// Wait for a time.
    Sleep(Timestamp),
    /// Wait for a `CloudEvent`.
    Event(Filter),
    /// Start a child execution.
    Child(Child),
}

impl What {
    /// The word that history uses: that of the task which does the same.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Body(_) => "call",
            Self::Sleep(_) => "wait",
            Self::Event(_) => "listen",
            Self::Child(_) => "run",
        }
    }
}

/// How often a body is tried.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Tries {
    /// How often at most; at least once.
    pub max: u32,
    /// The pause after the first try that failed, in milliseconds.
    pub delay_ms: u64,
    /// What the pause is multiplied by after each further try.
    pub factor: f64,
    /// The longest pause, in milliseconds.
    pub delay_max_ms: u64,
}

impl Tries {
    /// Gives the pause after this many tries.
    fn pause(&self, tries: u32) -> SignedDuration {
        let exponent = i32::try_from(tries.saturating_sub(1)).unwrap_or(i32::MAX);
        let most = Duration::from_millis(self.delay_max_ms);
        let pause = Duration::from_millis(self.delay_ms).as_secs_f64() * self.factor.powi(exponent);
        let pause = Duration::try_from_secs_f64(pause).map_or(most, |pause| pause.min(most));
        SignedDuration::try_from(pause).unwrap_or(SignedDuration::MAX)
    }
}

/// A child execution to start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Child {
    /// The workflow's namespace.
    pub namespace: String,
    /// The workflow's name.
    pub name: String,
    /// The version; absent: the highest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The child's raw input.
    pub input: Arc<Value>,
    /// Whether the step ends with the child and not with its start.
    pub awaited: bool,
}

/// Where a durable function stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Log {
    /// What the function is called with.
    pub(crate) input: Data,
    /// Whether it is to be called from its start at the next event.
    pub(crate) due: bool,
    /// How often it has continued as new.
    generation: u64,
    /// The number of the next step.
    next: u64,
    /// The steps that have not ended, by number.
    open: BTreeMap<u64, Step>,
}

/// A step that has not ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Step {
    wish: Wish,
    /// The effect that stands for the present try.
    effect: u64,
    /// The number of this activation in its execution.
    activation: u64,
    attempt: u32,
    started_at: Timestamp,
    /// A time that it waits for: the end of a sleep, or of a pause between tries.
    until: Option<Timestamp>,
}

impl Step {
    /// Tells whether something is under way for it outside.
    fn is_performed(&self) -> bool {
        self.until.is_none() && !matches!(self.wish.what, What::Event(_))
    }

    fn is_child(&self) -> bool {
        matches!(&self.wish.what, What::Child(child) if child.awaited)
    }
}

/// What the engine tells a durable function about an event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct News {
    /// When the function is to be called from its start: how often it has continued
    /// as new, and its input.
    pub(crate) call: Option<(u64, Data)>,
    /// The steps that ended, with what they gave.
    pub(crate) ended: Vec<(u64, EffectResult)>,
}

impl News {
    pub(crate) fn is_none(&self) -> bool {
        self.call.is_none() && self.ended.is_empty()
    }
}

impl Log {
    pub(super) fn is_performing(&self, effect: u64) -> bool {
        self.performing().any(|performed| performed == effect)
    }

    pub(super) fn performing(&self) -> impl Iterator<Item = u64> {
        self.open
            .values()
            .filter(|step| step.is_performed())
            .map(|step| step.effect)
    }

    pub(super) fn listens(&self, effect: u64) -> bool {
        self.open
            .values()
            .any(|step| step.effect == effect && matches!(step.wish.what, What::Event(_)))
    }

    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.open.values().filter_map(|step| step.until).min()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.open.values().map(|step| step.wish.name.as_str())
    }

    pub(super) fn waiting_for(&self) -> Vec<String> {
        let words = self.open.values().filter_map(|step| {
            let name = &step.wish.name;
            match (&step.wish.what, step.until) {
                (_, Some(until)) => Some(format!("{name}: until {until:.0}")),
                (What::Event(_), None) => Some(format!("{name}: an event")),
                (What::Child(child), None) if child.awaited => Some(format!("{name}: its child")),
                _ => None,
            }
        });
        words.collect()
    }

    /// Gives what the effect is.
    pub(super) fn request(&self, effect: u64) -> Option<Request> {
        let (number, step) = self.open.iter().find(|(_, step)| step.effect == effect)?;
        match &step.wish.what {
            What::Body(_) => Some(Request::Step {
                step: *number,
                name: step.wish.name.clone(),
                attempt: step.attempt,
            }),
            What::Child(child) => Some(Request::Child {
                namespace: child.namespace.clone(),
                name: child.name.clone(),
                version: child.version.clone(),
                input: Value::clone(&child.input),
                awaited: child.awaited,
            }),
            What::Sleep(_) | What::Event(_) => None,
        }
    }
}

impl State {
    /// Tells what an event means for the durable function, without applying it.
    pub(crate) fn news(&self, event: &Event, now: Timestamp) -> News {
        let mut state = State {
            durable: self.durable.clone(),
            ..State::new(self.started_at)
        };
        let mut work = Work {
            state: &mut state,
            out: Transition::default(),
            reference: "",
            output_bytes_max: 0,
            now,
        };
        work.settle(event)
    }

    /// Tells whether the function begins anew with nothing behind it, so that a
    /// snapshot replaces all that was before.
    pub(crate) fn begins_anew(&self) -> bool {
        self.durable.as_ref().is_some_and(|log| log.due)
    }
}

/// Applies an event to the state of a durable function.
pub(super) fn transition(
    machine: &Machine<'_>,
    state: &mut State,
    event: &Event,
    now: Timestamp,
) -> Transition {
    let mut work = Work {
        state,
        out: Transition::default(),
        reference: machine.program.root_reference(),
        output_bytes_max: machine.limits.record_output_bytes_max,
        now,
    };
    if work.state.end.is_some() {
        return work.out;
    }
    let (cause, advance) = match event {
        Event::FunctionAdvanced { after, advance } => (&**after, Some(advance)),
        other => (other, None),
    };
    work.settle(cause);
    if let (Some(advance), true) = (advance, work.state.end.is_none()) {
        work.advance(advance, machine.limits.durable_steps_max);
    }
    if work.state.is_ready() {
        work.out.effects.push(Effect::Continue);
    }
    work.out
}

/// A transition in progress.
struct Work<'a> {
    state: &'a mut State,
    out: Transition,
    reference: &'a str,
    output_bytes_max: usize,
    now: Timestamp,
}

impl Work<'_> {
    fn log(&mut self) -> &mut Log {
        self.state.durable.get_or_insert_default()
    }

    /// Ends what the event ends.
    fn settle(&mut self, event: &Event) -> News {
        let mut ended = Vec::new();
        match event {
            Event::Started { input } => {
                if self.state.durable.is_none() {
                    self.state.started_at = self.now;
                    self.begin(input);
                }
            }
            Event::EffectEnded { effect, result } | Event::ChildEnded { effect, result } => {
                let performing = |step: &Step| step.effect == *effect && step.is_performed();
                if let Some(number) = self.find(performing) {
                    ended.extend(self.tried(number, result));
                }
            }
            Event::CloudEventReceived { effect, event } => {
                let listens = |step: &Step| {
                    step.effect == *effect && matches!(step.wish.what, What::Event(_))
                };
                if let Some(number) = self.find(listens) {
                    self.out.effects.push(Effect::Unlisten { effect: *effect });
                    ended.extend(self.close(number, EffectResult::Value(Arc::clone(event))));
                }
            }
            Event::TimerFired => ended = self.expire(),
            Event::CancelRequested { reason } => self.end(End::Cancelled(reason.clone())),
            Event::Continued | Event::FunctionAdvanced { .. } => {}
        }
        let log = self.log();
        News {
            call: log.due.then(|| (log.generation, Arc::clone(&log.input))),
            ended,
        }
    }

    fn find(&mut self, wanted: impl Fn(&Step) -> bool) -> Option<u64> {
        let mut open = self.log().open.iter();
        open.find(|(_, step)| wanted(step))
            .map(|(number, _)| *number)
    }

    fn begin(&mut self, input: &Data) {
        self.state.raw_input = Arc::clone(input);
        self.state.input = Arc::clone(input);
        self.call_with(input, 0);
    }

    fn call_with(&mut self, input: &Data, generation: u64) {
        *self.log() = Log {
            input: Arc::clone(input),
            due: true,
            generation,
            next: 1,
            open: BTreeMap::new(),
        };
    }

    /// A try of a step ended: the step ends with it, or pauses before the next one.
    fn tried(&mut self, number: u64, result: &EffectResult) -> Option<(u64, EffectResult)> {
        let now = self.now;
        if let (EffectResult::Problem(problem), Some(step)) =
            (result, self.log().open.get_mut(&number))
            && let What::Body(tries) = step.wish.what
            && step.attempt < tries.max
        {
            let failed = step.clone();
            step.until = Some(now.saturating_add(tries.pause(step.attempt)).unwrap_or(now));
            step.attempt += 1;
            let mut record = self.record(&failed, TaskState::Retrying);
            record.error = Some(problem.clone());
            self.out.records.push(record);
            return None;
        }
        self.close(number, result.clone())
    }

    fn close(&mut self, number: u64, result: EffectResult) -> Option<(u64, EffectResult)> {
        let step = self.log().open.remove(&number)?;
        let mut record = match &result {
            EffectResult::Value(_) => self.record(&step, TaskState::Completed),
            EffectResult::Problem(_) => self.record(&step, TaskState::Faulted),
        };
        match &result {
            EffectResult::Value(value) => {
                record.output = Some(excerpt(value, self.output_bytes_max));
            }
            EffectResult::Problem(problem) => record.error = Some(problem.clone()),
        }
        self.out.records.push(record);
        Some((number, result))
    }

    /// Ends sleeps and pauses whose time has come.
    fn expire(&mut self) -> Vec<(u64, EffectResult)> {
        let now = self.now;
        let due = |step: &Step| step.until.is_some_and(|until| until <= now);
        let open = self.log().open.iter().filter(|(_, step)| due(step));
        let numbers: Vec<u64> = open.map(|(number, _)| *number).collect();
        let mut ended = Vec::new();
        for number in numbers {
            let effect = self.state.next_effect;
            let Some(step) = self.log().open.get_mut(&number) else {
                continue;
            };
            if matches!(step.wish.what, What::Sleep(_)) {
                ended.extend(self.close(number, EffectResult::Value(Arc::default())));
                continue;
            }
            step.until = None;
            step.effect = effect;
            self.state.next_effect += 1;
            self.out.effects.push(Effect::Perform { effect });
        }
        ended
    }

    /// Takes what the function did.
    fn advance(&mut self, advance: &Advance, steps_max: u64) {
        self.log().due = false;
        for wish in &advance.asked {
            if steps_max < self.log().next {
                let detail = format!(
                    "the durable function asked for more than {steps_max} steps (limit \
                     durable_steps_max); a function that goes on for long continues as new"
                );
                return self.end(End::Faulted(Problem::new(ProblemKind::Runtime, detail)));
            }
            self.open(wish);
        }
        for number in &advance.dropped {
            self.drop_step(*number);
        }
        match &advance.end {
            None => {}
            Some(FunctionEnd::Returned(output)) => self.end(End::Completed(Arc::clone(output))),
            Some(FunctionEnd::Failed(problem)) => {
                let problem = problem.clone().at(self.reference);
                self.end(End::Faulted(problem));
            }
            Some(FunctionEnd::Again(input)) => {
                self.drop_all();
                let generation = self.log().generation + 1;
                self.call_with(input, generation);
            }
        }
    }

    fn open(&mut self, wish: &Wish) {
        let effect = self.state.next_effect;
        self.state.next_effect += 1;
        self.state.activations += 1;
        let until = match &wish.what {
            What::Sleep(until) => Some(*until),
            _ => None,
        };
        let step = Step {
            wish: wish.clone(),
            effect,
            activation: self.state.activations,
            attempt: 1,
            started_at: self.now,
            until,
        };
        match &wish.what {
            What::Body(_) | What::Child(_) => self.out.effects.push(Effect::Perform { effect }),
            What::Event(filter) => self.out.effects.push(Effect::Listen {
                effect,
                filters: vec![filter.clone()],
            }),
            What::Sleep(_) => {}
        }
        let record = self.record(&step, TaskState::Started);
        self.out.records.push(record);
        let log = self.log();
        log.open.insert(log.next, step);
        log.next += 1;
    }

    fn drop_step(&mut self, number: u64) {
        let Some(step) = self.log().open.remove(&number) else {
            return;
        };
        let effect = step.effect;
        if matches!(step.wish.what, What::Event(_)) {
            self.out.effects.push(Effect::Unlisten { effect });
        } else if step.is_performed() {
            let child = step.is_child();
            self.out.effects.push(Effect::Abandon { effect, child });
        }
        let record = self.record(&step, TaskState::Cancelled);
        self.out.records.push(record);
    }

    fn drop_all(&mut self) {
        let numbers: Vec<u64> = self.log().open.keys().copied().collect();
        for number in numbers {
            self.drop_step(number);
        }
    }

    fn end(&mut self, end: End) {
        self.drop_all();
        self.log().due = false;
        self.state.end = Some(end);
    }

    fn record(&self, step: &Step, state: TaskState) -> TaskRecord {
        let task = format!("{}/{}", self.reference, step.wish.name);
        TaskRecord {
            path: format!("{task}#{}", step.activation),
            task,
            name: step.wish.name.clone(),
            kind: step.wish.what.word().to_owned(),
            state,
            at: self.now,
            started_at: step.started_at,
            attempt: step.attempt,
            output: None,
            error: None,
        }
    }
}
