//! The engine: executions of five tasks that call `echo`.

use std::sync::Arc;
use std::time::Duration;

use auterity_core::engine::{Engine, Handle, Options, Ports, StartRequest};
use auterity_core::store::{SeaOptions, SeaStore, Status, Store};
use auterity_core::{Actor, Scope, TenantId};
use serde_json::json;
use uuid::Uuid;

use crate::ceiling::per;
use crate::counting::Counting;
use crate::load::{Load, Window, closed_loop};
use crate::place::{Database, File};
use crate::{Failure, Sample};

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

/// Measures on PostgreSQL, which counts the transactions itself.
pub(crate) async fn postgres(
    database: &Database,
    in_flight: usize,
    window: Window,
) -> Result<Sample, Failure> {
    // Creating the tables is not counted. A store ends its connections when dropped.
    let store = SeaStore::open(&database.url(), SeaOptions::default()).await?;
    store.migrate().await?;
    drop(store);
    let before = database.transactions().await?;
    let store = SeaStore::open(&database.url(), SeaOptions::default()).await?;
    let load = measure(Arc::new(store), in_flight, window).await?;
    let committed = database.transactions().await? - before;
    let transactions = per(committed, load.total);
    Ok(Sample { load, transactions })
}

/// Measures on an SQLite file, where a counter before the store stands in for the
/// database's own.
pub(crate) async fn sqlite(
    file: &File,
    in_flight: usize,
    window: Window,
) -> Result<Sample, Failure> {
    let store = SeaStore::open(&file.url(), SeaOptions::default()).await?;
    store.migrate().await?;
    let counting = Arc::new(Counting::new(store));
    let store = Arc::clone(&counting);
    let load = measure(store, in_flight, window).await?;
    let transactions = per(counting.calls(), load.total);
    Ok(Sample { load, transactions })
}

async fn measure(store: Arc<dyn Store>, in_flight: usize, window: Window) -> Result<Load, Failure> {
    let options = Options {
        worker_name: "bench".to_owned(),
        ..Options::default()
    };
    let engine = Engine::start(options, Ports::new(store)).await?;
    let handle = engine.handle();
    let scope = Scope::new(TenantId::from_uuid(Uuid::nil()), Actor::Host);
    handle
        .deploy(&scope, DEFINITION)
        .await
        .map_err(|error| error.to_string())?;
    let load = closed_loop(in_flight, window, move |number| {
        execute(handle.clone(), scope.clone(), number)
    })
    .await;
    engine.stop(PATIENCE).await?;
    load
}

async fn execute(handle: Handle, scope: Scope, number: u64) -> Result<(), Failure> {
    let request = StartRequest {
        namespace: "bench".to_owned(),
        name: "five".to_owned(),
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
