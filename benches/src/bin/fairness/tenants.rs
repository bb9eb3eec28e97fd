//! Two tenants on one engine: a small one whose latency counts, and one with a queue.

use std::sync::Arc;
use std::time::{Duration, Instant};

use auterity_core::engine::{Engine, Handle, Options, Ports, StartRequest};
use auterity_core::store::{Status, Store};
use auterity_core::{Actor, Scope, TenantId};
use serde_json::json;
use uuid::Uuid;

use crate::Failure;
use crate::load::{Load, Window, closed_loop};

const DEFINITION: &str = "\
document: { dsl: '1.0.3', namespace: bench, name: five, version: '1.0.0' }
do:
- first: { call: echo, with: { number: '${ .number }' } }
- second: { call: echo, with: { number: '${ .number }' } }
- third: { call: echo, with: { number: '${ .number }' } }
- fourth: { call: echo, with: { number: '${ .number }' } }
- fifth: { call: echo, with: { number: '${ .number }' } }
";

/// How long an execution may take before the measurement is given up.
const PATIENCE: Duration = Duration::from_mins(1);

/// Executions that are counted in a queue.
const LENGTH_MAX: u32 = 10_000_000;

/// What the small tenant met beside the large one.
pub(crate) struct Beside {
    pub(crate) small: Load,
    /// Executions of the large tenant that left the queue per second.
    pub(crate) large_per_second: f64,
    /// Executions of the large tenant that were still queued at the end.
    pub(crate) left: u32,
}

/// The scope of the tenant with this number.
pub(crate) fn scope(number: u128) -> Scope {
    Scope::new(TenantId::from_uuid(Uuid::from_u128(number)), Actor::Host)
}

/// A start of the one workflow.
pub(crate) fn request(number: u64) -> StartRequest {
    StartRequest {
        input: json!({"number": number}),
        ..StartRequest::of("bench", "five")
    }
}

/// Deploys the one workflow.
pub(crate) async fn deploy(handle: &Handle, scope: &Scope) -> Result<(), Failure> {
    let deployed = handle.deploy(scope, DEFINITION).await;
    deployed
        .map(|_| ())
        .map_err(|error| error.to_string().into())
}

/// Measures the small tenant without anybody else.
pub(crate) async fn small(
    store: &Arc<dyn Store>,
    in_flight: usize,
    window: Window,
) -> Result<Load, Failure> {
    let options = Options {
        worker_name: "bench".to_owned(),
        ..Options::default()
    };
    let engine = Engine::start(options, Ports::new(Arc::clone(store))).await?;
    let handle = engine.handle();
    deploy(&handle, &scope(1)).await?;
    let load = closed_loop(in_flight, window, move |number| {
        execute(handle.clone(), number)
    })
    .await;
    engine.stop(Duration::from_secs(5)).await?;
    load
}

/// Measures the small tenant while the queue of the large one is worked off.
pub(crate) async fn beside(
    store: &Arc<dyn Store>,
    in_flight: usize,
    window: Window,
) -> Result<Beside, Failure> {
    let large = scope(2);
    let before = store.queue_length(&large, None, LENGTH_MAX).await?;
    let began = Instant::now();
    let small = small(store, in_flight, window).await?;
    let took = began.elapsed().as_secs_f64();
    let left = store.queue_length(&large, None, LENGTH_MAX).await?;
    Ok(Beside {
        small,
        large_per_second: f64::from(before.saturating_sub(left)) / took,
        left,
    })
}

async fn execute(handle: Handle, number: u64) -> Result<(), Failure> {
    let scope = scope(1);
    let started = handle.start(&scope, request(number)).await?;
    let row = handle.wait(&scope, started.id, PATIENCE).await?;
    if row.status != Status::Completed {
        return Err(format!("an execution ended as {:?}", row.status).into());
    }
    Ok(())
}
