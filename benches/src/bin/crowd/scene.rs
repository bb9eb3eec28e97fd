//! A small tenant alone, then beside a crowd of schedules that became due while no
//! worker was there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use auterity_core::clock::{Clock, ManualClock, SystemClock};
use auterity_core::engine::{Engine, Handle, Options, Ports, StartRequest};
use auterity_core::functions::{Function, Functions, Invocation};
use auterity_core::interpreter::Problem;
use auterity_core::schedule::{Policy, Spec, Timing};
use auterity_core::store::{Status, Store};
use auterity_core::{Actor, Scope, TenantId};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::Failure;
use crate::load::{Load, Window, closed_loop};
use crate::memory;

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

/// How much there is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) tenants: u32,
    pub(crate) schedules: u32,
    pub(crate) in_flight: usize,
}

/// What was measured.
#[derive(Debug)]
pub(crate) struct Crowd {
    pub(crate) schedules: u32,
    pub(crate) made_in: Duration,
    /// From the worker's beginning to the end of the last execution.
    pub(crate) ended_in: Duration,
    /// In MiB, before the worker began, and the most after that.
    pub(crate) memory_before: f64,
    pub(crate) memory_most: f64,
    pub(crate) alone: Load,
    pub(crate) beside: Load,
}

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
    store: Arc<dyn Store>,
    size: Size,
    window: Window,
) -> Result<Crowd, Failure> {
    let hit = Hit::default();
    let ports = || Ports {
        functions: Functions::built_in().with("hit", hit.clone()),
        ..Ports::new(Arc::clone(&store))
    };
    let engine = Engine::start(options(), ports()).await?;
    deploy(&engine.handle(), &scope(0), SMALL).await?;
    let alone = small(&engine.handle(), size.in_flight, window).await?;
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
    make(&maker.handle(), due, size).await?;
    let made_in = began.elapsed();
    maker.stop(Duration::from_secs(5)).await?;
    SystemClock.sleep_until(due).await;

    let memory_before = memory::resident()?;
    let began = Instant::now();
    let engine = Engine::start(options(), ports()).await?;
    let handle = engine.handle();
    let (ended, beside) = tokio::join!(
        watched(began, hit.clone(), size.schedules),
        small(&handle, size.in_flight, window),
    );
    let ((ended_in, memory_most), beside) = (ended?, beside?);
    engine.stop(Duration::from_secs(5)).await?;
    Ok(Crowd {
        schedules: size.schedules,
        made_in,
        ended_in,
        memory_before,
        memory_most,
        alone,
        beside,
    })
}

fn options() -> Options {
    Options {
        worker_name: "bench".to_owned(),
        schedules_max: u32::MAX,
        ..Options::default()
    }
}

fn scope(number: u32) -> Scope {
    let tenant = TenantId::from_uuid(Uuid::from_u128(u128::from(number)));
    Scope::new(tenant, Actor::Host)
}

async fn deploy(handle: &Handle, scope: &Scope, text: &str) -> Result<(), Failure> {
    let deployed = handle.deploy(scope, text).await;
    deployed
        .map(|_| ())
        .map_err(|error| error.to_string().into())
}

/// Makes the schedules, all for the same time.
async fn make(handle: &Handle, due: Timestamp, size: Size) -> Result<(), Failure> {
    for tenant in 1..=size.tenants {
        deploy(handle, &scope(tenant), TICK).await?;
    }
    let next = Arc::new(AtomicU32::new(0));
    let mut makers = JoinSet::new();
    for _ in 0..MAKERS {
        let (handle, next) = (handle.clone(), Arc::clone(&next));
        makers.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if size.schedules <= number {
                    return Ok::<_, auterity_core::Error>(());
                }
                let scope = scope(1 + number % size.tenants);
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

async fn small(handle: &Handle, in_flight: usize, window: Window) -> Result<Load, Failure> {
    let handle = handle.clone();
    let work = move |number| execute(handle.clone(), number);
    closed_loop(in_flight, window, work).await
}

async fn execute(handle: Handle, number: u64) -> Result<(), Failure> {
    let scope = scope(0);
    let request = StartRequest {
        input: json!({ "number": number }),
        ..StartRequest::of("bench", "small")
    };
    let started = handle.start(&scope, request).await?;
    let row = handle.wait(&scope, started.id, PATIENCE).await?;
    if row.status != Status::Completed {
        return Err(format!("an execution ended as {:?}", row.status).into());
    }
    Ok(())
}
