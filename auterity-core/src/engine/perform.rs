//! Performs effects: calls functions, publishes events, starts children.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::durable_fn::{Code, StepCall, Work};
use super::execution::Active;
use super::life::{Core, Life};
use super::mask::Mask;
use super::start::{Origin, StartRequest};
use super::stretch::Stretch;
use super::transact::Transact;
use crate::definition::APPROVAL;
use crate::functions::{Callable, Durability, Function, Heart, Invocation, Registration};
use crate::interpreter::{
    Effect, EffectResult, Event, Machine, Problem, ProblemKind, Request, called_function, request,
};
use crate::store::{InboxMessage, Parent};
use crate::{ErrorKind, ExecutionId, TenantId};

/// What came of an effect.
#[derive(Debug)]
pub(super) enum Performed {
    /// It ended; the messages leave with the entry that records it.
    Ended {
        effect: u64,
        result: EffectResult,
        messages: Vec<InboxMessage>,
    },
    /// It goes on without this worker: a child execution that is awaited.
    Awaiting { effect: u64 },
}

impl Performed {
    fn effect(&self) -> u64 {
        match self {
            Self::Ended { effect, .. } | Self::Awaiting { effect } => *effect,
        }
    }
}

impl Active {
    /// Begins effects and gives up those that are not wanted any more. One that comes
    /// alone begins on the spot and often ends there.
    pub(super) async fn perform(&mut self, effects: Vec<Effect>) {
        if let [Effect::Perform { effect }] = effects[..] {
            return self.begin_here(effect);
        }
        let mut stretch = Stretch::begin();
        for effect in effects {
            stretch.rest().await;
            match effect {
                Effect::Perform { effect } => self.begin(effect),
                Effect::Abandon { effect, .. } => {
                    if let Some(handle) = self.handles.remove(&effect) {
                        let execution = self.progress.identity.execution;
                        self.core.heartbeats.forget((execution, effect));
                        handle.abort();
                    }
                    self.transacting.retain(|one| one.doing.effect != effect);
                }
                Effect::Listen { .. }
                | Effect::Unlisten { .. }
                | Effect::Ask { .. }
                | Effect::Escalate { .. }
                | Effect::Hold { .. }
                | Effect::Withdraw { .. }
                | Effect::Continue => {}
            }
        }
    }

    pub(super) fn begin(&mut self, effect: u64) {
        if let Some(work) = self.work_of(effect) {
            let handle = self.performing.spawn(work);
            self.handles.insert(effect, handle);
        }
    }

    fn begin_here(&mut self, effect: u64) {
        let Some(work) = self.work_of(effect) else {
            return;
        };
        let mut work = Box::pin(work);
        match work.as_mut().now_or_never() {
            Some(done) => self.done.push(done),
            None => {
                let handle = self.performing.spawn(work);
                self.handles.insert(effect, handle);
            }
        }
    }

    /// Gives the work of an effect, unless it is not to begin or the execution does it
    /// itself, in a transaction.
    fn work_of(&mut self, effect: u64) -> Option<impl Future<Output = Performed> + Send + 'static> {
        let (doing, request) = self.prepare(effect)?;
        let Some(registration) = doing.transactional(&request) else {
            let body = self.body(effect, &request);
            return Some(doing.work(request, body));
        };
        if let Ok(Request::Call {
            arguments,
            input,
            task,
            awaited,
            ..
        }) = request
        {
            let called = Called {
                arguments,
                input,
                task,
                awaited,
            };
            self.transacting.push_back(Transact {
                doing,
                called,
                registration,
                conflicts: 0,
            });
        }
        None
    }

    /// Makes the body of a durable function's step.
    fn body(&self, effect: u64, request: &Result<Request, Problem>) -> Option<Work> {
        let (Ok(Request::Step { step, attempt, .. }), Code::Function(driver)) =
            (request, &self.progress.code)
        else {
            return None;
        };
        let identity = &self.progress.identity;
        let call = StepCall {
            scope: self.life.scope(identity.tenant),
            key: format!("{}-{effect}", identity.execution),
            attempt: *attempt,
        };
        driver.body(*step, call)
    }

    /// Tells whether these effects may begin before the commit of the events they follow
    /// from: calls of functions that may be repeated. Everything else is visible outside,
    /// and a changed version is known only once it is recorded.
    pub(super) fn may_precede_commit(&self, events: &[Event], effects: &[Effect]) -> bool {
        let pipelined = |effect: &Effect| match effect {
            Effect::Perform { effect } => self.is_pipelined(*effect),
            _ => false,
        };
        !effects.is_empty()
            && effects.iter().all(pipelined)
            && events.iter().all(|event| event.rebuilt().is_none())
    }

    fn is_pipelined(&self, effect: u64) -> bool {
        let progress = &self.progress;
        let function = called_function(&progress.identity.program, &progress.state, effect);
        function
            .and_then(|function| self.core.ports.functions.find(function))
            .filter(|found| matches!(found.callable(), Callable::Plain(_)))
            .is_some_and(|found| found.declared_durability() == Durability::Pipelined)
    }

    /// Gives what an effect asks for, unless it is not to begin.
    fn prepare(&self, effect: u64) -> Option<Asked> {
        let state = &self.progress.state;
        // A later event of the same entry may have given the effect up, or suspended the
        // execution. A resumed one asks again for everything that is not at its end.
        let begins = state.expects(effect) && !state.is_suspended() && !self.progress.lacks_code();
        let is_begun = self.handles.contains_key(&effect)
            || self.done.iter().any(|done| done.effect() == effect)
            || self
                .transacting
                .iter()
                .any(|one| one.doing.effect == effect);
        if self.life.is_over() || !begins || is_begun {
            return None;
        }
        let identity = &self.progress.identity;
        let machine = Machine {
            program: &identity.program,
            execution: identity.execution,
            limits: &self.core.options.execution,
            budget: &self.core.options.expression,
        };
        let secrets = self
            .core
            .ports
            .secrets
            .collect(identity.tenant, identity.program.secret_names());
        let request = request(&machine, &self.progress.state, effect, &secrets);
        let doing = Doing {
            core: Arc::clone(&self.core),
            life: Arc::clone(&self.life),
            tenant: identity.tenant,
            execution: identity.execution,
            effect,
            mask: Mask::of(&secrets),
        };
        Some((doing, request))
    }
}

/// One effect with what it asks for.
type Asked = (Doing, Result<Request, Problem>);

/// One effect under way.
pub(super) struct Doing {
    pub(super) core: Arc<Core>,
    pub(super) life: Arc<Life>,
    pub(super) tenant: TenantId,
    pub(super) execution: ExecutionId,
    pub(super) effect: u64,
    /// What the result must not hold.
    pub(super) mask: Mask,
}

/// What a function is called with.
#[derive(Debug, Clone)]
pub(super) struct Called {
    arguments: Value,
    input: Arc<Value>,
    task: String,
    awaited: bool,
}

impl Doing {
    /// Gives the function that is called, if the execution calls it itself.
    fn transactional(&self, request: &Result<Request, Problem>) -> Option<Arc<Registration>> {
        let Ok(Request::Call { function, .. }) = request else {
            return None;
        };
        let found = self.core.ports.functions.find(function)?;
        matches!(found.callable(), Callable::Transactional(_)).then(|| Arc::clone(found))
    }

    async fn work(self, request: Result<Request, Problem>, body: Option<Work>) -> Performed {
        let effect = self.effect;
        let mut messages = Vec::new();
        let result = match request {
            Err(problem) => Err(problem),
            Ok(Request::Call {
                function,
                arguments,
                input,
                task,
                awaited,
            }) => {
                let called = Called {
                    arguments,
                    input,
                    task,
                    awaited,
                };
                self.call(&function, called).await
            }
            Ok(Request::Step {
                task, time_ms_max, ..
            }) => Box::pin(self.step(&task, body, time_ms_max)).await,
            Ok(Request::Known { result }) => {
                return Performed::Ended {
                    effect,
                    result,
                    messages,
                };
            }
            Ok(Request::Deadline { otherwise }) => Box::pin(self.decide(otherwise)).await,
            // Boxed, like the start of a child: the work of a call, which is most common,
            // then stays small enough to be moved around cheaply.
            Ok(Request::Emit { event }) => Box::pin(self.emit(event, &mut messages)).await,
            Ok(Request::Child {
                namespace,
                name,
                version,
                input,
                awaited,
                nesting,
            }) => {
                let request = StartRequest {
                    namespace,
                    name,
                    version,
                    input,
                    ..StartRequest::default()
                };
                match Box::pin(self.child(request, awaited, nesting)).await {
                    Ok(_) if awaited => return Performed::Awaiting { effect },
                    other => other,
                }
            }
        };
        let result = self.mask.result(result);
        let result = match result.and_then(|value| self.bounded(value)) {
            Ok(value) => EffectResult::Value(Arc::new(value)),
            Err(problem) => EffectResult::Problem(problem),
        };
        Performed::Ended {
            effect,
            result,
            messages,
        }
    }

    async fn call(&self, name: &str, called: Called) -> Result<Value, Problem> {
        let registration = self.core.ports.functions.find(name);
        let Some((registration, Callable::Plain(function))) =
            registration.map(|found| (found, found.callable()))
        else {
            return Err(unknown_function(name));
        };
        let cancelled = CancellationToken::new();
        let _cancel_when_dropped = cancelled.clone().drop_guard();
        let invocation = self.invocation(called, cancelled);
        let _running = self.core.meter.calls();
        let work = async {
            match registration.silence_max() {
                None => guarded(&**function, invocation).await,
                Some(most) => Box::pin(self.listened_to(&**function, invocation, most)).await,
            }
        };
        tokio::select! {
            biased;
            result = work => result,
            most = self.time_over(registration.time_max()) => {
                let detail = format!("the function took longer than {most:#}");
                Err(Problem::new(ProblemKind::Timeout, detail))
            }
        }
    }

    /// Does the body of a durable function's step.
    async fn step(
        &self,
        task: &str,
        body: Option<Work>,
        time_ms_max: Option<u64>,
    ) -> Result<Value, Problem> {
        let Some(body) = body else {
            let detail = format!("the durable function has no body for {task}");
            return Err(Problem::new(ProblemKind::Runtime, detail));
        };
        let most = time_ms_max.map(|most| i64::try_from(most).unwrap_or(i64::MAX));
        let _running = self.core.meter.calls();
        tokio::select! {
            biased;
            result = unwound(task, "step", body) => result,
            most = self.time_over(most.map(SignedDuration::from_millis)) => {
                let detail = format!("the step took longer than {most:#}");
                Err(Problem::new(ProblemKind::Timeout, detail))
            }
        }
    }

    /// Makes what a function gets to know about its call.
    pub(super) fn invocation(&self, called: Called, cancelled: CancellationToken) -> Invocation {
        Invocation {
            scope: self.life.scope(self.tenant),
            execution: self.execution,
            task: called.task,
            arguments: called.arguments,
            input: called.input,
            awaited: called.awaited,
            routines: self.core.routines.clone(),
            key: format!("{}-{}", self.execution, self.effect),
            at: self.core.now(),
            resumed_from: None,
            heart: Heart::default(),
            cancelled,
        }
    }

    /// Returns when a call has had its time; never if it has no limit.
    pub(super) async fn time_over(&self, most: Option<SignedDuration>) -> SignedDuration {
        let Some(most) = most else {
            return std::future::pending().await;
        };
        let until = self.core.now().checked_add(most);
        let clock = &self.core.ports.clock;
        clock.sleep_until(until.unwrap_or(Timestamp::MAX)).await;
        most
    }

    /// Finds who gets an event. The event leaves with the entry that records this: so
    /// whoever answers at once finds that the next task listens.
    async fn emit(&self, event: Value, messages: &mut Vec<InboxMessage>) -> Result<Value, Problem> {
        let scope = self.life.scope(self.tenant);
        loop {
            match self.core.address(&scope, &event).await {
                Ok(found) => {
                    *messages = found.messages;
                    return Ok(event);
                }
                Err(error) if error.is_retryable() => self.pause().await,
                Err(error) => {
                    return Err(Problem::new(ProblemKind::Runtime, error.message()));
                }
            }
        }
    }

    async fn child(
        &self,
        request: StartRequest,
        awaited: bool,
        nesting: u32,
    ) -> Result<Value, Problem> {
        let scope = self.life.scope(self.tenant);
        let id = self.execution.of_child(self.effect);
        let parent = Parent {
            execution: self.execution,
            effect: awaited.then_some(self.effect),
        };
        loop {
            let origin = Origin {
                id: Some(id),
                parent: Some(parent),
                nesting,
            };
            match self.core.start(&scope, request.clone(), origin).await {
                Ok(started) => return Ok(json!({ "id": started.id.to_string() })),
                Err(error) if error.is_retryable() => self.pause().await,
                Err(error) => {
                    let kind = match error.kind() {
                        ErrorKind::NotFound => ProblemKind::Configuration,
                        ErrorKind::Invalid => ProblemKind::Validation,
                        _ => ProblemKind::Runtime,
                    };
                    return Err(Problem::new(kind, error.to_string()));
                }
            }
        }
    }

    /// Waits a little before the database is asked again.
    pub(super) async fn pause(&self) {
        let until = self.core.now() + self.core.options.poll;
        self.core.ports.clock.sleep_until(until).await;
    }

    pub(super) fn bounded(&self, value: Value) -> Result<Value, Problem> {
        let most = self.core.options.execution.payload_bytes_max;
        if crate::interpreter::fits(&value, most) {
            return Ok(value);
        }
        let detail =
            format!("the result is larger than {most} bytes of JSON (limit payload_bytes_max)");
        Err(Problem::new(ProblemKind::Runtime, detail))
    }
}

/// Calls a function so that its panic is its own problem only.
pub(super) async fn guarded(
    function: &dyn Function,
    invocation: Invocation,
) -> Result<Value, Problem> {
    let task = invocation.task.clone();
    unwound(&task, "function", function.call(invocation)).await
}

/// Does work whose panic is its own problem only.
async fn unwound(
    task: &str,
    what: &str,
    work: impl Future<Output = Result<Value, Problem>>,
) -> Result<Value, Problem> {
    let result = AssertUnwindSafe(work).catch_unwind().await;
    result.unwrap_or_else(|_| {
        tracing::error!(%task, "a {what} panicked");
        let detail = format!("the {what} panicked");
        Err(Problem::new(ProblemKind::Runtime, detail))
    })
}

fn unknown_function(name: &str) -> Problem {
    let detail = match name {
        "run/script" | "run/shell" | "run/container" => {
            format!("tasks of kind {name} are off: the host has not enabled them")
        }
        "grpc" | "asyncapi" | "mcp" | "a2a" | "email" => {
            format!("calls of kind {name} are off: the host has not enabled them")
        }
        APPROVAL => "a function asks a person through a child execution whose definition has \
                     `call: approval`"
            .to_owned(),
        _ => format!(
            "there is no function named {name} in this engine; the host registers functions"
        ),
    };
    Problem::new(ProblemKind::Configuration, detail).with_status(501)
}
