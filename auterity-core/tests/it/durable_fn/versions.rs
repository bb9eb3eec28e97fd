//! Code that changes: versions, workers without them, and functions that do not fit.

use std::sync::Arc;
use std::time::Duration;

use auterity_core::ExecutionId;
use auterity_core::engine::{DurableContext, DurableFunction, EventFilter, order_of};
use auterity_core::interpreter::Problem;
use auterity_core::store::{ExecutionRow, MemoryStore, Status, Store};
use serde_json::{Value, json};

use super::{engine_on, event};
use crate::engine::{Fixture, error, output};

/// A function that waits for an event after a step of this name, and gives the name.
fn named(name: &'static str, version: &str) -> DurableFunction {
    let call = move |context: DurableContext, _: Value| async move {
        context.step(name, || async { Ok(()) }).await?;
        let waited = context.wait_for(EventFilter::of_type("go")).await;
        if waited.is_err() {
            context.step("undo", || async { Ok(()) }).await?;
        }
        waited?;
        Ok(json!(name))
    };
    DurableFunction::new(("test", "code", version), call)
}

fn store() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new())
}

async fn parked(store: &Arc<dyn Store>, function: DurableFunction) -> ExecutionId {
    let fixture = engine_on(store, vec![function]).await;
    let id = fixture.start("code", json!(null)).await;
    fixture.until(id, |row| row.status == Status::Waiting).await;
    fixture
        .engine
        .stop(Duration::from_secs(5))
        .await
        .expect("stopped");
    id
}

async fn publish(fixture: &Fixture, id: &str) {
    let go = event("go", id, json!(1));
    let heard = fixture.handle.publish(&fixture.scope, &go).await;
    assert_eq!(heard.expect("published"), 1);
}

fn suspended(row: &ExecutionRow) -> bool {
    row.status == Status::Suspended && row.waiting_for.is_some()
}

#[tokio::test]
async fn function_that_asks_for_something_else_is_suspended_and_says_where() {
    let store = store();
    let id = parked(&store, named("charge", "1.0.0")).await;
    let wrong = engine_on(&store, vec![named("refund", "1.0.0")]).await;
    publish(&wrong, "1").await;
    let row = wrong.until(id, suspended).await;
    let said = row.waiting_for.as_deref().expect("it says why");
    assert!(
        said.contains(
            "step 1 was recorded as `charge` (step), and the code asks for `refund` (step)"
        ),
        "{said}"
    );
    let why = wrong
        .events(id)
        .await
        .iter()
        .rev()
        .find_map(order_of)
        .expect("an order");
    assert!(said.contains(&why.reason.expect("with its reason")));
    // It stays so for whoever resumes it with the same code.
    let resumed = wrong.handle.resume(&wrong.scope, id, None).await;
    resumed.expect("it was suspended");
    let again = |row: &ExecutionRow| suspended(row) && row.waiting_for.as_deref() == Some(said);
    wrong.until(id, again).await;
    wrong
        .engine
        .stop(Duration::from_secs(5))
        .await
        .expect("stopped");
    let right = engine_on(&store, vec![named("charge", "1.0.0")]).await;
    let resumed = right.handle.resume(&right.scope, id, None).await;
    resumed.expect("it was suspended");
    assert_eq!(output(&right.end(id).await), json!("charge"));
}

#[tokio::test]
async fn function_that_does_not_fit_can_still_be_cancelled() {
    let store = store();
    let id = parked(&store, named("charge", "1.0.0")).await;
    let wrong = engine_on(&store, vec![named("refund", "1.0.0")]).await;
    let told = wrong.handle.cancel(&wrong.scope, id, None).await;
    told.expect("it is there");
    let row = wrong.end(id).await;
    let detail = error(&row)["detail"].to_string();
    assert!(detail.contains("it could not undo what it did"), "{detail}");
}

#[tokio::test]
async fn recorded_results_of_another_type_do_not_fit() {
    async fn gives<T>(context: DurableContext, value: T) -> Result<Value, Problem>
    where
        T: serde::Serialize + serde::de::DeserializeOwned + Clone + Send + Sync + 'static,
    {
        let give = move || {
            let value = value.clone();
            async move { Ok(value) }
        };
        let given = context.step("give", give).await?;
        context.wait_for(EventFilter::of_type("go")).await?;
        Ok(json!(given))
    }
    let name = ("test", "code", "1.0.0");
    let store = store();
    let text = DurableFunction::new(name, |context, _: Value| gives(context, "text".to_owned()));
    let id = parked(&store, text).await;
    let number = DurableFunction::new(name, |context, _: Value| gives(context, 7_u32));
    let fixture = engine_on(&store, vec![number]).await;
    publish(&fixture, "1").await;
    let row = fixture.until(id, suspended).await;
    let said = row.waiting_for.expect("it says why");
    assert!(
        said.contains("recorded result is of another type"),
        "{said}"
    );
}

#[tokio::test]
async fn execution_keeps_its_version_and_waits_for_a_worker_that_has_it() {
    let store = store();
    let id = parked(&store, named("old", "1.0.0")).await;
    let newer = engine_on(&store, vec![named("new", "2.0.0")]).await;
    publish(&newer, "1").await;
    let wanted = "a worker that has the durable function test/code 1.0.0";
    newer
        .until(id, |row| row.waiting_for.as_deref() == Some(wanted))
        .await;
    let next = newer.start("code", json!(null)).await;
    newer.until(next, |row| row.status == Status::Waiting).await;
    publish(&newer, "2").await;
    assert_eq!(output(&newer.end(next).await), json!("new"));
    newer
        .engine
        .stop(Duration::from_secs(5))
        .await
        .expect("stopped");
    let both = engine_on(&store, vec![named("new", "2.0.0"), named("old", "1.0.0")]).await;
    assert_eq!(output(&both.end(id).await), json!("old"));
}

#[tokio::test]
async fn started_without_a_worker_that_has_the_function_it_queues_and_can_be_ended() {
    let store = store();
    let known = engine_on(&store, vec![named("charge", "1.0.0")]).await;
    known
        .engine
        .stop(Duration::from_secs(5))
        .await
        .expect("stopped");
    let lacking = engine_on(&store, Vec::new()).await;
    let (one, two) = (
        lacking.start("code", json!(null)).await,
        lacking.start("code", json!(null)).await,
    );
    let wanted = "a worker that has the durable function test/code 1.0.0";
    for id in [one, two] {
        lacking
            .until(id, |row| row.waiting_for.as_deref() == Some(wanted))
            .await;
    }
    let told = lacking.handle.terminate(&lacking.scope, two, None).await;
    told.expect("it is there");
    assert_eq!(lacking.end(two).await.status, Status::Cancelled);
    lacking
        .engine
        .stop(Duration::from_secs(5))
        .await
        .expect("stopped");
    let known = engine_on(&store, vec![named("charge", "1.0.0")]).await;
    let waits = |row: &ExecutionRow| row.waiting_for.as_deref() == Some("go: an event");
    known.until(one, waits).await;
    publish(&known, "1").await;
    assert_eq!(output(&known.end(one).await), json!("charge"));
}
