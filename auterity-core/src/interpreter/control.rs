//! Control from outside: suspend and resume, cancel with compensation, skip.
//!
//! A cancelled execution sees an error of type [`CANCELLED`] in every task that is at
//! work. Only a `catch` whose `errors.with.type` names that type takes it, and its
//! tasks undo what the `try` did; then the error goes on to the next `try` outside.
//! When it has passed them all the execution has ended as cancelled.

use std::sync::Arc;

use serde_json::Value;

use super::state::{Cancelling, Data, Frame, Progress, TryPhase, Waiting};
use super::transition::{Step, Work};
use super::{Effect, End, Problem, ProblemKind, State, TaskState};
use crate::definition::{Program, TaskIndex, TaskKind};

/// The type of the error that the tasks of a cancelled execution end with. A `catch`
/// takes it only if its `errors.with.type` is this text.
pub const CANCELLED: &str = "urn:auterity:error:cancelled";

/// The status of the error of that type.
const CANCELLED_STATUS: u16 = 499;

impl State {
    /// Checks that a task, or a step of a durable function, is at work: named by its JSON
    /// pointer or by pointer, `#` and activation.
    ///
    /// # Errors
    /// Says in words why it is not.
    pub(crate) fn check_at_work(&self, program: &Program, wanted: &str) -> Result<(), String> {
        if program.is_durable() {
            return self.step_at_work(program.root_reference(), wanted);
        }
        self.at_work(program, wanted).map(drop)
    }

    /// Finds a task that is at work, by its JSON pointer or by pointer, `#` and
    /// activation; gives its thread and its place in the stack.
    ///
    /// # Errors
    /// Says in words why there is none.
    pub(crate) fn at_work(&self, program: &Program, wanted: &str) -> Result<(u32, usize), String> {
        let (pointer, activation) = split_path(wanted);
        let mut found = Vec::new();
        for (id, thread) in &self.threads {
            for (place, frame) in thread.stack.iter().enumerate() {
                let Frame::Task(frame) = frame else { continue };
                let task = program.task(TaskIndex(frame.task));
                let right = activation.is_none_or(|wanted| wanted == frame.activation);
                if right && task.reference == pointer {
                    found.push((*id, place));
                }
            }
        }
        match found.as_slice() {
            [] => Err(format!("the task {wanted} is not at work")),
            [one] => Ok(*one),
            _ => Err(format!(
                "the task {wanted} is at work {} times; name one with # and its activation",
                found.len()
            )),
        }
    }
}

/// Takes `/do/0/name#7` apart.
pub(super) fn split_path(path: &str) -> (&str, Option<u64>) {
    match path.rsplit_once('#') {
        Some((pointer, number)) => match number.parse() {
            Ok(activation) => (pointer, Some(activation)),
            Err(_) => (path, None),
        },
        None => (path, None),
    }
}

impl Work<'_> {
    pub(super) fn suspend(&mut self) {
        if !self.state.is_cancelling() && !self.state.is_suspended() {
            self.state.suspended = Some(self.now);
            self.hold_persons();
        }
    }

    /// Goes on: first with what became due meanwhile, then with what could not begin.
    pub(super) fn resume(&mut self) {
        if self.state.suspended.take().is_none() {
            return;
        }
        // Their worker may have gone meanwhile. The engine leaves out what is under way.
        let pending = self.state.pending();
        let effects: Vec<Effect> = pending.map(|effect| Effect::Perform { effect }).collect();
        self.out.effects.extend(effects);
        self.ask_again();
        self.expire();
        self.work_off();
        self.go_on();
    }

    /// Begins the end: every task at work sees the error.
    pub(super) fn cancel(&mut self, reason: Option<String>) {
        if self.state.is_cancelling() {
            return;
        }
        let grace = self.machine.limits.cancel_grace;
        self.state.suspended = None;
        self.state.deadline = None;
        self.state.cancelling = Some(Cancelling {
            reason,
            deadline: self.now.checked_add(grace).unwrap_or(jiff::Timestamp::MAX),
            failed: None,
        });
        self.forget_deadlines();
        let open = self.state.threads.iter();
        let innermost = open.filter(|(_, thread)| thread.waiting != Waiting::Branches);
        let innermost: Vec<u32> = innermost.map(|(id, _)| *id).collect();
        for thread in innermost {
            let step = Step::Fail(self.cancellation());
            self.ready.push_back((thread, step));
        }
    }

    /// From now on only the grace counts for what has begun.
    fn forget_deadlines(&mut self) {
        let threads = self.state.threads.values_mut();
        for frame in threads.flat_map(|thread| &mut thread.stack) {
            let Frame::Task(frame) = frame else { continue };
            frame.deadline = None;
            if let Progress::Try(progress) = &mut frame.progress {
                progress.attempt_deadline = None;
            }
        }
    }

    /// The error that a cancelled execution's tasks see.
    pub(super) fn cancellation(&self) -> Problem {
        let cancelling = self.state.cancelling.as_ref();
        let reason = cancelling.and_then(|cancelling| cancelling.reason.clone());
        Problem {
            kind: CANCELLED.to_owned(),
            status: CANCELLED_STATUS,
            title: Some("Cancelled".to_owned()),
            detail: Some(reason.unwrap_or_else(|| "the execution is cancelled".to_owned())),
            instance: None,
        }
    }

    pub(super) fn is_cancellation(&self, problem: &Problem) -> bool {
        self.state.is_cancelling() && problem.kind == CANCELLED
    }

    /// Lets the catch of the `try` on top of the stack undo what its body did, if it
    /// names the error's type.
    pub(super) fn compensate(&mut self, thread: u32, problem: Problem) -> Result<Step, Problem> {
        let program = self.machine.program;
        let Some(frame) = self.view().thread(thread).and_then(|own| own.top_task()) else {
            return Err(problem);
        };
        let TaskKind::Try { catch, .. } = &program.task(TaskIndex(frame.task)).kind else {
            return Err(problem);
        };
        let names_it = catch
            .filter
            .iter()
            .any(|(name, value)| name == "type" && *value == CANCELLED);
        let (Some(body), true) = (catch.body, names_it && problem.matches(&catch.filter)) else {
            return Err(problem);
        };
        let input = Arc::clone(&frame.input);
        let error: Data = Arc::new(problem.to_value());
        let extra = [(catch.variable.as_str(), Arc::clone(&error))];
        let holds = |condition: &Option<_>, otherwise| match condition {
            Some(condition) => self.view().holds(thread, condition, &input, &extra),
            None => Ok(otherwise),
        };
        let wanted = holds(&catch.when, true)
            .and_then(|wanted| Ok(wanted && !holds(&catch.except_when, false)?));
        match wanted {
            Ok(true) => {}
            Ok(false) => return Err(problem),
            Err(failed) => return Err(self.compensation_failed(failed)),
        }
        self.close_frame(thread);
        if let Some(frame) = self.thread_mut(thread).and_then(|own| own.top_task_mut()) {
            frame.variables = vec![(catch.variable.clone(), error)];
            if let Progress::Try(progress) = &mut frame.progress {
                progress.phase = TryPhase::Compensating;
            }
        }
        self.push(thread, Frame::list(body, 0, input));
        Ok(Step::Next)
    }

    /// Notes a compensation's failure; the way to the end goes on.
    pub(super) fn compensation_failed(&mut self, problem: Problem) -> Problem {
        if self.is_cancellation(&problem) {
            return problem;
        }
        if let Some(cancelling) = &mut self.state.cancelling {
            cancelling.failed.get_or_insert(problem);
        }
        self.cancellation()
    }

    /// Takes note that a branch has compensated; the fork goes on with the last.
    pub(super) fn branch_cancelled(&mut self, thread: u32, parent: u32) {
        self.state.threads.remove(&thread);
        let others = self.state.threads.values();
        let left = others
            .filter(|other| other.parent.is_some_and(|(id, _)| id == parent))
            .count();
        if left == 0
            && let Some(own) = self.thread_mut(parent)
        {
            own.waiting = Waiting::Nothing;
            let step = Step::Fail(self.cancellation());
            self.ready.push_back((parent, step));
        }
    }

    /// Ends the execution: faulted if something could not be undone.
    pub(super) fn end_cancelled(&mut self) {
        let end = match self.state.cancelling.take() {
            Some(Cancelling {
                failed: Some(problem),
                ..
            }) => End::Faulted(problem),
            Some(cancelling) => End::Cancelled(cancelling.reason),
            None => End::Cancelled(None),
        };
        self.end(end);
    }

    /// Ends the execution if its compensation has taken too long.
    pub(super) fn out_of_grace(&mut self) -> bool {
        let cancelling = self.state.cancelling.as_ref();
        let over = cancelling.is_some_and(|cancelling| cancelling.deadline <= self.now);
        if over {
            let grace = self.machine.limits.cancel_grace;
            let detail = format!(
                "the compensation of the cancelled execution took longer than {grace:#} \
                 (limit cancel_grace)"
            );
            self.end(End::Faulted(
                Problem::new(ProblemKind::Timeout, detail).at("/"),
            ));
        }
        over
    }

    /// Ends a task at work as if it had given this output. Its `export` sees the
    /// output, its `output` filter does not.
    pub(super) fn skip_task(&mut self, task: &str, output: &Arc<Value>) {
        let Ok((thread, place)) = self.state.at_work(self.machine.program, task) else {
            return;
        };
        self.unwind_to(thread, place);
        self.close_frame(thread);
        let step = self.skipped(thread, output).unwrap_or_else(Step::Fail);
        self.ready.push_back((thread, step));
    }

    fn skipped(&mut self, thread: u32, output: &Arc<Value>) -> Result<Step, Problem> {
        let program = self.machine.program;
        let Some(frame) = self.view().thread(thread).and_then(|own| own.top_task()) else {
            return Ok(Step::Wait);
        };
        let task = program.task(TaskIndex(frame.task));
        if task.export.transform.is_some() || task.export.schema.is_some() {
            let view = self.view();
            self.state.context =
                view.filter_out(thread, &task.export, output, "exported context")?;
        }
        let Some(frame) = self.pop_task(thread) else {
            return Ok(Step::Wait);
        };
        let mut record = self.record(thread, &frame, TaskState::Skipped);
        record.output = Some(self.kept(output));
        self.out.records.push(record);
        Ok(self.deliver(thread, Arc::clone(output), task.then))
    }
}
