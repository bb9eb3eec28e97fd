//! `fork`: branches side by side, all awaited or the first one winning.

use std::sync::Arc;

use serde_json::Value;

use super::too_large;
use crate::definition::{ListIndex, TaskIndex, TaskKind};
use crate::interpreter::record::size_up_to;
use crate::interpreter::state::{Data, Frame, Progress, Thread, Waiting};
use crate::interpreter::transition::{Step, Work};
use crate::interpreter::{Problem, ProblemKind};

impl Work<'_> {
    pub(super) fn fork_begin(
        &mut self,
        thread: u32,
        branches: ListIndex,
        input: &Data,
    ) -> Result<Step, Problem> {
        let count = self.machine.program.list(branches).len();
        let most = self.machine.limits.branches_max;
        if most < self.state.threads.len() + count {
            let detail =
                format!("more than {most} branches would be open at once (limit branches_max)");
            return Err(Problem::new(ProblemKind::Runtime, detail));
        }
        if count == 0 {
            return Ok(Step::Done(Arc::new(Value::Array(Vec::new())), None));
        }
        let open = u32::try_from(count).unwrap_or(u32::MAX);
        if let Some(frame) = self
            .state
            .threads
            .get_mut(&thread)
            .and_then(Thread::top_task_mut)
        {
            frame.progress = Progress::Fork {
                results: vec![None; count],
                bytes: 0,
                open,
            };
        }
        for branch in 0..open {
            let id = self.state.next_thread;
            self.state.next_thread += 1;
            self.state.threads.insert(
                id,
                Thread {
                    parent: Some((thread, branch)),
                    stack: vec![Frame::list(branches, branch, Arc::clone(input))],
                    waiting: Waiting::Nothing,
                },
            );
            self.ready.push_back((id, Step::Next));
        }
        Ok(self.wait(thread, Waiting::Branches))
    }

    /// Takes a branch's output; the fork ends with the first or with the last.
    pub(in crate::interpreter) fn branch_done(
        &mut self,
        thread: u32,
        parent: u32,
        branch: u32,
        output: Data,
    ) {
        self.state.threads.remove(&thread);
        let competing = self.competes(parent);
        let most = self.machine.limits.payload_bytes_max;
        let Some((results, bytes, open)) = self.fork_progress(parent) else {
            return;
        };
        *open = open.saturating_sub(1);
        if competing {
            self.branches_joined(parent, Step::Done(output, None));
            return;
        }
        let Some(size) = size_up_to(&output, most.saturating_sub(*bytes)) else {
            let problem = too_large("the outputs of the branches are together", most);
            self.branches_joined(parent, Step::Fail(problem));
            return;
        };
        *bytes += size;
        if let Some(result) = results.get_mut(branch as usize) {
            *result = Some(output);
        }
        if *open == 0 {
            let outputs = results
                .iter()
                .map(|result| {
                    result
                        .as_ref()
                        .map_or(Value::Null, |value| Value::clone(value))
                })
                .collect();
            self.branches_joined(parent, Step::Done(Arc::new(Value::Array(outputs)), None));
        }
    }

    /// Takes a branch's failure: the fork fails with it, but a race goes on while
    /// anybody is left.
    pub(in crate::interpreter) fn branch_failed(
        &mut self,
        thread: u32,
        parent: u32,
        _branch: u32,
        problem: Problem,
    ) {
        self.state.threads.remove(&thread);
        let competing = self.competes(parent);
        let Some((_, _, open)) = self.fork_progress(parent) else {
            return;
        };
        *open = open.saturating_sub(1);
        if !competing || *open == 0 {
            self.branches_joined(parent, Step::Fail(problem));
        }
    }

    fn branches_joined(&mut self, parent: u32, step: Step) {
        self.drop_branches(parent);
        if let Some(thread) = self.state.threads.get_mut(&parent) {
            thread.waiting = Waiting::Nothing;
            self.ready.push_back((parent, step));
        }
    }

    fn competes(&self, parent: u32) -> bool {
        let frame = self.state.threads.get(&parent).and_then(Thread::top_task);
        frame.is_some_and(|frame| {
            let kind = &self.machine.program.task(TaskIndex(frame.task)).kind;
            matches!(kind, TaskKind::Fork { compete: true, .. })
        })
    }

    fn fork_progress(
        &mut self,
        parent: u32,
    ) -> Option<(&mut Vec<Option<Data>>, &mut usize, &mut u32)> {
        let frame = self
            .state
            .threads
            .get_mut(&parent)
            .and_then(Thread::top_task_mut)?;
        match &mut frame.progress {
            Progress::Fork {
                results,
                bytes,
                open,
            } => Some((results, bytes, open)),
            _ => None,
        }
    }
}
