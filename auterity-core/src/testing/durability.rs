//! One execution again and again, with something going wrong at another place each time.
//!
//! ```
//! use auterity_core::testing::durability::Case;
//! use auterity_core::testing::{Double, Workbench};
//! use serde_json::json;
//!
//! let definition = "
//! document: { dsl: '1.0.3', namespace: shop, name: order, version: '1.0.0' }
//! do:
//! - reserve: { call: reserve, with: { item: '${ .item }' } }
//! - pause: { wait: { hours: 1 } }
//! - pay: { call: pay }
//! ";
//! let case = Case::new(definition, json!({ "item": 3 }), || {
//!     let ok = Double::giving(json!({ "ok": true }));
//!     Workbench::new().with_double("reserve", &ok).with_double("pay", &ok)
//! });
//! case.crash_after_each_commit();
//! case.each_task_twice();
//! case.fail_each_task();
//! case.survive(0..20);
//! ```

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jiff::SignedDuration;
use serde_json::Value;

use super::bench::{fail, history, scope};
use super::faults::{CrashPoint, Fate, FaultyStore, Gate, Health, ProcessClock, Weather};
use super::random::Random;
use super::stage::{Stage, Time};
use super::{Faults, History, Workbench};
use crate::ExecutionId;
use crate::clock::{Clock, ManualClock, SeededEntropy};
use crate::engine::{DeployError, Engine, Handle, Options, StartRequest};
use crate::functions::{Function, Invocation};
use crate::interpreter::{Problem, ProblemKind};
use crate::store::{MemoryStore, Store};

/// How often events are offered and a living process is looked at.
const LOOK: SignedDuration = SignedDuration::from_secs(1);

/// What goes wrong in a storm: one execution has few calls, so much of it.
const STORM: Faults = Faults {
    crash: 60,
    unavailable: 60,
    duplicate: 60,
    lost_word: 300,
    latency_millis: 8,
    disturbances: 0,
};

/// Looks after which an execution counts as one that never ends.
const LOOKS_MAX: u32 = 100_000;

/// An execution that is to survive.
pub struct Case {
    definition: String,
    input: Value,
    events: Vec<Value>,
    bench: Box<dyn Fn() -> Workbench>,
}

impl fmt::Debug for Case {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Case")
            .field("definition", &self.definition)
            .field("input", &self.input)
            .finish_non_exhaustive()
    }
}

/// What goes wrong in one round, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Harm {
    Nothing,
    Crash {
        commit: u64,
        point: CrashPoint,
    },
    /// The process dies after the body and before its record.
    Repeat {
        call: u64,
    },
    Fail {
        call: u64,
    },
    /// Everything, by chance.
    Storm {
        seed: u64,
    },
}

/// What a round came to.
struct Round {
    history: History,
    commits: u64,
    calls: u64,
}

impl Case {
    /// Takes a definition, its input, and what makes a fresh bench for each round.
    #[must_use]
    pub fn new(
        definition: impl Into<String>,
        input: Value,
        bench: impl Fn() -> Workbench + 'static,
    ) -> Self {
        Self {
            definition: definition.into(),
            input,
            events: Vec::new(),
            bench: Box::new(bench),
        }
    }

    /// Adds a `CloudEvent` that is offered until the execution has listened for it.
    #[must_use]
    pub fn with_event(mut self, event: Value) -> Self {
        self.events.push(event);
        self
    }

    /// Crashes the process at each commit, before the acknowledgement in one round and
    /// after it in another. Gives the number of rounds.
    ///
    /// # Panics
    /// When the execution then ends in another way than without a crash.
    #[expect(clippy::must_use_candidate, reason = "the work is in the call")]
    pub fn crash_after_each_commit(&self) -> u64 {
        let undisturbed = self.round(Harm::Nothing);
        let mut rounds = 0;
        for commit in 1..=undisturbed.commits {
            for point in [
                CrashPoint::Before,
                CrashPoint::BeforeAnswer,
                CrashPoint::AfterAnswer,
            ] {
                let harm = Harm::Crash { commit, point };
                same_end(&undisturbed.history, &self.round(harm).history, harm);
                rounds += 1;
            }
        }
        rounds
    }

    /// Does each task's effect twice: the process crashes after the body and before
    /// the record. Gives the number of rounds.
    ///
    /// # Panics
    /// When the execution then ends in another way than without a crash, as it does
    /// when a function is not idempotent.
    #[expect(clippy::must_use_candidate, reason = "the work is in the call")]
    pub fn each_task_twice(&self) -> u64 {
        let undisturbed = self.round(Harm::Nothing);
        for call in 1..=undisturbed.calls {
            let harm = Harm::Repeat { call };
            same_end(&undisturbed.history, &self.round(harm).history, harm);
        }
        undisturbed.calls
    }

    /// Fails each call once. Gives how each round ended: completed where the
    /// definition copes with it, else faulted.
    ///
    /// # Panics
    /// When the execution then does not end.
    #[expect(clippy::must_use_candidate, reason = "the work is in the call")]
    pub fn fail_each_task(&self) -> Vec<History> {
        let undisturbed = self.round(Harm::Nothing);
        (1..=undisturbed.calls)
            .map(|call| self.round(Harm::Fail { call }).history)
            .collect()
    }

    /// Executes once for each seed while the process crashes and calls of the store fail,
    /// lose their answers, take their time and are made twice, by chance.
    ///
    /// # Panics
    /// When the execution then ends in another way than without faults. The message
    /// has the seed: `survive([seed])` repeats it.
    pub fn survive(&self, seeds: impl IntoIterator<Item = u64>) {
        let undisturbed = self.round(Harm::Nothing);
        for seed in seeds {
            let harm = Harm::Storm { seed };
            same_end(&undisturbed.history, &self.round(harm).history, harm);
        }
    }

    fn round(&self, harm: Harm) -> Round {
        let bench = (self.bench)();
        let plan = Arc::new(Plan {
            harm,
            commits: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            lives: AtomicU64::new(0),
            random: Mutex::new(Random::new(match harm {
                Harm::Storm { seed } => seed,
                _ => 0,
            })),
        });
        let history = Stage::play(bench.start(), Time::SkipsToWork, async |stage| {
            self.execute(&bench, &stage, &plan).await
        });
        Round {
            history,
            commits: plan.commits.load(Ordering::Relaxed),
            calls: plan.calls.load(Ordering::Relaxed),
        }
    }

    async fn execute(&self, bench: &Workbench, stage: &Arc<Stage>, plan: &Arc<Plan>) -> History {
        let scope = scope();
        let mut process = Process::start(bench, stage, plan).await;
        let mut started: Option<ExecutionId> = None;
        let mut open = self.events.clone();
        for _ in 0..LOOKS_MAX {
            let look = async {
                match started {
                    None => started = self.start(&process.handle).await,
                    Some(id) => {
                        let wait = std::time::Duration::try_from(LOOK).unwrap_or_default();
                        let row = process.handle.wait(&scope, id, wait).await;
                        if row.is_ok_and(|row| row.status.is_ended()) {
                            return true;
                        }
                        offer(&process.handle, &mut open).await;
                    }
                }
                false
            };
            match process.gate.within(look).await {
                Some(true) => break,
                Some(false) => {}
                None => process = Process::start(bench, stage, plan).await,
            }
        }
        let Some(id) = started else {
            fail("the execution did not start");
        };
        // Read past all faults.
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&stage.clock);
        let store: Arc<dyn Store> = Arc::<MemoryStore>::clone(&stage.store);
        let ports = bench.ports(store, clock, &stage.under_way);
        let reader = Engine::start_without_worker(bench.options().clone(), ports)
            .expect("the options were good for the process");
        let history = history(&reader.handle(), &scope, id).await;
        if !history.row().status.is_ended() {
            fail(&format!("with {:?} it never ends\n{history}", plan.harm));
        }
        history
    }

    /// Starts the execution; nothing when the store does not answer.
    async fn start(&self, handle: &Handle) -> Option<ExecutionId> {
        let scope = scope();
        let deployed = match handle.deploy(&scope, &self.definition).await {
            Ok(deployed) => deployed,
            Err(DeployError::Engine(error)) if error.is_retryable() => return None,
            Err(error) => fail(&format!("the definition cannot be deployed: {error:?}")),
        };
        let workflow = &deployed.row.workflow;
        let request = StartRequest {
            input: self.input.clone(),
            idempotency_key: Some("case".to_owned()),
            ..StartRequest::of(&workflow.namespace, &workflow.name)
        };
        match handle.start(&scope, request).await {
            Ok(started) => Some(started.id),
            Err(error) if error.is_retryable() => None,
            Err(error) => fail(&format!("the execution cannot be started: {error:?}")),
        }
    }
}

/// Publishes what nobody has listened for yet.
async fn offer(handle: &Handle, open: &mut Vec<Value>) {
    for place in (0..open.len()).rev() {
        let heard = handle.publish(&scope(), &open[place]).await;
        if heard.is_ok_and(|listeners| 0 < listeners) {
            open.remove(place);
        }
    }
}

fn same_end(expected: &History, found: &History, harm: Harm) {
    let end = |history: &History| (history.row().status, history.output(), history.error());
    if end(expected) != end(found) {
        fail(&format!(
            "with {harm:?} it ends in another way\nundisturbed: {expected}\ndisturbed: {found}"
        ));
    }
}

/// One life of the process.
struct Process {
    gate: Arc<Gate>,
    handle: Handle,
    _engine: Engine,
}

impl Process {
    async fn start(bench: &Workbench, stage: &Arc<Stage>, plan: &Arc<Plan>) -> Self {
        let gate = Gate::new();
        let store: Arc<dyn Store> = Arc::new(FaultyStore {
            store: Arc::<MemoryStore>::clone(&stage.store),
            gate: Arc::clone(&gate),
            clock: Arc::<ManualClock>::clone(&stage.clock),
            weather: Arc::<Plan>::clone(plan),
        });
        let real = Arc::clone(&stage.clock);
        let clock: Arc<dyn Clock> = Arc::new(ProcessClock::new(real, Arc::clone(&gate)));
        let mut ports = bench.ports(store, clock, &stage.under_way);
        let life = plan.lives.fetch_add(1, Ordering::Relaxed);
        ports.entropy = Arc::new(SeededEntropy::new(life));
        let names: Vec<String> = ports.functions.names().map(str::to_owned).collect();
        for name in names {
            if let Some(function) = ports.functions.get(&name) {
                let disturbed = Disturbed {
                    function,
                    gate: Arc::clone(&gate),
                    plan: Arc::clone(plan),
                };
                ports.functions = ports.functions.with(name, disturbed);
            }
        }
        let engine = loop {
            // Its registration may be refused, and its process may die on the way.
            let options = plan.options(bench);
            match gate.within(Engine::start(options, ports.clone())).await {
                Some(Ok(engine)) => break engine,
                Some(Err(_)) => {}
                None => return Box::pin(Self::start(bench, stage, plan)).await,
            }
        };
        Self {
            gate,
            handle: engine.handle(),
            _engine: engine,
        }
    }
}

/// The harm of a round, as store and functions come to feel it.
#[derive(Debug)]
struct Plan {
    harm: Harm,
    commits: AtomicU64,
    calls: AtomicU64,
    lives: AtomicU64,
    random: Mutex<Random>,
}

impl Plan {
    fn options(&self, bench: &Workbench) -> Options {
        let options = bench.options().clone();
        match self.harm {
            // A worker whose call failed looks again at its next turn, which is to come
            // before long.
            Harm::Storm { .. } => Options {
                poll: LOOK,
                lease: LOOK.saturating_mul(5),
                ..options
            },
            _ => options,
        }
    }

    fn draw<T>(&self, draw: impl FnOnce(&mut Random, &Faults) -> T) -> Option<T> {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        let storm = matches!(self.harm, Harm::Storm { .. });
        storm.then(|| draw(&mut random, &STORM))
    }
}

impl Weather for Plan {
    fn fate(&self, method: &'static str) -> Fate {
        let number = if method == "journal_append" {
            self.commits.fetch_add(1, Ordering::Relaxed) + 1
        } else {
            0
        };
        match self.harm {
            Harm::Crash { commit, point } if commit == number => Fate::Crash(point),
            Harm::Storm { .. } => self
                .draw(|random, faults| faults.fate(random, method))
                .unwrap_or(Fate::Well),
            _ => Fate::Well,
        }
    }

    fn latency(&self) -> SignedDuration {
        self.draw(|random, faults| faults.latency(random))
            .unwrap_or_default()
    }
}

/// A function to which the harm of a round happens.
#[derive(Debug)]
struct Disturbed {
    function: Arc<dyn Function>,
    gate: Arc<Gate>,
    plan: Arc<Plan>,
}

#[async_trait]
impl Function for Disturbed {
    async fn call(&self, invocation: Invocation) -> Result<Value, Problem> {
        self.gate.pass().await;
        let number = self.plan.calls.fetch_add(1, Ordering::Relaxed) + 1;
        match self.plan.harm {
            Harm::Fail { call } if call == number => Err(Problem::new(
                ProblemKind::Communication,
                "the test fails this call",
            )),
            Harm::Repeat { call } if call == number => {
                drop(self.function.call(invocation).await);
                self.gate.set(Health::Dead);
                std::future::pending().await
            }
            _ => self.function.call(invocation).await,
        }
    }
}
