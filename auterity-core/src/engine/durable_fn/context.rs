//! What a durable function has in place of the world.

use std::future::Future;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::{Either, select};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use super::driver::{Body, Shared};
use super::steps::{Child, Pending, Sleep, Step, WaitFor};
use crate::functions::written;
use crate::interpreter::{self, Filter, FilterCorrelation, Problem, What, Wish};
use crate::{ExecutionId, Scope};

/// What a durable function has in place of the world: its steps, its time, its random
/// numbers. Cheap to clone.
#[derive(Clone)]
pub struct DurableContext {
    shared: Arc<Mutex<Shared>>,
}

impl std::fmt::Debug for DurableContext {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("DurableContext")
            .field("execution", &self.execution())
            .finish_non_exhaustive()
    }
}

/// One try of a step's body.
#[derive(Debug, Clone)]
pub struct StepCall {
    /// The tenant and the worker that acts for it.
    pub scope: Scope,
    /// Stays the same when the body is repeated after a crash, and differs between steps
    /// and tries: for whoever recognises repetitions by a key.
    pub key: String,
    /// Which try this is, from 1.
    pub attempt: u32,
}

/// Selects `CloudEvent`s.
#[derive(Debug, Clone)]
pub struct EventFilter {
    filter: Filter,
}

impl EventFilter {
    /// Selects events of a type.
    #[must_use]
    pub fn of_type(event_type: impl Into<String>) -> Self {
        let with = vec![("type".to_owned(), Value::String(event_type.into()))];
        Self {
            filter: Filter {
                with,
                correlate: Vec::new(),
            },
        }
    }

    /// Selects only events whose attribute has this value.
    #[must_use]
    pub fn with(mut self, attribute: impl Into<String>, value: impl Into<Value>) -> Self {
        self.filter.with.push((attribute.into(), value.into()));
        self
    }

    /// Selects only events from which the jq expression gives this value, for example
    /// `.data.order`.
    #[must_use]
    pub fn matching(mut self, expression: impl Into<String>, value: impl Into<Value>) -> Self {
        self.filter.correlate.push(FilterCorrelation {
            from: expression.into(),
            expect: value.into(),
        });
        self
    }
}

/// A child execution to start.
#[derive(Debug, Clone)]
pub struct Spawn {
    child: interpreter::Child,
}

impl Spawn {
    /// Names the highest version of a workflow, and the child's input.
    #[must_use]
    pub fn new(namespace: impl Into<String>, name: impl Into<String>, input: Value) -> Self {
        Self {
            child: interpreter::Child {
                namespace: namespace.into(),
                name: name.into(),
                version: None,
                input: Arc::new(input),
                awaited: true,
            },
        }
    }

    /// Names a version.
    #[must_use]
    pub fn with_version(mut self, version: impl Into<String>) -> Self {
        self.child.version = Some(version.into());
        self
    }
}

impl DurableContext {
    pub(super) fn new(shared: Arc<Mutex<Shared>>) -> Self {
        Self { shared }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pending(&self, name: impl Into<String>, what: What, body: Option<Body>) -> Pending {
        Pending::new(&self.shared, Wish::new(name, what), body)
    }

    /// Does something and records what came of it: from then on it is answered from the
    /// journal. What was under way at a crash is done again.
    pub fn step<T, F, R>(&self, name: impl Into<String>, body: F) -> Step<T>
    where
        T: Serialize,
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<T, Problem>> + Send + 'static,
    {
        self.step_with(name, move |_call| body())
    }

    /// As [`step`](Self::step); the body learns its idempotency key and which try it is.
    pub fn step_with<T, F, R>(&self, name: impl Into<String>, body: F) -> Step<T>
    where
        T: Serialize,
        F: Fn(StepCall) -> R + Send + Sync + 'static,
        R: Future<Output = Result<T, Problem>> + Send + 'static,
    {
        let body: Body = Arc::new(move |call| {
            let work = body(call);
            Box::pin(async move { written(&work.await?) })
        });
        Step {
            pending: self.pending(name, What::Body, Some(body)),
            gives: PhantomData,
            outside: false,
        }
    }

    /// Calls a function of the engine's registry, as `call: function` does. A
    /// transactional one is exactly once.
    pub fn call<T>(&self, function: impl Into<String>, arguments: impl Serialize) -> Step<T>
    where
        T: DeserializeOwned,
    {
        let function = function.into();
        let pending = match written(&arguments) {
            Ok(arguments) => {
                let what = What::Call {
                    function: function.clone(),
                    arguments: Arc::new(arguments),
                };
                self.pending(function, what, None)
            }
            Err(problem) => Pending::failed(&self.shared, problem),
        };
        Step {
            pending,
            gives: PhantomData,
            outside: true,
        }
    }

    /// Sleeps; a long sleep leaves memory.
    pub fn sleep(&self, time: SignedDuration) -> Sleep {
        let until = self.now().checked_add(time).unwrap_or(Timestamp::MAX);
        self.sleep_until(until)
    }

    /// Sleeps until a time; a long sleep leaves memory.
    pub fn sleep_until(&self, until: Timestamp) -> Sleep {
        Sleep {
            pending: self.pending("sleep", What::Sleep(until), None),
        }
    }

    /// Waits for a `CloudEvent`; a long wait leaves memory.
    pub fn wait_for(&self, filter: EventFilter) -> WaitFor {
        let name = filter.filter.event_type().unwrap_or("event").to_owned();
        WaitFor {
            pending: self.pending(name, What::Event(filter.filter), None),
        }
    }

    /// Starts a child execution; await what this gives for its output.
    pub fn spawn(&self, spawn: Spawn) -> Child {
        let name = spawn.child.name.clone();
        let mut pending = self.pending(name, What::Child(spawn.child), None);
        pending.ask();
        Child { pending }
    }

    /// Starts a child execution that nobody waits for. Await what this gives: it is an
    /// object with the child's `id`, once the child is started.
    pub fn spawn_detached(&self, spawn: Spawn) -> Child {
        let child = interpreter::Child {
            awaited: false,
            ..spawn.child
        };
        Child {
            pending: self.pending(child.name.clone(), What::Child(child), None),
        }
    }

    /// Awaits something for a time at most; what it had open is given up after that.
    ///
    /// # Errors
    /// When the execution is cancelled.
    pub async fn within<W: Future>(
        &self,
        time: SignedDuration,
        work: W,
    ) -> Result<Option<W::Output>, Problem> {
        let work = std::pin::pin!(work);
        match select(work, self.sleep(time)).await {
            Either::Left((output, _)) => Ok(Some(output)),
            Either::Right((slept, _)) => slept.map(|()| None),
        }
    }

    /// Ends this call of the function and begins another one with nothing behind it: for
    /// functions that go on for long, whose journal would grow without end. Await it; it
    /// does not return.
    ///
    /// # Errors
    /// When the input cannot be written as JSON.
    pub async fn continue_as_new<N>(&self, input: impl Serialize) -> Result<N, Problem> {
        let input = written(&input)?;
        self.shared().again = Some(input);
        std::future::pending().await
    }

    /// Gives the time of what the function heard last: the same when it is called again.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.shared().now
    }

    /// Gives the execution.
    #[must_use]
    pub fn execution(&self) -> ExecutionId {
        self.shared().execution
    }

    /// Gives a random number, the same when the function is called again. Not for
    /// secrets: whoever knows the execution's id can compute it.
    #[must_use]
    pub fn random(&self) -> u64 {
        let (high, low) = self.draw().as_u64_pair();
        high ^ low
    }

    /// Gives a new unique id, the same when the function is called again.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.draw()
    }

    fn draw(&self) -> Uuid {
        let mut shared = self.shared();
        shared.drawn += 1;
        let name = format!("{} {}", shared.call, shared.drawn);
        Uuid::new_v5(&shared.execution.as_uuid(), name.as_bytes())
    }
}
