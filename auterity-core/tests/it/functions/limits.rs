//! What functions do wrong or too slowly, and how the engine holds out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use auterity_core::engine::{Engine, Options, Ports};
use auterity_core::functions::{Function, Functions, Invocation, Registration, Retry};
use auterity_core::interpreter::{Problem, ProblemKind};
use auterity_core::store::{MemoryStore, Status, Store};
use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::engine_with;
use crate::engine::{Fixture, PATIENCE, error, options, output};

const WORK: &str = "do:\n- work: { call: work }\n";

fn soon(attempts_max: u32) -> Retry {
    Retry {
        attempts_max,
        delay: SignedDuration::from_millis(5),
        delay_max: SignedDuration::from_millis(50),
    }
}

/// Fails a number of times, then gives key and attempt.
#[derive(Debug)]
struct Fails {
    times: u32,
    calls: AtomicU32,
    keys: mpsc::UnboundedSender<(String, u32)>,
    kind: ProblemKind,
}

#[async_trait]
impl Function for Fails {
    async fn call(&self, invocation: Invocation) -> Result<Value, Problem> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        let key = (invocation.key, invocation.attempt);
        self.keys.send(key).expect("the test listens");
        if call < self.times {
            return Err(Problem::new(self.kind, "not yet"));
        }
        Ok(json!({"attempt": invocation.attempt}))
    }
}

fn fails(times: u32, kind: ProblemKind) -> (Fails, mpsc::UnboundedReceiver<(String, u32)>) {
    let (keys, receiver) = mpsc::unbounded_channel();
    let calls = AtomicU32::new(0);
    let function = Fails {
        times,
        calls,
        keys,
        kind,
    };
    (function, receiver)
}

fn drain(receiver: &mut mpsc::UnboundedReceiver<(String, u32)>) -> Vec<(String, u32)> {
    std::iter::from_fn(|| receiver.try_recv().ok()).collect()
}

#[tokio::test]
async fn failed_tries_are_repeated_as_declared_and_shown() {
    let (function, mut keys) = fails(2, ProblemKind::Communication);
    let work = Registration::new("work", function).retry(soon(3));
    let fixture = engine_with(Functions::built_in().register(work)).await;
    let row = fixture.complete(WORK, json!({})).await;
    assert_eq!(output(&row), json!({"attempt": 3}));
    let keys = drain(&mut keys);
    let numbers: Vec<u32> = keys.iter().map(|(_, attempt)| *attempt).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert!(keys[0].0 != keys[1].0 && keys[1].0 != keys[2].0, "{keys:?}");
    let events = fixture.events(row.id).await;
    let retried: Vec<_> = events
        .iter()
        .filter(|event| event.kind == "effect.retrying")
        .collect();
    assert_eq!(retried.len(), 2, "{events:#?}");
    assert!(retried[1].records.contains("\"state\":\"retrying\""));
}

#[tokio::test]
async fn tries_end_with_the_last_problem_which_the_definition_catches() {
    let (function, mut keys) = fails(9, ProblemKind::Communication);
    let work = Registration::new("work", function).retry(soon(2));
    let fixture = engine_with(Functions::built_in().register(work)).await;
    let rest = "do:
- careful:
    try: [ { work: { call: work } } ]
    catch:
      errors: { with: { type: https://serverlessworkflow.io/spec/1.0.0/errors/communication } }
      do: [ { caught: { set: { caught: true } } } ]
";
    let row = fixture.complete(rest, json!({})).await;
    assert_eq!(output(&row), json!({"caught": true}));
    assert_eq!(drain(&mut keys).len(), 2);
}

#[tokio::test]
async fn what_cannot_pass_is_not_repeated() {
    let (function, mut keys) = fails(9, ProblemKind::Validation);
    let work = Registration::new("work", function).retry(soon(5));
    let fixture = engine_with(Functions::built_in().register(work)).await;
    let row = fixture.complete(WORK, json!({})).await;
    assert_eq!(error(&row)["status"], 400);
    assert_eq!(drain(&mut keys).len(), 1);
}

/// Says how far it is, then falls silent; a later try goes on from there.
#[derive(Debug)]
struct Silent(mpsc::UnboundedSender<(String, Option<Value>)>);

#[async_trait]
impl Function for Silent {
    async fn call(&self, invocation: Invocation) -> Result<Value, Problem> {
        let details = invocation.resumed_from.as_deref().cloned();
        let word = (invocation.key.clone(), details.clone());
        self.0.send(word).expect("the test listens");
        if details.is_some() {
            return Ok(json!({ "from": details }));
        }
        invocation.heartbeat(json!({"done": 7, "total": 10}));
        std::future::pending().await
    }
}

#[tokio::test]
async fn silence_is_found_and_the_next_try_knows_where_to_go_on() {
    let (sender, mut words) = mpsc::unbounded_channel();
    let work = Registration::new("work", Silent(sender))
        .heartbeat(SignedDuration::from_millis(40))
        .retry(soon(3));
    let fixture = engine_with(Functions::built_in().register(work)).await;
    let row = fixture.complete(WORK, json!({})).await;
    assert_eq!(output(&row), json!({"from": {"done": 7, "total": 10}}));
    let first = words.recv().await.expect("a call");
    let second = words.recv().await.expect("another call");
    assert_eq!(first.0, second.0, "what the silent one did is not known");
}

#[tokio::test]
async fn progress_is_seen_and_outlives_a_crash() {
    let (sender, mut words) = mpsc::unbounded_channel();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let work = || {
        Registration::new("work", Silent(sender.clone())).heartbeat(SignedDuration::from_hours(1))
    };
    let ports = || Ports {
        functions: Functions::built_in().register(work()),
        ..Ports::new(Arc::clone(&store))
    };
    let fixture = Fixture::with(ports(), options()).await;
    fixture.deploy("subject", WORK).await;
    let id = fixture.start("subject", json!({})).await;
    words.recv().await.expect("called");
    let seen = loop {
        let view = fixture.handle.execution(&fixture.scope, id).await;
        let view = view.expect("it answers").expect("it is there");
        if let Some(row) = view.progress.first() {
            break row.clone();
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(&*seen.details, "{\"done\":7,\"total\":10}");
    assert_eq!((&*seen.task, seen.attempt), ("/do/0/work", 1));
    let Fixture { engine, scope, .. } = fixture;
    drop(engine);
    let next = Engine::start(options(), ports()).await.expect("it starts");
    let row = next.handle().wait(&scope, id, PATIENCE).await;
    let row = row.expect("it is there");
    assert_eq!(output(&row), json!({"from": {"done": 7, "total": 10}}));
    let view = next.handle().execution(&scope, id).await;
    assert!(
        view.expect("it answers")
            .expect("it is there")
            .progress
            .is_empty()
    );
}

/// Never returns and takes no notice of its cancellation.
#[derive(Debug)]
struct Stuck;

#[async_trait]
impl Function for Stuck {
    async fn call(&self, _: Invocation) -> Result<Value, Problem> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn try_that_never_returns_is_cut_off() {
    let work = Registration::new("work", Stuck).timeout(SignedDuration::from_millis(20));
    let fixture = engine_with(Functions::built_in().register(work)).await;
    let row = fixture.complete(WORK, json!({})).await;
    assert_eq!(error(&row)["status"], 408);
    assert_eq!(error(&row)["instance"], "/do/0/work");
}

/// Gives more than an execution may hold.
#[derive(Debug)]
struct Floods;

#[async_trait]
impl Function for Floods {
    async fn call(&self, _: Invocation) -> Result<Value, Problem> {
        Ok(Value::String("x".repeat(64 << 20)))
    }
}

#[tokio::test]
async fn output_beyond_the_limit_is_a_problem() {
    let fixture = engine_with(Functions::built_in().with("work", Floods)).await;
    let row = fixture.complete(WORK, json!({})).await;
    let detail = error(&row)["detail"].to_string();
    assert!(detail.contains("payload_bytes_max"), "{detail}");
}

#[tokio::test]
async fn unknown_function_is_left_to_workers_that_know_it() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let (function, _keys) = fails(0, ProblemKind::Runtime);
    let knowing = Ports {
        functions: Functions::built_in().with("work", function),
        ..Ports::new(Arc::clone(&store))
    };
    let named = |name: &str| Options {
        worker_name: name.to_owned(),
        ..options()
    };
    // The one that knows the function deploys, and leaves; another one stays alive.
    let first = Fixture::with(knowing.clone(), named("first")).await;
    first.deploy("subject", WORK).await;
    drop(first);
    let ignorant = Fixture::with(Ports::new(Arc::clone(&store)), named("second")).await;
    let third = Engine::start(named("third"), Ports::new(Arc::clone(&store)));
    let third = third.await.expect("it starts");
    let id = ignorant.start("subject", json!({})).await;
    let row = ignorant
        .until(id, |row| row.status == Status::Waiting)
        .await;
    let waiting = row.waiting_for.expect("it says so");
    assert_eq!(waiting, "a worker that knows the function work");
    drop(third);
    let fourth = Engine::start(named("fourth"), knowing).await;
    let _fourth = fourth.expect("it starts");
    let row = ignorant.end(id).await;
    assert_eq!(output(&row), json!({"attempt": 1}));
}

#[tokio::test]
async fn unknown_function_fails_at_once_without_other_workers() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let (function, _keys) = fails(0, ProblemKind::Runtime);
    let knowing = Ports {
        functions: Functions::built_in().with("work", function),
        ..Ports::new(Arc::clone(&store))
    };
    let first = Fixture::with(knowing, options()).await;
    first.deploy("subject", WORK).await;
    drop(first);
    let fixture = Fixture::with(Ports::new(store), options()).await;
    let id = fixture.start("subject", json!({})).await;
    assert_eq!(error(&fixture.end(id).await)["status"], 501);
}
