//! Control from outside: cancel, suspend, resume, skip, retry.

use auterity_core::ExecutionId;
use auterity_core::engine::{
    DurableFunction, EventFilter, Fork, Migrate, Retry, Skip, StartRequest, order_of,
};
use auterity_core::interpreter::{CANCELLED, Problem, TaskState};
use auterity_core::store::Status;
use auterity_core::testing::Bench;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{detail, event, function, open, refused};

/// Waits for an event between two steps, and undoes the first when it is cancelled.
fn careful() -> DurableFunction {
    function(|context, input| async move {
        let booked: u32 = context.step("book", || async { Ok(5) }).await?;
        let waited = context.wait_for(EventFilter::of_type("go")).await;
        match waited {
            Err(problem) if problem.kind == CANCELLED => {
                if input == json!("wait") {
                    context.sleep(SignedDuration::from_hours(1)).await?;
                }
                let fails = input == json!("fail");
                let undo = move || async move { if fails { Err(refused()) } else { Ok(()) } };
                context.step("cancel booking", undo).await?;
                Err(problem)
            }
            other => Ok(json!([booked, other?["data"]])),
        }
    })
}

async fn waiting(bench: &Bench, function: &DurableFunction, input: Value) -> ExecutionId {
    let request = bench.deploy(&function.definition()).await;
    let id = bench.start(StartRequest { input, ..request }).await;
    bench.skip(SignedDuration::from_mins(1)).await;
    bench.history(id).await.assert_status(Status::Waiting);
    id
}

#[test]
fn cancelled_function_undoes_what_it_did() {
    let function = careful();
    open(&function, async |bench| {
        let (handle, scope) = (bench.handle(), bench.scope());
        let id = waiting(bench, &function, json!(null)).await;
        let reason = Some("no more".to_owned());
        handle.cancel(scope, id, reason).await.expect("it is told");
        let history = bench.end(id).await;
        history
            .assert_status(Status::Cancelled)
            .assert_order(&["book", "cancel booking"]);
        history.task("go").assert_count(TaskState::Cancelled, 1);
        let ordered = history.events().find_map(order_of).expect("somebody asked");
        assert_eq!(ordered.reason.as_deref(), Some("no more"));

        let id = waiting(bench, &function, json!("fail")).await;
        handle.cancel(scope, id, None).await.expect("it is told");
        assert_eq!(detail(bench.end(id).await.assert_faulted(500)), "refused");

        let id = waiting(bench, &function, json!("wait")).await;
        handle.cancel(scope, id, None).await.expect("it is told");
        let history = bench.end(id).await;
        assert!(detail(history.assert_faulted(408)).contains("limit cancel_grace"));

        let id = waiting(bench, &function, json!(null)).await;
        handle.terminate(scope, id, None).await.expect("it is told");
        let history = bench.end(id).await;
        history.assert_status(Status::Cancelled);
        history.task("cancel booking").assert_never();
    });
}

#[test]
fn suspended_function_hears_at_its_resumption() {
    let function = careful();
    open(&function, async |bench| {
        let (handle, scope) = (bench.handle(), bench.scope());
        let id = waiting(bench, &function, json!(null)).await;
        handle.suspend(scope, id, None).await.expect("it is told");
        bench.settle().await;
        let go = event("go", "1", json!(3));
        assert_eq!(bench.publish(&go).await, 1);
        bench.skip(SignedDuration::from_hours(1)).await;
        let history = bench.history(id).await;
        history.assert_status(Status::Suspended);
        history.task("go").assert_completed(1);
        handle.resume(scope, id, None).await.expect("it is told");
        bench.end(id).await.assert_output(&json!([5, 3]));
    });
}

#[test]
fn step_is_skipped_with_what_it_is_to_have_given() {
    let function = careful();
    open(&function, async |bench| {
        let (handle, scope) = (bench.handle(), bench.scope());
        let id = waiting(bench, &function, json!(null)).await;
        let skip = |task: &str| Skip {
            task: task.to_owned(),
            output: json!({ "data": "skipped" }),
            reason: None,
        };
        let wrong = handle.skip(scope, id, skip("/do/0/code/book")).await;
        let message = wrong.expect_err("it has ended").to_string();
        assert!(message.contains("is not at work"), "{message}");
        let skipped = handle.skip(scope, id, skip("/do/0/code/go")).await;
        skipped.expect("it is told");
        let history = bench.end(id).await;
        history.assert_output(&json!([5, "skipped"]));
        history.task("go").assert_count(TaskState::Skipped, 1);
    });
}

#[test]
fn execution_ends_with_its_time() {
    let function = careful().with_timeout(SignedDuration::from_hours(2));
    open(&function, async |bench| {
        let history = bench.execute(&function.definition(), json!(null)).await;
        let said = detail(history.assert_faulted(408));
        assert!(said.contains("longer than its timeout"), "{said}");
        history.task("go").assert_count(TaskState::Cancelled, 1);
    });
}

#[test]
fn function_is_retried_and_forked_from_its_start_and_not_migrated() {
    let function = function(|context, input| async move {
        let id = context.id();
        let step = context.step("fails", move || {
            let input = input.clone();
            async move {
                if input == json!(1) {
                    Err(refused())
                } else {
                    Ok(json!([input, id]))
                }
            }
        });
        let given: Result<Value, Problem> = step.await;
        context.sleep(SignedDuration::from_mins(1)).await?;
        given
    });
    open(&function, async |bench| {
        let (handle, scope) = (bench.handle(), bench.scope());
        let failed = bench.execute(&function.definition(), json!(1)).await;
        let id = failed.assert_faulted(500).row().id;
        let told = handle.retry(scope, id, Retry::default()).await;
        let message = told.expect_err("not from a step").to_string();
        assert!(message.contains("retry it from /"), "{message}");
        let from_start = |input: u32| Retry {
            from_task: Some("/".to_owned()),
            input: Some(json!(input)),
            ..Retry::default()
        };
        handle
            .retry(scope, id, from_start(2))
            .await
            .expect("it goes on");
        let again = bench.end(id).await;
        let output = again.assert_completed().output();
        assert_eq!(output[0], json!(2));
        again.task("fails").assert_faulted(1).assert_completed(1);
        let fork = Fork {
            input: Some(json!(3)),
            ..Fork::default()
        };
        let forked = handle.fork(scope, id, fork).await.expect("it begins");
        let other = bench.end(forked).await.assert_completed().output();
        assert_eq!(other[0], json!(3));
        assert_ne!(other[1], output[1], "ids are not given twice");
        let next = DurableFunction::new(("test", "code", "2.0.0"), |_, input: Value| async move {
            Ok(input)
        });
        let text = next.definition();
        let refused = handle
            .deploy(scope, &text)
            .await
            .expect_err("nobody has it");
        let auterity_core::engine::DeployError::Invalid(mistakes) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(
            mistakes[0].message,
            "there is no durable function test/code 2.0.0"
        );
        let plain = crate::engine::definition("code", "do:\n- a: { set: { x: 1 } }\n");
        bench.deploy(&plain.replace("1.0.0", "3.0.0")).await;
        let running = bench
            .start(StartRequest {
                input: json!(4),
                version: Some("1.0.0".to_owned()),
                ..StartRequest::of("test", "code")
            })
            .await;
        let migrate = Migrate {
            version: "3.0.0".to_owned(),
            dry_run: true,
            ..Migrate::default()
        };
        let verdict = handle
            .migrate(scope, running, migrate)
            .await
            .expect("it says");
        assert!(
            verdict.reasons[0].contains("keeps the version"),
            "{verdict:?}"
        );
    });
}

#[test]
fn call_of_a_durable_function_stands_alone() {
    let function = careful();
    open(&function, async |bench| {
        let text = crate::engine::definition(
            "other",
            "do:\n- a: { call: durable-function }\n- b: { call: durable-function }\n",
        );
        let mistakes = bench.handle().validate(&text);
        assert_eq!(mistakes.len(), 2, "{mistakes:?}");
        assert!(mistakes[0].message.contains("only task of its definition"));
    });
}
