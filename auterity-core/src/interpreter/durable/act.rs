//! What a durable function did becomes part of its execution.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::log::Step;
use super::{Advance, FunctionEnd, What, Wish};
use crate::interpreter::transition::Work;
use crate::interpreter::{
    CANCELLED, Effect, End, Machine, Problem, ProblemKind, State, TaskState, Transition, fits,
};

/// Bytes of a step's name.
const NAME_BYTES_MAX: usize = 256;

/// Applies what a durable function did with its news.
pub(crate) fn act(
    machine: &Machine<'_>,
    state: &mut State,
    advance: &Advance,
    now: Timestamp,
) -> Transition {
    let mut work = Work::new(machine, state, now);
    act_in(&mut work, advance);
    work.out
}

pub(super) fn act_in(work: &mut Work<'_>, advance: &Advance) {
    if work.state.end.is_some() {
        return;
    }
    if let Some(log) = &mut work.state.durable {
        log.due = false;
        log.unheard.clear();
    }
    for wish in &advance.asked {
        if let Err(problem) = work.open_step(wish) {
            return work.end(End::Faulted(work.at_function(problem)));
        }
    }
    for number in &advance.dropped {
        work.drop_step(*number);
    }
    match &advance.end {
        None => {}
        Some(FunctionEnd::Again(input)) if !work.state.is_cancelling() => {
            if let Err(problem) = work.bounded("the input of the next call", input) {
                return work.end(End::Faulted(work.at_function(problem)));
            }
            work.drop_steps();
            work.call_with(Arc::clone(input));
        }
        Some(end) => work.function_ended(end),
    }
}

impl Work<'_> {
    fn function_ended(&mut self, end: &FunctionEnd) {
        let failed = match end {
            FunctionEnd::Failed(problem) => Some(problem),
            FunctionEnd::Returned(_) | FunctionEnd::Again(_) => None,
        };
        if let Some(cancelling) = &mut self.state.cancelling {
            cancelling.failed = failed.filter(|problem| problem.kind != CANCELLED).cloned();
            return self.end_cancelled();
        }
        match end {
            FunctionEnd::Failed(problem) => {
                let problem = self.at_function(problem.clone());
                self.end(End::Faulted(problem));
            }
            FunctionEnd::Returned(output) => match self.bounded("the output", output) {
                Ok(()) => self.finish(output),
                Err(problem) => self.end(End::Faulted(self.at_function(problem))),
            },
            FunctionEnd::Again(_) => {}
        }
    }

    fn at_function(&self, problem: Problem) -> Problem {
        problem.at(self.machine.program.root_reference())
    }

    fn open_step(&mut self, wish: &Wish) -> Result<(), Problem> {
        self.check_wish(wish)?;
        let activation = self.count_activation()?;
        let effect = self.new_effect();
        let step = Step {
            wish: wish.clone(),
            effect,
            activation,
            attempt: 1,
            started_at: self.now,
            until: match &wish.what {
                What::Sleep(until) => Some(*until),
                _ => None,
            },
        };
        match &wish.what {
            What::Body | What::Call { .. } | What::Child(_) => {
                self.out.effects.push(Effect::Perform { effect });
            }
            What::Event(filter) => self.out.effects.push(Effect::Listen {
                effect,
                filters: vec![filter.clone()],
            }),
            What::Sleep(_) => {}
        }
        let record = self.step_record(&step, TaskState::Started);
        self.out.records.push(record);
        if let Some(log) = &mut self.state.durable {
            log.open.insert(log.next, step);
            log.next += 1;
        }
        Ok(())
    }

    fn check_wish(&self, wish: &Wish) -> Result<(), Problem> {
        let limits = self.machine.limits;
        let over = |detail: String| Err(Problem::new(ProblemKind::Runtime, detail));
        let Some(log) = &self.state.durable else {
            return over("the function asks for a step before it was called".to_owned());
        };
        let most = limits.durable_steps_max;
        if most < log.next {
            return over(format!(
                "the durable function asked for more than {most} steps (limit \
                 durable_steps_max); one that goes on for long continues as new"
            ));
        }
        let most = limits.branches_max;
        if most <= log.open.len() {
            return over(format!(
                "the durable function has more than {most} steps open at once (limit \
                 branches_max); await some before it asks for more"
            ));
        }
        if NAME_BYTES_MAX < wish.name.len() {
            return over(format!(
                "the name of a step has at most {NAME_BYTES_MAX} bytes"
            ));
        }
        match &wish.what {
            What::Call { arguments, .. } => self.bounded("what a function is given", arguments),
            What::Child(child) => self.bounded("the input of a child execution", &child.input),
            What::Body | What::Sleep(_) | What::Event(_) => Ok(()),
        }
    }

    fn bounded(&self, what: &str, value: &Value) -> Result<(), Problem> {
        let most = self.machine.limits.payload_bytes_max;
        if fits(value, most) {
            return Ok(());
        }
        let detail =
            format!("{what} is larger than {most} bytes of JSON (limit payload_bytes_max)");
        Err(Problem::new(ProblemKind::Runtime, detail))
    }
}
