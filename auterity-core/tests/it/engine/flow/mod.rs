//! Flow control through the engine: turns, limits, one execution for many starts.

mod refusals;
mod repair;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use auterity_core::engine::{
    ConcurrencyLimit, Debounce, Engine, Keep, Ports, RateLimit, Singleton, StartRequest,
    TenantSettings, WorkflowSettings,
};
use auterity_core::functions::{Function, Functions, Invocation};
use auterity_core::interpreter::Problem;
use auterity_core::store::{MemoryStore, Status, Store};
use auterity_core::{ErrorKind, ExecutionId, Scope, TenantId};
use futures_util::future::join_all;
use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};

use super::{Fixture, definition, options, output, scope};

/// Says that it was called, waits for leave to end, and counts how many do so at once.
#[derive(Debug, Clone)]
struct Gauge {
    called: mpsc::UnboundedSender<(TenantId, Value)>,
    leave: Arc<Semaphore>,
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

#[async_trait]
impl Function for Gauge {
    async fn call(&self, invocation: Invocation) -> Result<Value, Problem> {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        let call = (invocation.scope.tenant(), invocation.arguments.clone());
        self.called.send(call).expect("the test listens");
        self.leave.acquire().await.expect("it is open").forget();
        self.now.fetch_sub(1, Ordering::SeqCst);
        Ok(invocation.arguments)
    }
}

const BUSY: &str = "do:\n- work: { call: gauge, with: { of: '${ .of }' } }\n";

struct Busy {
    fixture: Fixture,
    gauge: Gauge,
    called: mpsc::UnboundedReceiver<(TenantId, Value)>,
}

impl Busy {
    /// An engine with room for so many executions, whose function ends as often as it
    /// is allowed to.
    async fn new(in_flight_max: usize, leave: usize) -> Self {
        Self::on(Arc::new(MemoryStore::new()), in_flight_max, leave).await
    }

    async fn on(store: Arc<dyn Store>, in_flight_max: usize, leave: usize) -> Self {
        let (sender, called) = mpsc::unbounded_channel();
        let gauge = Gauge {
            called: sender,
            leave: Arc::new(Semaphore::new(leave)),
            now: Arc::default(),
            most: Arc::default(),
        };
        let ports = Ports {
            functions: Functions::built_in().with("gauge", gauge.clone()),
            ..Ports::new(store)
        };
        let options = auterity_core::engine::Options {
            in_flight_max,
            ..options()
        };
        let fixture = Fixture::with(ports, options).await;
        fixture.deploy("busy", BUSY).await;
        Self {
            fixture,
            gauge,
            called,
        }
    }

    async fn limit(&self, settings: WorkflowSettings) {
        let put = self.fixture.handle.set_workflow_settings(
            &self.fixture.scope,
            ("test", "busy"),
            &settings,
            None,
        );
        put.await.expect("the settings are right");
    }

    async fn start_as(&self, scope: &Scope, of: Value) -> ExecutionId {
        let request = StartRequest {
            input: json!({ "of": of }),
            ..StartRequest::of("test", "busy")
        };
        let started = self.fixture.handle.start(scope, request).await;
        started.expect("it starts").id
    }

    async fn start(&self, of: Value) -> ExecutionId {
        self.start_as(&self.fixture.scope, of).await
    }

    async fn call(&mut self) -> (TenantId, Value) {
        let (tenant, arguments) = self.called.recv().await.expect("the engine calls");
        (tenant, arguments["of"].clone())
    }

    async fn pending(&self, id: ExecutionId) -> auterity_core::store::Queued {
        let view = self.fixture.handle.execution(&self.fixture.scope, id).await;
        let view = view.expect("it answers").expect("it is there");
        assert_eq!(Status::Pending, view.row.status);
        assert!(view.current_tasks.is_empty(), "it has not begun");
        view.queued.expect("it says what holds it")
    }
}

fn at_most(max: u32, key: Option<&str>) -> WorkflowSettings {
    WorkflowSettings {
        concurrency: vec![ConcurrencyLimit {
            max,
            key: key.map(str::to_owned),
        }],
        ..WorkflowSettings::default()
    }
}

#[tokio::test]
async fn concurrency_is_kept_and_nobody_waits_for_ever() {
    let busy = Busy::new(100, 1_000).await;
    busy.limit(at_most(3, None)).await;
    let ids = join_all((0..40).map(|number| busy.start(json!(number)))).await;
    for id in ids {
        assert_eq!(Status::Completed, busy.fixture.end(id).await.status);
    }
    let most = busy.gauge.most.load(Ordering::SeqCst);
    assert!((1..=3).contains(&most), "{most} at once");
}

#[tokio::test]
async fn each_value_of_a_key_has_its_own_limit() {
    let mut busy = Busy::new(100, 0).await;
    busy.limit(at_most(1, Some(".of"))).await;
    for of in ["a", "a", "b"] {
        busy.start(json!(of)).await;
    }
    let mut called = BTreeSet::new();
    for _ in 0..2 {
        called.insert(busy.call().await.1.to_string());
    }
    assert_eq!(
        BTreeSet::from(["\"a\"".to_owned(), "\"b\"".to_owned()]),
        called
    );
    busy.gauge.leave.add_permits(10);
    assert_eq!(json!("a"), busy.call().await.1);
}

#[tokio::test]
async fn held_execution_says_why_and_can_be_cancelled() {
    let mut busy = Busy::new(100, 0).await;
    busy.limit(at_most(1, None)).await;
    let first = busy.start(json!(1)).await;
    let second = busy.start(json!(2)).await;
    let third = busy.start(json!(3)).await;
    assert_eq!(json!(1), busy.call().await.1);
    let queued = busy.pending(third).await;
    assert_eq!(
        Some("workflow/test/busy/concurrency"),
        queued.rule.as_deref()
    );
    assert_eq!(
        (1, Some(1), 1),
        (queued.ahead, queued.concurrency, queued.in_use)
    );
    let handle = &busy.fixture.handle;
    handle
        .cancel(&busy.fixture.scope, second, None)
        .await
        .expect("it is asked for");
    assert_eq!(Status::Cancelled, busy.fixture.end(second).await.status);
    assert_eq!(0, busy.pending(third).await.ahead);
    busy.gauge.leave.add_permits(2);
    assert_eq!(
        json!(3),
        busy.call().await.1,
        "what was cancelled never began"
    );
    for id in [first, third] {
        assert_eq!(Status::Completed, busy.fixture.end(id).await.status);
    }
}

#[tokio::test]
async fn raised_limit_counts_for_those_that_wait() {
    let mut busy = Busy::new(100, 0).await;
    busy.limit(at_most(1, None)).await;
    for number in 0..4 {
        busy.start(json!(number)).await;
    }
    busy.call().await;
    busy.limit(at_most(3, None)).await;
    busy.call().await;
    busy.call().await;
    busy.limit(WorkflowSettings::default()).await;
    busy.call().await;
}

#[tokio::test]
async fn limit_outlasts_a_crash() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let mut busy = Busy::on(Arc::clone(&store), 100, 0).await;
    busy.limit(at_most(2, None)).await;
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(busy.start(json!(number)).await);
    }
    busy.call().await;
    busy.call().await;
    // Without a farewell: the next life of the same name takes over.
    drop(busy);
    let next = Busy::on(store, 100, 1_000).await;
    for id in ids {
        assert_eq!(Status::Completed, next.fixture.end(id).await.status);
    }
    assert!(next.gauge.most.load(Ordering::SeqCst) <= 2);
}

#[tokio::test]
async fn children_that_are_awaited_work_in_their_parents_place() {
    let fixture = Fixture::new().await;
    let child = "do:\n- s: { set: { x: 1 } }\n- w: { wait: PT0.01S }\n";
    fixture.deploy("child", child).await;
    let parent =
        "do:\n- c: { run: { workflow: { namespace: test, name: child, version: '1.0.0' } } }\n";
    fixture.deploy("parent", parent).await;
    let settings = TenantSettings {
        concurrency_max: Some(1),
        ..TenantSettings::default()
    };
    let put = fixture
        .handle
        .set_tenant_settings(&fixture.scope, &settings, None);
    put.await.expect("the settings are right");
    for _ in 0..3 {
        let id = fixture.start("parent", json!({})).await;
        assert_eq!(Status::Completed, fixture.end(id).await.status);
    }
}

#[tokio::test]
async fn a_long_queue_delays_another_tenant_by_few_turns() {
    let mut busy = Busy::new(1, 0).await;
    let (large, small) = (busy.fixture.scope.clone(), scope(2));
    let deployed = busy
        .fixture
        .handle
        .deploy(&small, &definition("busy", BUSY))
        .await;
    deployed.expect("it deploys");
    let requests = (0..500).map(|number| StartRequest {
        input: json!({ "of": number }),
        ..StartRequest::of("test", "busy")
    });
    let started = busy
        .fixture
        .handle
        .start_many(&large, requests.collect())
        .await;
    assert!(started.expect("it starts").iter().all(Result::is_ok));
    assert_eq!(large.tenant(), busy.call().await.0);
    let id = busy.start_as(&small, json!("small")).await;
    let mut before = 0;
    loop {
        busy.gauge.leave.add_permits(1);
        if busy.call().await.0 == small.tenant() {
            break;
        }
        before += 1;
        assert!(
            before <= 2,
            "the small tenant waits for the queue of the large one"
        );
    }
    busy.gauge.leave.add_permits(1_000);
    let ended = busy.fixture.handle.wait(&small, id, super::PATIENCE).await;
    assert_eq!(Status::Completed, ended.expect("it is there").status);
}

#[tokio::test]
async fn starts_without_pause_pass_nobody_who_waits() {
    let mut busy = Busy::new(1, 0).await;
    let (eager, patient) = (busy.fixture.scope.clone(), scope(2));
    let deployed = busy
        .fixture
        .handle
        .deploy(&patient, &definition("busy", BUSY))
        .await;
    deployed.expect("it deploys");
    busy.start_as(&eager, json!(0)).await;
    busy.call().await;
    // There is no room: this one queues, and so does whoever comes after it.
    busy.start_as(&patient, json!("patient")).await;
    for number in 1..20 {
        busy.start_as(&eager, json!(number)).await;
    }
    let mut before = 0;
    loop {
        busy.gauge.leave.add_permits(1);
        if busy.call().await.0 == patient.tenant() {
            break;
        }
        busy.start_as(&eager, json!("more")).await;
        before += 1;
        assert!(before <= 2, "starts take the room away from what is queued");
    }
}

#[tokio::test]
async fn debounce_begins_the_newest_once() {
    let mut busy = Busy::new(100, 100).await;
    busy.limit(WorkflowSettings {
        debounce: Some(Debounce {
            period: SignedDuration::from_millis(300),
            max_wait: None,
            key: None,
            keep: Keep::Newest,
        }),
        ..WorkflowSettings::default()
    })
    .await;
    let mut ids = Vec::new();
    for number in 0..3 {
        ids.push(busy.start(json!(number)).await);
    }
    for id in &ids[..2] {
        assert_eq!(Status::Cancelled, busy.fixture.end(*id).await.status);
    }
    let ended = busy.fixture.end(ids[2]).await;
    assert_eq!(json!({ "of": 2 }), output(&ended));
    assert_eq!(json!(2), busy.call().await.1);
    assert!(busy.called.try_recv().is_err(), "the others never began");
}

#[tokio::test]
async fn debounce_may_keep_the_oldest() {
    let busy = Busy::new(100, 100).await;
    busy.limit(WorkflowSettings {
        debounce: Some(Debounce {
            period: SignedDuration::from_millis(300),
            max_wait: None,
            key: Some(".of".to_owned()),
            keep: Keep::Oldest,
        }),
        ..WorkflowSettings::default()
    })
    .await;
    let first = busy.start(json!("a")).await;
    assert_eq!(first, busy.start(json!("a")).await);
    let other = busy.start(json!("b")).await;
    assert_ne!(first, other);
    for id in [first, other] {
        assert_eq!(Status::Completed, busy.fixture.end(id).await.status);
    }
    assert_ne!(first, busy.start(json!("a")).await, "the window is over");
}

#[tokio::test]
async fn singleton_keeps_the_oldest_or_the_newest() {
    let mut busy = Busy::new(100, 0).await;
    let single = |keep| WorkflowSettings {
        singleton: Some(Singleton { key: None, keep }),
        ..WorkflowSettings::default()
    };
    busy.limit(single(Keep::Oldest)).await;
    let first = busy.start(json!(1)).await;
    busy.call().await;
    assert_eq!(first, busy.start(json!(2)).await);
    busy.limit(single(Keep::Newest)).await;
    let newest = busy.start(json!(3)).await;
    assert_eq!(Status::Cancelled, busy.fixture.end(first).await.status);
    assert_eq!(json!(3), busy.call().await.1);
    busy.gauge.leave.add_permits(1);
    assert_eq!(Status::Completed, busy.fixture.end(newest).await.status);
}

#[tokio::test]
async fn rate_and_queue_length_refuse_with_the_time_to_wait() {
    let mut busy = Busy::new(100, 0).await;
    let limits = WorkflowSettings {
        rate: vec![RateLimit {
            max: 2,
            period: SignedDuration::from_hours(1),
            burst: None,
            key: None,
        }],
        ..WorkflowSettings::default()
    };
    busy.limit(limits).await;
    busy.start(json!(1)).await;
    busy.start(json!(2)).await;
    let (handle, tenant) = (busy.fixture.handle.clone(), busy.fixture.scope.clone());
    let refuse = async || {
        let started = handle.start(&tenant, StartRequest::of("test", "busy"));
        started.await.expect_err("a limit refuses")
    };
    let error = refuse().await;
    assert_eq!(ErrorKind::Throttled, error.kind());
    assert!(error.is_retryable());
    let wait = error.retry_after().expect("it says when");
    assert!(
        Duration::from_mins(20) < wait && wait <= Duration::from_mins(30),
        "{wait:?}"
    );
    let limits = WorkflowSettings {
        queue_max: Some(3),
        ..at_most(1, None)
    };
    busy.limit(limits).await;
    busy.start(json!(3)).await;
    for _ in 1..=3 {
        busy.call().await;
    }
    for number in 4..=6 {
        busy.start(json!(number)).await;
    }
    let error = refuse().await;
    assert_eq!(ErrorKind::Throttled, error.kind());
    assert!(error.message().contains("queue_max"), "{error}");
}

#[tokio::test]
async fn wrong_settings_change_nothing() {
    let busy = Busy::new(100, 0).await;
    let handle = &busy.fixture.handle;
    let scope = &busy.fixture.scope;
    let set = |settings, expected| async move {
        let workflow = ("test", "busy");
        handle
            .set_workflow_settings(scope, workflow, &settings, expected)
            .await
    };
    let error = set(at_most(0, None), None)
        .await
        .expect_err("nothing could begin");
    assert_eq!(
        (ErrorKind::Invalid, "/concurrency/0/max"),
        (error.kind(), &*error.violations()[0].pointer)
    );
    assert_eq!(1, set(at_most(1, None), Some(0)).await.expect("it is new"));
    let error = set(at_most(2, None), Some(0))
        .await
        .expect_err("it has changed");
    assert_eq!(ErrorKind::Conflict, error.kind());
    let kept = handle
        .workflow_settings(scope, "test", "busy")
        .await
        .expect("it is there");
    assert_eq!((at_most(1, None), 1), (kept.settings, kept.revision));
    let missing = handle.workflow_settings(scope, "test", "nothing").await;
    assert_eq!(
        ErrorKind::NotFound,
        missing.expect_err("there is none").kind()
    );
}

#[tokio::test]
async fn many_starts_queue_in_one_process_and_work_in_another() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let ports = || Ports::new(Arc::clone(&store));
    let api = Engine::start_without_worker(options(), ports()).expect("it starts");
    let (handle, scope) = (api.handle(), scope(1));
    let text = definition("sum", "do:\n- s: { set: { x: '${ .n + 1 }' } }\n");
    handle.deploy(&scope, &text).await.expect("it deploys");
    let requests = (0..300).map(|number| StartRequest {
        input: json!({ "n": number % 299 }),
        idempotency_key: Some(format!("key-{}", number % 299)),
        ..StartRequest::of("test", "sum")
    });
    let mut requests: Vec<_> = requests.collect();
    requests.push(StartRequest::of("test", "nothing"));
    let started = handle
        .start_many(&scope, requests)
        .await
        .expect("not too many");
    assert_eq!(301, started.len());
    let error = started[300]
        .as_ref()
        .expect_err("there is no such workflow");
    assert_eq!(ErrorKind::NotFound, error.kind());
    let ids: Vec<_> = started[..300]
        .iter()
        .map(|one| one.as_ref().expect("it starts"))
        .collect();
    assert!(
        ids[299].existing && ids[299].id == ids[0].id,
        "the same key"
    );
    let worker = Engine::start(options(), ports()).await.expect("it starts");
    for (number, one) in ids[..299].iter().enumerate() {
        let row = worker.handle().wait(&scope, one.id, super::PATIENCE).await;
        assert_eq!(
            json!({ "x": number + 1 }),
            output(&row.expect("it is there"))
        );
    }
    let too_many = vec![StartRequest::of("test", "sum"); 10_001];
    let error = handle
        .start_many(&scope, too_many)
        .await
        .expect_err("too many");
    assert_eq!(ErrorKind::Limit, error.kind());
}
