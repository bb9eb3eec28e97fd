//! A worker process of a simulation.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::code;
use super::generate::{AHEAD, WORK};
use super::ledger::Ledger;
use crate::clock::{Clock, SeededEntropy};
use crate::engine::{DurableFunctions, Engine, Handle, Options, Ports};
use crate::functions::{Durability, Function, Functions, Invocation, Registration};
use crate::interpreter::{Problem, ProblemKind};
use crate::store::{Entry, Fence, Outcome, Store};
use crate::testing::Faults;
use crate::testing::faults::{Fate, FaultyStore, Gate, ProcessClock, Weather};
use crate::testing::random::Random;
use crate::testing::stage::Stage;
use crate::{Actor, Error, Scope};

/// What all processes of a simulation share.
#[derive(Debug)]
pub(super) struct World {
    pub(super) stage: Arc<Stage>,
    pub(super) scope: Scope,
    pub(super) ledger: Arc<Ledger>,
    pub(super) options: Options,
    /// Off once the faults are over.
    pub(super) faults: Mutex<Faults>,
}

/// One process: an engine with everything it stands on.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) gate: Arc<Gate>,
    pub(super) clock: Arc<ProcessClock>,
    pub(super) handle: Handle,
    pub(super) engine: Engine,
}

impl Process {
    /// Starts a process; nothing, when it dies on the way.
    pub(super) async fn start(world: &Arc<World>, name: &str, random: Random) -> Option<Self> {
        let gate = Gate::new();
        let real = Arc::clone(&world.stage.clock);
        let clock = Arc::new(ProcessClock::new(Arc::clone(&real), Arc::clone(&gate)));
        let sky = Arc::new(Sky {
            world: Arc::clone(world),
            random: Mutex::new(random.fork(1)),
        });
        let store: Arc<dyn Store> = Arc::new(FaultyStore {
            store: Arc::<crate::store::MemoryStore>::clone(&world.stage.store),
            gate: Arc::clone(&gate),
            clock: real,
            weather: Arc::<Sky>::clone(&sky),
        });
        let work = |stream| {
            Arc::new(Work {
                gate: Arc::clone(&gate),
                clock: Arc::clone(&clock),
                ledger: Arc::clone(&world.ledger),
                random: Mutex::new(random.fork(stream)),
            })
        };
        let ahead = Registration::new(AHEAD, work(4)).durability(Durability::Pipelined);
        let ports = Ports {
            clock: Arc::<ProcessClock>::clone(&clock),
            entropy: Arc::new(SeededEntropy::new(random.fork(3).next())),
            durable: DurableFunctions::none().with(code::function(work(5))),
            functions: Functions::none().with(WORK, work(2)).register(ahead),
            ..Ports::new(store)
        };
        let options = Options {
            worker_name: name.to_owned(),
            ..world.options.clone()
        };
        loop {
            let started = Engine::start(options.clone(), ports.clone());
            match gate.within(started).await? {
                Ok(engine) => {
                    return Some(Self {
                        gate,
                        clock,
                        handle: engine.handle(),
                        engine,
                    });
                }
                Err(error) => pause(&*world.stage.clock, &error).await,
            }
        }
    }
}

async fn pause(clock: &dyn Clock, error: &Error) {
    tracing::debug!(error = %error, "the process does not start yet");
    clock
        .sleep_until(clock.now() + SignedDuration::from_millis(50))
        .await;
}

/// The faults of one process's way to the store.
#[derive(Debug)]
struct Sky {
    world: Arc<World>,
    random: Mutex<Random>,
}

impl Sky {
    fn draw<T>(&self, draw: impl FnOnce(&mut Random, &Faults) -> T) -> T {
        let faults = self.world.faults.lock();
        let faults = faults.unwrap_or_else(PoisonError::into_inner).clone();
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        draw(&mut random, &faults)
    }
}

impl Weather for Sky {
    fn fate(&self, method: &'static str) -> Fate {
        self.draw(|random, faults| faults.fate(random, method))
    }

    fn latency(&self) -> SignedDuration {
        self.draw(|random, faults| faults.latency(random))
    }

    fn committed(&self, fence: Option<&Fence>, entries: &[Entry], outcomes: &[Outcome]) {
        self.world.ledger.committed(fence, entries, outcomes);
    }
}

/// The functions of the generated definitions: its result depends on the arguments only,
/// and it takes its time.
#[derive(Debug)]
pub(super) struct Work {
    gate: Arc<Gate>,
    clock: Arc<ProcessClock>,
    ledger: Arc<Ledger>,
    random: Mutex<Random>,
}

#[async_trait]
impl Function for Work {
    async fn call(&self, invocation: Invocation) -> Result<Value, Problem> {
        let Invocation {
            scope,
            key,
            arguments,
            ..
        } = invocation;
        self.done(&scope, &key, &arguments).await
    }
}

impl Work {
    /// Does it: for a call, or for a step of the durable function.
    pub(super) async fn done(
        &self,
        scope: &Scope,
        key: &str,
        arguments: &Value,
    ) -> Result<Value, Problem> {
        self.gate.pass().await;
        if let Actor::Engine(life) = scope.actor() {
            self.ledger.body(key, *life);
        }
        let millis = {
            let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
            let longest = *random.pick(&[0, 5, 300, 2_500]);
            random.below(longest + 1)
        };
        let until =
            self.clock.now() + SignedDuration::from_millis(i64::try_from(millis).unwrap_or(0));
        self.clock.sleep_until(until).await;
        self.gate.pass().await;
        if arguments["fails"] == json!(true) {
            return Err(Problem::new(ProblemKind::Communication, "it fails always"));
        }
        Ok(json!({ "n": digest(arguments) }))
    }
}

/// A number that depends on every part of a value (FNV-1a, kept small).
fn digest(value: &Value) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in value.to_string().bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash % 1_000_000
}
