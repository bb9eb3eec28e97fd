//! Starting, stopping, taking over, and what must never leak.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use auterity_core::clock::ManualClock;
use auterity_core::engine::{Engine, Ports, Secrets, StartRequest};
use auterity_core::functions::{Function, Functions, Invocation};
use auterity_core::interpreter::{Problem, ProblemKind};
use auterity_core::store::{MemoryStore, Status, Store};
use auterity_core::{ErrorKind, ExecutionId};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Fixture, error, options, output};

/// Reports each call and never ends by itself.
#[derive(Debug)]
struct Stuck(mpsc::UnboundedSender<String>);

#[async_trait]
impl Function for Stuck {
    async fn call(&self, invocation: Invocation) -> Result<Value, Problem> {
        self.0.send(invocation.key).expect("the test listens");
        std::future::pending().await
    }
}

#[derive(Debug)]
struct Panics;

#[async_trait]
impl Function for Panics {
    async fn call(&self, _invocation: Invocation) -> Result<Value, Problem> {
        panic!("on purpose")
    }
}

fn request(name: &str, key: Option<&str>) -> StartRequest {
    StartRequest {
        namespace: "test".to_owned(),
        name: name.to_owned(),
        input: json!({}),
        idempotency_key: key.map(str::to_owned),
        ..StartRequest::default()
    }
}

#[tokio::test]
async fn repeated_start_with_the_same_key_finds_the_first_execution() {
    let fixture = Fixture::new().await;
    fixture
        .deploy("subject", "do:\n- s: { set: { x: 1 } }\n")
        .await;
    let first = fixture
        .handle
        .start(&fixture.scope, request("subject", Some("k")))
        .await
        .expect("starts");
    let second = fixture
        .handle
        .start(&fixture.scope, request("subject", Some("k")))
        .await
        .expect("starts");
    assert_eq!(
        (first.id, false, true),
        (second.id, first.existing, second.existing)
    );
}

#[tokio::test]
async fn input_that_breaks_its_schema_is_refused_with_its_places() {
    let fixture = Fixture::new().await;
    fixture
        .deploy(
            "subject",
            "input: { schema: { document: { type: object, required: [n], properties: { n: { type: number } } } } }
do:
- s: { set: { x: 1 } }
",
        )
        .await;
    let refused = StartRequest {
        input: json!({"n": "x"}),
        ..request("subject", None)
    };
    let error = fixture
        .handle
        .start(&fixture.scope, refused)
        .await
        .expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(error.violations()[0].pointer, "/n");
    let missing = fixture
        .handle
        .start(&fixture.scope, request("nowhere", None))
        .await;
    assert_eq!(missing.expect_err("refused").kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn wait_of_ninety_days_leaves_memory_and_comes_back_when_due() {
    let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    let fixture = Fixture::with_clock(Arc::<ManualClock>::clone(&clock)).await;
    fixture
        .deploy(
            "subject",
            "do:\n- w: { wait: { days: 90 } }\n- s: { set: { done: true } }\n",
        )
        .await;
    let id = fixture.start("subject", json!({})).await;
    let row = fixture.until(id, |row| row.status == Status::Waiting).await;
    assert!(
        row.waiting_for
            .is_some_and(|what| what.starts_with("w: until 1970-04-01"))
    );
    clock.advance(SignedDuration::from_hours(24 * 90));
    let row = fixture.until(id, |row| row.status.is_ended()).await;
    assert_eq!(output(&row), json!({"done": true}));
}

#[tokio::test]
async fn effect_under_way_at_a_crash_is_repeated_with_the_same_key() {
    let (sender, mut calls) = mpsc::unbounded_channel();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let ports = |functions| Ports {
        functions,
        ..Ports::new(Arc::clone(&store))
    };
    let stuck = Functions::built_in().with("work", Stuck(sender));
    let fixture = Fixture::with(ports(stuck), options()).await;
    fixture
        .deploy(
            "subject",
            "do:\n- a: { call: echo, with: { n: 1 } }\n- b: { call: work }\n",
        )
        .await;
    let id = fixture.start("subject", json!({})).await;
    let first = calls.recv().await.expect("called");
    // Dropping an engine is its crash: nothing is given back.
    let Fixture { engine, scope, .. } = fixture;
    drop(engine);
    let (sender, mut calls) = mpsc::unbounded_channel();
    let stuck = Functions::built_in().with("work", Stuck(sender));
    let next = Engine::start(options(), ports(stuck))
        .await
        .expect("starts");
    assert_eq!(calls.recv().await.expect("called again"), first);
    let events = next
        .handle()
        .events(&scope, id, 0, 100)
        .await
        .expect("history");
    assert_eq!(
        events.len(),
        2,
        "the first task is not repeated: {events:#?}"
    );
}

#[tokio::test]
async fn worker_that_lost_its_name_writes_nothing_more() {
    let (sender, mut calls) = mpsc::unbounded_channel();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let functions = Functions::built_in().with("work", Stuck(sender));
    let ports = Ports {
        functions,
        ..Ports::new(Arc::clone(&store))
    };
    let fixture = Fixture::with(ports.clone(), options()).await;
    fixture
        .deploy("subject", "do:\n- b: { call: work }\n")
        .await;
    let id = fixture.start("subject", json!({})).await;
    let key = calls.recv().await.expect("called");
    let second = Engine::start(options(), ports).await.expect("starts");
    assert_eq!(calls.recv().await.expect("taken over"), key);
    second
        .handle()
        .cancel(&fixture.scope, id, None)
        .await
        .expect("asked");
    assert_eq!(fixture.end(id).await.status, Status::Cancelled);
}

#[tokio::test]
async fn stopped_engine_hands_its_work_over_at_once() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let fixture = Fixture::with(Ports::new(Arc::clone(&store)), options()).await;
    fixture
        .deploy(
            "subject",
            "do:\n- w: { wait: { milliseconds: 15 } }\n- s: { set: { x: 1 } }\n",
        )
        .await;
    let id = fixture.start("subject", json!({})).await;
    let Fixture { engine, scope, .. } = fixture;
    engine.stop(Duration::from_secs(1)).await.expect("stops");
    let other = auterity_core::engine::Options {
        worker_name: "other".to_owned(),
        ..options()
    };
    let next = Engine::start(other, Ports::new(store))
        .await
        .expect("starts");
    let row = next
        .handle()
        .wait(&scope, id, super::PATIENCE)
        .await
        .expect("there");
    assert_eq!(row.status, Status::Completed);
}

#[tokio::test]
async fn panic_of_a_function_is_an_error_of_its_task_only() {
    let functions = Functions::built_in().with("bad", Panics);
    let ports = Ports {
        functions,
        ..Ports::new(Arc::new(MemoryStore::new()))
    };
    let fixture = Fixture::with(ports, options()).await;
    let row = fixture
        .complete("do:\n- b: { call: bad }\n", json!({}))
        .await;
    assert_eq!(row.status, Status::Faulted);
    assert_eq!(error(&row)["instance"], "/do/0/b");
}

#[tokio::test]
async fn secret_reaches_the_function_and_nothing_that_is_kept() {
    #[derive(Debug)]
    struct Uses(mpsc::UnboundedSender<Value>);
    #[async_trait]
    impl Function for Uses {
        async fn call(&self, invocation: Invocation) -> Result<Value, Problem> {
            self.0.send(invocation.arguments).expect("the test listens");
            Ok(json!({"ok": true}))
        }
    }
    #[derive(Debug)]
    struct Fails;
    #[async_trait]
    impl Function for Fails {
        async fn call(&self, invocation: Invocation) -> Result<Value, Problem> {
            let said = format!("refused: {}", invocation.arguments);
            Err(Problem::new(ProblemKind::Communication, said))
        }
    }
    let (sender, mut arguments) = mpsc::unbounded_channel();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let ports = Ports {
        functions: Functions::built_in()
            .with("use", Uses(sender))
            .with("fails", Fails),
        secrets: Secrets::fixed(BTreeMap::from([("token".to_owned(), json!("canary-5417"))])),
        ..Ports::new(Arc::clone(&store))
    };
    let fixture = Fixture::with(ports, options()).await;
    let rest = "use: { secrets: [token] }
do:
- u: { call: use, with: { t: '${ $secrets.token }' } }
- e: { call: echo, with: { t: '${ \"Bearer \" + $secrets.token }' } }
- f: { try: [ { g: { call: fails, with: { t: '${ $secrets.token }' } } } ], catch: {} }
- w: { wait: { milliseconds: 60 } }
";
    let row = fixture.complete(rest, json!({})).await;
    assert_eq!(
        arguments.recv().await.expect("called"),
        json!({"t": "canary-5417"})
    );
    let kept = format!("{:?} {:?}", fixture.events(row.id).await, fixture.store);
    assert!(
        kept.contains("Bearer [secret]") && kept.contains("refused: "),
        "{kept}"
    );
    assert!(!kept.contains("canary-5417"));
}

#[tokio::test]
async fn executions_beyond_the_room_in_memory_queue_and_all_finish() {
    let small = auterity_core::engine::Options {
        in_flight_max: 2,
        ..options()
    };
    let fixture = Fixture::with(Ports::new(Arc::new(MemoryStore::new())), small).await;
    fixture
        .deploy(
            "subject",
            "do:\n- a: { call: echo, with: { x: 1 } }\n- b: { wait: { milliseconds: 2 } }\n",
        )
        .await;
    let mut ids: Vec<ExecutionId> = Vec::new();
    for _ in 0..40 {
        ids.push(fixture.start("subject", json!({})).await);
    }
    for id in ids {
        assert_eq!(fixture.end(id).await.status, Status::Completed);
    }
}
