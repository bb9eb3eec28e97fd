//! What people are told about a state.

use super::durable::Log;
use super::state::{Frame, State, Waiting};
use crate::definition::{Program, TaskIndex};

impl State {
    /// Gives the JSON pointers of the tasks at work, one per line of control.
    #[must_use]
    pub fn current_tasks(&self, program: &Program) -> Vec<String> {
        let innermost = self.threads.values().filter_map(|thread| {
            if thread.waiting == Waiting::Branches {
                return None;
            }
            thread.stack.iter().rev().find_map(|frame| match frame {
                Frame::Task(frame) => Some(program.task(TaskIndex(frame.task))),
                Frame::List(_) => None,
            })
        });
        let function = program.root_reference();
        let steps = self.durable.iter();
        let steps = steps.flat_map(|log| log.pointers(function));
        let innermost = innermost.map(|task| task.reference.clone());
        innermost.chain(steps).collect()
    }

    /// Says in a word or two what the execution waits for, if it waits.
    #[must_use]
    pub fn waiting_for(&self, program: &Program) -> Option<String> {
        if self.is_suspended() {
            let why = self.durable.as_ref().and_then(Log::stuck);
            let why = why.map_or_else(String::new, |why| format!(": {why}"));
            return Some(format!("to be resumed{why}"));
        }
        let mut words = Vec::new();
        for thread in self.threads.values() {
            let task = thread
                .top_task()
                .map(|frame| program.task(TaskIndex(frame.task)));
            let name = task.map_or("", |task| task.name.as_str());
            match &thread.waiting {
                Waiting::Until(at) => words.push(format!("{name}: until {at:.0}")),
                Waiting::Events => words.push(format!("{name}: an event")),
                Waiting::Person { .. } => words.push(format!("{name}: an approval")),
                Waiting::Effect { child: true, .. } => words.push(format!("{name}: its child")),
                Waiting::Effect { child: false, .. } | Waiting::Branches | Waiting::Nothing => {}
            }
        }
        words.extend(self.durable.iter().flat_map(Log::waiting_for));
        (!words.is_empty()).then(|| words.join(", "))
    }
}
