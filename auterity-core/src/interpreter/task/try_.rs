//! `try`: catch, retry with back-off, handle.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::definition::{Catch, ListIndex, Retry, TaskIndex, TaskKind};
use crate::interpreter::state::{Data, Frame, Progress, Thread, TryPhase, TryProgress, Waiting};
use crate::interpreter::transition::{Step, Work};
use crate::interpreter::{Problem, TaskState};

impl Work<'_> {
    pub(super) fn try_begin(
        &mut self,
        thread: u32,
        body: ListIndex,
        input: Data,
    ) -> Result<Step, Problem> {
        self.try_attempt(thread, body, input, 1)
    }

    fn try_attempt(
        &mut self,
        thread: u32,
        body: ListIndex,
        input: Data,
        attempt: u32,
    ) -> Result<Step, Problem> {
        let limit = self.catch_of(thread).and_then(|catch| catch.retry.as_ref());
        let attempt_deadline = match limit.and_then(|retry| retry.attempt_duration.as_ref()) {
            Some(length) => Some(self.view().due(thread, length, &input)?),
            None => None,
        };
        self.set_try(
            thread,
            TryProgress {
                attempt,
                phase: TryPhase::Trying,
                attempt_deadline,
            },
        );
        self.push(thread, Frame::list(body, 0, input));
        Ok(Step::Next)
    }

    /// Begins the next try after its delay.
    pub(in crate::interpreter) fn try_again(&mut self, thread: u32) -> Step {
        let Some(frame) = self.state.threads.get(&thread).and_then(Thread::top_task) else {
            return Step::Wait;
        };
        let Progress::Try(progress) = &frame.progress else {
            return Step::Wait;
        };
        let (attempt, input) = (progress.attempt, Arc::clone(&frame.input));
        let program = self.machine.program;
        let TaskKind::Try { body, .. } = &program.task(TaskIndex(frame.task)).kind else {
            return Step::Wait;
        };
        self.try_attempt(thread, *body, input, attempt)
            .unwrap_or_else(Step::Fail)
    }

    /// Takes a problem of the task's body, or gives it back.
    pub(in crate::interpreter) fn catch(
        &mut self,
        thread: u32,
        problem: Problem,
    ) -> Result<Step, Problem> {
        let Some(catch) = self.catch_of(thread) else {
            return Err(problem);
        };
        let Some(input) = self.top_input(thread) else {
            return Err(problem);
        };
        let error: Data = Arc::new(problem.to_value());
        let extra = [(catch.variable.as_str(), Arc::clone(&error))];
        if !problem.matches(&catch.filter) {
            return Err(problem);
        }
        if let Some(when) = &catch.when
            && !self.view().holds(thread, when, &input, &extra)?
        {
            return Err(problem);
        }
        if let Some(except) = &catch.except_when
            && self.view().holds(thread, except, &input, &extra)?
        {
            return Err(problem);
        }
        if let Some(retry) = &catch.retry
            && let Some(step) = self.retry(thread, retry, &input, (&catch.variable, &problem))?
        {
            return Ok(step);
        }
        let exhausted = catch.retry.is_some();
        self.close_frame(thread);
        match catch.body {
            Some(body) => {
                if let Some(frame) = self
                    .state
                    .threads
                    .get_mut(&thread)
                    .and_then(Thread::top_task_mut)
                {
                    frame.variables = vec![(catch.variable.clone(), error)];
                }
                self.push(thread, Frame::list(body, 0, input));
                Ok(Step::Next)
            }
            None if exhausted => Err(problem),
            None => Ok(Step::Done(input, None)),
        }
    }

    /// Plans the next try; gives nothing when there is to be none.
    fn retry(
        &mut self,
        thread: u32,
        retry: &Retry,
        input: &Data,
        caught: (&str, &Problem),
    ) -> Result<Option<Step>, Problem> {
        let extra = [(caught.0, Arc::new(caught.1.to_value()))];
        let Some(frame) = self.state.threads.get(&thread).and_then(Thread::top_task) else {
            return Ok(None);
        };
        let Progress::Try(progress) = &frame.progress else {
            return Ok(None);
        };
        let (attempt, started_at) = (progress.attempt, frame.started_at);
        if retry.attempts_max.is_some_and(|most| most < attempt) {
            return Ok(None);
        }
        if let Some(when) = &retry.when
            && !self.view().holds(thread, when, input, &extra)?
        {
            return Ok(None);
        }
        if let Some(except) = &retry.except_when
            && self.view().holds(thread, except, input, &extra)?
        {
            return Ok(None);
        }
        let due = self.view().retry_due(thread, retry, input, attempt)?;
        if let Some(limit) = &retry.duration {
            let whole = self.view().length(thread, limit, input)?;
            if past(started_at, whole) < due {
                return Ok(None);
            }
        }
        let frame = frame.clone();
        let mut record = self.record(thread, &frame, TaskState::Retrying);
        record.error = Some(caught.1.clone());
        self.out.records.push(record);
        let next = TryProgress {
            attempt: attempt.saturating_add(1),
            phase: TryPhase::Delaying,
            attempt_deadline: None,
        };
        self.set_try(thread, next);
        if due <= self.now {
            return Ok(Some(self.try_again(thread)));
        }
        Ok(Some(self.wait(thread, Waiting::Until(due))))
    }

    fn set_try(&mut self, thread: u32, progress: TryProgress) {
        if let Some(frame) = self
            .state
            .threads
            .get_mut(&thread)
            .and_then(Thread::top_task_mut)
        {
            frame.progress = Progress::Try(progress);
        }
    }

    fn top_input(&self, thread: u32) -> Option<Data> {
        let frame = self.state.threads.get(&thread).and_then(Thread::top_task)?;
        Some(Arc::clone(&frame.input))
    }
}

impl<'a> Work<'a> {
    fn catch_of(&self, thread: u32) -> Option<&'a Catch> {
        let frame = self.state.threads.get(&thread).and_then(Thread::top_task)?;
        match &self.machine.program.task(TaskIndex(frame.task)).kind {
            TaskKind::Try { catch, .. } => Some(catch),
            _ => None,
        }
    }
}

fn past(start: Timestamp, length: SignedDuration) -> Timestamp {
    start.checked_add(length).unwrap_or(Timestamp::MAX)
}
