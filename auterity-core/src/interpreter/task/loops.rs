//! `for`: the output of one iteration is the input of the next.

use std::sync::Arc;

use serde_json::Value;

use crate::definition::{For, TaskIndex, TaskKind};
use crate::interpreter::data_flow::problem;
use crate::interpreter::state::{Data, Frame, Progress, Thread};
use crate::interpreter::transition::{Step, Work};
use crate::interpreter::{Problem, ProblemKind};

impl Work<'_> {
    pub(super) fn loop_begin(
        &mut self,
        thread: u32,
        definition: &For,
        input: Data,
    ) -> Result<Step, Problem> {
        let (source, followed) = self.view().source(thread, &definition.collection, &input)?;
        let count = match items(definition, &source, followed)? {
            Some(Value::Array(items)) => items.len(),
            None | Some(Value::Null) => 0,
            Some(_) => {
                let detail = "the collection of a for task must be an array";
                return Err(Problem::new(ProblemKind::Expression, detail));
            }
        };
        let most = self.machine.limits.iterations_max;
        if most < count {
            let detail = format!(
                "the for task has {count} items, at most {most} are allowed (limit iterations_max)"
            );
            return Err(Problem::new(ProblemKind::Runtime, detail));
        }
        if let Some(frame) = self
            .state
            .threads
            .get_mut(&thread)
            .and_then(Thread::top_task_mut)
        {
            frame.progress = Progress::Loop {
                source,
                followed,
                index: 0,
            };
        }
        self.iterate(thread, definition, input)
    }

    /// Goes on after an iteration that gave this.
    pub(in crate::interpreter) fn loop_next(&mut self, thread: u32, data: Data) -> Step {
        let Some(frame) = self
            .state
            .threads
            .get_mut(&thread)
            .and_then(Thread::top_task_mut)
        else {
            return Step::Wait;
        };
        if let Progress::Loop { index, .. } = &mut frame.progress {
            *index += 1;
        }
        let program = self.machine.program;
        let TaskKind::For(definition) = &program.task(TaskIndex(frame.task)).kind else {
            return Step::Wait;
        };
        self.iterate(thread, definition, data)
            .unwrap_or_else(Step::Fail)
    }

    fn iterate(&mut self, thread: u32, definition: &For, data: Data) -> Result<Step, Problem> {
        let Some(frame) = self
            .state
            .threads
            .get_mut(&thread)
            .and_then(Thread::top_task_mut)
        else {
            return Ok(Step::Wait);
        };
        let Progress::Loop {
            source,
            followed,
            index,
        } = &frame.progress
        else {
            return Ok(Step::Wait);
        };
        let items = items(definition, source, *followed)?.and_then(Value::as_array);
        let Some(item) = items.and_then(|items| items.get(*index)).cloned() else {
            return Ok(Step::Done(data, None));
        };
        frame.variables = vec![
            (definition.each.clone(), Arc::new(item)),
            (definition.at.clone(), Arc::new(Value::from(*index))),
        ];
        if let Some(condition) = &definition.condition
            && !self.view().holds(thread, condition, &data, &[])?
        {
            return Ok(Step::Done(data, None));
        }
        self.push(thread, Frame::list(definition.body, 0, data));
        Ok(Step::Next)
    }
}

/// Finds the items inside of what was kept of them.
fn items<'v>(
    definition: &For,
    source: &'v Value,
    followed: usize,
) -> Result<Option<&'v Value>, Problem> {
    definition
        .collection
        .follow(source, followed)
        .map_err(|error| problem(&error))
}
