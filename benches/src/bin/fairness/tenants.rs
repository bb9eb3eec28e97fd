//! Two tenants on one engine: a small one whose latency counts, and one with a queue.

use std::sync::Arc;
use std::time::{Duration, Instant};

use auterity_benches::work::{deploy, execute, scope};
use auterity_core::engine::{Engine, Options, Ports, StartRequest};
use auterity_core::store::Store;
use serde_json::json;

use auterity_benches::Failure;
use auterity_benches::load::{Load, Window, closed_loop};

pub(crate) const DEFINITION: &str = "\
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

/// A start of the one workflow.
pub(crate) fn request(number: u64) -> StartRequest {
    StartRequest {
        input: json!({"number": number}),
        ..StartRequest::of("bench", "five")
    }
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
    deploy(&handle, &scope(1), DEFINITION).await?;
    let load = closed_loop(in_flight, window, move |number| {
        let handle = handle.clone();
        async move {
            execute(&handle, &scope(1), request(number), PATIENCE).await?;
            Ok(())
        }
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
