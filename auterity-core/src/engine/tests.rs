//! What the engine does when calls of its store go wrong.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Engine, Handle, Options, Ports, StartRequest};
use crate::clock::{Clock, ManualClock, SeededEntropy, SystemClock};
use crate::store::{ExecutionRow, MemoryStore, Status, Store};
use crate::testing::faults::{Fate, FaultyStore, Weather};
use crate::{Actor, ErrorKind, ExecutionId, Scope, TenantId};

const PATIENCE: Duration = Duration::from_secs(20);

/// What is to happen to methods.
#[derive(Debug, Default)]
struct Script(Mutex<BTreeMap<&'static str, Planned>>);

#[derive(Debug)]
struct Planned {
    fate: Fate,
    /// How many calls it happens to.
    left: u32,
    has_struck: bool,
}

impl Script {
    fn set(&self, fates: &[(&'static str, Fate)], left: u32) {
        let planned = |fate: Fate| Planned {
            fate,
            left,
            has_struck: false,
        };
        let fates = fates.iter().map(|(method, fate)| (*method, planned(*fate)));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = fates.collect();
    }

    fn has_struck(&self) -> bool {
        let fates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        fates.values().all(|planned| planned.has_struck)
    }
}

impl Weather for Script {
    fn fate(&self, method: &'static str) -> Fate {
        let mut fates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(planned) = fates.get_mut(method).filter(|planned| 0 < planned.left) else {
            return Fate::Well;
        };
        planned.left -= 1;
        planned.has_struck = true;
        planned.fate
    }
}

struct World {
    script: Arc<Script>,
    store: Arc<MemoryStore>,
    worker: Engine,
    /// Puts executions into the queue.
    starter: Engine,
    scope: Scope,
}

fn options() -> Options {
    Options {
        poll: SignedDuration::from_millis(50),
        lease: SignedDuration::from_mins(1),
        park_after: SignedDuration::from_hours(1),
        ..Options::default()
    }
}

impl World {
    async fn new(options: Options, clock: Arc<dyn Clock>) -> Self {
        let script = Arc::new(Script::default());
        let store = Arc::new(MemoryStore::new());
        let faulty = FaultyStore {
            store: Arc::<MemoryStore>::clone(&store),
            weather: Arc::<Script>::clone(&script),
        };
        let ports = |store: Arc<dyn Store>| Ports {
            clock: Arc::clone(&clock),
            ..Ports::new(store)
        };
        let starter =
            Engine::start_without_worker(options.clone(), ports(Arc::<MemoryStore>::clone(&store)));
        let worker = Engine::start(options, ports(Arc::new(faulty))).await;
        let tenant = TenantId::generate(Timestamp::UNIX_EPOCH, &SeededEntropy::new(1));
        Self {
            script,
            store,
            worker: worker.expect("it starts"),
            starter: starter.expect("it starts"),
            scope: Scope::new(tenant, Actor::Host),
        }
    }

    async fn deploy(&self, tasks: &str) {
        let text = format!(
            "document: {{ dsl: '1.0.3', namespace: test, name: subject, version: '1.0.0' }}\n{tasks}"
        );
        let deployed = self.starter.handle().deploy(&self.scope, &text).await;
        deployed.expect("it deploys");
    }

    async fn start(&self, handle: &Handle, input: Value) -> ExecutionId {
        let request = StartRequest {
            input,
            ..StartRequest::of("test", "subject")
        };
        let started = handle.start(&self.scope, request).await;
        started.expect("it starts").id
    }

    async fn row(&self, id: ExecutionId) -> ExecutionRow {
        let fetched = self.store.execution_fetch(&self.scope, id).await;
        fetched.expect("it answers").expect("it is there")
    }

    async fn until(&self, what: &str, id: ExecutionId, holds: impl Fn(&ExecutionRow) -> bool) {
        let deadline = SystemClock.now() + PATIENCE;
        loop {
            let row = self.row(id).await;
            if holds(&row) {
                return;
            }
            assert!(SystemClock.now() < deadline, "{what}: {row:?}");
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn claims_survive_lost_answers_and_failed_calls() {
    let unavailable = Fate::Refused(ErrorKind::Unavailable);
    let cases: [&[(&str, Fate)]; 4] = [
        &[("worker_beat", Fate::AnswerLost)],
        &[("inbox_fetch", unavailable)],
        &[("execution_load", unavailable)],
        &[
            ("execution_load", unavailable),
            ("journal_append", Fate::Refused(ErrorKind::Internal)),
        ],
    ];
    let world = World::new(options(), Arc::new(SystemClock)).await;
    world
        .deploy("do:\n- w: { if: .long, wait: { minutes: 10 } }\n- e: { call: echo }\n")
        .await;
    // Something in memory, so that the worker asks for its messages.
    let long = json!({ "long": true });
    let other = world.start(&world.worker.handle(), long).await;
    for case in cases {
        world.script.set(case, u32::MAX);
        let id = world
            .start(&world.starter.handle(), json!({ "long": false }))
            .await;
        world
            .until("it is claimed", id, |row| {
                row.status != Status::Pending && world.script.has_struck()
            })
            .await;
        world.script.set(&[], 0);
        world
            .until(&format!("it ends after {case:?}"), id, |row| {
                row.status == Status::Completed
            })
            .await;
    }
    assert_eq!(world.row(other).await.status, Status::Running);
}

#[tokio::test]
async fn start_whose_caller_went_away_is_worked_on() {
    let world = World::new(options(), Arc::new(SystemClock)).await;
    world.deploy("do:\n- a: { call: echo }\n").await;
    let handle = world.worker.handle();
    let request = StartRequest {
        idempotency_key: Some("once".to_owned()),
        ..StartRequest::of("test", "subject")
    };
    // Once it waits for the commit, nobody asks any more.
    let start = handle.start(&world.scope, request.clone()).now_or_never();
    assert!(start.is_none(), "the commit takes another turn");
    let again = handle
        .start(&world.scope, request)
        .await
        .expect("it starts");
    world
        .until("it ends", again.id, |row| row.status == Status::Completed)
        .await;
}

#[tokio::test]
async fn times_are_as_exact_as_the_journal_keeps_them() {
    let nanos = Timestamp::from_nanosecond(1_900_000_000_123_456_789).expect("in range");
    let world = World::new(options(), Arc::new(ManualClock::new(nanos))).await;
    world
        .deploy("do:\n- a: { set: { at: '${ $workflow.startedAt }' } }\n")
        .await;
    let id = world.start(&world.starter.handle(), json!({})).await;
    let row = world.row(id).await;
    let micros = Timestamp::from_microsecond(1_900_000_000_123_456).expect("in range");
    assert_eq!(row.started_at, micros);
    let events = world.store.journal_list(&world.scope, id, 0, 10).await;
    for event in events.expect("it lists") {
        assert_eq!(event.at, micros);
        assert!(!event.records.contains("456789"), "{}", event.records);
    }
}

#[tokio::test]
async fn execution_that_no_store_could_keep_is_faulted() {
    let mut options = options();
    options.execution.state_bytes_max = 4_000;
    let world = World::new(options, Arc::new(SystemClock)).await;
    world
        .deploy("do:\n- a: { set: { all: '${ [.text, .text, .text] }' } }\n- w: { wait: { days: 1 } }\n")
        .await;
    let start = async |length: usize| {
        let input = json!({ "text": "x".repeat(length) });
        world.start(&world.worker.handle(), input).await
    };
    let small = start(100).await;
    world
        .until("it waits", small, |row| row.status == Status::Waiting)
        .await;
    let large = start(1_500).await;
    world
        .until("it ends", large, |row| row.status == Status::Faulted)
        .await;
    let error = world.row(large).await.error.expect("an error");
    let error: Value = serde_json::from_str(&error).expect("it is JSON");
    assert_eq!(error["instance"], "/do/1/w");
    let detail = error["detail"].as_str().expect("a text");
    assert!(detail.contains("limit state_bytes_max"), "{detail}");
}

#[tokio::test]
async fn execution_whose_entries_the_store_rejects_is_faulted() {
    let world = World::new(options(), Arc::new(SystemClock)).await;
    world
        .deploy("do:\n- w: { wait: { milliseconds: 100 } }\n")
        .await;
    let id = world.start(&world.worker.handle(), json!({})).await;
    world.script.set(&[("journal_append", Fate::Rejected)], 1);
    world
        .until("it ends", id, |row| row.status == Status::Faulted)
        .await;
    let error = world.row(id).await.error.expect("an error");
    let error: Value = serde_json::from_str(&error).expect("it is JSON");
    assert_eq!(error["instance"], "/do/0/w");
    let detail = error["detail"].as_str().expect("a text");
    assert!(detail.contains("the test rejects this entry"), "{detail}");
}
