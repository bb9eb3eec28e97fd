//! Signs of life: progress that people see, silence that ends a call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use auterity_core::engine::{Engine, Ports};
use auterity_core::functions::{Function, Functions, Invocation, Registration};
use auterity_core::interpreter::Problem;
use auterity_core::store::{MemoryStore, Store};
use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::engine_with;
use crate::engine::{Fixture, PATIENCE, error, options, output};

const WORK: &str = "do:\n- work: { call: work }\n";

/// Says how far it is and falls silent; a call that goes on from there ends.
#[derive(Debug)]
struct Silent {
    keys: mpsc::UnboundedSender<String>,
    /// From which call on it answers.
    answers_from: u32,
    calls: AtomicU32,
}

impl Silent {
    fn new(answers_from: u32) -> (Self, mpsc::UnboundedReceiver<String>) {
        let (keys, receiver) = mpsc::unbounded_channel();
        let calls = AtomicU32::new(0);
        let function = Self {
            keys,
            answers_from,
            calls,
        };
        (function, receiver)
    }
}

#[async_trait]
impl Function for Silent {
    async fn call(&self, invocation: Invocation) -> Result<Value, Problem> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        self.keys.send(invocation.key.clone()).expect("listened to");
        if self.answers_from <= call || invocation.resumed_from.is_some() {
            return Ok(json!({"from": invocation.resumed_from}));
        }
        invocation.heartbeat(json!({"done": 7, "total": 10}));
        std::future::pending().await
    }
}

#[tokio::test]
async fn silence_ends_a_try_and_the_next_one_may_succeed() {
    let (function, mut keys) = Silent::new(1);
    let work = Registration::new("work", function).heartbeat(SignedDuration::from_millis(40));
    let fixture = engine_with(Functions::built_in().register(work)).await;
    let rest = "do:
- careful:
    try: [ { work: { call: work } } ]
    catch:
      errors: { with: { type: https://serverlessworkflow.io/spec/1.0.0/errors/timeout } }
      retry: { delay: { milliseconds: 1 }, limit: { attempt: { count: 2 } } }
";
    let row = fixture.complete(rest, json!({})).await;
    assert_eq!(output(&row), json!({"from": null}));
    let (first, second) = (keys.recv().await, keys.recv().await);
    assert_ne!(first, second, "a retry is another call");
    let view = fixture.handle.execution(&fixture.scope, row.id).await;
    let view = view.expect("it answers").expect("it is there");
    assert!(view.progress.is_empty(), "it has ended");
}

#[tokio::test]
async fn silence_without_a_retry_is_a_time_out_of_the_task() {
    let (function, _keys) = Silent::new(9);
    let work = Registration::new("work", function).heartbeat(SignedDuration::from_millis(40));
    let fixture = engine_with(Functions::built_in().register(work)).await;
    let row = fixture.complete(WORK, json!({})).await;
    assert_eq!(error(&row)["status"], 408);
    assert_eq!(error(&row)["instance"], "/do/0/work");
    let detail = error(&row)["detail"].to_string();
    assert!(detail.contains("no sign of life"), "{detail}");
}

#[tokio::test]
async fn progress_is_seen_and_a_call_that_was_cut_off_goes_on_from_it() {
    let (function, mut keys) = Silent::new(9);
    let function = Arc::new(function);
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let ports = || {
        let work = Registration::new("work", Arc::clone(&function));
        Ports {
            functions: Functions::built_in()
                .register(work.heartbeat(SignedDuration::from_hours(1))),
            ..Ports::new(Arc::clone(&store))
        }
    };
    let fixture = Fixture::with(ports(), options()).await;
    fixture.deploy("subject", WORK).await;
    let id = fixture.start("subject", json!({})).await;
    let first = keys.recv().await.expect("it is called");
    // Another process sees what is kept.
    let beside = Engine::start_without_worker(options(), ports()).expect("it starts");
    let seen = loop {
        let view = beside.handle().execution(&fixture.scope, id).await;
        let view = view.expect("it answers").expect("it is there");
        if let Some(progress) = view.progress.first() {
            break progress.clone();
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(&*seen.details, "{\"done\":7,\"total\":10}");
    assert_eq!(seen.task, "/do/0/work");

    let Fixture { engine, scope, .. } = fixture;
    drop(engine);
    let next = Engine::start(options(), ports()).await.expect("it starts");
    let row = next.handle().wait(&scope, id, PATIENCE).await;
    let row = row.expect("it is there");
    assert_eq!(output(&row), json!({"from": {"done": 7, "total": 10}}));
    assert_eq!(keys.recv().await, Some(first), "the same call");
}
