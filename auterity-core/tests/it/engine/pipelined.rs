//! Calls that run ahead of the journal, and what waits for it all the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use auterity_core::engine::{Options, Ports};
use auterity_core::functions::{Durability, Function, Functions, Invocation, Registration};
use auterity_core::interpreter::{Limits, Problem};
use auterity_core::store::{MemoryStore, Status, Store};
use serde_json::{Value, json};

use super::{Fixture, options, output};

/// Gives how many events of the execution are committed when it is called.
#[derive(Debug, Clone)]
struct Peek {
    store: Arc<MemoryStore>,
    calls: Arc<AtomicUsize>,
}

#[async_trait]
impl Function for Peek {
    async fn call(&self, invocation: Invocation) -> Result<Value, Problem> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let Invocation {
            scope, execution, ..
        } = invocation;
        let events = self
            .store
            .journal_list(&scope, execution, 0, 1_000)
            .await
            .expect("it answers");
        Ok(json!(events.len()))
    }
}

/// Gives more than a database takes.
#[derive(Debug)]
struct Huge;

#[async_trait]
impl Function for Huge {
    async fn call(&self, _invocation: Invocation) -> Result<Value, Problem> {
        Ok(json!("x".repeat(65 * 1024 * 1024)))
    }
}

struct Subject {
    fixture: Fixture,
    calls: Arc<AtomicUsize>,
}

async fn subject() -> Subject {
    let store = Arc::new(MemoryStore::new());
    let calls = Arc::new(AtomicUsize::new(0));
    let peek = Peek {
        store: Arc::clone(&store),
        calls: Arc::clone(&calls),
    };
    let ahead = |name: &str, function| Registration::new(name, function);
    let functions = Functions::none()
        .with("strict", peek.clone())
        .register(ahead("pure", peek).durability(Durability::Pipelined))
        .register(Registration::new("huge", Huge).durability(Durability::Pipelined));
    let ports = Ports {
        functions,
        ..Ports::new(store)
    };
    let options = Options {
        execution: Limits {
            payload_bytes_max: 128 * 1024 * 1024,
            ..Limits::default()
        },
        ..options()
    };
    let fixture = Fixture::with(ports, options).await;
    Subject { fixture, calls }
}

/// A definition whose tasks call these functions one after the other; the output is the
/// list of what they gave.
fn row_of(functions: &[&str]) -> String {
    let tasks = functions.iter().enumerate().map(|(place, function)| {
        let kept = "export: { as: '${ ($context.all // []) + [.] | {all: .} }' }";
        format!("- t{place}: {{ call: {function}, {kept} }}\n")
    });
    let tasks: String = tasks.collect();
    format!("do:\n{tasks}- last: {{ set: {{ all: '${{ $context.all }}' }} }}\n")
}

async fn seen(functions: &[&str]) -> Vec<u64> {
    let Subject { fixture, .. } = subject().await;
    let row = fixture.complete(&row_of(functions), json!({})).await;
    assert_eq!(row.status, Status::Completed, "{row:?}");
    let events = fixture.events(row.id).await;
    let places = events.iter().map(|event| event.sequence);
    assert!(places.eq(1..=events.len() as u64), "{events:?}");
    serde_json::from_value(output(&row)["all"].clone()).expect("numbers")
}

#[tokio::test]
async fn strict_calls_begin_after_everything_before_them_is_committed() {
    assert_eq!(seen(&["strict"; 4]).await, [1, 2, 3, 4]);
    assert_eq!(
        seen(&["pure", "pure", "pure", "strict", "strict"]).await[3..],
        [4, 5]
    );
}

#[tokio::test]
async fn calls_that_may_be_repeated_begin_before_the_commit_of_what_they_follow() {
    let found = seen(&["strict", "pure", "pure", "pure"]).await;
    assert_eq!(found[..2], [1, 1], "the second did not wait for the first");
    let last = found[3];
    assert!(last < 4, "{found:?}");
}

#[tokio::test]
async fn a_long_row_of_calls_that_run_ahead_is_recorded_whole() {
    let Subject { fixture, calls } = subject().await;
    let text = "do:
- all:
    for: { each: n, in: '${ [range(500)] }' }
    do:
    - one: { call: pure }
- last: { call: strict }
";
    let row = fixture.complete(text, json!({})).await;
    assert_eq!(row.status, Status::Completed, "{row:?}");
    assert_eq!(output(&row), json!(501), "the strict call saw all of them");
    assert_eq!(calls.load(Ordering::SeqCst), 501);
}

#[tokio::test]
async fn branches_wait_and_end_while_another_one_runs_ahead() {
    let Subject { fixture, .. } = subject().await;
    let text = "do:
- both:
    fork:
      branches:
      - fast:
          do:
          - a: { call: pure }
          - b: { call: pure }
          - c: { set: { done: fast } }
      - slow:
          do:
          - a: { wait: { milliseconds: 60 } }
          - b: { call: strict }
          - c: { set: { done: slow } }
- after: { set: { branches: '${ map(.done) }' } }
";
    let row = fixture.complete(text, json!({})).await;
    assert_eq!(output(&row), json!({"branches": ["fast", "slow"]}));
}

#[tokio::test]
async fn a_result_that_cannot_be_kept_fails_its_own_call_only() {
    let Subject { fixture, calls } = subject().await;
    let text = "do:
- a: { call: pure }
- guarded:
    try:
    - b: { call: huge }
    catch:
      as: problem
      do:
      - c: { set: { why: '${ $problem.detail }' } }
- d: { set: { why: '${ .why }' } }
";
    let row = fixture.complete(text, json!({})).await;
    assert_eq!(row.status, Status::Completed, "{row:?}");
    let why = output(&row)["why"].to_string();
    assert!(why.contains("the result cannot be kept"), "{why}");
    assert!((1..=2).contains(&calls.load(Ordering::SeqCst)));
}

#[tokio::test]
async fn after_a_crash_the_end_of_a_row_is_done_again_and_recorded_once() {
    let text = "do:
- all:
    for: { each: n, in: '${ [range(300)] }' }
    do:
    - one: { call: pure }
";
    for place in [1_usize, 7, 100, 299] {
        let Subject { fixture, calls } = subject().await;
        fixture.deploy("subject", text).await;
        let id = fixture.start("subject", json!({})).await;
        while calls.load(Ordering::SeqCst) < place {
            tokio::task::yield_now().await;
        }
        let Fixture {
            engine,
            scope,
            store,
            ..
        } = fixture;
        drop(engine);
        let functions = Functions::none().register(
            Registration::new("pure", auterity_core::functions::Echo)
                .durability(Durability::Pipelined),
        );
        let ports = Ports {
            functions,
            ..Ports::new(store)
        };
        let again = Fixture::with(ports, options()).await;
        let row = again.handle.wait(&scope, id, Duration::from_secs(20)).await;
        let row = row.expect("it is there");
        assert_eq!(
            row.status,
            Status::Completed,
            "after {place} calls: {row:?}"
        );
        let events = again.events(id).await;
        let ended = events
            .iter()
            .filter(|event| event.kind == "effect.completed");
        assert_eq!(ended.count(), 300, "after {place} calls");
    }
}
