//! Waits: events, time, children.

use auterity_core::engine::{EventFilter, Spawn, StartRequest};
use auterity_core::interpreter::TaskState;
use auterity_core::store::{ExecutionQuery, Filter, Status};
use auterity_core::testing::Bench;
use jiff::SignedDuration;
use serde_json::json;

use super::{event, function, open};
use crate::engine::definition;

#[test]
fn event_or_time_whichever_comes_first() {
    let function = function(|context, input| async move {
        let filter = EventFilter::of_type("paid").matching(".data.order", input["order"].clone());
        let days = SignedDuration::from_hours(48);
        let paid = context.within(days, context.wait_for(filter)).await?;
        let paid = paid.transpose()?;
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
        let waiting = bench.history(one).await;
        waiting.assert_status(Status::Waiting);
        let said = waiting.row().waiting_for.clone().expect("it says");
        assert!(said.starts_with("paid: an event, sleep: until "), "{said}");
        let view = bench.handle().execution(bench.scope(), one).await;
        let tasks = view
            .expect("it answers")
            .expect("it is there")
            .current_tasks;
        assert_eq!(tasks, ["/do/0/code/paid", "/do/0/code/sleep"]);
        let paid = event("paid", "1", json!({ "order": 1, "amount": 5 }));
        assert_eq!(bench.publish(&paid).await, 1);
        let first = bench.end(one).await;
        first.assert_output(&json!({ "paid": 5 }));
        first.task("sleep").assert_count(TaskState::Cancelled, 1);
        let second = bench.end(two).await;
        second.assert_output(&json!({ "paid": null }));
        second.task("paid").assert_count(TaskState::Cancelled, 1);
        assert_eq!(bench.publish(&paid).await, 0, "nobody listens any more");
    });
}

async fn statuses(bench: &Bench, name: &str) -> Vec<Status> {
    let filter = Filter::parse(&format!("workflow:test/{name}"), bench.now());
    let query = ExecutionQuery {
        filter: filter.expect("a filter"),
        limit: 9,
        ..ExecutionQuery::default()
    };
    let listed = bench.handle().executions(bench.scope(), &query).await;
    let listed = listed.expect("listed").items;
    listed.iter().map(|row| row.status).collect()
}

#[test]
fn children_are_awaited_or_given_up_or_left_alone() {
    let function = function(|context, _| async move {
        let doubled = context.spawn(Spawn::new("test", "child", json!({ "n": 4 })));
        let slow = context.spawn(Spawn::new("test", "slow", json!({})));
        let other = Spawn::new("test", "other", json!({})).with_version("1.0.0");
        let other = context.spawn_detached(other).await?;
        let missing = context.spawn(Spawn::new("test", "missing", json!({})));
        let missing = missing.await.expect_err("there is none");
        drop(slow);
        Ok(json!([
            doubled.await?,
            other["id"].is_string(),
            missing.status
        ]))
    });
    open(&function, async |bench| {
        let doubles = "do:\n- d: { call: echo, with: { n: '${ .n * 2 }' } }\n";
        bench.deploy(&definition("child", doubles)).await;
        for name in ["slow", "other"] {
            let waits = "do:\n- w: { wait: { days: 4 } }\n";
            bench.deploy(&definition(name, waits)).await;
        }
        let request = bench.deploy(&function.definition()).await;
        let id = bench.start(request).await;
        let history = bench.end(id).await;
        history.assert_output(&json!([{ "n": 8 }, true, 400]));
        bench.settle().await;
        assert_eq!(statuses(bench, "slow").await, [Status::Cancelled]);
        bench.skip(SignedDuration::from_hours(24 * 5)).await;
        assert_eq!(statuses(bench, "other").await, [Status::Completed]);
    });
}

#[test]
fn definitions_and_functions_start_each_other() {
    let function = function(|context, input| async move {
        if input["n"] == json!(0) {
            return Ok(json!("below"));
        }
        let spawn = Spawn::new("test", "parent", json!({ "n": 0 }));
        context.spawn(spawn).await
    });
    open(&function, async |bench| {
        bench.deploy(&function.definition()).await;
        let runs = "do:\n- r: { run: { workflow: { namespace: test, name: code, version: '1.0.0', input: { n: 0 } } } }\n";
        let parent = bench.deploy(&definition("parent", runs)).await;
        let id = bench.start(parent).await;
        bench.end(id).await.assert_output(&json!("below"));
        let code = StartRequest {
            input: json!({ "n": 1 }),
            ..StartRequest::of("test", "code")
        };
        let id = bench.start(code).await;
        bench.end(id).await.assert_output(&json!("below"));
    });
}
