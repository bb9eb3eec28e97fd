//! Durable functions: steps, waits, children, crashes, versions, mistakes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use auterity_core::engine::{
    DurableContext, DurableFunction, DurableFunctions, Engine, EventFilter, Ports, Spawn,
    StartRequest, StepRetry,
};
use auterity_core::interpreter::{Problem, ProblemKind, TaskState};
use auterity_core::store::{MemoryStore, Status, Store};
use auterity_core::testing::durability::Case;
use auterity_core::testing::{Bench, History, Workbench};
use futures_util::future::join;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::engine::{Fixture, definition, options};

fn function<R>(call: impl Fn(DurableContext, Value) -> R + Send + Sync + 'static) -> DurableFunction
where
    R: Future<Output = Result<Value, Problem>> + Send + 'static,
{
    DurableFunction::new(("test", "code", "1.0.0"), call)
}

fn refused() -> Problem {
    Problem::new(ProblemKind::Communication, "refused")
}

fn open<R>(function: &DurableFunction, work: impl AsyncFnOnce(&Bench) -> R) -> R {
    Workbench::new().with_durable(function.clone()).open(work)
}

fn execute(function: &DurableFunction, input: Value) -> History {
    open(function, async |bench| {
        bench.execute(&function.definition(), input).await
    })
}

#[test]
fn steps_are_done_once_and_read_like_tasks() {
    let function = function(|context, input| async move {
        let first: u64 = context.step("first", || async { Ok(2) }).await?;
        context.sleep(SignedDuration::from_hours(24 * 40)).await;
        let second: u64 = context
            .step("second", move || async move { Ok(first * 10) })
            .await?;
        Ok(json!({ "sum": second, "input": input }))
    });
    let history = execute(&function, json!(7));
    history
        .assert_completed()
        .assert_output(&json!({ "sum": 20, "input": 7 }))
        .assert_order(&["first", "sleep", "second"]);
    history
        .task("first")
        .assert_count(TaskState::Started, 1)
        .assert_output(&json!(2));
    let record = history.task("sleep").records().next().expect("recorded");
    assert_eq!((&*record.kind, &*record.task), ("wait", "/do/0/code/sleep"));
    assert_eq!(
        history.task("sleep").took(),
        Some(SignedDuration::from_hours(24 * 40))
    );
}

#[test]
fn failing_step_is_tried_again_after_growing_pauses() {
    let tries = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&tries);
    let function = function(move |context, _| {
        let counted = Arc::clone(&counted);
        async move {
            let retry = StepRetry::times(4)
                .with_delay(SignedDuration::from_mins(5))
                .with_delay_max(SignedDuration::from_hours(1));
            let step = context.step_with("pay", move |call| {
                let counted = Arc::clone(&counted);
                async move {
                    assert_eq!(counted.fetch_add(1, Ordering::Relaxed) + 1, call.attempt);
                    if call.attempt < 3 {
                        Err(refused())
                    } else {
                        Ok(json!(call.attempt))
                    }
                }
            });
            step.with_retry(retry).await
        }
    });
    let history = execute(&function, json!(null));
    history.assert_completed().assert_output(&json!(3));
    history
        .task("pay")
        .assert_count(TaskState::Retrying, 2)
        .assert_completed(1);
    assert_eq!(
        history.task("pay").took(),
        Some(SignedDuration::from_mins(15))
    );
}

#[test]
fn failed_step_is_an_error_that_the_function_sees() {
    let function = function(|context, _| async move {
        let step = context.step::<Value, _, _>("pay", || async { Err(refused()) });
        match step.await {
            Err(problem) if problem.detail.as_deref() == Some("refused") => {
                Err(problem.with_status(418))
            }
            other => other,
        }
    });
    let history = execute(&function, json!(null));
    history.assert_faulted(418).task("pay").assert_faulted(1);
    assert_eq!(history.error()["instance"], "/do/0/code");
}

#[test]
fn parallel_steps_wait_together() {
    let function = function(|context, _| async move {
        let wait = |hours| {
            let context = context.clone();
            async move {
                context.sleep(SignedDuration::from_hours(hours)).await;
                context.step("done", move || async move { Ok(hours) }).await
            }
        };
        let (short, long): (Result<i64, _>, Result<i64, _>) = join(wait(9), wait(2)).await;
        Ok(json!([short?, long?]))
    });
    open(&function, async |bench| {
        let begun = bench.now();
        let history = bench.execute(&function.definition(), json!(null)).await;
        history.assert_output(&json!([9, 2]));
        assert_eq!(
            bench.now().duration_since(begun),
            SignedDuration::from_hours(9)
        );
    });
}

#[test]
fn event_or_time_whichever_comes_first() {
    let function = function(|context, input| async move {
        let filter = EventFilter::of_type("paid").matching(".data.order", input["order"].clone());
        let paid = context
            .within(SignedDuration::from_hours(48), context.wait_for(filter))
            .await;
        Ok(json!({ "paid": paid.map(|event| event["data"]["amount"].clone()) }))
    });
    open(&function, async |bench| {
        let request = bench.deploy(&function.definition()).await;
        let start = |order: u32| StartRequest {
            input: json!({ "order": order }),
            ..request.clone()
        };
        let (one, two) = (bench.start(start(1)).await, bench.start(start(2)).await);
        bench.skip(SignedDuration::from_hours(30)).await;
        bench.history(one).await.assert_status(Status::Waiting);
        let event = json!({ "specversion": "1.0", "id": "1", "source": "test", "type": "paid", "data": { "order": 1, "amount": 5 } });
        assert_eq!(bench.publish(&event).await, 1);
        let first = bench.end(one).await;
        first.assert_output(&json!({ "paid": 5 }));
        first.task("sleep").assert_count(TaskState::Cancelled, 1);
        let second = bench.end(two).await;
        second.assert_output(&json!({ "paid": null }));
        second.task("paid").assert_count(TaskState::Cancelled, 1);
        assert_eq!(bench.publish(&event).await, 0, "nobody listens any more");
    });
}

#[test]
fn child_executions_are_awaited_and_cancelled_with_their_parent() {
    let function = function(|context, input| async move {
        let doubled = context.spawn(Spawn::new("test", "child", json!({ "n": 4 })));
        let slow = context.spawn(Spawn::new("test", "slow", json!({})));
        if input == json!("wait") {
            slow.await?;
        }
        doubled.await
    });
    open(&function, async |bench| {
        bench
            .deploy(&definition(
                "child",
                "do:\n- d: { call: echo, with: { n: '${ .n * 2 }' } }\n",
            ))
            .await;
        bench
            .deploy(&definition("slow", "do:\n- w: { wait: { days: 400 } }\n"))
            .await;
        let request = bench.deploy(&function.definition()).await;
        let id = bench.start(request).await;
        bench
            .end(id)
            .await
            .assert_completed()
            .assert_output(&json!({ "n": 8 }));
        bench.settle().await;
        let slow = Some(("test".to_owned(), "slow".to_owned()));
        let query = auterity_core::store::ExecutionQuery {
            workflow: slow,
            limit: 9,
            ..Default::default()
        };
        let listed = bench
            .handle()
            .executions(bench.scope(), &query)
            .await
            .expect("listed");
        assert!(
            listed
                .items
                .iter()
                .all(|row| row.status == Status::Cancelled),
            "{listed:?}"
        );
    });
}

#[test]
fn continuing_as_new_leaves_the_past_behind() {
    let function = function(|context, input| async move {
        let n = input["n"].as_u64().unwrap_or(0);
        let id = context.id();
        let seen = context.step("look", move || async move { Ok(n) }).await?;
        if n < 30 {
            return context
                .continue_as_new(json!({ "n": seen + 1, "ids": [input["ids"], id] }))
                .await;
        }
        Ok(json!(n))
    });
    let history = execute(&function, json!({ "n": 0 }));
    history.assert_completed().assert_output(&json!(30));
    history.task("look").assert_completed(31);
}

#[test]
fn more_steps_than_the_limit_say_what_to_do() {
    let function = function(|context, _| async move {
        for _ in 0..50 {
            context.step("one", || async { Ok(()) }).await?;
        }
        Ok(json!(null))
    });
    let mut limited = options();
    limited.execution.durable_steps_max = 20;
    Workbench::new()
        .with_options(limited)
        .with_durable(function.clone())
        .open(async |bench| {
            let history = bench.execute(&function.definition(), json!(null)).await;
            history.assert_faulted(500);
            assert!(
                history.error()["detail"]
                    .as_str()
                    .is_some_and(|text| text.contains("continues as new"))
            );
        });
}

#[test]
fn panic_and_wrong_input_are_faults_of_the_execution() {
    let panics = function(|context, _| async move {
        assert!(context.random() == 0, "on purpose");
        Ok(json!(null))
    });
    execute(&panics, json!(null)).assert_faulted(500);
    let typed = DurableFunction::new(
        ("test", "code", "1.0.0"),
        |_: DurableContext, n: u32| async move { Ok(n) },
    );
    execute(&typed, json!("text")).assert_faulted(400);
}

#[test]
fn a_crash_at_every_commit_changes_nothing() {
    let function = function(|context, _| async move {
        let id = context.id();
        let random = context.random();
        let both = join(
            context.step("left", || async { Ok(1) }),
            context.step("right", || async { Ok(2) }),
        );
        let (left, right): (Result<u32, _>, Result<u32, _>) = both.await;
        context.sleep(SignedDuration::from_hours(3)).await;
        let event = context.wait_for(EventFilter::of_type("paid")).await;
        let child = context.spawn(Spawn::new("test", "code", json!("child")));
        let same = (id, random);
        let kept = context
            .step("same", move || {
                let same = same.clone();
                async move { Ok(same) }
            })
            .await?;
        drop(child);
        Ok(json!([left? + right?, event["data"], kept.1 == random]))
    });
    let event =
        json!({ "specversion": "1.0", "id": "1", "source": "test", "type": "paid", "data": 1 });
    let text = function.definition();
    let case = Case::new(text, json!(null), move || {
        Workbench::new().with_durable(function.clone())
    });
    assert!(15 <= case.with_event(event).crash_after_each_commit());
}

fn ports(store: &Arc<dyn Store>, function: DurableFunction) -> Ports {
    Ports {
        durable: DurableFunctions::none().with(function),
        ..Ports::new(Arc::clone(store))
    }
}

/// A function that waits for an event after a step of this name.
fn named(name: &'static str, version: &str) -> DurableFunction {
    DurableFunction::new(
        ("test", "code", version),
        move |context: DurableContext, _: Value| async move {
            context.step(name, || async { Ok(()) }).await?;
            context.wait_for(EventFilter::of_type("go")).await;
            Ok(json!(name))
        },
    )
}

async fn parked(
    store: &Arc<dyn Store>,
    function: DurableFunction,
) -> (Fixture, auterity_core::ExecutionId) {
    let fixture = Fixture::with(ports(store, function), options()).await;
    fixture
        .handle
        .deploy_durable_functions(&fixture.scope)
        .await
        .expect("deployed");
    let id = fixture.start("code", json!(null)).await;
    fixture.until(id, |row| row.status == Status::Waiting).await;
    (fixture, id)
}

fn go() -> Value {
    json!({ "specversion": "1.0", "id": "1", "source": "test", "type": "go", "data": 1 })
}

#[tokio::test]
async fn function_that_asks_for_something_else_waits_with_a_clear_error() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let (fixture, id) = parked(&store, named("charge", "1.0.0")).await;
    drop(fixture);
    let fixture = Fixture::with(ports(&store, named("refund", "1.0.0")), options()).await;
    fixture
        .handle
        .publish(&fixture.scope, &go())
        .await
        .expect("published");
    let said = |row: &auterity_core::store::ExecutionRow| {
        row.waiting_for.as_deref().is_some_and(|text| {
            text.contains("step 1 was `charge` (call), now it is `refund` (call)")
        })
    };
    fixture.until(id, said).await;
}

#[tokio::test]
async fn execution_keeps_the_version_that_it_was_started_with() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let (fixture, id) = parked(&store, named("old", "1.0.0")).await;
    drop(fixture);
    // A worker that knows the new version only leaves the old execution for others.
    let fixture = Fixture::with(ports(&store, named("new", "2.0.0")), options()).await;
    fixture
        .handle
        .deploy_durable_functions(&fixture.scope)
        .await
        .expect("deployed");
    fixture
        .handle
        .publish(&fixture.scope, &go())
        .await
        .expect("published");
    let lacks = |row: &auterity_core::store::ExecutionRow| {
        row.waiting_for.as_deref() == Some("a worker that knows the durable function code 1.0.0")
    };
    fixture.until(id, lacks).await;
    let next = fixture.start("code", json!(null)).await;
    fixture
        .until(next, |row| row.status == Status::Waiting)
        .await;
    fixture
        .handle
        .publish(
            &fixture.scope,
            &json!({ "specversion": "1.0", "id": "2", "source": "test", "type": "go" }),
        )
        .await
        .expect("published");
    assert_eq!(
        crate::engine::output(&fixture.end(next).await),
        json!("new")
    );
    let Fixture { engine, scope, .. } = fixture;
    drop(engine);
    let engine = Engine::start(options(), ports(&store, named("old", "1.0.0")));
    let engine = engine.await.expect("starts");
    let row = engine
        .handle()
        .wait(&scope, id, crate::engine::PATIENCE)
        .await;
    assert_eq!(crate::engine::output(&row.expect("there")), json!("old"));
}

#[tokio::test]
async fn what_is_not_of_the_context_is_refused_at_the_start() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let stuck = function(|_, _| async { std::future::pending().await });
    let fixture = Fixture::with(ports(&store, stuck), options()).await;
    fixture
        .handle
        .deploy_durable_functions(&fixture.scope)
        .await
        .expect("deployed");
    let refused = fixture
        .handle
        .start(&fixture.scope, StartRequest::of("test", "code"))
        .await;
    let error = refused.expect_err("refused");
    assert!(error.message().contains("put it into a step"), "{error}");
}
