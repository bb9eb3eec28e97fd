//! The engine: executions of tasks that call `echo`.

use std::sync::Arc;
use std::time::Duration;

use auterity_core::engine::{Engine, Handle, Options, Ports, StartRequest};
use auterity_core::functions::{Durability, Echo, Functions, Registration};
use auterity_core::store::{SeaOptions, SeaStore, Status, Store};
use auterity_core::{Actor, Scope, TenantId};
use serde_json::json;
use uuid::Uuid;

use crate::Sample;
use crate::ceiling::per;
use auterity_benches::Failure;
use auterity_benches::counting::Counting;
use auterity_benches::load::{Load, Window, closed_loop};
use auterity_benches::place::{Database, File};

/// What is executed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    definition: &'static str,
    /// How many units of the measurement an execution is.
    pieces: u32,
}

/// Five tasks; the unit is the execution.
pub(crate) const FIVE: Work = Work {
    definition: "\
document: { dsl: '1.0.3', namespace: bench, name: work, version: '1.0.0' }
do:
- first: { call: echo, with: { number: '${ .number }' } }
- second: { call: echo, with: { number: '${ .number }' } }
- third: { call: echo, with: { number: '${ .number }' } }
- fourth: { call: echo, with: { number: '${ .number }' } }
- fifth: { call: echo, with: { number: '${ .number }' } }
",
    pieces: 1,
};

/// Tasks in a row; the unit is the task.
pub(crate) const STRICT: Work = Work {
    definition: "\
document: { dsl: '1.0.3', namespace: bench, name: work, version: '1.0.0' }
do:
- each:
    for: { each: number, in: '${ [range(200)] }' }
    do:
    - one: { call: echo, with: { number: '${ $number }' } }
",
    pieces: 200,
};

/// The same with a function that is declared to be harmless when repeated.
pub(crate) const PIPELINED: Work = Work {
    definition: "\
document: { dsl: '1.0.3', namespace: bench, name: work, version: '1.0.0' }
do:
- each:
    for: { each: number, in: '${ [range(5000)] }' }
    do:
    - one: { call: pure, with: { number: '${ $number }' } }
",
    pieces: 5000,
};

/// How long an execution may take before the measurement is given up.
const PATIENCE: Duration = Duration::from_mins(1);

/// Measures on PostgreSQL, which counts the transactions itself.
pub(crate) async fn postgres(
    database: &Database,
    work: Work,
    in_flight: usize,
    window: Window,
) -> Result<Sample, Failure> {
    // Creating the tables is not counted. A store ends its connections when dropped.
    let store = SeaStore::open(&database.url(), SeaOptions::default()).await?;
    store.migrate().await?;
    drop(store);
    let before = database.transactions().await?;
    let store = SeaStore::open(&database.url(), SeaOptions::default()).await?;
    let load = measure(Arc::new(store), work, in_flight, window).await?;
    let committed = database.transactions().await? - before;
    let transactions = per(committed, load.total);
    Ok(Sample { load, transactions })
}

/// Measures on an SQLite file, where a counter before the store stands in for the
/// database's own.
pub(crate) async fn sqlite(
    file: &File,
    work: Work,
    in_flight: usize,
    window: Window,
) -> Result<Sample, Failure> {
    let store = SeaStore::open(&file.url(), SeaOptions::default()).await?;
    store.migrate().await?;
    let counting = Arc::new(Counting::new(store));
    let store = Arc::clone(&counting);
    let load = measure(store, work, in_flight, window).await?;
    let transactions = per(counting.calls(), load.total);
    Ok(Sample { load, transactions })
}

async fn measure(
    store: Arc<dyn Store>,
    work: Work,
    in_flight: usize,
    window: Window,
) -> Result<Load, Failure> {
    let options = Options {
        worker_name: "bench".to_owned(),
        ..Options::default()
    };
    let pure = Registration::new("pure", Echo).durability(Durability::Pipelined);
    let ports = Ports {
        functions: Functions::none().with("echo", Echo).register(pure),
        ..Ports::new(store)
    };
    let engine = Engine::start(options, ports).await?;
    let handle = engine.handle();
    let scope = Scope::new(TenantId::from_uuid(Uuid::nil()), Actor::Host);
    handle
        .deploy(&scope, work.definition)
        .await
        .map_err(|error| error.to_string())?;
    let load = closed_loop(in_flight, window, move |number| {
        execute(handle.clone(), scope.clone(), number)
    })
    .await;
    engine.stop(PATIENCE).await?;
    Ok(load?.in_units_of(work.pieces))
}

async fn execute(handle: Handle, scope: Scope, number: u64) -> Result<(), Failure> {
    let request = StartRequest {
        namespace: "bench".to_owned(),
        name: "work".to_owned(),
        input: json!({"number": number}),
        ..StartRequest::default()
    };
    let started = handle.start(&scope, request).await?;
    let row = handle.wait(&scope, started.id, PATIENCE).await?;
    if row.status != Status::Completed {
        return Err(format!("an execution ended as {:?}", row.status).into());
    }
    Ok(())
}
