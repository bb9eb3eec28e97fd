//! What the engine does when calls of its store go wrong.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::figures::Meter;
use super::journal::{Journal, Writer};
use super::life::Adrift;
use super::{Engine, Handle, Options, Ports, StartRequest};
use crate::clock::{Clock, ManualClock, SeededEntropy, SystemClock};
use crate::definition::{ProgramHash, WorkflowRef};
use crate::functions::{Function, Functions, Invocation};
use crate::interpreter::Problem;
use crate::store::{
    Entry, EventRow, ExecutionQuery, ExecutionRow, MemoryStore, Next, Outcome, Start, Status, Store,
};
use crate::testing::faults::{Fate, FaultyStore, Gate, Weather};
use crate::{Actor, ErrorKind, ExecutionId, Scope, TenantId, WorkerId};

const PATIENCE: Duration = Duration::from_secs(20);

/// What is to happen to methods.
#[derive(Debug, Default)]
struct Script {
    fates: Mutex<BTreeMap<&'static str, Planned>>,
    /// Whether the next batch is rejected.
    rejects: AtomicBool,
    /// Whether the next write of the journal fails.
    refuses_once: AtomicBool,
}

#[derive(Debug)]
struct Planned {
    fate: Fate,
    has_struck: bool,
}

impl Script {
    fn set(&self, fates: &[(&'static str, Fate)]) {
        let planned = |fate: Fate| Planned {
            fate,
            has_struck: false,
        };
        let fates = fates.iter().map(|(method, fate)| (*method, planned(*fate)));
        *self.lock() = fates.collect();
    }

    fn has_struck(&self) -> bool {
        self.lock().values().all(|planned| planned.has_struck)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Planned>> {
        self.fates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Weather for Script {
    fn fate(&self, method: &'static str) -> Fate {
        if method == "journal_append" && self.refuses_once.swap(false, Ordering::Relaxed) {
            return Fate::Refused(ErrorKind::Unavailable);
        }
        match self.lock().get_mut(method) {
            Some(planned) => {
                planned.has_struck = true;
                planned.fate
            }
            None => Fate::Well,
        }
    }

    fn rejects(&self) -> bool {
        self.rejects.swap(false, Ordering::Relaxed)
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

fn scope() -> Scope {
    let tenant = TenantId::generate(Timestamp::UNIX_EPOCH, &SeededEntropy::new(1));
    Scope::new(tenant, Actor::Host)
}

impl World {
    async fn new(options: Options, clock: Arc<dyn Clock>) -> Self {
        let script = Arc::new(Script::default());
        let store = Arc::new(MemoryStore::new());
        let faulty = FaultyStore {
            store: Arc::<MemoryStore>::clone(&store),
            gate: Gate::new(),
            clock: Arc::clone(&clock),
            weather: Arc::<Script>::clone(&script),
        };
        let ports = |store: Arc<dyn Store>| Ports {
            clock: Arc::clone(&clock),
            ..Ports::new(store)
        };
        let starter =
            Engine::start_without_worker(options.clone(), ports(Arc::<MemoryStore>::clone(&store)));
        let worker = Engine::start(options, ports(Arc::new(faulty))).await;
        Self {
            script,
            store,
            worker: worker.expect("it starts"),
            starter: starter.expect("it starts"),
            scope: scope(),
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
        world.script.set(case);
        let id = world
            .start(&world.starter.handle(), json!({ "long": false }))
            .await;
        world
            .until("it is claimed", id, |row| {
                row.status != Status::Pending && world.script.has_struck()
            })
            .await;
        world.script.set(&[]);
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
async fn start_whose_caller_went_away_after_the_commit_is_worked_on() {
    let world = World::new(options(), Arc::new(SystemClock)).await;
    world.deploy("do:\n- a: { call: echo }\n").await;
    let handle = world.worker.handle();
    let request = StartRequest::of("test", "subject");
    let mut start = Box::pin(handle.start(&world.scope, request));
    assert!(futures_util::poll!(&mut start).is_pending());
    let id = loop {
        let query = ExecutionQuery {
            limit: 1,
            ..ExecutionQuery::default()
        };
        let listed = world.store.execution_list(&world.scope, &query).await;
        if let [row] = &listed.expect("it answers").items[..] {
            break row.id;
        }
        tokio::task::yield_now().await;
    };
    // The answer is on its way, and whoever asked takes no notice.
    tokio::task::yield_now().await;
    drop(start);
    world
        .until("it ends", id, |row| row.status == Status::Completed)
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
    world.script.rejects.store(true, Ordering::Relaxed);
    world
        .until("it ends", id, |row| row.status == Status::Faulted)
        .await;
    let error = world.row(id).await.error.expect("an error");
    let error: Value = serde_json::from_str(&error).expect("it is JSON");
    assert_eq!(error["instance"], "/do/0/w");
    let detail = error["detail"].as_str().expect("a text");
    assert!(detail.contains("the test rejects this entry"), "{detail}");
}

/// A function that ends when it is told to.
#[derive(Debug, Clone, Default)]
struct Held {
    called: CancellationToken,
    released: CancellationToken,
}

#[async_trait]
impl Function for Held {
    async fn call(&self, _: Invocation) -> Result<Value, Problem> {
        self.called.cancel();
        self.released.cancelled().await;
        Ok(json!({}))
    }
}

#[tokio::test]
async fn effect_that_a_stopping_engine_did_not_begin_is_not_forgotten() {
    let store = Arc::new(MemoryStore::new());
    let held = Held::default();
    let start_engine = async || {
        let ports = Ports {
            functions: Functions::built_in().with("held", held.clone()),
            ..Ports::new(Arc::<MemoryStore>::clone(&store))
        };
        Engine::start(options(), ports).await.expect("it starts")
    };
    let engine = start_engine().await;
    let scope = scope();
    let text = "document: { dsl: '1.0.3', namespace: test, name: subject, version: '1.0.0' }
do:
- both:
    fork:
      branches:
      - slow: { call: held }
      - soon: { do: [ { w: { wait: { milliseconds: 100 } } }, { e: { call: echo } } ] }
";
    let handle = engine.handle();
    handle.deploy(&scope, text).await.expect("it deploys");
    let started = handle.start(&scope, StartRequest::of("test", "subject"));
    let id = started.await.expect("it starts").id;
    held.called.cancelled().await;
    let fired = async {
        // The timer fires while the engine stops, so its effect does not begin.
        loop {
            let events = store.journal_list(&scope, id, 1, 1).await;
            if !events.expect("it lists").is_empty() {
                break held.released.cancel();
            }
            tokio::task::yield_now().await;
        }
    };
    let (stopped, ()) = tokio::join!(engine.stop(PATIENCE), fired);
    stopped.expect("it stops");
    let engine = start_engine().await;
    let row = engine.handle().wait(&scope, id, PATIENCE).await;
    assert_eq!(row.expect("it is there").status, Status::Completed);
}

fn start_of(execution: ExecutionId) -> Entry {
    let workflow = WorkflowRef {
        namespace: "test".to_owned(),
        name: "subject".to_owned(),
        version: "1.0.0".to_owned(),
    };
    Entry {
        start: Some(Box::new(Start {
            workflow,
            program: ProgramHash::of("text"),
            input: "{}".into(),
            parent: None,
            idempotency_key: None,
            attributes: BTreeMap::new(),
            priority: 0,
            gates: Vec::new(),
            at: Timestamp::UNIX_EPOCH,
        })),
        ..event_of(execution, 1)
    }
}

fn event_of(execution: ExecutionId, sequence: u64) -> Entry {
    Entry {
        tenant: scope().tenant(),
        execution,
        start: None,
        events: vec![EventRow {
            sequence,
            at: Timestamp::UNIX_EPOCH,
            kind: "timer.fired",
            payload: "\"timer_fired\"".into(),
            records: "[]".into(),
        }],
        snapshot: None,
        subscribe: Vec::new(),
        unsubscribe: Vec::new(),
        human_tasks: Vec::new(),
        consumed: Vec::new(),
        messages: Vec::new(),
        next: Next::Owned,
    }
}

/// A worker's journal on a store that follows the script.
async fn journal() -> (Journal, Writer, Arc<Script>) {
    let script = Arc::new(Script::default());
    let store: Arc<dyn Store> = Arc::new(FaultyStore {
        store: Arc::new(MemoryStore::new()),
        gate: Gate::new(),
        clock: Arc::new(SystemClock),
        weather: Arc::<Script>::clone(&script),
    });
    let id = WorkerId::generate(Timestamp::UNIX_EPOCH, &SeededEntropy::new(7));
    let lease = SignedDuration::from_hours(1);
    let registered = store.worker_register("worker", id, Timestamp::UNIX_EPOCH, lease);
    let fence = registered.await.expect("it registers");
    let meter = Arc::new(Meter::new());
    let (journal, writer) = Journal::new(
        store,
        Arc::new(SystemClock),
        Some(fence),
        8,
        (CancellationToken::new(), Adrift::default(), meter),
    );
    (journal, writer, script)
}

#[tokio::test]
async fn entries_of_one_execution_go_into_one_batch_each() {
    let (journal, writer, ..) = journal().await;
    let id = ExecutionId::generate(Timestamp::UNIX_EPOCH, &SeededEntropy::new(3));
    let other = ExecutionId::generate(Timestamp::UNIX_EPOCH, &SeededEntropy::new(4));
    let appends = async {
        let entries = [start_of(id), event_of(id, 2), start_of(other), start_of(id)];
        let appends = entries.map(|entry| journal.append(entry));
        let outcomes = futures_util::future::join_all(appends).await;
        drop(journal);
        outcomes
    };
    let (outcomes, ()) = tokio::join!(appends, writer.work());
    let outcomes: Vec<Outcome> = outcomes
        .into_iter()
        .map(|appended| appended.expect("it appends").outcome)
        .collect();
    let recorded = Outcome::Recorded;
    assert_eq!(
        outcomes,
        [
            recorded.clone(),
            recorded.clone(),
            recorded,
            Outcome::AlreadyRecorded
        ]
    );
}

#[tokio::test]
async fn start_that_was_there_before_a_repeated_write_is_no_new_one() {
    let (journal, writer, script) = journal().await;
    let id = ExecutionId::generate(Timestamp::UNIX_EPOCH, &SeededEntropy::new(3));
    let appends = async {
        let first = journal.append(start_of(id)).await.expect("it appends");
        assert_eq!(first.outcome, Outcome::Recorded);
        script.refuses_once.store(true, Ordering::Relaxed);
        let again = journal.append(start_of(id)).await;
        let again = again.expect("it appends").outcome;
        drop(journal);
        again
    };
    let (again, ()) = tokio::join!(appends, writer.work());
    assert_eq!(again, Outcome::AlreadyRecorded);
}
