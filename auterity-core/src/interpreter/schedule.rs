//! Times: lengths, due times, back-off, and what happens when a time has come.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};
use serde_json::Value;

use super::data_flow::View;
use super::state::{Frame, Progress, TryPhase, Waiting};
use super::transition::{Step, Work};
use super::{End, Problem, ProblemKind};
use crate::ExecutionId;
use crate::definition::{Backoff, Length, Retry, TaskIndex};
use crate::expression::duration;

impl View<'_> {
    /// Gives the time that lies the given length from now.
    pub(super) fn due(
        &self,
        thread: u32,
        length: &Length,
        input: &Value,
    ) -> Result<Timestamp, Problem> {
        let span = self.span(thread, length, input)?;
        add(self.now, &span).ok_or_else(beyond)
    }

    /// Gives the time that lies the written length from now.
    pub(super) fn after(&self, length: &Value) -> Result<Timestamp, Problem> {
        let span = duration::from_value(length)
            .map_err(|error| Problem::new(ProblemKind::Expression, error.to_string()))?;
        add(self.now, &span).ok_or_else(beyond)
    }

    /// Gives the length in exact time, counted from now.
    pub(super) fn length(
        &self,
        thread: u32,
        length: &Length,
        input: &Value,
    ) -> Result<SignedDuration, Problem> {
        Ok(self.due(thread, length, input)?.duration_since(self.now))
    }

    fn span(&self, thread: u32, length: &Length, input: &Value) -> Result<Span, Problem> {
        let expression = match length {
            Length::Literal(span) => return Ok(*span),
            Length::Computed(expression) => expression,
        };
        let value = self.evaluate(thread, expression, input, &[])?;
        duration::from_value(&value).map_err(|_| {
            let detail = "an expression for a duration must give an ISO 8601 text or an object \
                          of days, hours, minutes, seconds and milliseconds";
            Problem::new(ProblemKind::Expression, detail)
        })
    }

    /// Gives the time of the next try after the given one.
    pub(super) fn retry_due(
        &self,
        thread: u32,
        retry: &Retry,
        input: &Value,
        attempt: u32,
    ) -> Result<Timestamp, Problem> {
        let delay = match &retry.delay {
            Some(length) => self.length(thread, length, input)?,
            None => SignedDuration::ZERO,
        };
        let past = attempt.saturating_sub(1);
        let delay = match &retry.backoff {
            Backoff::Constant => delay,
            Backoff::Linear { increment } => {
                let increment = match increment {
                    Some(length) => self.length(thread, length, input)?,
                    None => delay,
                };
                let times = i32::try_from(past).unwrap_or(i32::MAX);
                delay.saturating_add(increment.saturating_mul(times))
            }
            Backoff::Exponential { factor, delay_max } => {
                let times = i32::try_from(past).unwrap_or(i32::MAX);
                let seconds = delay.as_secs_f64() * factor.powi(times);
                let grown =
                    SignedDuration::try_from_secs_f64(seconds).unwrap_or(SignedDuration::MAX);
                match delay_max {
                    Some(length) => grown.min(self.length(thread, length, input)?),
                    None => grown,
                }
            }
        };
        let delay = delay.saturating_add(self.jitter(thread, retry, input, attempt)?);
        Ok(self.now.checked_add(delay).unwrap_or(Timestamp::MAX))
    }

    /// Draws from the jitter range by a hash of execution and try, so that the
    /// interpreter stays pure and executions still spread out.
    fn jitter(
        &self,
        thread: u32,
        retry: &Retry,
        input: &Value,
        attempt: u32,
    ) -> Result<SignedDuration, Problem> {
        let Some((from, to)) = &retry.jitter else {
            return Ok(SignedDuration::ZERO);
        };
        let from = self.length(thread, from, input)?;
        let to = self.length(thread, to, input)?;
        let share = share(self.machine.execution, attempt, self.state.activations);
        let width = to.saturating_sub(from).as_secs_f64().max(0.0);
        let drawn = SignedDuration::try_from_secs_f64(width * share).unwrap_or_default();
        Ok(from.saturating_add(drawn))
    }
}

/// A number from 0 to 1 that execution, try and place decide.
fn share(execution: ExecutionId, attempt: u32, activations: u64) -> f64 {
    let (high, low) = execution.as_uuid().as_u64_pair();
    let mut mixed = high ^ low ^ activations ^ (u64::from(attempt) << 48);
    // The finaliser of MurmurHash3 (Appleby), which spreads every bit.
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    let top = u32::try_from(mixed >> 32).unwrap_or(u32::MAX);
    f64::from(top) / f64::from(u32::MAX)
}

fn beyond() -> Problem {
    let detail = "a duration reaches beyond the calendar";
    Problem::new(ProblemKind::Expression, detail)
}

/// Adds with calendar units, in UTC.
fn add(at: Timestamp, span: &Span) -> Option<Timestamp> {
    Some(
        at.to_zoned_datetime(TimeZone::UTC)
            .checked_add(*span)
            .ok()?
            .timestamp(),
    )
}

/// What has run out in a thread.
enum Expired {
    /// The task at this place of the stack.
    Task(usize),
    /// One try of the `try` task at this place.
    Attempt(usize),
    /// The wait that the thread is in.
    Wait,
    /// A time of the human task that the thread waits for.
    Person,
}

impl Work<'_> {
    /// Does what the time asks for: time-outs, ends of waits, next tries.
    pub(super) fn expire(&mut self) {
        if self.state.is_suspended() {
            return;
        }
        if self.out_of_grace() || self.out_of_time() {
            return;
        }
        let threads: Vec<u32> = self.state.threads.keys().copied().collect();
        for thread in threads {
            if let Some(expired) = self.expired(thread) {
                let step = self.expire_in(thread, &expired);
                self.ready.push_back((thread, step));
            }
        }
    }

    /// Ends an execution that has had its time.
    pub(super) fn out_of_time(&mut self) -> bool {
        let over = self.state.deadline.is_some_and(|at| at <= self.now);
        if over {
            let detail = "the execution took longer than its timeout allows";
            let problem = Problem::new(ProblemKind::Timeout, detail);
            self.end(End::Faulted(problem.at("/")));
        }
        over
    }

    fn expired(&self, thread: u32) -> Option<Expired> {
        let own = self.state.threads.get(&thread)?;
        for (place, frame) in own.stack.iter().enumerate() {
            let Frame::Task(frame) = frame else { continue };
            if frame.deadline.is_some_and(|deadline| deadline <= self.now) {
                return Some(Expired::Task(place));
            }
            if let Progress::Try(progress) = &frame.progress
                && progress.phase == TryPhase::Trying
                && progress
                    .attempt_deadline
                    .is_some_and(|deadline| deadline <= self.now)
            {
                return Some(Expired::Attempt(place));
            }
        }
        match own.waiting {
            Waiting::Until(at) if at <= self.now => Some(Expired::Wait),
            Waiting::Person { .. } => {
                let due = own.top_task()?.person()?.due()?;
                (due <= self.now).then_some(Expired::Person)
            }
            _ => None,
        }
    }

    fn expire_in(&mut self, thread: u32, expired: &Expired) -> Step {
        match expired {
            Expired::Task(place) => {
                self.unwind_to(thread, *place);
                // Its own catch is for what is inside it, not for itself.
                self.close_frame(thread);
                self.time_out(thread, "the task took longer than its timeout allows")
            }
            Expired::Attempt(place) => {
                self.unwind_to(thread, *place);
                self.time_out(thread, "the try took longer than its retry policy allows")
            }
            Expired::Person => self.person_due(thread),
            Expired::Wait => {
                let Some(own) = self.state.threads.get_mut(&thread) else {
                    return Step::Wait;
                };
                own.waiting = Waiting::Nothing;
                let Some(frame) = own.top_task() else {
                    return Step::Wait;
                };
                match &frame.progress {
                    Progress::Try(_) => self.try_again(thread),
                    _ => Step::Done(std::sync::Arc::clone(&frame.input), None),
                }
            }
        }
    }

    fn time_out(&self, thread: u32, detail: &str) -> Step {
        let mut problem = Problem::new(ProblemKind::Timeout, detail);
        if let Some(frame) = self
            .state
            .threads
            .get(&thread)
            .and_then(super::state::Thread::top_task)
        {
            problem = problem.at(&self.machine.program.task(TaskIndex(frame.task)).reference);
        }
        Step::Fail(problem)
    }
}
