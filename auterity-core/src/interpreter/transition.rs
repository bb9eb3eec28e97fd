//! One transition: an event goes in, the state moves on as far as it can.

use std::collections::VecDeque;

use jiff::Timestamp;

use super::data_flow::{OUTSIDE, View};
use super::state::{Data, Frame, Thread, Waiting};
use super::{
    Effect, EffectResult, End, Event, Limits, Problem, ProblemKind, State, TaskRecord, TaskState,
};
use crate::ExecutionId;
use crate::definition::{Flow, Program, RunWorkflow, TaskIndex, TaskKind};
use crate::expression::{Budget, operations_done};

/// What stays the same through all transitions of an execution.
#[derive(Debug, Clone, Copy)]
pub struct Machine<'a> {
    /// The compiled definition.
    pub program: &'a Program,
    /// The execution.
    pub execution: ExecutionId,
    /// What the execution may use up.
    pub limits: &'a Limits,
    /// What one expression may use up.
    pub budget: &'a Budget,
}

/// What came of an event.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Transition {
    /// What happened to tasks, in order.
    pub records: Vec<TaskRecord>,
    /// What is to be done once the event is committed.
    pub effects: Vec<Effect>,
}

/// Applies an event to a state.
///
/// Never fails: what goes wrong becomes an error that the definition may catch. An
/// event that the state does not wait for changes nothing.
pub fn transition(
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
        work.apply(event);
        work.announce();
    }
    if work.state.is_ready() {
        work.out.effects.push(Effect::Continue);
    }
    work.out
}

/// Applies an event, but stops the thread that would begin the activation with this
/// number before it does; gives that thread.
pub(super) fn halted(
    machine: &Machine<'_>,
    state: &mut State,
    (event, now): (&Event, Timestamp),
    activation: u64,
) -> Option<u32> {
    let mut work = Work::new(machine, state, now);
    work.halt_before = Some(activation);
    work.apply(event);
    work.halted
}

/// What a thread does next.
#[derive(Debug)]
pub(super) enum Step {
    /// Go on with the list on top of the stack.
    Next,
    /// The task on top of the stack gave this; go where it says or where the flow says.
    Done(Data, Option<Flow>),
    /// What is on top of the stack failed.
    Fail(Problem),
    /// Nothing, until an event comes.
    Wait,
}

/// A transition in progress.
pub(super) struct Work<'a> {
    pub(super) machine: &'a Machine<'a>,
    pub(super) state: &'a mut State,
    pub(super) now: Timestamp,
    pub(super) out: Transition,
    pub(super) ready: VecDeque<(u32, Step)>,
    /// Task activations within this event.
    activations: u32,
    /// What the expressions on this thread had done before.
    operations_before: u64,
    /// The activation that is not to begin, and the thread that would have begun it.
    pub(super) halt_before: Option<u64>,
    pub(super) halted: Option<u32>,
}

impl<'a> Work<'a> {
    pub(super) fn new(machine: &'a Machine<'a>, state: &'a mut State, now: Timestamp) -> Self {
        Self {
            machine,
            state,
            now,
            out: Transition::default(),
            ready: VecDeque::new(),
            activations: 0,
            operations_before: operations_done(),
            halt_before: None,
            halted: None,
        }
    }
}

impl Work<'_> {
    pub(super) fn view(&self) -> View<'_> {
        View::new(self.machine, self.state, self.now)
    }

    fn apply(&mut self, event: &Event) {
        if self.machine.program.is_durable() {
            return self.apply_durable(event);
        }
        match event {
            Event::Started { input, nesting } => self.begin(input, *nesting),
            Event::EffectEnded { effect, result } | Event::ChildEnded { effect, result } => {
                self.effect_ended(*effect, result);
            }
            Event::HumanTaskCompleted { effect, answer } => self.answered(*effect, answer),
            Event::TimerFired => self.expire(),
            Event::CloudEventReceived { effect, event } => self.receive(*effect, event),
            Event::CancelRequested { order } => self.cancel(order.reason.clone()),
            Event::TerminateRequested { order } => self.end(End::Cancelled(order.reason.clone())),
            Event::SuspendRequested { .. } => self.suspend(),
            Event::ResumeRequested { .. } => self.resume(),
            Event::TaskSkipped { task, output, .. } => self.skip_task(task, output),
            Event::Continued => self.go_on(),
            Event::Failed { problem } => self.end(End::Faulted(problem.clone())),
            Event::Retried { .. } | Event::Migrated { .. } | Event::Forked { .. } => {
                self.listen_again();
                self.ask_again();
            }
            // The last is of durable functions only, which is none here.
            Event::Ended { .. } | Event::OrderRefused { .. } | Event::FunctionAdvanced { .. } => {}
        }
        self.work_off();
    }

    pub(super) fn work_off(&mut self) {
        while let Some((thread, step)) = self.ready.pop_front() {
            self.drive(thread, step);
        }
    }

    fn drive(&mut self, thread: u32, mut step: Step) {
        while self.state.end.is_none() && self.state.threads.contains_key(&thread) {
            step = match step {
                Step::Next => self.list_next(thread),
                Step::Done(output, flow) => self.complete(thread, &output, flow),
                Step::Fail(problem) => self.fail(thread, problem),
                Step::Wait => return,
            };
        }
    }

    fn begin(&mut self, input: &Data, nesting: u32) {
        if !self.state.threads.is_empty() {
            return;
        }
        let program = self.machine.program;
        match self.begun(input, nesting) {
            Ok(input) => {
                self.state.threads.insert(
                    0,
                    Thread {
                        parent: None,
                        stack: vec![Frame::list(program.root, 0, input)],
                        waiting: Waiting::Nothing,
                    },
                );
                self.ready.push_back((0, Step::Next));
            }
            Err(problem) => self.end(End::Faulted(problem.at("/"))),
        }
    }

    /// Takes the raw input; gives what the definition makes of it.
    pub(super) fn begun(&mut self, input: &Data, nesting: u32) -> Result<Data, Problem> {
        self.state.nesting = nesting;
        self.state.raw_input = Data::clone(input);
        self.state.started_at = self.now;
        let program = self.machine.program;
        let input = self.view().filter_in(OUTSIDE, &program.input, input)?;
        self.state.deadline = match &program.timeout {
            Some(timeout) => Some(self.view().due(OUTSIDE, &timeout.after, &input)?),
            None => None,
        };
        self.state.input = Data::clone(&input);
        Ok(input)
    }

    fn effect_ended(&mut self, effect: u64, result: &EffectResult) {
        let waiting = self.state.threads.iter_mut().find(|(_, thread)| {
            matches!(thread.waiting, Waiting::Effect { effect: waiting, .. } if waiting == effect)
        });
        let Some((id, thread)) = waiting else { return };
        thread.waiting = Waiting::Nothing;
        let id = *id;
        self.state.known.remove(&effect);
        let step = match result {
            EffectResult::Value(value) => {
                let value = self.gives(id, value);
                self.called(id, effect, &value)
            }
            EffectResult::Problem(problem) => Step::Fail(problem.clone()),
        };
        self.ready.push_back((id, step));
    }

    /// Gives a task's raw output: a child that is not awaited has none, so the task
    /// gives its input, as the standard says.
    fn gives(&self, thread: u32, result: &Data) -> Data {
        let frame = self.state.threads.get(&thread).and_then(Thread::top_task);
        match frame.map(|frame| {
            (
                frame,
                &self.machine.program.task(TaskIndex(frame.task)).kind,
            )
        }) {
            Some((frame, TaskKind::RunWorkflow(RunWorkflow { awaited: false, .. }))) => {
                Data::clone(&frame.input)
            }
            _ => Data::clone(result),
        }
    }

    pub(super) fn go_on(&mut self) {
        if self.state.is_suspended() {
            return;
        }
        if let Some(input) = self.state.begins.take() {
            self.begin(&input, self.state.nesting);
            return;
        }
        let ready: Vec<u32> = self
            .state
            .threads
            .iter()
            .filter(|(_, thread)| thread.waiting == Waiting::Nothing)
            .map(|(id, _)| *id)
            .collect();
        self.ready
            .extend(ready.into_iter().map(|id| (id, Step::Next)));
    }

    /// Ends the execution; whatever is still open is given up.
    pub(super) fn end(&mut self, end: End) {
        let threads: Vec<u32> = self.state.threads.keys().copied().collect();
        for thread in threads {
            self.drop_thread(thread);
        }
        self.drop_steps();
        self.ready.clear();
        self.state.suspended = None;
        self.state.cancelling = None;
        self.state.end = Some(end);
    }

    /// Ends the execution well with what the last task gave.
    pub(super) fn finish(&mut self, output: &Data) {
        let program = self.machine.program;
        let view = self.view();
        let end = match view.filter_out(OUTSIDE, &program.output, output, "output") {
            Ok(output) => End::Completed(output),
            Err(problem) => End::Faulted(problem.at("/")),
        };
        self.end(end);
    }

    /// Tells history of tasks that began and have not ended within this event.
    fn announce(&mut self) {
        let mut begun: Vec<(u64, TaskRecord)> = Vec::new();
        let threads: Vec<u32> = self.state.threads.keys().copied().collect();
        for id in threads {
            let depth = self
                .state
                .threads
                .get(&id)
                .map_or(0, |thread| thread.stack.len());
            for place in 0..depth {
                if let Some(record) = self.announce_frame(id, place) {
                    begun.push(record);
                }
            }
        }
        begun.sort_by_key(|(activation, _)| *activation);
        self.out
            .records
            .extend(begun.into_iter().map(|(_, record)| record));
    }

    fn announce_frame(&mut self, thread: u32, place: usize) -> Option<(u64, TaskRecord)> {
        let frame = match self.state.threads.get_mut(&thread)?.stack.get_mut(place)? {
            Frame::Task(frame) if !frame.announced => frame,
            _ => return None,
        };
        frame.announced = true;
        let frame = frame.clone();
        let mut record = self.record(thread, &frame, TaskState::Started);
        record.at = frame.started_at;
        record.announced = false;
        Some((frame.activation, record))
    }

    pub(super) fn new_effect(&mut self) -> u64 {
        let effect = self.state.next_effect;
        self.state.next_effect += 1;
        effect
    }

    /// Tells whether the rest is for the next event: others want their turn, and a long
    /// stretch is not to be done again after a crash. Both counts depend on nothing but
    /// the state and the event, so a replay stops at the same place.
    pub(super) fn has_done_enough(&self) -> bool {
        let limits = self.machine.limits;
        let operations = operations_done().saturating_sub(self.operations_before);
        limits.activations_per_event_max <= self.activations
            || limits.operations_per_event_max <= operations
    }

    /// Counts an activation; gives the problem when the execution has used up its share.
    pub(super) fn count_activation(&mut self) -> Result<u64, Problem> {
        self.activations += 1;
        self.state.activations += 1;
        if self.machine.limits.activations_max < self.state.activations {
            let detail = format!(
                "the execution began more than {} tasks (limit activations_max)",
                self.machine.limits.activations_max
            );
            return Err(Problem::new(ProblemKind::Runtime, detail));
        }
        Ok(self.state.activations)
    }
}
