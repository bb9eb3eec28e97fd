//! What each kind of task does when it begins.

mod approval;
mod extension;
mod fork;
mod listen;
mod loops;
mod matching;
mod try_;

use std::sync::Arc;

pub(super) use self::extension::is_of_extension;
use super::state::{Data, Frame, Waiting};
use super::transition::{Step, Work};
use super::{Effect, Problem, ProblemKind};
use crate::definition::{Case, TaskKind};

impl Work<'_> {
    /// Begins the task on top of the stack, whose input is ready.
    pub(super) fn begin_kind(
        &mut self,
        thread: u32,
        kind: &TaskKind,
        input: Data,
    ) -> Result<Step, Problem> {
        match kind {
            TaskKind::Do(list) => {
                self.push(thread, Frame::list(*list, 0, input));
                Ok(Step::Next)
            }
            TaskKind::Set(template) => {
                let value = self.view().fill(thread, template, &input, &[])?;
                Ok(Step::Done(Arc::new(value), None))
            }
            TaskKind::Switch(cases) => self.switch(thread, cases, input),
            TaskKind::For(definition) => self.loop_begin(thread, definition, input),
            TaskKind::Fork { branches, .. } => self.fork_begin(thread, *branches, &input),
            TaskKind::Try { body, .. } => self.try_begin(thread, *body, input),
            TaskKind::Raise(template) => {
                let value = self.view().fill(thread, template, &input, &[])?;
                Err(Problem::from_value(&value)?)
            }
            TaskKind::Wait(length) => {
                let due = self.view().due(thread, length, &input)?;
                if due <= self.now {
                    return Ok(Step::Done(input, None));
                }
                Ok(self.wait(thread, Waiting::Until(due)))
            }
            TaskKind::Listen(definition) => self.listen_begin(thread, definition, &input),
            TaskKind::Emit(_) | TaskKind::Call(_) => Ok(self.perform(thread, false)),
            TaskKind::Approval(template) => self.approval_begin(thread, template, &input),
            TaskKind::RunWorkflow(child) => Ok(self.perform(thread, child.awaited)),
            TaskKind::CallDefined { body, arguments } => {
                let arguments = match arguments {
                    Some(template) => Arc::new(self.view().fill(thread, template, &input, &[])?),
                    None => input,
                };
                self.push(thread, Frame::list(*body, 0, arguments));
                Ok(Step::Next)
            }
        }
    }

    fn perform(&mut self, thread: u32, child: bool) -> Step {
        let effect = self.new_effect();
        self.out.effects.push(Effect::Perform { effect });
        self.wait(thread, Waiting::Effect { effect, child })
    }

    fn switch(&mut self, thread: u32, cases: &[Case], input: Data) -> Result<Step, Problem> {
        for case in cases {
            if let Some(when) = &case.when
                && self.view().holds(thread, when, &input, &[])?
            {
                return Ok(Step::Done(input, Some(case.then)));
            }
        }
        let default = cases
            .iter()
            .find(|case| case.when.is_none())
            .map(|case| case.then);
        Ok(Step::Done(input, default))
    }
}

/// Says that what a task gathers is larger than one value may be.
fn too_large(what: &str, bytes_max: usize) -> Problem {
    let detail = format!("{what} larger than {bytes_max} bytes of JSON (limit payload_bytes_max)");
    Problem::new(ProblemKind::Runtime, detail)
}
