//! States made from others: put back to an earlier task.
//!
//! A journal can be replayed as far as one likes. Putting an execution back to a task
//! gives the state of the last moment before that task ended, with the task itself
//! undone: what others did until then is kept.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::control::split_path;
use super::durable::Log;
use super::state::{Frame, Progress, Waiting};
use super::transition::halted;
use super::{EffectResult, Event, Machine, State, TaskRecord, TaskState, transition};
use crate::definition::ProgramHash;

/// A state that takes the place of the one before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rebuilt {
    /// The definition that the state before belonged to.
    pub before: ProgramHash,
    /// The definition that this one belongs to.
    pub program: ProgramHash,
    /// The state; in JSON, the text of its snapshot.
    #[serde(with = "as_snapshot")]
    pub state: State,
}

/// A state inside an event is written like a snapshot, so that what it shares is
/// written once.
mod as_snapshot {
    use serde::{Deserialize, Deserializer, Serializer, de, ser};

    use super::State;

    pub(super) fn serialize<S: Serializer>(state: &State, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&state.to_snapshot().map_err(ser::Error::custom)?)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<State, D::Error> {
        let text = String::deserialize(from)?;
        State::from_snapshot(&text).map_err(de::Error::custom)
    }
}

/// Events of an execution under one definition, in order: the first one begins it or
/// carries a state.
#[derive(Debug, Clone, Copy)]
pub struct Stretch<'a> {
    /// What stays the same in it.
    pub machine: Machine<'a>,
    /// The events with their times.
    pub events: &'a [(Event, Timestamp)],
}

/// A task that runs again after an execution was put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeated {
    /// The JSON pointer of the task.
    pub task: String,
    /// The kind of task.
    pub kind: String,
    /// How often it has run since.
    pub times: u32,
}

/// An execution put back to a task.
#[derive(Debug, Clone, PartialEq)]
pub struct PutBack {
    /// The state before the task begins.
    pub state: State,
    /// The task's JSON pointer with `#` and the activation that is undone.
    pub task: String,
    /// What had run since, and so runs again unless the way changes.
    pub runs_again: Vec<Repeated>,
}

/// What a replay says about the task that is looked for.
struct Sighting {
    /// The last event in which something became of it.
    event: usize,
    activation: u64,
    /// Whether it is still at work after the last event.
    at_work: bool,
}

impl Stretch<'_> {
    /// Puts the execution back to a task: a JSON pointer, with `#` and the activation
    /// unless the newest is meant. With an input the task gets that one.
    ///
    /// Gives nothing when the task did not run in this stretch.
    ///
    /// # Errors
    /// Says in words why it cannot be done.
    pub fn put_back(
        &self,
        wanted: &str,
        input: Option<&Arc<Value>>,
        now: Timestamp,
    ) -> Result<Option<PutBack>, String> {
        if self.machine.program.is_durable() {
            let why = "a durable function is called from its start: retry it from /";
            return Err(why.to_owned());
        }
        let mut last = State::new(now);
        let (seen, records) = self.look_for(wanted, &mut last);
        let Some(seen) = seen else { return Ok(None) };
        let (pointer, _) = split_path(wanted);
        let path = format!("{pointer}#{}", seen.activation);
        let (mut state, at) = if seen.at_work {
            (last.clone(), self.time(self.events.len()))
        } else {
            (self.replay(seen.event), self.time(seen.event))
        };
        let program = self.machine.program;
        let (thread, begun) = match state.at_work(program, &path) {
            Ok((thread, place)) => {
                cut(&mut state, thread, place);
                (thread, 0)
            }
            Err(_) => {
                let thread = self.halt(&mut state, (seen.event, seen.activation))?;
                (thread, seen.activation)
            }
        };
        set_input(&mut state, thread, input);
        state.raise(&last);
        state.know(&self.events[seen.event.min(self.events.len())..]);
        let late = now.duration_since(at);
        state.postpone(late);
        state.suspended = None;
        let kept = state.paths(program);
        let runs_again = count(&records, (seen.event, begun), &kept);
        Ok(Some(PutBack {
            state,
            task: path,
            runs_again,
        }))
    }

    /// Replays everything; gives where the newest matching activation was seen last.
    fn look_for(&self, wanted: &str, state: &mut State) -> (Option<Sighting>, Vec<Ran>) {
        let (pointer, activation) = split_path(wanted);
        let mut seen: Option<Sighting> = None;
        let mut ran = Vec::new();
        for (place, (event, at)) in self.events.iter().enumerate() {
            for record in transition(&self.machine, state, event, *at).records {
                let (_, number) = split_path(&record.path);
                let number = number.unwrap_or_default();
                let right = activation.is_none_or(|wanted| wanted == number);
                let newest = seen.as_ref().is_none_or(|seen| seen.activation <= number);
                if record.task == pointer && right && newest {
                    seen = Some(Sighting {
                        event: place,
                        activation: number,
                        at_work: false,
                    });
                }
                if record.state != TaskState::Started {
                    ran.push((place, record));
                }
            }
        }
        let path = |seen: &Sighting| format!("{pointer}#{}", seen.activation);
        if let Some(seen) = &mut seen
            && state.end().is_none()
        {
            seen.at_work = state.at_work(self.machine.program, &path(seen)).is_ok();
        }
        (seen, ran)
    }

    /// Gives the state before an event.
    fn replay(&self, until: usize) -> State {
        let mut state = State::new(self.time(0));
        for (event, at) in &self.events[..until] {
            transition(&self.machine, &mut state, event, *at);
        }
        state
    }

    /// Applies an event, but stops the line of control that would begin the activation.
    fn halt(&self, state: &mut State, (event, activation): (usize, u64)) -> Result<u32, String> {
        let (event, at) = &self.events[event];
        let thread = halted(&self.machine, state, (event, *at), activation);
        let thread = thread.filter(|thread| state.threads.contains_key(thread));
        thread.filter(|_| state.end().is_none()).ok_or_else(|| {
            "the execution cannot be put back there: another branch ended it in the same moment"
                .to_owned()
        })
    }

    /// Gives the time of the last event before a place.
    fn time(&self, place: usize) -> Timestamp {
        let last = self.events.get(place.saturating_sub(1));
        last.map_or(Timestamp::UNIX_EPOCH, |(_, at)| *at)
    }
}

type Ran = (usize, TaskRecord);

/// Undoes a task and what is inside it: the line of control stands before it again.
fn cut(state: &mut State, thread: u32, place: usize) {
    let mut gone = vec![thread];
    while let Some(parent) = gone.pop() {
        let children = state.threads.iter();
        let children = children.filter(|(_, one)| one.parent.is_some_and(|(id, _)| id == parent));
        let children: Vec<u32> = children.map(|(id, _)| *id).collect();
        for child in children {
            gone.push(child);
        }
        if parent != thread {
            state.threads.remove(&parent);
        }
    }
    if let Some(own) = state.threads.get_mut(&thread) {
        own.stack.truncate(place);
        own.waiting = Waiting::Nothing;
    }
}

fn set_input(state: &mut State, thread: u32, input: Option<&Arc<Value>>) {
    let list = state.threads.get_mut(&thread);
    if let (Some(list), Some(input)) = (list.and_then(|own| own.top_list_mut()), input) {
        list.data = Arc::clone(input);
    }
}

/// Counts what ended from an event on, there from an activation on, but for what is
/// still at work.
fn count(ran: &[Ran], from: (usize, u64), kept: &[String]) -> Vec<Repeated> {
    let mut found: Vec<Repeated> = Vec::new();
    for (place, record) in ran {
        let (_, activation) = split_path(&record.path);
        if (*place, activation.unwrap_or_default()) < from
            || kept.contains(&record.path)
            || record.state == TaskState::Skipped
        {
            continue;
        }
        match found.iter_mut().find(|one| one.task == record.task) {
            Some(one) => one.times += 1,
            None => found.push(Repeated {
                task: record.task.clone(),
                kind: record.kind.clone(),
                times: 1,
            }),
        }
    }
    found
}

impl State {
    /// Makes the state of an execution that begins anew; its numbers go on.
    #[must_use]
    pub fn anew(&self, at: Timestamp) -> Self {
        let mut state = Self::new(at);
        state.raise(self);
        state
    }

    /// Lets the state begin with this raw input.
    #[must_use]
    pub fn begins(mut self, input: Arc<Value>) -> Self {
        self.begins = Some(input);
        self
    }

    /// Gives the definition that the state's places refer to, if it is not the one
    /// that the execution was started with.
    #[must_use]
    pub fn program(&self) -> Option<ProgramHash> {
        self.program
    }

    /// Names the definition that the state's places refer to.
    #[must_use]
    pub fn under(mut self, program: ProgramHash) -> Self {
        self.program = Some(program);
        self
    }

    /// Gives the awaited child executions, by their effects.
    pub fn children(&self) -> impl Iterator<Item = u64> {
        let durable = self.durable.iter().flat_map(Log::children);
        self.threads
            .values()
            .filter_map(|thread| match thread.waiting {
                Waiting::Effect {
                    effect,
                    child: true,
                } => Some(effect),
                _ => None,
            })
            .chain(durable)
    }

    /// Never gives a number a second time: effects carry theirs to the outside.
    pub(crate) fn raise(&mut self, newest: &Self) {
        self.next_effect = self.next_effect.max(newest.next_effect);
        self.next_thread = self.next_thread.max(newest.next_thread);
        self.activations = self.activations.max(newest.activations);
        self.nesting = newest.nesting;
    }

    /// Keeps the results that later events have for what is under way, so that it is
    /// not done twice.
    pub fn know(&mut self, later: &[(Event, Timestamp)]) {
        for (event, _) in later {
            let (effect, known) = match event {
                Event::EffectEnded { effect, result } | Event::ChildEnded { effect, result } => {
                    (*effect, result.clone())
                }
                Event::HumanTaskCompleted { effect, answer } => {
                    (*effect, EffectResult::Value(Arc::clone(answer)))
                }
                _ => continue,
            };
            if self.asks(effect) {
                self.known.entry(effect).or_insert(known);
            }
        }
    }

    /// Moves all times, as if the time between had not passed.
    fn postpone(&mut self, by: SignedDuration) {
        let later = |at: &mut Timestamp| *at = at.checked_add(by).unwrap_or(Timestamp::MAX);
        self.deadline.iter_mut().for_each(later);
        if let Some(cancelling) = &mut self.cancelling {
            later(&mut cancelling.deadline);
        }
        for thread in self.threads.values_mut() {
            if let Waiting::Until(at) = &mut thread.waiting {
                later(at);
            }
            for frame in &mut thread.stack {
                let Frame::Task(frame) = frame else { continue };
                frame.deadline.iter_mut().for_each(later);
                match &mut frame.progress {
                    Progress::Try(progress) => {
                        progress.attempt_deadline.iter_mut().for_each(later);
                    }
                    Progress::Person(progress) => {
                        progress.deadline.iter_mut().for_each(later);
                        progress.escalate_at.iter_mut().for_each(later);
                    }
                    _ => {}
                }
            }
        }
    }

    /// Gives the paths of the tasks at work.
    fn paths(&self, program: &crate::definition::Program) -> Vec<String> {
        let frames = self.task_frames();
        frames
            .map(|frame| {
                let task = program.task(crate::definition::TaskIndex(frame.task));
                format!("{}#{}", task.reference, frame.activation)
            })
            .collect()
    }
}
