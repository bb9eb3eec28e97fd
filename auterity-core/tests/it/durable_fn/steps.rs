//! Steps: done once, tried again, in parallel, and what goes wrong in them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;

use auterity_core::engine::{DurableContext, DurableFunction, StepRetry};
use auterity_core::interpreter::{Problem, TaskState};
use auterity_core::testing::{Double, Reply, Workbench};
use futures_util::future::{join, join_all};
use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{detail, execute, function, open, refused};
use crate::engine::options;

#[test]
fn steps_read_like_tasks() {
    let function = function(|context, input| async move {
        let first: u64 = context.step("first", || async { Ok(2) }).await?;
        let pause = SignedDuration::from_hours(24 * 40);
        context.sleep(pause).named("rest").await?;
        let second: u64 = context
            .step("a/b", move || async move { Ok(first * 10) })
            .await?;
        Ok(json!({ "sum": second, "input": input }))
    });
    let history = execute(&function, json!(7));
    history
        .assert_completed()
        .assert_output(&json!({ "sum": 20, "input": 7 }))
        .assert_order(&["first", "rest", "a/b"]);
    history
        .task("first")
        .assert_count(TaskState::Started, 1)
        .assert_output(&json!(2));
    let named = |name| history.task(name).records().next().expect("recorded");
    assert_eq!(named("first").kind, "step");
    assert_eq!(
        (&*named("rest").kind, &*named("rest").task),
        ("wait", "/do/0/code/rest")
    );
    assert_eq!(named("a/b").task, "/do/0/code/a~1b");
    let forty_days = Some(SignedDuration::from_hours(24 * 40));
    assert_eq!(history.task("rest").took(), forty_days);
}

#[test]
fn failing_step_is_tried_again_after_growing_pauses() {
    let function = function(|context, _| async move {
        let retry = StepRetry::times(4)
            .with_delay(SignedDuration::from_mins(5))
            .with_delay_max(SignedDuration::from_hours(1));
        let step = context.step_with("pay", |call| async move {
            match call.attempt {
                1 | 2 => Err(refused()),
                attempt => Ok(json!([attempt, call.key])),
            }
        });
        step.with_retry(retry).await
    });
    let history = execute(&function, json!(null));
    let key = format!("{}-4", history.row().id);
    history.assert_completed().assert_output(&json!([3, key]));
    history
        .task("pay")
        .assert_count(TaskState::Retrying, 2)
        .assert_completed(1);
    let quarter = Some(SignedDuration::from_mins(15));
    assert_eq!(history.task("pay").took(), quarter);
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
                context.sleep(SignedDuration::from_hours(hours)).await?;
                context.step("done", move || async move { Ok(hours) }).await
            }
        };
        let (short, long): (Result<i64, _>, Result<i64, _>) = join(wait(9), wait(2)).await;
        let many = (0..20).map(|n| context.step("many", move || async move { Ok(n) }));
        let many: Result<Vec<u32>, Problem> = join_all(many).await.into_iter().collect();
        Ok(json!([short?, long?, many?.len()]))
    });
    open(&function, async |bench| {
        let begun = bench.now();
        let history = bench.execute(&function.definition(), json!(null)).await;
        history.assert_output(&json!([9, 2, 20]));
        let took = bench.now().duration_since(begun);
        assert_eq!(took, SignedDuration::from_hours(9));
    });
}

#[test]
fn registered_functions_are_called_and_tried_again() {
    let function = function(|context, _| async move {
        let retry = StepRetry::times(2).with_delay(SignedDuration::from_mins(1));
        let paid: u32 = context
            .call("pay", json!({ "amount": 7 }))
            .with_retry(retry)
            .await?;
        let wrong: Result<Vec<u8>, Problem> = context.call("pay", ()).await;
        Ok(json!([paid, wrong.expect_err("not a list").status]))
    });
    let pay = Double::giving(json!(3)).once(Reply::problem(refused()));
    Workbench::new()
        .with_durable(function.clone())
        .with_double("pay", &pay)
        .open(async |bench| {
            let history = bench.execute(&function.definition(), json!(null)).await;
            history.assert_completed().assert_output(&json!([3, 400]));
            history.task("pay").assert_completed(2);
        });
    assert_eq!(pay.calls()[1].arguments, json!({ "amount": 7 }));
}

#[test]
fn what_goes_wrong_in_a_step_is_the_function_s_to_handle() {
    let function = function(|context, _| async move {
        let panics = context.step::<Value, _, _>("panics", || async { panic!("on purpose") });
        let panicked = panics.await.expect_err("panicked");
        let silent = context.step::<Value, _, _>("silent", std::future::pending);
        let silent = silent.with_timeout(SignedDuration::from_secs(5)).await;
        Ok(json!([panicked.detail, silent.expect_err("late").status]))
    });
    let history = execute(&function, json!(null));
    history.assert_output(&json!(["the step panicked", 408]));
    history.task("silent").assert_faulted(1);
}

#[test]
fn what_goes_wrong_in_the_function_is_a_fault_of_the_execution() {
    let panics = function(|context, _| async move {
        context.step("one", || async { Ok(()) }).await?;
        assert!(context.random() == 0, "on purpose");
        Ok(json!(null))
    });
    let history = execute(&panics, json!(null));
    history.assert_faulted(500).task("one").assert_completed(1);
    assert_eq!(
        detail(&history),
        "the durable function panicked: on purpose"
    );
    let elsewhere = function(|_, _| std::future::pending());
    let history = execute(&elsewhere, json!(null));
    assert!(
        detail(&history).contains("put that into a step"),
        "{history}"
    );
    let restless = function(|context, _| async move {
        context.step("one", || async { Ok(()) }).await?;
        std::future::poll_fn(|task| {
            task.waker().wake_by_ref();
            Poll::Pending
        })
        .await
    });
    let history = execute(&restless, json!(null));
    assert!(
        detail(&history).contains("did not come to rest"),
        "{history}"
    );
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Order {
    amount: u32,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Receipt {
    paid: u32,
}

#[test]
fn types_are_schemas_of_the_workflow() {
    async fn order(_: DurableContext, order: Order) -> Result<Receipt, Problem> {
        Ok(Receipt { paid: order.amount })
    }
    let function = DurableFunction::new(("test", "order", "2.1.0"), order)
        .with_title("Order")
        .with_timeout(SignedDuration::from_hours(1));
    open(&function, async |bench| {
        let history = bench
            .execute(&function.definition(), json!({ "amount": 4 }))
            .await;
        history.assert_output(&json!({ "paid": 4 }));
        let found = bench
            .handle()
            .program(bench.scope(), "test", "order", Some("2.1.0"))
            .await;
        let (row, program) = found.expect("it answers").expect("it is there");
        assert_eq!(row.title.as_deref(), Some("Order"));
        let schema = program.input_schema().expect("it has one");
        assert_eq!(schema["properties"]["amount"]["type"], "integer");
        let request = bench.deploy(&function.definition()).await;
        let wrong = bench.handle().start(bench.scope(), request).await;
        let error = wrong.expect_err("nothing is no order");
        assert!(!error.violations().is_empty(), "{error:?}");
    });
}

#[test]
fn continuing_as_new_leaves_the_past_behind() {
    let function = function(|context, input| async move {
        let n = input["n"].as_u64().unwrap_or(0);
        let mut ids = input["ids"].as_array().cloned().unwrap_or_default();
        ids.push(json!(context.id()));
        let seen = context.step("look", move || async move { Ok(n) }).await?;
        let dropped = context.step::<Value, _, _>("never", std::future::pending);
        let dropped = Box::pin(dropped);
        if n < 30 {
            let next = json!({ "n": seen + 1, "ids": ids });
            let again = context.continue_as_new(next);
            return futures_util::future::select(Box::pin(again), dropped)
                .await
                .factor_first()
                .0;
        }
        let distinct: std::collections::BTreeSet<String> =
            ids.iter().map(ToString::to_string).collect();
        Ok(json!(distinct.len()))
    });
    let history = execute(&function, json!({ "n": 0 }));
    history.assert_completed().assert_output(&json!(31));
    history.task("look").assert_completed(31);
    history.task("never").assert_count(TaskState::Cancelled, 30);
}

#[test]
fn limits_say_what_to_do() {
    let many = function(|context, input| async move {
        if input == json!("together") {
            let steps = (0..50).map(|_| context.step("one", || async { Ok(()) }));
            join_all(steps).await;
        }
        for _ in 0..50 {
            context.step("one", || async { Ok(()) }).await?;
        }
        let name = "n".repeat(300);
        context.step(name, || async { Ok(()) }).await?;
        Ok(json!(null))
    });
    let said = |steps_max, branches_max, input: Value| {
        let mut limited = options();
        limited.execution.durable_steps_max = steps_max;
        limited.execution.branches_max = branches_max;
        Workbench::new()
            .with_options(limited)
            .with_durable(many.clone())
            .open(async |bench| {
                let history = bench.execute(&many.definition(), input).await;
                detail(history.assert_faulted(500))
            })
    };
    assert!(said(20, 100, json!(null)).contains("continues as new"));
    assert!(said(1_000, 20, json!("together")).contains("limit branches_max"));
    assert!(said(1_000, 100, json!(null)).contains("name of a step"));
}

#[test]
fn finished_steps_are_not_done_again() {
    let done = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&done);
    let function = function(move |context, _| {
        let counted = Arc::clone(&counted);
        async move {
            for _ in 0..5 {
                let counted = Arc::clone(&counted);
                let count = move || {
                    counted.fetch_add(1, Ordering::Relaxed);
                    async { Ok(()) }
                };
                context.step("count", count).await?;
                // It leaves memory, and is called again from its start.
                context.sleep(SignedDuration::from_hours(5)).await?;
            }
            Ok(json!(null))
        }
    });
    execute(&function, json!(null)).assert_completed();
    assert_eq!(done.load(Ordering::Relaxed), 5);
}
