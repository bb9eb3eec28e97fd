//! What a durable function has in place of the world.

use std::future::Future;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::{Either, select};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::driver::{Body, Shared};
use super::futures::{Child, Pending, Sleep, Step, WaitFor};
use super::retry::StepRetry;
use super::written;
use crate::interpreter::{self, Filter, FilterCorrelation, Problem, What, Wish};
use crate::{ExecutionId, Scope};

/// What a durable function has in place of the world: its steps, its time, its random
/// bits. Cheap to clone.
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
    /// Stays the same when the body is repeated after a crash, and differs between
    /// steps and tries.
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
    /// Names the highest version of a workflow, and what it gets.
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
        let wish = Wish {
            name: name.into(),
            what,
        };
        Pending::new(&self.shared, wish, body)
    }

    /// Does something and records what it gave: after a crash it is answered from the
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
        let what = What::Body(StepRetry::never().tries());
        Step {
            pending: self.pending(name, what, Some(body)),
            gives: PhantomData,
        }
    }

    /// Sleeps; a long sleep leaves memory.
    pub fn sleep(&self, time: SignedDuration) -> Sleep {
        let now = self.now();
        let until = now.saturating_add(time).unwrap_or(now);
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

    /// Starts a child execution that nobody waits for; gives its id once it is started.
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
    pub async fn within<W: Future>(&self, time: SignedDuration, work: W) -> Option<W::Output> {
        let work = std::pin::pin!(work);
        match select(work, self.sleep(time)).await {
            Either::Left((output, _)) => Some(output),
            Either::Right(((), _)) => None,
        }
    }

    /// Ends this call of the function and begins another with nothing behind it: for
    /// functions that go on for long, whose journal would grow without end. Await it;
    /// it never returns.
    pub async fn continue_as_new<N>(&self, input: impl Serialize) -> Result<N, Problem> {
        let input = written(&input)?;
        self.shared().again = Some(input);
        std::future::pending().await
    }

    /// Gives the time of the event that the function hears of: the same when it is
    /// called again.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.shared().now
    }

    /// Gives the execution.
    #[must_use]
    pub fn execution(&self) -> ExecutionId {
        self.shared().execution
    }

    /// Gives random bits, the same when the function is called again. Not for secrets.
    #[must_use]
    pub fn random(&self) -> u64 {
        let (high, low) = self.draw("random").as_u64_pair();
        high ^ low
    }

    /// Gives a new unique id, the same when the function is called again.
    #[must_use]
    pub fn id(&self) -> String {
        self.draw("id").to_string()
    }

    fn draw(&self, what: &str) -> Uuid {
        let mut shared = self.shared();
        shared.drawn += 1;
        let name = format!("{what} {} {}", shared.generation, shared.drawn);
        Uuid::new_v5(&shared.execution.as_uuid(), name.as_bytes())
    }
}
