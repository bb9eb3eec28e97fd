//! Executions that wait, half for a time and half for an event.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use auterity_benches::counting::Counting;
use auterity_benches::work::{deploy, scope};
use auterity_benches::{Failure, memory};
use auterity_core::clock::{Clock, SystemClock};
use auterity_core::engine::{Engine, Handle, Options, Ports, StartRequest};
use auterity_core::functions::{Function, Functions, Invocation};
use auterity_core::interpreter::Problem;
use auterity_core::store::Store;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::Mutex;

/// Waits for a month after it has told that it began.
const SLEEPER: &str = "\
document: { dsl: '1.0.3', namespace: bench, name: sleeper, version: '1.0.0' }
do:
- began: { call: hit }
- sleep: { wait: P30D }
";
/// Waits for an event of its own after it has told that it began.
const LISTENER: &str = "\
document: { dsl: '1.0.3', namespace: bench, name: listener, version: '1.0.0' }
do:
- began: { call: hit }
- hear:
    listen:
      to:
        one:
          with: { type: bench.called }
          correlate:
            number: { from: .data.number, expect: '${ $workflow.input.number }' }
- ended: { call: late, with: { due: '${ .[0].sent }' } }
";
/// Tells how late it was after a short wait.
const PROMPT: &str = "\
document: { dsl: '1.0.3', namespace: bench, name: prompt, version: '1.0.0' }
do:
- sleep: { wait: { seconds: 10 } }
- ended: { call: late, with: { due: '${ $workflow.startedAt.epoch.milliseconds + 10000 }' } }
";

/// Starts of one call.
const STARTS: u32 = 500;
/// Executions with a short wait, and events, beside all that waits.
const PROBES: u32 = 200;
/// How long nothing is done while calls of the store are counted.
const IDLE: Duration = Duration::from_secs(20);
/// How long anything may take before the measurement is given up.
const PATIENCE: Duration = Duration::from_mins(30);

/// Counts its calls.
#[derive(Debug, Clone, Default)]
struct Hit(Arc<AtomicU32>);

#[async_trait]
impl Function for Hit {
    async fn call(&self, _: Invocation) -> Result<Value, Problem> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Value::Null)
    }
}

/// Notes how many milliseconds after its due time it was called.
#[derive(Debug, Clone, Default)]
struct Late(Arc<Mutex<Vec<i64>>>);

#[async_trait]
impl Function for Late {
    async fn call(&self, invocation: Invocation) -> Result<Value, Problem> {
        let due = invocation.arguments["due"].as_f64().unwrap_or_default();
        let now = SystemClock.now().as_millisecond();
        #[expect(clippy::cast_possible_truncation, reason = "milliseconds of today")]
        self.0.lock().await.push(now - due as i64);
        Ok(Value::Null)
    }
}

/// Measures one store with `count` waiting executions.
pub(crate) async fn play(store: impl Store, count: u32) -> Result<String, Failure> {
    let (hit, late) = (Hit::default(), Late::default());
    let store = Arc::new(Counting::new(store));
    let ports = Ports {
        functions: Functions::built_in()
            .with("hit", hit.clone())
            .with("late", late.clone()),
        ..Ports::new(Arc::clone(&store) as Arc<dyn Store>)
    };
    let engine = Engine::start(Options::default(), ports).await?;
    let handle = engine.handle();
    for definition in [SLEEPER, LISTENER, PROMPT] {
        deploy(&handle, &scope(1), definition).await?;
    }
    let early = fill(&handle, &hit, 0, (count / 50).max(STARTS)).await?;
    let before = memory::resident()?;
    let filled = fill(&handle, &hit, early.until, count).await?;
    let memory = memory::resident()?;

    let calls = store.calls();
    tokio::time::sleep(IDLE).await;
    let idle = per_second(store.calls() - calls, IDLE);

    let timers = timers(&handle, &late).await?;
    let events = events(&handle, &late, count).await?;
    let after = memory::resident()?;
    engine.stop(Duration::from_secs(5)).await?;
    Ok(format!(
        "{count} executions wait (began at {:.0}/s, from {} on); memory with {} of them {before:.0} MiB, \
         with all {memory:.0}, at the end {after:.0}; idle {idle:.2} calls of the store per second; \
         {PROBES} timers late by p50 {} ms, most {} ms; \
         {PROBES} events heard after p50 {} ms, most {} ms",
        filled.per_second, early.until, early.until, timers.0, timers.1, events.0, events.1,
    ))
}

/// How fast executions began.
struct Filled {
    until: u32,
    per_second: f64,
}

/// Starts executions until there are so many, and waits until all have begun to wait.
async fn fill(handle: &Handle, hit: &Hit, from: u32, until: u32) -> Result<Filled, Failure> {
    let began = Instant::now();
    for first in (from..until).step_by(STARTS as usize) {
        let numbers = first..until.min(first + STARTS);
        let requests = numbers.map(|number| {
            let name = if number % 2 == 0 {
                "sleeper"
            } else {
                "listener"
            };
            StartRequest {
                input: json!({ "number": number }),
                ..StartRequest::of("bench", name)
            }
        });
        for outcome in handle.start_many(&scope(1), requests.collect()).await? {
            outcome?;
        }
        if first % 50_000 == 0 {
            report(began, hit, until);
        }
    }
    while hit.0.load(Ordering::Relaxed) < until {
        if PATIENCE < began.elapsed() {
            let count = hit.0.load(Ordering::Relaxed);
            return Err(format!("only {count} of {until} executions began").into());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // What has just begun leaves memory after a moment.
    let per_second = per_second(u64::from(until - from), began.elapsed());
    tokio::time::sleep(Duration::from_secs(5)).await;
    Ok(Filled { until, per_second })
}

#[expect(clippy::print_stderr, reason = "a command line program")]
fn report(began: Instant, hit: &Hit, until: u32) {
    let count = hit.0.load(Ordering::Relaxed);
    eprintln!(
        "scale: {count} of {until} wait after {:.0} s",
        began.elapsed().as_secs_f64()
    );
}

/// Gives how late short timers fired beside all that waits.
async fn timers(handle: &Handle, late: &Late) -> Result<(i64, i64), Failure> {
    let requests = (0..PROBES).map(|_| StartRequest::of("bench", "prompt"));
    for outcome in handle.start_many(&scope(1), requests.collect()).await? {
        outcome?;
    }
    told(late).await
}

/// Gives how long after it was published an event was heard by the one that waits for it.
async fn events(handle: &Handle, late: &Late, count: u32) -> Result<(i64, i64), Failure> {
    let apart = (count / PROBES).max(2) & !1;
    for probe in 0..PROBES {
        let number = (probe * apart + 1) % count;
        let event = json!({
            "specversion": "1.0", "id": format!("bench-{probe}"), "source": "/bench",
            "type": "bench.called",
            "data": { "number": number, "sent": Timestamp::now().as_millisecond() },
        });
        let heard = handle.publish(&scope(1), &event).await?;
        if heard != 1 {
            return Err(format!("an event was for {heard} executions").into());
        }
    }
    told(late).await
}

/// Waits until all probes were late; gives the middle one and the last.
async fn told(late: &Late) -> Result<(i64, i64), Failure> {
    let began = Instant::now();
    loop {
        let mut told = late.0.lock().await;
        if told.len() == PROBES as usize {
            told.sort_unstable();
            let (middle, most) = (told[told.len() / 2], told[told.len() - 1]);
            told.clear();
            return Ok((middle, most));
        }
        let count = told.len();
        drop(told);
        if PATIENCE < began.elapsed() {
            return Err(format!("only {count} of {PROBES} probes came back").into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn per_second(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}
