//! Doubles: functions whose answers a test writes down.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::SignedDuration;
use serde_json::Value;

use crate::ExecutionId;
use crate::clock::{Clock, SystemClock};
use crate::functions::{Function, Invocation};
use crate::interpreter::Problem;

type Compute = dyn Fn(&Invocation) -> Result<Value, Problem> + Send + Sync;

/// One answer of a [`Double`].
#[derive(Clone)]
pub struct Reply {
    answer: Answer,
    after: SignedDuration,
}

#[derive(Clone)]
enum Answer {
    Value(Value),
    Problem(Problem),
    Computed(Arc<Compute>),
    Never,
}

impl Reply {
    fn new(answer: Answer) -> Self {
        Self {
            answer,
            after: SignedDuration::ZERO,
        }
    }

    /// Succeeds with a value.
    #[must_use]
    pub fn value(value: Value) -> Self {
        Self::new(Answer::Value(value))
    }

    /// Fails.
    #[must_use]
    pub fn problem(problem: Problem) -> Self {
        Self::new(Answer::Problem(problem))
    }

    /// Answers what the closure makes of the call.
    #[must_use]
    pub fn computed(
        compute: impl Fn(&Invocation) -> Result<Value, Problem> + Send + Sync + 'static,
    ) -> Self {
        Self::new(Answer::Computed(Arc::new(compute)))
    }

    /// Does not answer at all, as a service that hangs.
    #[must_use]
    pub fn never() -> Self {
        Self::new(Answer::Never)
    }

    /// Answers only after this time of the double's clock.
    #[must_use]
    pub fn after(mut self, delay: SignedDuration) -> Self {
        self.after = delay;
        self
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match &self.answer {
            Answer::Value(_) => "value",
            Answer::Problem(_) => "problem",
            Answer::Computed(_) => "computed",
            Answer::Never => "never",
        };
        out.debug_struct("Reply")
            .field("answer", &word)
            .field("after", &self.after)
            .finish()
    }
}

/// One call that a [`Double`] was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedCall {
    /// The execution.
    pub execution: ExecutionId,
    /// The JSON pointer of the task.
    pub task: String,
    /// The evaluated `with`.
    pub arguments: Value,
    /// The task's input.
    pub input: Arc<Value>,
    /// The idempotency key.
    pub key: String,
}

/// A function whose answers are written down, and which remembers its calls. Cheap to
/// clone; clones share both.
#[derive(Debug, Clone)]
pub struct Double {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    standing: Reply,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    script: VecDeque<Reply>,
    calls: Vec<RecordedCall>,
    clock: Arc<dyn Clock>,
}

impl Double {
    /// Makes a double that gives this reply unless [`once`](Self::once) says otherwise.
    #[must_use]
    pub fn new(standing: Reply) -> Self {
        Self {
            shared: Arc::new(Shared {
                standing,
                state: Mutex::new(State {
                    script: VecDeque::new(),
                    calls: Vec::new(),
                    clock: Arc::new(SystemClock),
                }),
            }),
        }
    }

    /// Makes a double that succeeds with this value.
    #[must_use]
    pub fn giving(value: Value) -> Self {
        Self::new(Reply::value(value))
    }

    /// Makes a double that fails.
    #[must_use]
    pub fn failing(problem: Problem) -> Self {
        Self::new(Reply::problem(problem))
    }

    /// Answers one call with this in place of the standing reply; several are used up
    /// in their order.
    #[must_use]
    pub fn once(self, reply: Reply) -> Self {
        self.lock().script.push_back(reply);
        self
    }

    /// Measures delays by this clock; without it, by the system's.
    #[must_use]
    pub fn on_clock(self, clock: Arc<dyn Clock>) -> Self {
        self.lock().clock = clock;
        self
    }

    /// Gives the calls so far, in their order.
    #[must_use]
    pub fn calls(&self) -> Vec<RecordedCall> {
        self.lock().calls.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, invocation: &Invocation) -> (Reply, Arc<dyn Clock>) {
        let mut state = self.lock();
        state.calls.push(RecordedCall {
            execution: invocation.execution,
            task: invocation.task.clone(),
            arguments: invocation.arguments.clone(),
            input: Arc::clone(&invocation.input),
            key: invocation.key.clone(),
        });
        let next = state.script.pop_front();
        let reply = next.unwrap_or_else(|| self.shared.standing.clone());
        (reply, Arc::clone(&state.clock))
    }
}

#[async_trait]
impl Function for Double {
    async fn call(&self, invocation: Invocation) -> Result<Value, Problem> {
        let (reply, clock) = self.note(&invocation);
        if SignedDuration::ZERO < reply.after {
            clock.sleep_until(clock.now() + reply.after).await;
        }
        match reply.answer {
            Answer::Value(value) => Ok(value),
            Answer::Problem(problem) => Err(problem),
            Answer::Computed(compute) => compute(&invocation),
            Answer::Never => std::future::pending().await,
        }
    }
}
