//! Where an execution stands, as a value.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::durable::Log;
use super::{EffectResult, Problem};
use crate::definition::{Assignees, Flow, ProgramHash};

/// The version of [`State`]'s layout; a snapshot of another one is not read.
pub const STATE_FORMAT: u16 = 2;

/// JSON that several frames share.
pub(crate) type Data = Arc<Value>;

/// Where an execution stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The raw input.
    #[serde(with = "super::snapshot::one")]
    pub(crate) raw_input: Data,
    /// The input as the definition's `input.from` shaped it.
    #[serde(with = "super::snapshot::one")]
    pub(crate) input: Data,
    /// What tasks exported.
    #[serde(with = "super::snapshot::one")]
    pub(crate) context: Data,
    pub(crate) started_at: Timestamp,
    /// When the whole execution times out.
    pub(crate) deadline: Option<Timestamp>,
    /// Each line of control: the main one is number 0, the others are branches.
    pub(crate) threads: BTreeMap<u32, Thread>,
    pub(crate) next_thread: u32,
    pub(crate) next_effect: u64,
    /// Task activations so far.
    pub(crate) activations: u64,
    /// How many executions above this one wait for its end.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) nesting: u32,
    /// The definition that the places below refer to, if it is not the one that the
    /// execution was started with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) program: Option<ProgramHash>,
    /// The raw input with which it is to begin anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) begins: Option<Data>,
    /// Results of effects that are pending: they were recorded before the execution
    /// was put back.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) known: BTreeMap<u64, EffectResult>,
    /// Since when nothing new begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) suspended: Option<Timestamp>,
    /// Present from the request for the end until the last compensation is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cancelling: Option<Cancelling>,
    /// Where a durable function stands, from its first call on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) durable: Option<Log>,
    pub(crate) end: Option<End>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
pub(super) fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// An execution on its way to its end by request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cancelling {
    pub(crate) reason: Option<String>,
    /// When it ends, whatever still compensates.
    pub(crate) deadline: Timestamp,
    /// The first compensation that failed.
    pub(crate) failed: Option<Problem>,
}

/// How an execution ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Well, with this output.
    Completed(Arc<Value>),
    /// With an error that nothing caught.
    Faulted(Problem),
    /// By request, with the reason if there was one.
    Cancelled(Option<String>),
}

/// One line of control: a stack of what is being done, innermost last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Thread {
    /// The thread whose fork opened this branch, and the branch's place in it.
    pub(crate) parent: Option<(u32, u32)>,
    pub(crate) stack: Vec<Frame>,
    pub(crate) waiting: Waiting,
}

/// What a thread waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Waiting {
    /// Nothing: it goes on at the next event.
    Nothing,
    /// The end of an effect.
    Effect { effect: u64, child: bool },
    /// A time: of a `wait` or of the next try.
    Until(Timestamp),
    /// Events for the `listen` task on top of its stack.
    Events,
    /// A person's answer to the task on top of its stack.
    Person { effect: u64 },
    /// The branches of the `fork` task on top of its stack.
    Branches,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Frame {
    List(ListFrame),
    Task(Box<TaskFrame>),
}

/// A list of tasks being gone through.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ListFrame {
    pub(crate) list: u32,
    /// The place of the next task, or of the one above in the stack.
    pub(crate) position: u32,
    /// The output of the last task: the input of the next.
    #[serde(with = "super::snapshot::one")]
    pub(crate) data: Data,
}

/// A task that has begun.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TaskFrame {
    pub(crate) task: u32,
    /// The number of this activation in its execution.
    pub(crate) activation: u64,
    #[serde(with = "super::snapshot::one")]
    pub(crate) raw_input: Data,
    #[serde(with = "super::snapshot::one")]
    pub(crate) input: Data,
    pub(crate) started_at: Timestamp,
    pub(crate) deadline: Option<Timestamp>,
    /// Whether history has been told of the beginning.
    pub(crate) announced: bool,
    /// Variables that the task adds for what is inside it.
    #[serde(with = "super::snapshot::named")]
    pub(crate) variables: Vec<(String, Data)>,
    pub(crate) progress: Progress,
    /// Where the task stands among its extensions, if it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) extended: Option<Box<Extended>>,
}

/// Where a task stands among its extensions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Extended {
    /// How many of its extensions have had their turn before it, or have it.
    pub(crate) begun: usize,
    /// Those that apply and have not had their turn after it, innermost last.
    pub(crate) open: Vec<u32>,
    pub(crate) phase: ExtensionPhase,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ExtensionPhase {
    /// An extension's tasks are at work before the task itself.
    Before,
    /// The task itself is at work.
    Within,
    /// An extension's tasks are at work after the task gave this and chose this way.
    After { output: Data, flow: Option<Flow> },
}

/// How far a task has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Progress {
    /// It holds nothing, or waits for one thing.
    Plain,
    /// A `for` task: the value inside of which its items are, how many steps of the
    /// path to them have led there, and the place of the present one.
    Loop {
        #[serde(with = "super::snapshot::one")]
        source: Data,
        followed: usize,
        index: usize,
    },
    /// A `try` task.
    Try(TryProgress),
    /// A `fork` task: each branch's output so far.
    Fork {
        #[serde(with = "super::snapshot::optional")]
        results: Vec<Option<Data>>,
        /// How large the outputs are together, about.
        bytes: usize,
        open: u32,
    },
    /// A `listen` task.
    Listen(ListenProgress),
    /// A human task.
    Person(PersonProgress),
}

/// The times of a human task that are still to come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PersonProgress {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deadline: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deadline_outcome: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) escalate_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) escalate_to: Option<Assignees>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TryProgress {
    /// The number of the present try, from 1.
    pub(crate) attempt: u32,
    pub(crate) phase: TryPhase,
    /// When the present try times out.
    pub(crate) attempt_deadline: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TryPhase {
    Trying,
    Delaying,
    Catching,
    /// Its catch undoes what the body did, because the execution is cancelled.
    Compensating,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ListenProgress {
    pub(crate) effect: u64,
    /// How many events were consumed so far.
    pub(crate) consumed: usize,
    /// Those events as read, where the condition or the output needs them.
    pub(crate) seen: Vec<Value>,
    /// What the iterator made of them.
    pub(crate) collected: Vec<Value>,
    /// Which filters of an `all` have had their event.
    pub(crate) matched: Vec<bool>,
    /// The same for the events of `until`.
    pub(crate) until_matched: Vec<bool>,
    /// Expected values of correlations, by name, once known.
    pub(crate) correlations: BTreeMap<String, Value>,
    /// How large all that is, about, with the events that wait for the iterator.
    pub(crate) bytes: usize,
    /// Events that wait for the iterator.
    pub(crate) queue: VecDeque<Data>,
    /// Whether the iterator's tasks are at work.
    pub(crate) iterating: bool,
    /// Whether nothing more is to be consumed.
    pub(crate) closed: bool,
    /// How many events were handed to the iterator.
    pub(crate) iterations: usize,
}

impl State {
    /// Makes the state of an execution that has not begun.
    #[must_use]
    pub fn new(at: Timestamp) -> Self {
        let nothing: Data = Arc::new(Value::Null);
        Self {
            raw_input: Arc::clone(&nothing),
            input: Arc::clone(&nothing),
            context: nothing,
            started_at: at,
            deadline: None,
            threads: BTreeMap::new(),
            next_thread: 1,
            next_effect: 1,
            activations: 0,
            nesting: 0,
            program: None,
            begins: None,
            known: BTreeMap::new(),
            suspended: None,
            cancelling: None,
            durable: None,
            end: None,
        }
    }

    /// Tells how the execution ended, if it has.
    #[must_use]
    pub fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// Tells whether a result of this effect is still wanted.
    #[must_use]
    pub fn expects(&self, effect: u64) -> bool {
        let durable = self.durable.as_ref();
        durable.is_some_and(|log| log.performed().any(|performed| performed == effect))
            || self.threads.values().any(|thread| {
                matches!(thread.waiting, Waiting::Effect { effect: waiting, .. } if waiting == effect)
            })
    }

    /// Tells whether a person's answer is still wanted.
    #[must_use]
    pub fn asks(&self, effect: u64) -> bool {
        let asks = |thread: &Thread| thread.waiting == Waiting::Person { effect };
        self.expects(effect) || self.threads.values().any(asks)
    }

    /// Tells whether events for this listening effect are still wanted.
    #[must_use]
    pub fn listens(&self, effect: u64) -> bool {
        let durable = self.durable.as_ref();
        durable.is_some_and(|log| log.listens(effect))
            || self
                .listening()
                .any(|progress| progress.effect == effect && !progress.closed)
    }

    pub(crate) fn listening(&self) -> impl Iterator<Item = &ListenProgress> {
        self.task_frames()
            .filter_map(|frame| match &frame.progress {
                Progress::Listen(progress) => Some(progress),
                _ => None,
            })
    }

    /// Tells whether nothing new begins until somebody lets the execution go on.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.suspended.is_some()
    }

    /// Tells whether the execution is on its way to its end by request.
    #[must_use]
    pub fn is_cancelling(&self) -> bool {
        self.cancelling.is_some()
    }

    /// Gives the numbers of effects whose end is awaited: what has to be performed
    /// (again) when a worker takes the execution over. None while it is suspended.
    pub fn pending(&self) -> impl Iterator<Item = u64> {
        let suspended = self.is_suspended();
        let durable = self.durable.iter().flat_map(Log::performed);
        self.threads
            .values()
            .filter_map(|thread| match thread.waiting {
                Waiting::Effect { effect, .. } => Some(effect),
                _ => None,
            })
            .chain(durable)
            .filter(move |_| !suspended)
    }

    /// Tells whether some thread could go on at once.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.end.is_none()
            && !self.is_suspended()
            && (self.begins.is_some()
                || self.durable.as_ref().is_some_and(Log::has_news)
                || self
                    .threads
                    .values()
                    .any(|thread| thread.waiting == Waiting::Nothing))
    }

    /// Gives the earliest time at which something has to happen.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        if self.end.is_some() || self.is_suspended() {
            return None;
        }
        let grace = self
            .cancelling
            .as_ref()
            .map(|cancelling| cancelling.deadline);
        let waits = self
            .threads
            .values()
            .filter_map(|thread| match thread.waiting {
                Waiting::Until(at) => Some(at),
                Waiting::Person { .. } => thread.top_task()?.person()?.due(),
                _ => None,
            });
        let deadlines = self.task_frames().flat_map(|frame| {
            let attempt = match &frame.progress {
                Progress::Try(progress) if progress.phase == TryPhase::Trying => {
                    progress.attempt_deadline
                }
                _ => None,
            };
            [frame.deadline, attempt].into_iter().flatten()
        });
        waits
            .chain(deadlines)
            .chain(self.deadline)
            .chain(grace)
            .chain(self.durable.as_ref().and_then(Log::next_due))
            .min()
    }

    pub(crate) fn task_frames(&self) -> impl Iterator<Item = &TaskFrame> {
        self.threads
            .values()
            .flat_map(|thread| &thread.stack)
            .filter_map(|frame| match frame {
                Frame::Task(frame) => Some(frame.as_ref()),
                Frame::List(_) => None,
            })
    }
}

impl TaskFrame {
    /// Gives the phase of a `try` task.
    pub(crate) fn try_phase(&self) -> Option<TryPhase> {
        match &self.progress {
            Progress::Try(progress) => Some(progress.phase),
            _ => None,
        }
    }
}

impl Thread {
    pub(crate) fn top_task(&self) -> Option<&TaskFrame> {
        match self.stack.last() {
            Some(Frame::Task(frame)) => Some(frame),
            _ => None,
        }
    }

    pub(crate) fn top_task_mut(&mut self) -> Option<&mut TaskFrame> {
        match self.stack.last_mut() {
            Some(Frame::Task(frame)) => Some(frame),
            _ => None,
        }
    }

    pub(crate) fn top_list_mut(&mut self) -> Option<&mut ListFrame> {
        match self.stack.last_mut() {
            Some(Frame::List(frame)) => Some(frame),
            _ => None,
        }
    }
}
