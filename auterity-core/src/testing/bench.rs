//! A workbench: an engine on a store in memory whose time is skipped.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::fragment::only_task;
use super::stage::{Stage, Time};
use super::{Double, History};
use crate::clock::{Clock, SeededEntropy};
use crate::engine::{
    DeployError, DurableFunction, DurableFunctions, Engine, Handle, Options, Ports, Secrets,
    StartRequest,
};
use crate::functions::{Function, Functions, Invocation};
use crate::interpreter::Problem;
use crate::store::Store;
use crate::{Actor, ExecutionId, Scope, TenantId};

/// How long an execution may take before a test gives it up: in the bench's time, of
/// which a year costs milliseconds.
const PATIENCE: Duration = Duration::from_hours(24 * 365 * 50);

/// How often the bench's worker looks for work by itself. It is woken when something
/// becomes due, so this only bounds how fast time can be skipped.
const POLL: SignedDuration = SignedDuration::from_hours(24);

/// Events of one execution that a history shows.
const EVENTS_MAX: u32 = 1_000;

/// What a bench is made of. [`open`](Self::open) puts it up.
#[derive(Debug)]
pub struct Workbench {
    functions: Functions,
    real: Vec<(String, Arc<dyn Function>)>,
    doubles: Vec<(String, Double)>,
    durable: DurableFunctions,
    secrets: BTreeMap<String, Value>,
    options: Options,
    start: Timestamp,
}

impl Default for Workbench {
    fn default() -> Self {
        Self::new()
    }
}

impl Workbench {
    /// Makes a bench with the built-in functions, at noon of the first day of 2030.
    #[must_use]
    pub fn new() -> Self {
        Self {
            functions: Functions::built_in(),
            real: Vec::new(),
            doubles: Vec::new(),
            durable: DurableFunctions::none(),
            secrets: BTreeMap::new(),
            options: Options {
                poll: POLL,
                lease: POLL.saturating_mul(3),
                ..Options::default()
            },
            start: Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * 21_915 + 12),
        }
    }

    /// Registers a real function. Time stands while it works.
    #[must_use]
    pub fn with_function(mut self, name: impl Into<String>, function: impl Function) -> Self {
        self.real.push((name.into(), Arc::new(function)));
        self
    }

    /// Registers a double. Its delays are skipped like any other time.
    #[must_use]
    pub fn with_double(mut self, name: impl Into<String>, double: &Double) -> Self {
        self.doubles.push((name.into(), double.clone()));
        self
    }

    /// Registers a durable function; deploy its definition like any other. Time does not
    /// stand while the bodies of its steps work.
    #[must_use]
    pub fn with_durable(mut self, function: DurableFunction) -> Self {
        self.durable = self.durable.with(function);
        self
    }

    /// Makes a secret known.
    #[must_use]
    pub fn with_secret(mut self, name: impl Into<String>, value: Value) -> Self {
        self.secrets.insert(name.into(), value);
        self
    }

    /// Changes limits of definitions, executions and expressions. What concerns the
    /// worker is the bench's own.
    #[must_use]
    pub fn with_options(mut self, options: Options) -> Self {
        self.options = Options {
            poll: self.options.poll,
            lease: self.options.lease,
            ..options
        };
        self
    }

    /// Sets the time at which the bench's clock starts.
    #[must_use]
    pub fn starting_at(mut self, start: Timestamp) -> Self {
        self.start = start;
        self
    }

    /// Puts the bench up and does the work on it, on a runtime of its own. Whenever
    /// everything waits for time, time moves to the next moment that matters.
    ///
    /// # Panics
    /// Inside another runtime: call it from a plain `#[test]`.
    pub fn open<R>(self, work: impl AsyncFnOnce(&Bench) -> R) -> R {
        Stage::play(self.start, Time::SkipsToWork, async |stage| {
            let store: Arc<dyn Store> = Arc::<crate::store::MemoryStore>::clone(&stage.store);
            let clock: Arc<dyn Clock> = Arc::<crate::clock::ManualClock>::clone(&stage.clock);
            let ports = self.ports(store, clock, &stage.under_way);
            let engine = Engine::start(self.options, ports)
                .await
                .expect("the engine starts");
            let bench = Bench {
                handle: engine.handle(),
                scope: scope(),
                stage,
                _engine: engine,
            };
            work(&bench).await
        })
    }

    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    pub(super) fn start(&self) -> Timestamp {
        self.start
    }

    /// Makes what an engine stands on.
    pub(super) fn ports(
        &self,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        under_way: &Arc<AtomicUsize>,
    ) -> Ports {
        let mut functions = self.functions.clone();
        for (name, function) in &self.real {
            let watched = Watched {
                function: Arc::clone(function),
                under_way: Arc::clone(under_way),
            };
            functions = functions.with(name, watched);
        }
        for (name, double) in &self.doubles {
            functions = functions.with(name, double.clone().on_clock(Arc::clone(&clock)));
        }
        Ports {
            clock,
            entropy: Arc::new(SeededEntropy::new(1)),
            functions,
            durable: self.durable.clone(),
            secrets: Secrets::fixed(self.secrets.clone()),
            ..Ports::new(store)
        }
    }
}

/// The scope in which a kit acts.
pub(super) fn scope() -> Scope {
    let tenant = TenantId::generate(Timestamp::UNIX_EPOCH, &SeededEntropy::new(1));
    Scope::new(tenant, Actor::Host)
}

/// A real function, whose work time waits for.
#[derive(Debug)]
struct Watched {
    function: Arc<dyn Function>,
    under_way: Arc<AtomicUsize>,
}

struct UnderWay(Arc<AtomicUsize>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl Function for Watched {
    async fn call(&self, invocation: Invocation) -> Result<Value, Problem> {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        let _under_way = UnderWay(Arc::clone(&self.under_way));
        self.function.call(invocation).await
    }
}

/// An engine at work on a bench.
///
/// Its methods panic where something that the test takes for granted fails, with what
/// is known about it.
#[derive(Debug)]
pub struct Bench {
    handle: Handle,
    scope: Scope,
    stage: Arc<Stage>,
    _engine: Engine,
}

impl Bench {
    /// Gives the way into the engine.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Gives the scope in which the bench acts.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Gives the bench's time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.stage.clock.now()
    }

    /// Deploys a definition.
    ///
    /// # Panics
    /// When it has mistakes, with all of them.
    pub async fn deploy(&self, definition: &str) -> StartRequest {
        match self.handle.deploy(&self.scope, definition).await {
            Ok(deployed) => StartRequest {
                version: Some(deployed.row.workflow.version.clone()),
                ..StartRequest::of(
                    &deployed.row.workflow.namespace,
                    &deployed.row.workflow.name,
                )
            },
            Err(DeployError::Invalid(mistakes)) => {
                let all: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
                fail(&format!("the definition has mistakes:\n{}", all.join("\n")))
            }
            Err(error) => fail(&format!("the definition cannot be deployed: {error}")),
        }
    }

    /// Starts what a request names.
    ///
    /// # Panics
    /// When the engine refuses it.
    pub async fn start(&self, request: StartRequest) -> ExecutionId {
        match self.handle.start(&self.scope, request).await {
            Ok(started) => started.id,
            Err(error) => fail(&format!("the execution cannot be started: {error:?}")),
        }
    }

    /// Deploys a whole definition, starts it, and skips time until it ends.
    ///
    /// # Panics
    /// When it has mistakes, does not start, or does not end in fifty years.
    pub async fn execute(&self, definition: &str, input: Value) -> History {
        let request = self.deploy(definition).await;
        let id = self.start(StartRequest { input, ..request }).await;
        self.end(id).await
    }

    /// Executes one task of a definition, named by its name or its JSON pointer, and
    /// what is inside it. `context` is what earlier tasks would have exported.
    ///
    /// # Panics
    /// When the definition has mistakes or no such task, or the task does not end.
    pub async fn execute_task(
        &self,
        definition: &str,
        task: &str,
        input: Value,
        context: Value,
    ) -> History {
        match only_task(definition, task) {
            Ok(fragment) => {
                let input = serde_json::json!({ "input": input, "context": context });
                self.execute(&fragment, input).await
            }
            Err(message) => fail(&message),
        }
    }

    /// Skips time until the execution ends.
    ///
    /// # Panics
    /// When it does not end in fifty years.
    pub async fn end(&self, id: ExecutionId) -> History {
        let ended = self.handle.wait(&self.scope, id, PATIENCE).await;
        let history = self.history(id).await;
        if !ended.is_ok_and(|row| row.status.is_ended()) {
            fail(&format!("the execution did not end\n{history}"));
        }
        history
    }

    /// Gives what the execution has done so far.
    ///
    /// # Panics
    /// When there is no such execution.
    pub async fn history(&self, id: ExecutionId) -> History {
        history(&self.handle, &self.scope, id).await
    }

    /// Publishes a `CloudEvent`; gives the number of executions that listened for it.
    ///
    /// # Panics
    /// When it is not a `CloudEvent`.
    pub async fn publish(&self, event: &Value) -> u32 {
        match self.handle.publish(&self.scope, event).await {
            Ok(listeners) => listeners,
            Err(error) => fail(&format!("the event cannot be published: {error}")),
        }
    }

    /// Lets everything go on until it waits for time or for the test.
    pub async fn settle(&self) {
        self.stage.settle().await;
    }

    /// Skips this time, with all that happens in it, and settles.
    pub async fn skip(&self, time: SignedDuration) {
        let until = self.now() + time;
        self.stage.clock.sleep_until(until).await;
        self.settle().await;
    }
}

/// Reads an execution with its whole history.
pub(super) async fn history(handle: &Handle, scope: &Scope, id: ExecutionId) -> History {
    let Ok(Some(view)) = handle.execution(scope, id).await else {
        fail(&format!("there is no execution {id}"));
    };
    let mut events = Vec::new();
    loop {
        let after = events
            .last()
            .map_or(0, |row: &crate::store::EventRow| row.sequence);
        match handle.events(scope, id, after, EVENTS_MAX).await {
            Ok(rows) if rows.is_empty() => break,
            Ok(rows) => events.extend(rows),
            Err(error) => fail(&format!("the history cannot be read: {error:?}")),
        }
    }
    History::new(view.row, events)
}

#[expect(clippy::panic, reason = "this is how a test fails")]
pub(super) fn fail(message: &str) -> ! {
    panic!("{message}")
}
