//! Where an execution stands, as a value.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Problem;

/// The version of [`State`]'s layout; a snapshot of another one is not read.
pub const STATE_FORMAT: u16 = 1;

/// JSON that several frames share.
pub(crate) type Data = Arc<Value>;

/// Where an execution stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The raw input.
    pub(crate) raw_input: Data,
    /// The input as the definition's `input.from` shaped it.
    pub(crate) input: Data,
    /// What tasks exported.
    pub(crate) context: Data,
    pub(crate) started_at: Timestamp,
    /// When the whole execution times out.
    pub(crate) deadline: Option<Timestamp>,
    /// Each line of control: the main one is number 0, the others are branches.
    pub(crate) threads: BTreeMap<u32, Thread>,
    pub(crate) next_thread: u32,
    pub(crate) next_effect: u64,
    /// Calls that failed and are tried again, by the number of their effect.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) tried: BTreeMap<u64, Tried>,
    /// Task activations so far.
    pub(crate) activations: u64,
    pub(crate) end: Option<End>,
}

/// The tries that a call has behind it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    /// All of them.
    pub tries: u32,
    /// Those whose outcome is known.
    pub known: u32,
    /// When the next one begins; absent while it is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
    /// What the last one said of itself before it was cut off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Arc<Value>>,
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
    pub(crate) data: Data,
}

/// A task that has begun.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TaskFrame {
    pub(crate) task: u32,
    /// The number of this activation in its execution.
    pub(crate) activation: u64,
    pub(crate) raw_input: Data,
    pub(crate) input: Data,
    pub(crate) started_at: Timestamp,
    pub(crate) deadline: Option<Timestamp>,
    /// Whether history has been told of the beginning.
    pub(crate) announced: bool,
    /// Variables that the task adds for what is inside it.
    pub(crate) variables: Vec<(String, Data)>,
    pub(crate) progress: Progress,
}

/// How far a task has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Progress {
    /// It holds nothing, or waits for one thing.
    Plain,
    /// A `for` task.
    Loop {
        items: Arc<Vec<Value>>,
        index: usize,
    },
    /// A `try` task.
    Try(TryProgress),
    /// A `fork` task: each branch's output so far.
    Fork {
        results: Vec<Option<Data>>,
        open: u32,
    },
    /// A `listen` task.
    Listen(ListenProgress),
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
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ListenProgress {
    pub(crate) effect: u64,
    /// The events consumed so far, as read.
    pub(crate) seen: Vec<Value>,
    /// What the iterator made of them.
    pub(crate) collected: Vec<Value>,
    /// Which filters of an `all` have had their event.
    pub(crate) matched: Vec<bool>,
    /// The same for the events of `until`.
    pub(crate) until_matched: Vec<bool>,
    /// Expected values of correlations, by name, once known.
    pub(crate) correlations: BTreeMap<String, Value>,
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
            tried: BTreeMap::new(),
            activations: 0,
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
        self.threads.values().any(|thread| {
            matches!(thread.waiting, Waiting::Effect { effect: waiting, .. } if waiting == effect)
        })
    }

    /// Tells whether events for this listening effect are still wanted.
    #[must_use]
    pub fn listens(&self, effect: u64) -> bool {
        self.listening()
            .any(|progress| progress.effect == effect && !progress.closed)
    }

    pub(crate) fn listening(&self) -> impl Iterator<Item = &ListenProgress> {
        self.task_frames()
            .filter_map(|frame| match &frame.progress {
                Progress::Listen(progress) => Some(progress),
                _ => None,
            })
    }

    /// Gives the numbers of effects whose end is awaited: what has to be performed
    /// (again) when a worker takes the execution over.
    pub fn pending(&self) -> impl Iterator<Item = u64> {
        self.threads
            .values()
            .filter_map(|thread| match thread.waiting {
                Waiting::Effect { effect, .. } => Some(effect),
                _ => None,
            })
            .filter(|effect| {
                self.tried(*effect)
                    .is_none_or(|tried| tried.next_at.is_none())
            })
    }

    /// Tells which tries a call has behind it, if any failed.
    #[must_use]
    pub fn tried(&self, effect: u64) -> Option<&Tried> {
        self.tried.get(&effect)
    }

    /// Tells when the task that waits for this effect began.
    #[must_use]
    pub fn began(&self, effect: u64) -> Option<Timestamp> {
        let waiting = self.threads.values().find(|thread| {
            matches!(thread.waiting, Waiting::Effect { effect: waiting, .. } if waiting == effect)
        });
        Some(waiting?.top_task()?.started_at)
    }

    /// Tells whether some thread could go on at once.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.end.is_none()
            && self
                .threads
                .values()
                .any(|thread| thread.waiting == Waiting::Nothing)
    }

    /// Gives the earliest time at which something has to happen.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        if self.end.is_some() {
            return None;
        }
        let waits = self
            .threads
            .values()
            .filter_map(|thread| match thread.waiting {
                Waiting::Until(at) => Some(at),
                _ => None,
            });
        let deadlines = self.task_frames().flat_map(|frame| {
            let attempt = match &frame.progress {
                Progress::Try(progress) => progress.attempt_deadline,
                _ => None,
            };
            [frame.deadline, attempt].into_iter().flatten()
        });
        let tries = self.tried.values().filter_map(|tried| tried.next_at);
        waits
            .chain(deadlines)
            .chain(tries)
            .chain(self.deadline)
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
