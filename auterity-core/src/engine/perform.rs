//! Performs effects: calls functions, publishes events, starts children.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::execution::Active;
use super::life::{Core, Life};
use super::start::{Origin, StartRequest};
use super::transact::Transact;
use crate::functions::Callable;
use crate::interpreter::{
    Effect, EffectResult, Machine, Problem, ProblemKind, Request, Tried, request,
};
use crate::store::Parent;
use crate::{ErrorKind, ExecutionId, TenantId};

/// What came of an effect.
#[derive(Debug)]
pub(super) enum Performed {
    /// It ended.
    Ended { effect: u64, result: EffectResult },
    /// It goes on without this worker: a child execution that is awaited.
    Awaiting { effect: u64 },
    /// A try failed and another one follows after a pause.
    Failed {
        effect: u64,
        problem: Problem,
        /// Whether it is known what the try did.
        known: bool,
        after: SignedDuration,
        details: Option<Arc<Value>>,
    },
    /// It is for another worker: this one does not know the function.
    Elsewhere { function: String },
}

/// A call as the definition asks for it.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) function: String,
    pub(super) arguments: Value,
    pub(super) input: Arc<Value>,
    pub(super) task: String,
}

impl Active {
    /// Begins effects and gives up those that are not wanted any more.
    pub(super) fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Perform { effect } => self.begin(effect),
                Effect::Abandon { effect, .. } => {
                    if let Some(handle) = self.handles.remove(&effect) {
                        handle.abort();
                    }
                }
                Effect::Listen { .. } | Effect::Unlisten { .. } | Effect::Continue => {}
            }
        }
    }

    pub(super) fn begin(&mut self, effect: u64) {
        // The effect may have been given up by a later event of the same entry.
        if self.life.is_over() || !self.progress.state.expects(effect) {
            return;
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
            tried: self.progress.state.tried(effect).cloned(),
            began: self.progress.state.began(effect),
            recovered: self.recovered,
        };
        let request = match doing.in_transaction(request) {
            Ok(transact) => {
                self.transacting.push_back(transact);
                return;
            }
            Err(request) => request,
        };
        let (doing, request) = *request;
        let handle = self.performing.spawn(doing.work(request));
        self.handles.insert(effect, handle);
    }
}

/// One effect under way.
pub(super) struct Doing {
    pub(super) core: Arc<Core>,
    pub(super) life: Arc<Life>,
    pub(super) tenant: TenantId,
    pub(super) execution: ExecutionId,
    pub(super) effect: u64,
    /// The tries that it has behind it.
    pub(super) tried: Option<Tried>,
    /// When its task began.
    pub(super) began: Option<Timestamp>,
    /// Whether the execution came from the database: the call may have been cut off.
    pub(super) recovered: bool,
}

/// One effect with what it asks for.
type Asked = (Doing, Result<Request, Problem>);

impl Doing {
    /// Sorts out the calls that the execution makes itself, in a transaction.
    fn in_transaction(self, request: Result<Request, Problem>) -> Result<Transact, Box<Asked>> {
        let Ok(Request::Call { function, .. }) = &request else {
            return Err(Box::new((self, request)));
        };
        let found = self.core.ports.functions.find(function);
        let found = found.filter(|found| matches!(found.callable(), Callable::Transactional(_)));
        match (found.map(Arc::clone), request) {
            (
                Some(registration),
                Ok(Request::Call {
                    function,
                    arguments,
                    input,
                    task,
                }),
            ) => Ok(Transact {
                call: Call {
                    function,
                    arguments,
                    input,
                    task,
                },
                registration,
                doing: self,
            }),
            (_, request) => Err(Box::new((self, request))),
        }
    }

    /// Gives an end of the effect.
    pub(super) fn ended(&self, result: Result<Value, Problem>) -> Performed {
        let result = match result.and_then(|value| self.bounded(value)) {
            Ok(value) => EffectResult::Value(Arc::new(value)),
            Err(problem) => EffectResult::Problem(problem),
        };
        let effect = self.effect;
        Performed::Ended { effect, result }
    }

    async fn work(self, request: Result<Request, Problem>) -> Performed {
        let effect = self.effect;
        let result = match request {
            Err(problem) => Err(problem),
            Ok(Request::Call {
                function,
                arguments,
                input,
                task,
            }) => {
                let call = Call {
                    function,
                    arguments,
                    input,
                    task,
                };
                return self.call(call).await;
            }
            Ok(Request::Emit { event }) => self.emit(event).await,
            Ok(Request::Child {
                namespace,
                name,
                version,
                input,
                awaited,
            }) => {
                let request = StartRequest {
                    namespace,
                    name,
                    version,
                    input,
                    ..StartRequest::default()
                };
                match self.child(request, awaited).await {
                    Ok(_) if awaited => return Performed::Awaiting { effect },
                    other => other,
                }
            }
        };
        self.ended(result)
    }

    async fn emit(&self, event: Value) -> Result<Value, Problem> {
        let scope = self.life.scope(self.tenant);
        loop {
            match self.core.publish(&scope, &event).await {
                Ok(_) => return Ok(event),
                Err(error) if error.is_retryable() => self.pause().await,
                Err(error) => {
                    return Err(Problem::new(ProblemKind::Runtime, error.message()));
                }
            }
        }
    }

    async fn child(&self, request: StartRequest, awaited: bool) -> Result<Value, Problem> {
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
