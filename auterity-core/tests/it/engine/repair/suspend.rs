//! Suspend, resume, skip.

use std::sync::Arc;

use auterity_core::ErrorKind;
use auterity_core::clock::ManualClock;
use auterity_core::engine::{Engine, Ports, Skip};
use auterity_core::store::{MemoryStore, Status, Store};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::super::{Fixture, options, output};
use super::Bench;

const TWO: &str = "do:
- first: { call: gate, with: { n: 1 } }
- second: { call: note, with: { n: 2 } }
";

#[tokio::test]
async fn suspended_execution_records_the_result_under_way_and_begins_nothing() {
    let bench = Bench::new().await;
    let id = bench.start_to_gate(TWO).await;
    let Fixture { handle, scope, .. } = &bench.fixture;
    handle
        .suspend(scope, id, Some("look first".to_owned()))
        .await
        .expect("asked");
    assert_eq!(bench.status(id).await, Status::Suspended);
    bench.recorded(id, "execution.suspended").await;
    bench.let_go();
    bench.recorded(id, "effect.completed").await;
    let parked = bench
        .fixture
        .until(id, |row| row.waiting_for.is_some())
        .await;
    assert_eq!(parked.status, Status::Suspended);
    assert!(bench.noted().await.is_empty(), "nothing new has begun");
    // Once more is harmless; then it goes on where it stood.
    handle.suspend(scope, id, None).await.expect("harmless");
    handle.resume(scope, id, None).await.expect("asked");
    assert_eq!(bench.fixture.end(id).await.status, Status::Completed);
    assert_eq!(bench.noted().await, [json!(2)]);
    let late = handle.resume(scope, id, None).await.expect_err("too late");
    assert_eq!(late.kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn effect_under_way_when_a_suspended_worker_dies_is_repeated_on_resume_only() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let first = Bench::on(Arc::clone(&store)).await;
    let id = first.start_to_gate(TWO).await;
    let scope = first.fixture.scope.clone();
    first
        .fixture
        .handle
        .suspend(&scope, id, None)
        .await
        .expect("asked");
    first.recorded(id, "execution.suspended").await;
    drop(first);
    let second = Bench::on(store).await;
    let handle = &second.fixture.handle;
    second
        .fixture
        .until(id, |row| row.waiting_for.is_some())
        .await;
    assert!(second.gate.lock().await.try_recv().is_err(), "not yet");
    handle.resume(&scope, id, None).await.expect("asked");
    assert_eq!(second.called().await, json!({"n": 1}));
    second.let_go();
    assert_eq!(second.fixture.end(id).await.status, Status::Completed);
}

#[tokio::test]
async fn timer_that_came_due_while_suspended_fires_on_resume() {
    let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    let fixture = Fixture::with_clock(Arc::<ManualClock>::clone(&clock)).await;
    let rest = "do:\n- w: { wait: { hours: 1 } }\n- s: { set: { done: true } }\n";
    fixture.deploy("subject", rest).await;
    let id = fixture.start("subject", json!({})).await;
    fixture.until(id, |row| row.status == Status::Waiting).await;
    fixture
        .handle
        .suspend(&fixture.scope, id, None)
        .await
        .expect("asked");
    let waits = |row: &auterity_core::store::ExecutionRow| {
        row.waiting_for.as_deref() == Some("to be resumed")
    };
    fixture.until(id, waits).await;
    clock.advance(SignedDuration::from_hours(3));
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    fixture.until(id, waits).await;
    fixture
        .handle
        .resume(&fixture.scope, id, None)
        .await
        .expect("asked");
    let row = fixture.until(id, |row| row.status.is_ended()).await;
    assert_eq!(output(&row), json!({"done": true}));
}

#[tokio::test]
async fn events_and_branches_of_a_suspended_execution_are_kept_for_later() {
    let bench = Bench::new().await;
    let rest = "do:
- both:
    fork:
      branches:
      - heard:
          do:
          - l: { listen: { to: { one: { with: { type: t } } } } }
          - n: { call: note, with: { n: heard } }
      - done:
          do:
          - g: { call: gate, with: { n: 1 } }
          - m: { call: note, with: { n: done } }
";
    let id = bench.start_to_gate(rest).await;
    let Fixture { handle, scope, .. } = &bench.fixture;
    handle.suspend(scope, id, None).await.expect("asked");
    bench.recorded(id, "execution.suspended").await;
    let event = json!({"specversion": "1.0", "id": "1", "source": "/t", "type": "t", "data": 5});
    assert_eq!(handle.publish(scope, &event).await.expect("published"), 1);
    bench.let_go();
    bench.recorded(id, "effect.completed").await;
    bench.recorded(id, "cloud_event.received").await;
    assert!(bench.noted().await.is_empty());
    handle.resume(scope, id, None).await.expect("asked");
    assert_eq!(bench.fixture.end(id).await.status, Status::Completed);
    let mut noted = bench.noted().await;
    noted.sort_by_key(ToString::to_string);
    assert_eq!(noted, [json!("done"), json!("heard")]);
}

#[tokio::test]
async fn skipped_task_gives_the_output_that_was_said() {
    let bench = Bench::new().await;
    let rest = "do:
- first: { call: gate, with: { n: 1 }, output: { as: '${ .gave }' }, export: { as: '${ {seen: .x} }' } }
- second: { set: { got: '${ .x }', seen: '${ $context.seen }' } }
";
    let id = bench.start_to_gate(rest).await;
    let Fixture { handle, scope, .. } = &bench.fixture;
    let skip = |task: &str| Skip {
        task: task.to_owned(),
        output: json!({"x": 7}),
        reason: Some("the bank confirmed by telephone".to_owned()),
    };
    let wrong = handle.skip(scope, id, skip("/do/1/second")).await;
    assert_eq!(wrong.expect_err("refused").kind(), ErrorKind::Conflict);
    handle
        .skip(scope, id, skip("/do/0/first"))
        .await
        .expect("asked");
    let row = bench.fixture.end(id).await;
    assert_eq!(output(&row), json!({"got": 7, "seen": 7}));
    assert_eq!(
        bench.kinds(id).await,
        ["execution.started", "task.skipped", "execution.ended"]
    );
    let late = handle.skip(scope, id, skip("/do/0/first")).await;
    assert_eq!(late.expect_err("refused").kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn execution_suspended_in_another_process_stops_here() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let bench = Bench::on(Arc::clone(&store)).await;
    let id = bench.start_to_gate(TWO).await;
    let ports = Ports::new(store);
    let other = Engine::start_without_worker(options(), ports).expect("starts");
    let scope = &bench.fixture.scope;
    other
        .handle()
        .suspend(scope, id, None)
        .await
        .expect("asked");
    bench.recorded(id, "execution.suspended").await;
    other
        .handle()
        .terminate(scope, id, None)
        .await
        .expect("asked");
    assert_eq!(bench.fixture.end(id).await.status, Status::Cancelled);
}
