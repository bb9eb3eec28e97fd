//! `call: approval`: asking a person, and taking the answer.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::definition::{ApprovalArguments, TaskIndex, TaskKind};
use crate::expression::Template;
use crate::interpreter::data_flow::View;
use crate::interpreter::effect::HumanTask;
use crate::interpreter::state::{Data, Frame, PersonProgress, Progress, TaskFrame, Waiting};
use crate::interpreter::transition::{Step, Work};
use crate::interpreter::{Effect, Problem, ProblemKind};

impl View<'_> {
    /// Evaluates what a person is asked.
    fn asked(
        &self,
        thread: u32,
        template: &Template,
        input: &Value,
    ) -> Result<ApprovalArguments, Problem> {
        let arguments = self.fill(thread, template, input, &[])?;
        ApprovalArguments::read(arguments).map_err(|(pointer, message)| {
            let place = if pointer.is_empty() { "/" } else { pointer };
            let detail = format!("the arguments of approval are wrong at {place}: {message}");
            Problem::new(ProblemKind::Validation, detail)
        })
    }

    /// Gives the times of a human task that begins now.
    fn person_progress(&self, asked: &ApprovalArguments) -> Result<PersonProgress, Problem> {
        let due = |length: Option<&Value>| length.map(|length| self.after(length)).transpose();
        let deadline = due(asked.deadline.as_ref())?;
        let escalation = asked.escalation.as_ref();
        let escalate_at = due(escalation.map(|escalation| &escalation.after))?;
        if let (Some(deadline), Some(at)) = (deadline, escalate_at)
            && deadline <= at
        {
            let detail = "the escalation of an approval must come before its deadline";
            return Err(Problem::new(ProblemKind::Validation, detail));
        }
        Ok(PersonProgress {
            deadline,
            deadline_outcome: asked.deadline_outcome.clone(),
            escalate_at,
            escalate_to: escalation.map(|escalation| escalation.to.clone()),
        })
    }
}

impl Work<'_> {
    pub(super) fn approval_begin(
        &mut self,
        thread: u32,
        template: &Template,
        input: &Data,
    ) -> Result<Step, Problem> {
        let asked = self.view().asked(thread, template, input)?;
        let progress = self.view().person_progress(&asked)?;
        let effect = self.new_effect();
        let program = self.machine.program;
        if let Some(frame) = self.thread_mut(thread).and_then(|own| own.top_task_mut()) {
            let task = &program.task(TaskIndex(frame.task)).reference;
            let human_task = human_task(task, asked, (&progress, frame.started_at));
            frame.progress = Progress::Person(progress);
            self.out.effects.push(Effect::Ask { effect, human_task });
        }
        Ok(self.wait(thread, Waiting::Person { effect }))
    }

    /// Asks again for everything that waits for a person: it may have been withdrawn, or
    /// the definition asks otherwise by now. One whose answer is known from before the
    /// execution was put back is not asked for.
    pub(in crate::interpreter) fn ask_again(&mut self) {
        for (thread, effect) in self.persons() {
            if self.state.known.contains_key(&effect) {
                self.wait(
                    thread,
                    Waiting::Effect {
                        effect,
                        child: false,
                    },
                );
                continue;
            }
            match self.asked_again(thread) {
                Ok(Some(human_task)) => {
                    self.out.effects.push(Effect::Ask { effect, human_task });
                    if self.state.is_suspended() {
                        self.out.effects.push(Effect::Hold { effect });
                    }
                }
                Ok(None) => {}
                Err(problem) => self.ready.push_back((thread, Step::Fail(problem))),
            }
        }
    }

    fn asked_again(&self, thread: u32) -> Result<Option<Box<HumanTask>>, Problem> {
        let Some(frame) = self.view().thread(thread).and_then(|own| own.top_task()) else {
            return Ok(None);
        };
        let task = self.machine.program.task(TaskIndex(frame.task));
        let (TaskKind::Approval(template), Progress::Person(progress)) =
            (&task.kind, &frame.progress)
        else {
            return Ok(None);
        };
        let asked = self.view().asked(thread, template, &frame.input)?;
        let times = (progress, frame.started_at);
        Ok(Some(human_task(&task.reference, asked, times)))
    }

    /// Lets nobody answer while the execution is suspended.
    pub(in crate::interpreter) fn hold_persons(&mut self) {
        let held = self.persons().into_iter();
        let held = held.map(|(_, effect)| Effect::Hold { effect });
        self.out.effects.extend(held);
    }

    fn persons(&self) -> Vec<(u32, u64)> {
        let threads = self.state.threads.iter();
        threads
            .filter_map(|(id, thread)| match thread.waiting {
                Waiting::Person { effect } => Some((*id, effect)),
                _ => None,
            })
            .collect()
    }

    /// Takes a person's answer.
    pub(in crate::interpreter) fn answered(&mut self, effect: u64, answer: &Data) {
        let waiting = |waiting: &Waiting| match waiting {
            Waiting::Person { effect: own }
            | Waiting::Effect {
                effect: own,
                child: false,
            } => *own == effect,
            _ => false,
        };
        let mut threads = self.state.threads.iter_mut();
        let Some((id, thread)) = threads.find(|(_, thread)| waiting(&thread.waiting)) else {
            return;
        };
        thread.waiting = Waiting::Nothing;
        let id = *id;
        self.state.known.remove(&effect);
        self.ready
            .push_back((id, Step::Done(Arc::clone(answer), None)));
    }

    /// Does what a human task's time asks for: others are asked too, or the deadline is
    /// decided. Whether an answer came before it, only the store can say.
    pub(in crate::interpreter) fn person_due(&mut self, thread: u32) -> Step {
        let now = self.now;
        let Some(own) = self.state.threads.get_mut(&thread) else {
            return Step::Wait;
        };
        let Waiting::Person { effect } = own.waiting else {
            return Step::Wait;
        };
        let Some(Frame::Task(frame)) = own.stack.last_mut() else {
            return Step::Wait;
        };
        let Progress::Person(progress) = &mut frame.progress else {
            return Step::Wait;
        };
        if progress.escalate_at.is_some_and(|at| at <= now) {
            progress.escalate_at = None;
            let to = progress.escalate_to.take().unwrap_or_default();
            self.out.effects.push(Effect::Escalate { effect, to });
        }
        if progress.deadline.is_some_and(|at| at <= now) {
            own.waiting = Waiting::Effect {
                effect,
                child: false,
            };
            self.out.effects.push(Effect::Perform { effect });
        }
        Step::Wait
    }
}

impl PersonProgress {
    /// Gives the next time at which something has to happen.
    pub(in crate::interpreter) fn due(&self) -> Option<Timestamp> {
        self.escalate_at.into_iter().chain(self.deadline).min()
    }

    /// Gives what the task ends with at its deadline.
    pub(in crate::interpreter) fn at_deadline(&self, task: &str) -> Result<Value, Problem> {
        match &self.deadline_outcome {
            Some(outcome) => Ok(json!({
                "outcome": outcome,
                "data": null,
                "by": null,
                "at": self.deadline.map(|at| at.to_string()),
            })),
            None => {
                let detail = "nobody answered before the deadline";
                Err(Problem::new(ProblemKind::Timeout, detail).at(task))
            }
        }
    }
}

impl TaskFrame {
    /// Gives the times of a human task.
    pub(in crate::interpreter) fn person(&self) -> Option<&PersonProgress> {
        match &self.progress {
            Progress::Person(progress) => Some(progress),
            _ => None,
        }
    }
}

fn human_task(
    task: &str,
    asked: ApprovalArguments,
    (progress, at): (&PersonProgress, Timestamp),
) -> Box<HumanTask> {
    let outcomes = asked.outcomes();
    Box::new(HumanTask {
        task: task.to_owned(),
        title: asked.title.trim().to_owned(),
        description: asked.description,
        form: asked.form,
        data: asked.data,
        outcomes,
        assignees: asked.assignees.unwrap_or_default(),
        at,
        deadline: progress.deadline,
        deadline_outcome: progress.deadline_outcome.clone(),
        escalate_at: progress.escalate_at,
        escalate_to: progress.escalate_to.clone(),
    })
}
