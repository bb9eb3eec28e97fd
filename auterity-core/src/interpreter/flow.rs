//! How control moves: into tasks, out of tasks, along lists, up when something fails.

use std::sync::Arc;

use serde_json::Value;

use super::data_flow::View;
use super::record::excerpt;
use super::state::{Data, Frame, ListFrame, Progress, TaskFrame, Thread, TryPhase, Waiting};
use super::task::is_of_extension;
use super::transition::{Step, Work};
use super::{Effect, End, ParentClose, Problem, TaskRecord, TaskState};
use crate::definition::{Flow, ListIndex, Task, TaskIndex, TaskKind};

/// A place behind the end of every list.
const BEYOND: u32 = u32::MAX;

impl Frame {
    pub(super) fn list(list: ListIndex, position: u32, data: Data) -> Self {
        Self::List(ListFrame {
            list: list.0,
            position,
            data,
        })
    }
}

impl Work<'_> {
    pub(super) fn thread_mut(&mut self, thread: u32) -> Option<&mut Thread> {
        self.state.threads.get_mut(&thread)
    }

    pub(super) fn push(&mut self, thread: u32, frame: Frame) {
        if let Some(thread) = self.thread_mut(thread) {
            thread.stack.push(frame);
        }
    }

    pub(super) fn wait(&mut self, thread: u32, waiting: Waiting) -> Step {
        if let Some(thread) = self.thread_mut(thread) {
            thread.waiting = waiting;
        }
        Step::Wait
    }

    /// Goes on with the list on top of the stack: enters its next task or leaves it.
    pub(super) fn list_next(&mut self, thread: u32) -> Step {
        let program = self.machine.program;
        let Some(top) = self.thread_mut(thread) else {
            return Step::Wait;
        };
        // A branch is one task of the fork's list: anything else is behind its end.
        let only = top
            .parent
            .filter(|_| top.stack.len() == 1)
            .map(|(_, branch)| branch);
        let Some(frame) = top.top_list_mut() else {
            return Step::Wait;
        };
        let tasks = program.list(ListIndex(frame.list));
        let inside = only.is_none_or(|branch| branch == frame.position);
        let next = tasks
            .get(frame.position as usize)
            .copied()
            .filter(|_| inside);
        let data = Arc::clone(&frame.data);
        let enough = self.has_done_enough();
        match next {
            Some(_) if enough || self.state.is_suspended() => self.wait(thread, Waiting::Nothing),
            Some(task) => self.enter(thread, task, data),
            None => self.leave_list(thread, data),
        }
    }

    fn leave_list(&mut self, thread: u32, data: Data) -> Step {
        let program = self.machine.program;
        let Some(own) = self.thread_mut(thread) else {
            return Step::Wait;
        };
        let left = own.stack.pop();
        if let Some(frame) = own.top_task() {
            if is_of_extension(frame) {
                let by_exit = matches!(left, Some(Frame::List(list)) if list.position == BEYOND);
                return self
                    .extension_done(thread, data, by_exit)
                    .unwrap_or_else(Step::Fail);
            }
            let task = program.task(TaskIndex(frame.task));
            return match &task.kind {
                TaskKind::For(_) => self.loop_next(thread, data),
                TaskKind::Listen(_) | TaskKind::Call(_) => self.iterated(thread, &data),
                TaskKind::Try { .. } if frame.try_phase() == Some(TryPhase::Compensating) => {
                    Step::Fail(self.cancellation())
                }
                _ => Step::Done(data, None),
            };
        }
        match own.parent {
            Some((parent, branch)) => self.branch_done(thread, parent, branch, data),
            None => self.finish(&data),
        }
        Step::Wait
    }

    /// Begins a task: condition, input, then whatever its kind does.
    fn enter(&mut self, thread: u32, index: TaskIndex, raw_input: Data) -> Step {
        if self.halt_before == Some(self.state.activations + 1) {
            self.halt_before = None;
            self.halted = Some(thread);
            return self.wait(thread, Waiting::Nothing);
        }
        let activation = match self.count_activation() {
            Ok(activation) => activation,
            // Not for the definition to catch: a catch could go on for ever.
            Err(problem) => {
                let reference = self.machine.program.task(index).reference.clone();
                self.end(End::Faulted(problem.at(&reference)));
                return Step::Wait;
            }
        };
        self.push(
            thread,
            Frame::Task(Box::new(TaskFrame {
                task: index.0,
                activation,
                input: Arc::clone(&raw_input),
                raw_input: Arc::clone(&raw_input),
                started_at: self.now,
                deadline: None,
                announced: false,
                variables: Vec::new(),
                progress: Progress::Plain,
                extended: None,
            })),
        );
        let task = self.machine.program.task(index);
        let begun = match &task.condition {
            Some(condition) => self.view().holds(thread, condition, &raw_input, &[]),
            None => Ok(true),
        };
        match begun {
            Ok(true) => self
                .begin_task(thread, index, &raw_input)
                .unwrap_or_else(Step::Fail),
            Ok(false) => self.skip(thread, raw_input),
            Err(problem) => Step::Fail(problem),
        }
    }

    fn skip(&mut self, thread: u32, data: Data) -> Step {
        let Some(frame) = self.pop_task(thread) else {
            return Step::Wait;
        };
        let record = self.record(thread, &frame, TaskState::Skipped);
        self.out.records.push(record);
        self.deliver(thread, data, Flow::Continue)
    }

    fn begin_task(
        &mut self,
        thread: u32,
        index: TaskIndex,
        raw_input: &Data,
    ) -> Result<Step, Problem> {
        let task = self.machine.program.task(index);
        let input = self.view().filter_in(thread, &task.input, raw_input)?;
        let deadline = match &task.timeout {
            Some(timeout) => Some(self.view().due(thread, &timeout.after, &input)?),
            None => None,
        };
        if let Some(frame) = self.thread_mut(thread).and_then(Thread::top_task_mut) {
            frame.input = Arc::clone(&input);
            frame.deadline = deadline;
        }
        if !task.extensions.is_empty() {
            return self.extend(thread, task, input);
        }
        self.begin_kind(thread, &task.kind, input)
    }

    /// Ends the task on top of the stack with what it gave.
    pub(super) fn complete(&mut self, thread: u32, output: &Data, flow: Option<Flow>) -> Step {
        self.close_frame(thread);
        let Some(frame) = self.view().thread(thread).and_then(Thread::top_task) else {
            return Step::Wait;
        };
        let task = self.machine.program.task(TaskIndex(frame.task));
        if frame.extended.is_some()
            && let Some(step) = self.extend_after(thread, output, flow)
        {
            return step;
        }
        let output = match self.shape(thread, task, output) {
            Ok(output) => output,
            Err(problem) => return Step::Fail(problem),
        };
        let Some(frame) = self.pop_task(thread) else {
            return Step::Wait;
        };
        let mut record = self.record(thread, &frame, TaskState::Completed);
        record.output = Some(self.kept(&output));
        self.out.records.push(record);
        self.deliver(thread, output, flow.unwrap_or(task.then))
    }

    /// Applies `output` and `export` to what a task gave.
    fn shape(&mut self, thread: u32, task: &Task, raw: &Data) -> Result<Data, Problem> {
        let view = View {
            raw_output: Some(raw),
            ..self.view()
        };
        let output = view.filter_out(thread, &task.output, raw, "output")?;
        if task.export.transform.is_some() || task.export.schema.is_some() {
            self.state.context =
                view.filter_out(thread, &task.export, &output, "exported context")?;
        }
        Ok(output)
    }

    /// Gives an output as history keeps it.
    pub(super) fn kept(&self, output: &Value) -> Value {
        excerpt(output, self.machine.limits.record_output_bytes_max)
    }

    /// Gives a task's output to the list that the task stands in.
    pub(super) fn deliver(&mut self, thread: u32, output: Data, flow: Flow) -> Step {
        if flow == Flow::End && self.state.is_cancelling() {
            // A compensation has nothing to end but itself.
            return Step::Fail(self.cancellation());
        }
        if flow == Flow::End {
            self.finish(&output);
            return Step::Wait;
        }
        if let Some(list) = self.thread_mut(thread).and_then(Thread::top_list_mut) {
            list.data = output;
            list.position = match flow {
                Flow::Continue => list.position.saturating_add(1),
                Flow::Jump(position) => position,
                Flow::Exit | Flow::End => BEYOND,
            };
        }
        Step::Next
    }

    /// Carries a problem up the stack until a `try` takes it.
    pub(super) fn fail(&mut self, thread: u32, problem: Problem) -> Step {
        let mut problem = problem;
        loop {
            let program = self.machine.program;
            let Some(own) = self.thread_mut(thread) else {
                return Step::Wait;
            };
            match own.stack.last() {
                Some(Frame::List(_)) => {
                    own.stack.pop();
                }
                Some(Frame::Task(frame)) => {
                    let reference = &program.task(TaskIndex(frame.task)).reference;
                    problem = problem.at(reference);
                    if let Some(phase) = frame.try_phase() {
                        match self.caught(thread, phase, problem) {
                            Ok(step) => return step,
                            Err(uncaught) => problem = uncaught.at(reference),
                        }
                    }
                    self.close_frame(thread);
                    let Some(frame) = self.pop_task(thread) else {
                        return Step::Wait;
                    };
                    let cancelled = self.is_cancellation(&problem);
                    let mut record = if cancelled {
                        self.record(thread, &frame, TaskState::Cancelled)
                    } else {
                        self.record(thread, &frame, TaskState::Faulted)
                    };
                    record.error = (!cancelled).then(|| problem.clone());
                    self.out.records.push(record);
                }
                None => {
                    let parent = own.parent;
                    let cancelled = self.is_cancellation(&problem);
                    match parent {
                        Some((parent, _)) if cancelled => self.branch_cancelled(thread, parent),
                        Some((parent, branch)) => {
                            self.branch_failed(thread, parent, branch, problem);
                        }
                        None if cancelled => self.end_cancelled(),
                        None => self.end(End::Faulted(problem)),
                    }
                    return Step::Wait;
                }
            }
        }
    }

    /// Offers a problem to a `try` task on top of the stack, or gives it back.
    fn caught(&mut self, thread: u32, phase: TryPhase, problem: Problem) -> Result<Step, Problem> {
        match phase {
            TryPhase::Trying | TryPhase::Delaying if self.is_cancellation(&problem) => {
                self.compensate(thread, problem)
            }
            TryPhase::Trying => self.catch(thread, problem),
            TryPhase::Compensating => Err(self.compensation_failed(problem)),
            TryPhase::Delaying | TryPhase::Catching => Err(problem),
        }
    }

    /// Gives up everything that the task on top of the stack has open: it is ending.
    pub(super) fn close_frame(&mut self, thread: u32) {
        let program = self.machine.program;
        let Some(own) = self.state.threads.get_mut(&thread) else {
            return;
        };
        if let Waiting::Effect { effect, child } = own.waiting {
            let task = own.top_task().filter(|_| child);
            let child =
                task.map(|frame| ParentClose::of(&program.task(TaskIndex(frame.task)).definition));
            self.out.effects.push(Effect::Abandon { effect, child });
        }
        if let Waiting::Person { effect } = own.waiting {
            self.out.effects.push(Effect::Withdraw { effect });
        }
        own.waiting = Waiting::Nothing;
        let Some(frame) = own.top_task_mut() else {
            return;
        };
        match &mut frame.progress {
            Progress::Try(progress) => progress.phase = TryPhase::Catching,
            Progress::Listen(progress) => {
                progress.closed = true;
                self.out.effects.push(Effect::Unlisten {
                    effect: progress.effect,
                });
            }
            Progress::Fork { .. } => self.drop_branches(thread),
            Progress::Plain | Progress::Loop { .. } | Progress::Person(_) => {}
        }
    }

    /// Ends what is above the given place of the stack, as a time-out does.
    pub(super) fn unwind_to(&mut self, thread: u32, place: usize) {
        loop {
            let depth = self
                .state
                .threads
                .get(&thread)
                .map_or(0, |own| own.stack.len());
            if depth <= place + 1 {
                return;
            }
            self.cancel_top(thread);
        }
    }

    fn cancel_top(&mut self, thread: u32) {
        self.close_frame(thread);
        match self.thread_mut(thread).and_then(|own| own.stack.pop()) {
            Some(Frame::Task(frame)) => {
                let record = self.record(thread, &frame, TaskState::Cancelled);
                self.out.records.push(record);
            }
            Some(Frame::List(_)) | None => {}
        }
    }

    /// Ends a whole thread from outside.
    pub(super) fn drop_thread(&mut self, thread: u32) {
        while self
            .state
            .threads
            .get(&thread)
            .is_some_and(|own| !own.stack.is_empty())
        {
            self.cancel_top(thread);
        }
        self.state.threads.remove(&thread);
        self.ready.retain(|(id, _)| *id != thread);
    }

    pub(super) fn drop_branches(&mut self, parent: u32) {
        let branches: Vec<u32> = self
            .state
            .threads
            .iter()
            .filter(|(_, thread)| thread.parent.is_some_and(|(id, _)| id == parent))
            .map(|(id, _)| *id)
            .collect();
        for branch in branches {
            self.drop_thread(branch);
        }
    }

    pub(super) fn pop_task(&mut self, thread: u32) -> Option<Box<TaskFrame>> {
        let own = self.thread_mut(thread)?;
        match own.stack.pop()? {
            Frame::Task(frame) => Some(frame),
            list @ Frame::List(_) => {
                own.stack.push(list);
                None
            }
        }
    }

    pub(super) fn record(&self, thread: u32, frame: &TaskFrame, state: TaskState) -> TaskRecord {
        let task = self.machine.program.task(TaskIndex(frame.task));
        TaskRecord {
            task: task.reference.clone(),
            name: task.name.clone(),
            kind: task.kind.word().to_owned(),
            path: format!("{}#{}", task.reference, frame.activation),
            state,
            at: self.now,
            started_at: frame.started_at,
            announced: frame.announced,
            attempt: self.attempt(thread, frame),
            output: None,
            error: None,
        }
    }

    /// Which try of the nearest enclosing `try` a task belongs to.
    fn attempt(&self, thread: u32, frame: &TaskFrame) -> u32 {
        if let Progress::Try(progress) = &frame.progress {
            return progress.attempt;
        }
        let mut next = Some(thread);
        while let Some(own) = next.and_then(|id| self.state.threads.get(&id)) {
            let found = own.stack.iter().rev().find_map(|frame| match frame {
                Frame::Task(frame) => match &frame.progress {
                    Progress::Try(progress) => Some(progress.attempt),
                    _ => None,
                },
                Frame::List(_) => None,
            });
            if let Some(attempt) = found {
                return attempt;
            }
            next = own.parent.map(|(parent, _)| parent);
        }
        1
    }
}
