//! Calls that are tried again without the definition's doing, as their function declares.

use super::state::{Thread, Waiting};
use super::transition::Work;
use super::{Effect, Event, TaskState};
use crate::definition::TaskIndex;

impl Work<'_> {
    /// Notes a try that failed; the next one begins in time.
    pub(super) fn try_failed(&mut self, event: &Event) {
        let Event::TryFailed {
            effect,
            problem,
            known,
            next_at,
            details,
        } = event
        else {
            return;
        };
        let waiting = self.state.threads.iter().find(|(_, thread)| {
            matches!(thread.waiting, Waiting::Effect { effect: waiting, .. } if waiting == *effect)
        });
        let Some((id, frame)) = waiting.and_then(|(id, thread)| {
            let frame = Thread::top_task(thread)?;
            Some((*id, frame.clone()))
        }) else {
            return;
        };
        let tried = self.state.tried.entry(*effect).or_default();
        tried.tries += 1;
        tried.known += u32::from(*known);
        tried.next_at = Some(*next_at);
        if details.is_some() {
            tried.details.clone_from(details);
        }
        let tries = tried.tries;
        let mut record = self.record(id, &frame, TaskState::Retrying);
        record.attempt = tries;
        let reference = &self.machine.program.task(TaskIndex(frame.task)).reference;
        record.error = Some(problem.clone().at(reference));
        self.out.records.push(record);
    }

    /// Begins the tries whose time has come.
    pub(super) fn begin_tries(&mut self) {
        for (effect, tried) in &mut self.state.tried {
            if tried.next_at.is_some_and(|at| at <= self.now) {
                tried.next_at = None;
                let effect = *effect;
                self.out.effects.push(Effect::Perform { effect });
            }
        }
    }
}
