//! Extensions: tasks before and after a task.
//!
//! They stand inside the task: after its `if` and its input, before its output. What
//! they give is dropped, so that a log around a task does not change what flows through
//! it, except when one before the task leaves by `exit`: that is then the task's output,
//! and the task itself is passed over, like all extensions that have not had their turn.

use std::sync::Arc;

use crate::definition::{Flow, Task, TaskIndex};
use crate::interpreter::Problem;
use crate::interpreter::state::{Data, Extended, ExtensionPhase, Frame, TaskFrame, Thread};
use crate::interpreter::transition::{Step, Work};

/// Tells whether the list above a task's frame is one of its extensions'.
pub(in crate::interpreter) fn is_of_extension(frame: &TaskFrame) -> bool {
    let phase = frame.extended.as_ref().map(|extended| &extended.phase);
    matches!(
        phase,
        Some(ExtensionPhase::Before | ExtensionPhase::After { .. })
    )
}

impl Work<'_> {
    /// Begins a task that has extensions.
    pub(in crate::interpreter) fn extend(
        &mut self,
        thread: u32,
        task: &Task,
        input: Data,
    ) -> Result<Step, Problem> {
        if let Some(frame) = self.extended_frame(thread) {
            frame.extended = Some(Box::new(Extended {
                begun: 0,
                open: Vec::new(),
                phase: ExtensionPhase::Before,
            }));
        }
        self.extend_before(thread, task, input)
    }

    /// Begins the next extension that applies, or else the task itself.
    fn extend_before(&mut self, thread: u32, task: &Task, input: Data) -> Result<Step, Problem> {
        let program = self.machine.program;
        while let Some(extended) = self.extended(thread)
            && let Some(place) = task.extensions.get(extended.begun).copied()
        {
            extended.begun += 1;
            let extension = &program.extensions[place as usize];
            let applies = match &extension.when {
                Some(when) => self.view().holds(thread, when, &input, &[])?,
                None => true,
            };
            if !applies {
                continue;
            }
            if let Some(extended) = self.extended(thread) {
                extended.open.push(place);
            }
            if let Some(before) = extension.before {
                self.push(thread, Frame::list(before, 0, input));
                return Ok(Step::Next);
            }
        }
        if let Some(extended) = self.extended(thread) {
            extended.phase = ExtensionPhase::Within;
        }
        self.begin_kind(thread, &task.kind, input)
    }

    /// Begins the next extension after the task; none if there is none left.
    pub(in crate::interpreter) fn extend_after(
        &mut self,
        thread: u32,
        output: &Data,
        flow: Option<Flow>,
    ) -> Option<Step> {
        let program = self.machine.program;
        let extended = self.extended(thread)?;
        extended.phase = ExtensionPhase::After {
            output: Arc::clone(output),
            flow,
        };
        while let Some(place) = extended.open.pop() {
            if let Some(after) = program.extensions[place as usize].after {
                self.push(thread, Frame::list(after, 0, Arc::clone(output)));
                return Some(Step::Next);
            }
        }
        None
    }

    /// Goes on when an extension's tasks have ended.
    pub(in crate::interpreter) fn extension_done(
        &mut self,
        thread: u32,
        data: Data,
        by_exit: bool,
    ) -> Result<Step, Problem> {
        let program = self.machine.program;
        let Some(frame) = self.extended_frame(thread) else {
            return Ok(Step::Wait);
        };
        let (task, input) = (
            program.task(TaskIndex(frame.task)),
            Arc::clone(&frame.input),
        );
        match frame.extended.as_mut() {
            Some(extended) => match &extended.phase {
                ExtensionPhase::Before if by_exit => {
                    extended.open.clear();
                    Ok(Step::Done(data, None))
                }
                ExtensionPhase::Before => self.extend_before(thread, task, input),
                // The task's own end goes on with the next extension.
                ExtensionPhase::After { output, flow } => Ok(Step::Done(Arc::clone(output), *flow)),
                ExtensionPhase::Within => Ok(Step::Wait),
            },
            None => Ok(Step::Wait),
        }
    }

    fn extended(&mut self, thread: u32) -> Option<&mut Extended> {
        self.extended_frame(thread)?.extended.as_deref_mut()
    }

    fn extended_frame(&mut self, thread: u32) -> Option<&mut TaskFrame> {
        self.state
            .threads
            .get_mut(&thread)
            .and_then(Thread::top_task_mut)
    }
}
