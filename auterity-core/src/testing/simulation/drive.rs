//! Starts, disturbs, waits, compares.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::generate::{Generated, NAMESPACE, generate, generate_code};
use super::ledger::Ledger;
use super::process::{Process, World};
use super::{Report, check};
use crate::ExecutionId;
use crate::clock::Clock;
use crate::engine::{Engine, Options, Ports, StartRequest};
use crate::store::{MemoryStore, Status};
use crate::testing::bench::{history, scope};
use crate::testing::faults::Health;
use crate::testing::random::Random;
use crate::testing::stage::Stage;
use crate::testing::{Faults, History};

/// How often the driver looks.
const LOOK: SignedDuration = SignedDuration::from_millis(200);
/// Looks after the faults until every execution must have ended: an hour.
const LOOKS_MAX: u32 = 18_000;
/// How long an answer of a process may take.
const PATIENCE: SignedDuration = SignedDuration::from_secs(2);
/// Workflows that are children of others.
const CHILDREN: usize = 2;

/// What is executed.
#[derive(Debug)]
pub(super) struct Plan {
    definitions: Vec<Generated>,
    /// The definition of each execution.
    executions: Vec<usize>,
}

impl Plan {
    pub(super) fn generate(random: &mut Random, executions: usize) -> Self {
        let mut definitions = Vec::new();
        let mut names = Vec::new();
        for number in 0..CHILDREN {
            let name = format!("child-{number}");
            let mut child = generate(random, name.clone(), &[]);
            while !child.events.is_empty() {
                // Nobody could tell which child waits for which event.
                child = generate(random, name.clone(), &[]);
            }
            definitions.push(child);
            names.push(name);
        }
        let roots = executions.div_ceil(2).max(1);
        for number in 0..roots {
            let root = if random.chance(300) {
                generate_code(random, &names)
            } else {
                generate(random, format!("root-{number}"), &names)
            };
            definitions.push(root);
        }
        let children_differ = definitions.iter().take(CHILDREN).any(|one| !one.comparable);
        for one in definitions.iter_mut().skip(CHILDREN) {
            one.comparable &= !children_differ;
        }
        let executions = (0..executions).map(|number| CHILDREN + number % roots);
        Self {
            executions: executions.collect(),
            definitions,
        }
    }

    fn definition(&self, execution: usize) -> &Generated {
        &self.definitions[self.executions[execution]]
    }

    fn text(&self, name: &str) -> Option<&str> {
        let found = self.definitions.iter().find(|one| one.name == name);
        found.map(|one| one.text.as_str())
    }
}

/// How a simulation went.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) report: Report,
    /// Each execution's status and output.
    ends: Vec<(Status, Value)>,
}

/// One execution as the driver knows it.
#[derive(Debug, Default)]
struct Known {
    id: Option<ExecutionId>,
    /// The events that it is known to have heard.
    heard: BTreeSet<String>,
    cancelled: bool,
    ended: bool,
}

pub(super) struct Driver {
    world: Arc<World>,
    random: Random,
    processes: Vec<Option<Process>>,
    /// Engines of processes that died: ended with the simulation, as nothing of them
    /// can be heard any more.
    graves: Vec<Process>,
    lives: u64,
    known: Vec<Known>,
    report: Report,
}

impl Driver {
    pub(super) fn new(stage: Arc<Stage>, options: Options, random: Random) -> Self {
        Self {
            world: Arc::new(World {
                stage,
                scope: scope(),
                ledger: Arc::new(Ledger::default()),
                options,
                faults: Mutex::new(Faults::none()),
            }),
            random,
            processes: Vec::new(),
            graves: Vec::new(),
            lives: 0,
            known: Vec::new(),
            report: Report::default(),
        }
    }

    pub(super) async fn execute(
        &mut self,
        plan: &Plan,
        workers: usize,
        faults: Faults,
        expected: Option<&Outcome>,
    ) -> Result<Outcome, Vec<String>> {
        self.known
            .resize_with(plan.executions.len(), Known::default);
        for worker in 0..workers {
            self.processes.push(None);
            self.revive(worker).await;
        }
        self.deploy(plan).await?;
        let disturbances = faults.disturbances;
        self.set_faults(faults);
        for _ in 0..disturbances {
            self.advance(plan).await;
            self.disturb().await;
        }
        self.set_faults(Faults::none());
        self.calm();
        let mut looks = 0;
        while !self.all_ended() && looks < LOOKS_MAX {
            self.advance(plan).await;
            looks += 1;
        }
        self.verify(plan, expected).await
    }

    fn set_faults(&self, faults: Faults) {
        let mut now = self
            .world
            .faults
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *now = faults;
    }

    /// Starts a process in the place of one that is gone.
    async fn revive(&mut self, worker: usize) {
        let died = |process: &Process| process.gate.health() == Health::Dead;
        if !self.processes[worker].as_ref().is_none_or(died) {
            return;
        }
        if let Some(process) = self.processes[worker].take() {
            self.report.crashes += 1;
            self.graves.push(process);
        }
        self.lives += 1;
        // Sometimes under another name: then only the lease's end frees its work.
        let name = if self.random.chance(300) {
            format!("worker-{worker}-{}", self.lives)
        } else {
            format!("worker-{worker}")
        };
        let random = self.random.fork(self.lives);
        self.processes[worker] = Process::start(&self.world, &name, random).await;
    }

    async fn deploy(&self, plan: &Plan) -> Result<(), Vec<String>> {
        let Some(process) = self.processes.iter().flatten().next() else {
            return Err(vec!["no process started".to_owned()]);
        };
        for one in &plan.definitions {
            if let Err(error) = process.handle.deploy(&self.world.scope, &one.text).await {
                return Err(vec![format!("{error:?}\n{}", one.text)]);
            }
        }
        Ok(())
    }

    /// Lets a little time pass, and does what the executions wait for from outside.
    async fn advance(&mut self, plan: &Plan) {
        let clock = Arc::clone(&self.world.stage.clock);
        clock.sleep_until(clock.now() + LOOK).await;
        for worker in 0..self.processes.len() {
            self.revive(worker).await;
        }
        for number in 0..self.known.len() {
            self.attend(plan, number).await;
        }
    }

    /// Starts an execution, or sends it the events that it may wait for, lets it
    /// go on if it is suspended and looks whether it has ended.
    async fn attend(&mut self, plan: &Plan, number: usize) {
        let generated = plan.definition(number);
        let place = self.random.below(self.processes.len() as u64);
        let place = usize::try_from(place).unwrap_or(0);
        let process = self.processes[place].as_ref();
        let Some(process) = process.filter(|one| one.gate.health() == Health::Well) else {
            return;
        };
        let known = &mut self.known[number];
        if known.ended {
            return;
        }
        let Some(id) = known.id else {
            let request = StartRequest {
                input: generated.input.clone(),
                idempotency_key: Some(format!("execution-{number}")),
                ..StartRequest::of(NAMESPACE, &generated.name)
            };
            let started = process.handle.start(&self.world.scope, request);
            if let Some(Ok(started)) = self.world.ask(process, started).await {
                known.id = Some(started.id);
            }
            return;
        };
        for kind in &generated.events {
            if known.heard.contains(kind) {
                continue;
            }
            let event = json!({
                "specversion": "1.0", "type": kind, "id": format!("{id}-{kind}"),
                "source": "https://example.com/driver", "subject": id.to_string(),
                "data": { "of": kind },
            });
            let published = process.handle.publish(&self.world.scope, &event);
            if let Some(Ok(1..)) = self.world.ask(process, published).await {
                known.heard.insert(kind.clone());
            }
        }
        let fetched = process.handle.wait(&self.world.scope, id, Duration::ZERO);
        if let Some(Ok(row)) = self.world.ask(process, fetched).await {
            known.ended = row.status.is_ended();
            if row.status == Status::Suspended {
                let resumed = process.handle.resume(&self.world.scope, id, None);
                drop(self.world.ask(process, resumed).await);
            }
        }
    }

    /// Does one thing to the processes or to an execution.
    async fn disturb(&mut self) {
        let place = usize::try_from(self.random.below(self.processes.len() as u64));
        let place = place.unwrap_or(0);
        let Some(process) = self.processes[place].as_ref() else {
            return;
        };
        match self.random.below(8) {
            0 | 1 => process.gate.set(Health::Dead),
            2 | 3 => {
                self.report.freezes += 1;
                process.gate.set(Health::Frozen);
            }
            4 => process.gate.set(Health::Well),
            5 => {
                let longest = *self.random.pick(&[2_000, 600_000]);
                let millis = self.random.below(2 * longest);
                let millis = i64::try_from(millis).unwrap_or(0);
                let by = SignedDuration::from_millis(millis);
                let by = by - SignedDuration::from_millis(i64::try_from(longest).unwrap_or(0));
                process.clock.ahead.set(by);
            }
            6 => self.restart(place).await,
            _ => self.interfere(place).await,
        }
        let pause = self.random.below(2_500);
        let clock = Arc::clone(&self.world.stage.clock);
        let pause = SignedDuration::from_millis(i64::try_from(pause).unwrap_or(0));
        clock.sleep_until(clock.now() + pause).await;
    }

    /// Stops a process in order and starts it again.
    async fn restart(&mut self, place: usize) {
        let well = |process: &Process| process.gate.health() == Health::Well;
        if !self.processes[place].as_ref().is_some_and(well) {
            return;
        }
        if let Some(process) = self.processes[place].take() {
            let stopping = process.engine.stop(Duration::from_millis(300));
            if let Some(Err(error)) = process.gate.within(stopping).await {
                tracing::debug!(error = %error, "the lease was not given back");
            }
        }
        self.revive(place).await;
    }

    /// Cancels an execution, or suspends it, or leaves it alone.
    async fn interfere(&mut self, place: usize) {
        let number = usize::try_from(self.random.below(2 * self.known.len() as u64));
        let suspends = self.random.chance(600);
        let known = number.ok().and_then(|number| self.known.get_mut(number));
        let process = self.processes[place].as_ref();
        if let (Some(known), Some(process)) = (known, process)
            && let Some(id) = known.id
            && process.gate.health() == Health::Well
        {
            if suspends {
                let suspended = process.handle.suspend(&self.world.scope, id, None);
                drop(self.world.ask(process, suspended).await);
                return;
            }
            // The answer may be lost, and the execution cancelled all the same.
            known.cancelled = true;
            let cancelled = process.handle.cancel(&self.world.scope, id, None);
            drop(self.world.ask(process, cancelled).await);
        }
    }

    /// Ends what disturbs from outside.
    fn calm(&self) {
        for process in self.processes.iter().flatten() {
            process.gate.set(Health::Well);
            process.clock.ahead.set(SignedDuration::ZERO);
        }
    }

    fn all_ended(&self) -> bool {
        self.known.iter().all(|known| known.ended) && {
            let ledger = self.world.ledger.lock();
            ledger.started.len() == ledger.ends.len()
        }
    }

    async fn verify(
        &mut self,
        plan: &Plan,
        expected: Option<&Outcome>,
    ) -> Result<Outcome, Vec<String>> {
        let mut problems = Vec::new();
        let mut ends = Vec::new();
        for (number, known) in self.known.iter().enumerate() {
            let Some(id) = known.id else {
                problems.push(format!("execution {number} could not be started"));
                continue;
            };
            let history = self.history(id).await;
            let end = (history.row().status, history.output());
            let wanted = expected.and_then(|outcome| outcome.ends.get(number));
            let comparable = plan.definition(number).comparable && !known.cancelled;
            if wanted.is_some_and(|wanted| comparable && *wanted != end) {
                let wanted = wanted.map_or(&Value::Null, |(_, output)| output);
                problems.push(format!("{wanted} was to come out of\n{history}"));
            }
            ends.push(end);
        }
        let started: Vec<ExecutionId> = {
            let ledger = self.world.ledger.lock();
            problems.extend(ledger.violations.iter().cloned());
            ledger.started.iter().copied().collect()
        };
        for id in started {
            let history = self.history(id).await;
            if let Err(problem) = self.check(plan, &history) {
                let text = plan.text(&history.row().workflow.name).unwrap_or_default();
                problems.push(format!("{problem}: {history}{text}"));
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Outcome {
            report: self.report(),
            ends,
        })
    }

    /// Reads a history past all faults.
    async fn history(&self, id: ExecutionId) -> History {
        let ports = Ports::new(Arc::<MemoryStore>::clone(&self.world.stage.store));
        let engine = Engine::start_without_worker(self.world.options.clone(), ports)
            .expect("the options were good for the workers");
        history(&engine.handle(), &self.world.scope, id).await
    }

    fn check(&self, plan: &Plan, history: &History) -> Result<(), String> {
        let row = history.row();
        let ledger = self.world.ledger.lock();
        let times = ledger.ends.get(&row.id).copied().unwrap_or(0);
        if times == 0 {
            return Err("it waits for ever".to_owned());
        }
        if times != 1 {
            return Err(format!("it ended {times} times"));
        }
        let text = plan.text(&row.workflow.name).unwrap_or_default();
        check::journal(history, text, &self.world.options, &ledger)
    }

    fn report(&self) -> Report {
        let ledger = self.world.ledger.lock();
        let bodies: usize = ledger.bodies.values().map(Vec::len).sum();
        Report {
            executions: ledger.ends.len(),
            commits: ledger.commits,
            bodies,
            repeated: bodies - ledger.bodies.len(),
            ..self.report.clone()
        }
    }
}

impl World {
    /// Asks something of a process; gives nothing if it dies or takes too long.
    async fn ask<T>(&self, process: &Process, answer: impl Future<Output = T>) -> Option<T> {
        let clock = &self.stage.clock;
        tokio::select! {
            biased;
            () = process.gate.died() => None,
            answer = answer => Some(answer),
            () = clock.sleep_until(clock.now() + PATIENCE) => None,
        }
    }
}
