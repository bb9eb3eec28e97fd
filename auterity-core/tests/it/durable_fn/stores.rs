//! Crashes: at every commit, and again and again on every store.

use std::sync::Arc;
use std::time::Duration;

use auterity_core::ExecutionId;
use auterity_core::engine::{DurableFunction, EventFilter, Spawn, StepRetry};
use auterity_core::interpreter::Problem;
use auterity_core::store::{MemoryStore, Store};
use auterity_core::testing::durability::Case;
use auterity_core::testing::{Double, Workbench};
use futures_util::future::{join, join_all};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{engine_on, event, function, refused};
use crate::engine::{Fixture, options, output};
use crate::store::Place;

/// Does everything that a durable function can do.
fn everything(pause: SignedDuration) -> DurableFunction {
    function(move |context, input| async move {
        if input == json!("child") {
            context.sleep(pause).await?;
            return Ok(json!(100));
        }
        let (id, random) = (context.id(), context.random());
        let both = join(
            context.step("left", || async { Ok(1) }),
            context.step("right", || async { Ok(2) }),
        );
        let (left, right): (Result<u32, _>, Result<u32, Problem>) = both.await;
        context.sleep(pause).await?;
        let child = context.spawn(Spawn::new("test", "code", json!("child")));
        let retried = context.step_with("retried", |call| async move {
            if call.attempt == 1 {
                Err(refused())
            } else {
                Ok(10)
            }
        });
        let retry = StepRetry::times(2).with_delay(pause);
        let retried: u32 = retried.with_retry(retry).await?;
        let called: Value = context.call("echo", json!({ "n": 1_000 })).await?;
        let kind = if input["again"].is_null() {
            "first"
        } else {
            "second"
        };
        let mut paid = EventFilter::of_type(kind);
        if input["own"] == json!(true) {
            paid = paid.with("subject", context.execution().to_string());
        }
        let paid = context.wait_for(paid).await?;
        if input["again"].is_null() {
            let next = json!({ "again": paid["data"], "own": input["own"] });
            return context.continue_as_new(next).await;
        }
        let kept = (id, random);
        let kept: (uuid::Uuid, u64) = context
            .step("same", move || async move { Ok(kept) })
            .await?;
        assert_eq!(kept, (id, random), "the same when it is called again");
        let child = child.await?.as_u64().unwrap_or(0);
        let called = called["n"].as_u64().unwrap_or(0);
        Ok(json!(u64::from(left? + right? + retried) + child + called))
    })
}

#[test]
fn crash_at_every_commit_changes_nothing() {
    let function = everything(SignedDuration::from_secs(9));
    let text = function.definition();
    let case = Case::new(text, json!({}), move || {
        Workbench::new()
            .with_durable(function.clone())
            .with_double("echo", &Double::giving(json!({ "n": 1_000 })))
    });
    let case = case.with_event(event("first", "1", json!(1)));
    let case = case.with_event(event("second", "2", json!(1)));
    assert!(60 <= case.crash_after_each_commit());
    assert_eq!(case.each_task_twice(), 2);
    case.survive(0..20);
}

async fn publish_to(fixture: &Fixture, ids: &[ExecutionId], round: u32) {
    for id in ids {
        for kind in ["first", "second"] {
            let mut paid = event(kind, &format!("{id}-{round}"), json!(round));
            paid["subject"] = json!(id.to_string());
            let published = fixture.handle.publish(&fixture.scope, &paid).await;
            published.expect("published");
        }
    }
}

/// Executes many at once while the engine goes away again and again, and waits for all.
async fn survive(open: impl AsyncFn() -> Arc<dyn Store>) {
    let function = everything(SignedDuration::from_millis(60));
    let functions = || vec![function.clone()];
    let mut fixture = engine_on(&open().await, functions()).await;
    let mut ids = Vec::new();
    for _ in 0..12 {
        ids.push(fixture.start("code", json!({ "own": true })).await);
    }
    for round in 0..8 {
        publish_to(&fixture, &ids, round).await;
        tokio::time::sleep(Duration::from_millis(40 + 30 * u64::from(round))).await;
        // Like a crash: nothing is put back.
        drop(fixture);
        fixture = engine_on(&open().await, functions()).await;
    }
    for round in 8..100 {
        publish_to(&fixture, &ids, round).await;
        let ends = ids.iter().map(|id| {
            let wait = fixture
                .handle
                .wait(&fixture.scope, *id, Duration::from_millis(200));
            async { wait.await.expect("it is there") }
        });
        let rows = join_all(ends).await;
        if rows.iter().all(|row| row.status.is_ended()) {
            for row in rows {
                assert_eq!(output(&row), json!(1_113), "{row:?}");
            }
            fixture
                .engine
                .stop(Duration::from_secs(5))
                .await
                .expect("stopped");
            return;
        }
    }
    panic!("some never ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn executions_survive_crashes_in_memory() {
    assert!(
        options().worker_name == "worker",
        "each life takes over from the last"
    );
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    survive(async || Arc::clone(&store)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn executions_survive_crashes_on_sqlite() {
    let place = Place::sqlite();
    survive(async || place.open().await as Arc<dyn Store>).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn executions_survive_crashes_on_postgres() {
    let Some(place) = Place::postgres("durable functions") else {
        return;
    };
    survive(async || place.open().await as Arc<dyn Store>).await;
    place.drop_schema().await;
}
