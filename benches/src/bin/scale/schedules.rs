//! A small tenant alone, then beside a crowd of schedules that became due while no
//! worker was there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use auterity_benches::load::{Load, Window, closed_loop};
use auterity_benches::work::{deploy, execute, scope};
use auterity_benches::{Failure, memory};
use auterity_core::clock::{Clock, ManualClock, SystemClock};
use auterity_core::engine::{Engine, Handle, Options, Ports, StartRequest};
use auterity_core::functions::{Function, Functions, Invocation};
use auterity_core::interpreter::Problem;
use auterity_core::schedule::{Policy, Spec, Timing};
use auterity_core::store::Store;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::task::JoinSet;

const SMALL: &str = "\
document: { dsl: '1.0.3', namespace: bench, name: small, version: '1.0.0' }
do:
- first: { call: echo, with: { number: '${ .number }' } }
- second: { call: echo, with: { number: '${ .number }' } }
";
const TICK: &str = "\
document: { dsl: '1.0.3', namespace: bench, name: tick, version: '1.0.0' }
do:
- hit: { call: hit }
";

/// How long anything may take before the measurement is given up.
const PATIENCE: Duration = Duration::from_mins(8);
/// Schedules that are made at once.
const MAKERS: usize = 32;
/// Tenants that share the schedules.
const TENANTS: u32 = 60;
/// Executions that the small tenant keeps in flight.
const IN_FLIGHT: usize = 4;

/// Counts its calls: each is one execution of the crowd.
#[derive(Debug, Clone, Default)]
struct Hit(Arc<AtomicU32>);

#[async_trait]
impl Function for Hit {
    async fn call(&self, _: Invocation) -> Result<Value, Problem> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Value::Null)
    }
}

/// Measures both.
pub(crate) async fn play(
    store: impl Store,
    schedules: u32,
    window: Window,
) -> Result<String, Failure> {
    let store: Arc<dyn Store> = Arc::new(store);
    let hit = Hit::default();
    let ports = || Ports {
        functions: Functions::built_in().with("hit", hit.clone()),
        ..Ports::new(Arc::clone(&store))
    };
    let engine = Engine::start(options(), ports()).await?;
    deploy(&engine.handle(), &scope(0), SMALL).await?;
    let alone = small(&engine.handle(), window).await?;
    engine.stop(Duration::from_secs(5)).await?;

    let began = Instant::now();
    // Its time stands still, so that none of them is due before all are made.
    let standing = SystemClock.now();
    let due = standing + SignedDuration::from_secs(1);
    let maker = Ports {
        clock: Arc::new(ManualClock::new(standing)),
        ..ports()
    };
    let maker = Engine::start_without_worker(options(), maker)?;
    make(&maker.handle(), due, schedules).await?;
    let made_in = began.elapsed();
    maker.stop(Duration::from_secs(5)).await?;
    SystemClock.sleep_until(due).await;

    let memory_before = memory::resident()?;
    let began = Instant::now();
    let engine = Engine::start(options(), ports()).await?;
    let handle = engine.handle();
    let (ended, beside) = tokio::join!(
        watched(began, hit.clone(), schedules),
        small(&handle, window),
    );
    let ((ended_in, memory_most), beside) = (ended?, beside?);
    engine.stop(Duration::from_secs(5)).await?;
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    Ok(format!(
        "{schedules} schedules made in {:.1} s; all executions ended {:.1} s after the worker \
         began ({:.0}/s); memory {memory_before:.0} -> at most {memory_most:.0} MiB; small tenant \
         p50 {:.1} -> {:.1} ms, p99 {:.1} -> {:.1} ms, {:.0} -> {:.0}/s",
        made_in.as_secs_f64(),
        ended_in.as_secs_f64(),
        f64::from(schedules) / ended_in.as_secs_f64(),
        ms(alone.p50),
        ms(beside.p50),
        ms(alone.p99),
        ms(beside.p99),
        alone.per_second,
        beside.per_second,
    ))
}

fn options() -> Options {
    Options {
        worker_name: "bench".to_owned(),
        schedules_max: u32::MAX,
        ..Options::default()
    }
}

/// Makes the schedules, all for the same time.
async fn make(handle: &Handle, due: Timestamp, schedules: u32) -> Result<(), Failure> {
    for tenant in 1..=TENANTS {
        deploy(handle, &scope(tenant), TICK).await?;
    }
    let next = Arc::new(AtomicU32::new(0));
    let mut makers = JoinSet::new();
    for _ in 0..MAKERS {
        let (handle, next) = (handle.clone(), Arc::clone(&next));
        makers.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if schedules <= number {
                    return Ok::<_, auterity_core::Error>(());
                }
                let scope = scope(1 + number % TENANTS);
                let name = format!("crowd {number}");
                let made = handle.schedule_create(&scope, &name, spec(due), None);
                made.await?;
            }
        });
    }
    while let Some(made) = makers.join_next().await {
        made??;
    }
    Ok(())
}

fn spec(due: Timestamp) -> Spec {
    Spec {
        namespace: "bench".to_owned(),
        workflow: "tick".to_owned(),
        version: None,
        input: None,
        priority: 0,
        timing: Timing::Every(SignedDuration::from_hours(24)),
        policy: Policy {
            starts_at: Some(due),
            ..Policy::default()
        },
    }
}

/// Waits for the last execution of the crowd; gives when that was, and the most memory
/// until then.
async fn watched(began: Instant, hit: Hit, expected: u32) -> Result<(Duration, f64), Failure> {
    let mut most = 0.0_f64;
    while hit.0.load(Ordering::Relaxed) < expected {
        if PATIENCE < began.elapsed() {
            let count = hit.0.load(Ordering::Relaxed);
            return Err(format!("only {count} of {expected} executions came").into());
        }
        most = most.max(memory::resident()?);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok((began.elapsed(), most))
}

async fn small(handle: &Handle, window: Window) -> Result<Load, Failure> {
    let handle = handle.clone();
    let work = move |number: u64| {
        let handle = handle.clone();
        async move {
            let request = StartRequest {
                input: json!({ "number": number }),
                ..StartRequest::of("bench", "small")
            };
            execute(&handle, &scope(0), request, PATIENCE).await?;
            Ok(())
        }
    };
    closed_loop(IN_FLIGHT, window, work).await
}
