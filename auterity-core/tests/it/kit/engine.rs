//! Every scenario of the kit through an engine, on each database.

use std::collections::BTreeMap;
use std::sync::Arc;

use auterity_core::clock::{Entropy, SystemEntropy};
use auterity_core::engine::{Engine, Handle, Ports, StartRequest, tasks_of};
use auterity_core::functions::{Functions, Http, HttpOptions, OpenApi};
use auterity_core::interpreter::TaskState;
use auterity_core::store::{EventRow, SeaOptions, SeaStore, Status, Store};
use auterity_core::{ExecutionId, Scope};
use sea_orm::{ConnectionTrait, Database};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::double::Double;
use super::feature::{Ended, Outcome, Scenario};
use super::{SCENARIOS, scenarios};
use crate::engine::{PATIENCE, options, scope};

const POSTGRES_VARIABLE: &str = "AUTERITY_TEST_POSTGRES_URL";
const EVENTS_MAX: u32 = 1_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kit_passes_on_sqlite() {
    let Some(scenarios) = scenarios() else { return };
    let folder = TempDir::new().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("kit.db").display());
    let store = SeaStore::open(&url, SeaOptions::default()).await;
    let failures = execute(&scenarios, store.expect("the store opens")).await;
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kit_passes_on_postgres() {
    let Some(scenarios) = scenarios() else { return };
    let Ok(url) = std::env::var(POSTGRES_VARIABLE) else {
        eprintln!("SKIPPED: the kit on PostgreSQL, because {POSTGRES_VARIABLE} is not set");
        return;
    };
    let mut random = [0; 8];
    SystemEntropy.fill(&mut random);
    let schema = format!("kit_{:016x}", u64::from_le_bytes(random));
    let options = SeaOptions {
        schema: schema.clone(),
        ..SeaOptions::default()
    };
    let store = SeaStore::open(&url, options).await;
    let failures = execute(&scenarios, store.expect("the store opens")).await;
    let database = Database::connect(&url).await.expect("the server answers");
    let drop = format!("DROP SCHEMA {schema} CASCADE");
    let dropped = database.execute_unprepared(&drop).await;
    dropped.expect("the schema is dropped");
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// Gives what the scenarios found wrong; each is a tenant's, since some share a
/// workflow's name and version.
async fn execute(scenarios: &[Scenario], store: SeaStore) -> Vec<String> {
    assert_eq!(scenarios.len(), SCENARIOS);
    store.migrate().await.expect("the schema is made");
    let local = HttpOptions {
        private_addresses: true,
        ..HttpOptions::default()
    };
    let functions = Functions::built_in()
        .with("http", Http::new(local.clone()))
        .with("openapi", OpenApi::new(local));
    let ports = Ports {
        functions,
        ..Ports::new(Arc::new(store.clone()))
    };
    let engine = Engine::start(options(), ports).await;
    let engine = engine.expect("the engine starts");
    let handle = engine.handle();
    let double = Double::start();
    let mut failures = Vec::new();
    for (scenario, seed) in scenarios.iter().zip(1..) {
        let definition = double.rewrite(&scenario.definition);
        let checked = match outcome(&handle, &scope(seed), scenario, &definition).await {
            Ok(outcome) => check(scenario, &outcome),
            Err(why) => vec![why],
        };
        let place = format!("{}: {}", scenario.file, scenario.name);
        failures.extend(checked.iter().map(|why| format!("{place}: {why}")));
    }
    engine.stop(PATIENCE).await.expect("the engine stops");
    store.close().await;
    failures
}

fn check(scenario: &Scenario, outcome: &Outcome) -> Vec<String> {
    let expectations = scenario.expectations.iter();
    expectations
        .filter_map(|expectation| expectation.check(outcome).err())
        .collect()
}

async fn outcome(
    handle: &Handle,
    scope: &Scope,
    scenario: &Scenario,
    definition: &str,
) -> Result<Outcome, String> {
    let deployment = handle.deploy(scope, definition).await;
    let workflow = deployment
        .map_err(|error| format!("{error:?}"))?
        .row
        .workflow;
    let request = StartRequest {
        namespace: workflow.namespace,
        name: workflow.name,
        input: scenario.input.clone().unwrap_or_else(|| json!({})),
        ..StartRequest::default()
    };
    let started = handle.start(scope, request).await;
    let id = started.map_err(|error| format!("{error:?}"))?.id;
    let row = handle.wait(scope, id, PATIENCE).await;
    let row = row.map_err(|error| format!("{error:?}"))?;
    let ended = match row.status {
        Status::Completed => Ended::Completed(value(row.output.as_deref())?),
        Status::Faulted => Ended::Faulted(value(row.error.as_deref())?),
        Status::Cancelled => Ended::Cancelled,
        _ => return Err(format!("the execution did not end: {row:?}")),
    };
    let tasks = tasks(handle, scope, id).await?;
    Ok(Outcome { ended, tasks })
}

fn value(text: Option<&str>) -> Result<Value, String> {
    serde_json::from_str(text.unwrap_or("null")).map_err(|error| error.to_string())
}

/// Gives the tasks as they began, with their last states: activations are counted in
/// the order in which they begin, while a record is written when something ends.
async fn tasks(
    handle: &Handle,
    scope: &Scope,
    id: ExecutionId,
) -> Result<Vec<(String, String)>, String> {
    let events = handle.events(scope, id, 0, EVENTS_MAX).await;
    let events: Vec<EventRow> = events.map_err(|error| format!("{error:?}"))?;
    let mut tasks = BTreeMap::new();
    for event in events {
        for record in tasks_of(&event).map_err(|error| error.to_string())? {
            let (_, activation) = record.path.rsplit_once('#').ok_or("a path without '#'")?;
            let activation: u64 = activation.parse().map_err(|_| "no number of activation")?;
            tasks.insert(activation, (record.name, word(record.state).to_owned()));
        }
    }
    Ok(tasks.into_values().collect())
}

fn word(state: TaskState) -> &'static str {
    match state {
        TaskState::Started => "started",
        TaskState::Completed => "completed",
        TaskState::Faulted => "faulted",
        TaskState::Cancelled => "cancelled",
        TaskState::Skipped => "skipped",
        TaskState::Retrying => "retrying",
    }
}
