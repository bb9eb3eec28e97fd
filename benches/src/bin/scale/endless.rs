//! A loop of many iterations, and one execution with a long history.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use auterity_benches::work::{deploy, execute, scope};
use auterity_benches::{Failure, memory};
use auterity_core::engine::{Engine, Options, Ports, StartRequest};
use auterity_core::functions::{Durability, Function, Functions, Invocation, Registration};
use auterity_core::interpreter::{Limits, Problem};
use auterity_core::store::Store;
use serde_json::{Value, json};

/// One task per iteration; each is committed before the next begins.
const LOOP: &str = "\
document: { dsl: '1.0.3', namespace: bench, name: loop, version: '1.0.0' }
do:
- each:
    for: { each: number, in: '${ [range(.count)] }' }
    do:
    - one: { call: strict, with: { number: '${ $number }' } }
";
/// Jumps back until it has gone round often enough; its calls may run ahead.
const ROUND: &str = "\
document: { dsl: '1.0.3', namespace: bench, name: round, version: '1.0.0' }
do:
- begin: { set: { number: 0, count: '${ .count }' } }
- one: { call: pure, with: { number: '${ .number }' }, output: { as: '${ $input }' } }
- next: { set: { number: '${ .number + 1 }', count: '${ .count }' } }
- again:
    switch:
    - more: { when: '${ .number < .count }', then: one }
    - done: { then: end }
";

/// How long an execution may take before the measurement is given up.
const PATIENCE: Duration = Duration::from_mins(30);

/// Notes when it is called and how much memory there is then.
#[derive(Debug, Clone, Default)]
struct Watch(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    calls: Vec<Instant>,
    memory_early: f64,
    memory_most: f64,
}

#[async_trait]
impl Function for Watch {
    async fn call(&self, _: Invocation) -> Result<Value, Problem> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.calls.push(Instant::now());
        let count = seen.calls.len();
        if count.is_multiple_of(1_000) {
            let memory = memory::resident().unwrap_or_default();
            seen.memory_most = seen.memory_most.max(memory);
            if count <= 2_000 {
                seen.memory_early = memory;
            }
        }
        Ok(Value::Null)
    }
}

/// Measures one store.
pub(crate) async fn play(
    store: impl Store,
    iterations: u32,
    events: u32,
) -> Result<String, Failure> {
    let store: Arc<dyn Store> = Arc::new(store);
    let looped = one(&store, LOOP, "loop", iterations).await?;
    let round = one(&store, ROUND, "round", events).await?;
    Ok(format!(
        "loop of {iterations}: {looped}; history of {events} events: {round}"
    ))
}

async fn one(
    store: &Arc<dyn Store>,
    definition: &str,
    name: &str,
    count: u32,
) -> Result<String, Failure> {
    let watch = Watch::default();
    let pure = Registration::new("pure", watch.clone()).durability(Durability::Pipelined);
    let ports = Ports {
        functions: Functions::none()
            .with("strict", watch.clone())
            .register(pure),
        ..Ports::new(Arc::clone(store))
    };
    let options = Options {
        execution: Limits {
            activations_max: 10_000_000,
            ..Limits::default()
        },
        ..Options::default()
    };
    let engine = Engine::start(options, ports).await?;
    let handle = engine.handle();
    deploy(&handle, &scope(1), definition).await?;
    let request = StartRequest {
        input: json!({ "count": count }),
        ..StartRequest::of("bench", name)
    };
    execute(&handle, &scope(1), request, PATIENCE).await?;
    engine.stop(Duration::from_secs(5)).await?;
    let seen = watch.0.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(text(&seen))
}

/// Says what the first and the last tenth cost per task, and the memory at both ends.
fn text(seen: &Seen) -> String {
    let calls = &seen.calls;
    let tenth = (calls.len() / 10).max(2);
    let each = |calls: &[Instant]| {
        let time = calls[calls.len() - 1] - calls[0];
        let count = u32::try_from(calls.len() - 1).unwrap_or(u32::MAX);
        (time / count).as_secs_f64() * 1_000_000.0
    };
    let (first, last) = (each(&calls[..tenth]), each(&calls[calls.len() - tenth..]));
    format!(
        "{} calls, {first:.0} us each in the first tenth, {last:.0} us in the last; memory {:.0} MiB \
         early, {:.0} MiB at most",
        calls.len(),
        seen.memory_early,
        seen.memory_most
    )
}
