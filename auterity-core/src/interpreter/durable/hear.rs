//! What an event means to a durable function's execution, before the function hears.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::log::{Log, Step};
use super::{What, act};
use crate::Actor;
use crate::definition::pointer_join;
use crate::interpreter::record::excerpt;
use crate::interpreter::state::{Cancelling, Data};
use crate::interpreter::transition::Work;
use crate::interpreter::{
    Effect, EffectResult, End, Event, Machine, Order, ParentClose, State, TaskRecord, TaskState,
    Transition,
};

/// Applies an event as far as that goes without the function. Where the state then has
/// [news](State::news) for it, what the function does with them comes next.
pub(crate) fn hear(
    machine: &Machine<'_>,
    state: &mut State,
    event: &Event,
    now: Timestamp,
) -> Transition {
    if let Some(rebuilt) = event.rebuilt() {
        *state = rebuilt.state.clone();
    }
    let mut work = Work::new(machine, state, now);
    if work.state.end.is_none() {
        work.hear(event);
    }
    work.out
}

impl Work<'_> {
    /// Applies an event to a durable function's execution.
    pub(in crate::interpreter) fn apply_durable(&mut self, event: &Event) {
        match event {
            Event::FunctionAdvanced { after, advance } => {
                self.hear(after);
                act::act_in(self, advance);
            }
            other => self.hear(other),
        }
    }

    fn hear(&mut self, event: &Event) {
        match event {
            Event::Started { input, nesting } => {
                if self.state.durable.is_none() {
                    self.begin_durable(input, *nesting);
                }
            }
            Event::EffectEnded { effect, result } | Event::ChildEnded { effect, result } => {
                let number = self.step(|step| step.effect == *effect && step.is_performed());
                if let Some(number) = number {
                    self.tried(number, result);
                }
            }
            Event::CloudEventReceived { effect, event } => {
                let number = self.step(|step| step.effect == *effect && step.listens());
                if let Some(number) = number {
                    self.out.effects.push(Effect::Unlisten { effect: *effect });
                    self.close_step(number, EffectResult::Value(Arc::clone(event)));
                }
            }
            Event::TimerFired => self.expire_steps(),
            Event::CancelRequested { order } => self.cancel_steps(order.reason.clone()),
            Event::TerminateRequested { order } => self.end(End::Cancelled(order.reason.clone())),
            Event::SuspendRequested { order } => self.suspend_durable(order),
            Event::ResumeRequested { .. } => self.resume_durable(),
            Event::TaskSkipped { task, output, .. } => self.skip_step(task, output),
            Event::Continued => {
                if let (Some(input), false) = (&self.state.begins, self.state.is_suspended()) {
                    let input = Arc::clone(input);
                    self.state.begins = None;
                    self.begin_durable(&input, self.state.nesting);
                }
            }
            Event::Failed { problem } => self.end(End::Faulted(problem.clone())),
            Event::Ended { .. }
            | Event::Retried { .. }
            | Event::Migrated { .. }
            | Event::Forked { .. }
            | Event::OrderRefused { .. }
            | Event::FunctionAdvanced { .. }
            // A function asks people through a child execution.
            | Event::HumanTaskCompleted { .. } => {}
        }
    }

    fn step(&self, wanted: impl Fn(&Step) -> bool) -> Option<u64> {
        self.state.durable.as_ref()?.find(wanted)
    }

    fn begin_durable(&mut self, input: &Data, nesting: u32) {
        match self.begun(input, nesting) {
            Ok(input) => self.call_with(input),
            Err(problem) => self.end(End::Faulted(problem.at("/"))),
        }
    }

    /// Lets the function be called with nothing behind it.
    pub(super) fn call_with(&mut self, input: Data) {
        // Of the numbers of effects, so that no call has the number of an earlier one.
        let call = self.new_effect();
        self.state.durable = Some(Log::new(input, call));
    }

    /// A try of a step ended: the step ends with it, or pauses before the next one.
    fn tried(&mut self, number: u64, result: &EffectResult) {
        let now = self.now;
        let log = self.state.durable.as_mut();
        let step = log.and_then(|log| log.open.get_mut(&number));
        if let (EffectResult::Problem(problem), Some(step)) = (result, step)
            && let Some(tries) = step.wish.tries
            && step.attempt < tries.max
        {
            let failed = step.clone();
            let pause = tries.pause(step.attempt);
            step.until = Some(now.checked_add(pause).unwrap_or(Timestamp::MAX));
            step.attempt += 1;
            let mut record = self.step_record(&failed, TaskState::Retrying);
            record.error = Some(problem.clone());
            self.out.records.push(record);
            return;
        }
        self.close_step(number, result.clone());
    }

    /// Ends a step; the function is to hear of it.
    fn close_step(&mut self, number: u64, result: EffectResult) {
        let log = self.state.durable.as_mut();
        let Some(step) = log.and_then(|log| log.open.remove(&number)) else {
            return;
        };
        let record = match &result {
            EffectResult::Value(value) => TaskRecord {
                output: Some(excerpt(value, self.machine.limits.record_output_bytes_max)),
                ..self.step_record(&step, TaskState::Completed)
            },
            EffectResult::Problem(problem) => TaskRecord {
                error: Some(problem.clone()),
                ..self.step_record(&step, TaskState::Faulted)
            },
        };
        self.out.records.push(record);
        if let Some(log) = &mut self.state.durable {
            log.unheard.push((number, result));
        }
    }

    /// Gives a step up; nobody hears of it.
    pub(super) fn drop_step(&mut self, number: u64) {
        let log = self.state.durable.as_mut();
        let Some(step) = log.and_then(|log| log.open.remove(&number)) else {
            return;
        };
        let effect = step.effect;
        if step.listens() {
            self.out.effects.push(Effect::Unlisten { effect });
        } else if step.is_performed() {
            let child = step.is_child().then(ParentClose::default);
            self.out.effects.push(Effect::Abandon { effect, child });
        }
        let record = self.step_record(&step, TaskState::Cancelled);
        self.out.records.push(record);
    }

    /// Gives up all steps.
    pub(in crate::interpreter) fn drop_steps(&mut self) {
        for number in self.open_steps(|_| true) {
            self.drop_step(number);
        }
        if let Some(log) = &mut self.state.durable {
            log.due = false;
            log.unheard.clear();
        }
    }

    fn open_steps(&self, wanted: impl Fn(&Step) -> bool) -> Vec<u64> {
        let log = self.state.durable.iter();
        let open = log.flat_map(|log| &log.open);
        open.filter(|(_, step)| wanted(step))
            .map(|(number, _)| *number)
            .collect()
    }

    /// Ends sleeps, and pauses before the next try, whose time has come.
    fn expire_steps(&mut self) {
        if self.state.is_suspended() || self.out_of_grace() || self.out_of_time() {
            return;
        }
        let now = self.now;
        for number in self.open_steps(|step| step.until.is_some_and(|until| until <= now)) {
            let effect = self.state.next_effect;
            let log = self.state.durable.as_mut();
            let Some(step) = log.and_then(|log| log.open.get_mut(&number)) else {
                continue;
            };
            if matches!(step.wish.what, What::Sleep(_)) {
                self.close_step(number, EffectResult::Value(Arc::default()));
                continue;
            }
            step.until = None;
            step.effect = effect;
            self.state.next_effect += 1;
            self.out.effects.push(Effect::Perform { effect });
        }
    }

    /// Begins the end: every open step ends with an error, and the function may undo
    /// what it did.
    fn cancel_steps(&mut self, reason: Option<String>) {
        if self.state.is_cancelling() {
            return;
        }
        let log = self.state.durable.as_ref();
        if log.is_none_or(|log| log.due) {
            return self.end(End::Cancelled(reason));
        }
        let grace = self.machine.limits.cancel_grace;
        self.state.suspended = None;
        self.state.deadline = None;
        self.state.cancelling = Some(Cancelling {
            reason,
            deadline: self.now.checked_add(grace).unwrap_or(Timestamp::MAX),
            failed: None,
        });
        let open = self.open_steps(|_| true);
        for number in &open {
            self.drop_step(*number);
        }
        let error = self.cancellation();
        if let Some(log) = &mut self.state.durable {
            let ended = open.into_iter();
            let ended = ended.map(|number| (number, EffectResult::Problem(error.clone())));
            log.unheard.extend(ended);
        }
    }

    fn suspend_durable(&mut self, order: &Order) {
        self.suspend();
        let own = matches!(order.by, Actor::Engine(_));
        if let Some(log) = &mut self.state.durable
            && own
        {
            log.stuck.clone_from(&order.reason);
        }
    }

    fn resume_durable(&mut self) {
        if self.state.suspended.take().is_none() {
            return;
        }
        if let Some(log) = &mut self.state.durable {
            log.stuck = None;
        }
        // Their worker may have gone meanwhile. The engine leaves out what is under way.
        let pending = self.state.pending();
        let effects: Vec<Effect> = pending.map(|effect| Effect::Perform { effect }).collect();
        self.out.effects.extend(effects);
        self.expire_steps();
    }

    fn skip_step(&mut self, task: &str, output: &Arc<Value>) {
        let function = self.machine.program.root_reference();
        let log = self.state.durable.as_ref();
        let found = log.and_then(|log| log.at_work(function, task).ok());
        let Some(number) = found else { return };
        let log = self.state.durable.as_ref();
        let step = log.and_then(|log| log.open.get(&number)).cloned();
        self.drop_step(number);
        self.out.records.pop();
        if let Some(step) = step {
            let mut record = self.step_record(&step, TaskState::Skipped);
            record.output = Some(excerpt(output, self.machine.limits.record_output_bytes_max));
            self.out.records.push(record);
        }
        if let Some(log) = &mut self.state.durable {
            let result = EffectResult::Value(Arc::clone(output));
            log.unheard.push((number, result));
        }
    }

    pub(super) fn step_record(&self, step: &Step, state: TaskState) -> TaskRecord {
        let function = self.machine.program.root_reference();
        let task = pointer_join(function, &step.wish.name);
        TaskRecord {
            path: format!("{task}#{}", step.activation),
            task,
            name: step.wish.name.clone(),
            kind: step.wish.what.word().to_owned(),
            state,
            at: self.now,
            started_at: step.started_at,
            announced: state != TaskState::Started,
            attempt: step.attempt,
            output: None,
            error: None,
        }
    }
}

impl State {
    /// Checks that a step is at work.
    pub(in crate::interpreter) fn step_at_work(
        &self,
        function: &str,
        wanted: &str,
    ) -> Result<(), String> {
        match &self.durable {
            Some(log) => log.at_work(function, wanted).map(drop),
            None => Err(format!("the step {wanted} is not at work")),
        }
    }
}
