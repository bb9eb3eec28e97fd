//! Doubles, skipped time and assertions.

use auterity_core::engine::{Options, TenantSettings, WorkflowSettings};
use auterity_core::interpreter::{Problem, ProblemKind, TaskState};
use auterity_core::store::Status;
use auterity_core::testing::{Double, Reply, Workbench};
use jiff::SignedDuration;
use serde_json::json;

use crate::engine::definition;

fn gone() -> Problem {
    Problem::new(ProblemKind::Communication, "gone")
}

#[test]
fn time_is_skipped_to_exactly_what_is_due() {
    Workbench::new().open(async |bench| {
        let begun = bench.now();
        let text = definition(
            "subject",
            "do:\n- w: { wait: { days: 90 } }\n- s: { set: { x: 1 } }\n",
        );
        let history = bench.execute(&text, json!({})).await;
        history.assert_completed().assert_output(&json!({ "x": 1 }));
        assert_eq!(
            history.task("w").took(),
            Some(SignedDuration::from_hours(24 * 90))
        );
        assert_eq!(
            bench.now().duration_since(begun),
            SignedDuration::from_hours(24 * 90)
        );
    });
}

#[test]
fn double_follows_its_script_and_remembers_calls() {
    let pay = Double::giving(json!("paid"))
        .once(Reply::problem(gone()))
        .once(
            Reply::computed(|call| Ok(json!([call.arguments["n"]])))
                .after(SignedDuration::from_mins(2)),
        );
    Workbench::new().with_double("pay", &pay).open(async |bench| {
        let text = definition(
            "subject",
            "do:
- a: { try: [ { first: { call: pay, with: { n: 1 } } } ], catch: { do: [ { c: { set: { caught: true } } } ] } }
- b: { call: pay, with: { n: 2 } }
- c: { call: pay, with: { n: 3 } }
",
        );
        let history = bench.execute(&text, json!({})).await;
        history.assert_completed().assert_output(&json!("paid"));
        history.assert_order(&["a", "b", "c"]);
        history.task("first").assert_faulted(1).assert_completed(0);
        history.task("b").assert_output(&json!([2]));
        assert_eq!(history.task("b").took(), Some(SignedDuration::from_mins(2)));
    });
    let arguments: Vec<_> = pay
        .calls()
        .into_iter()
        .map(|call| call.arguments["n"].clone())
        .collect();
    assert_eq!(arguments, [json!(1), json!(2), json!(3)]);
}

#[test]
fn call_that_hangs_is_ended_by_its_time_out() {
    let stuck = Double::new(Reply::never());
    Workbench::new()
        .with_double("stuck", &stuck)
        .open(async |bench| {
            let text = definition(
                "subject",
                "do:\n- s: { call: stuck, timeout: { after: { hours: 5 } } }\n",
            );
            let history = bench.execute(&text, json!({})).await;
            history.assert_faulted(408);
        });
}

#[test]
fn one_task_is_executed_with_input_and_context() {
    let ship = Double::giving(json!({ "shipped": true }));
    Workbench::new()
        .with_double("ship", &ship)
        .open(async |bench| {
            let text = definition(
                "subject",
                "do:
- never: { wait: { days: 1000 } }
- later: { set: { x: 1 } }
- ship: { call: ship, with: { item: '${ .item }', to: '${ $context.city }' }, then: later }
",
            );
            let input = json!({ "item": 3 });
            let history = bench
                .execute_task(&text, "/do/2/ship", input, json!({ "city": "Oslo" }))
                .await;
            history
                .assert_completed()
                .assert_output(&json!({ "shipped": true }));
            history.task("never").assert_never();
            history.task("later").assert_never();
        });
    assert_eq!(
        ship.calls()[0].arguments,
        json!({ "item": 3, "to": "Oslo" })
    );
}

#[test]
fn an_execution_waits_for_an_event_while_time_goes_by() {
    Workbench::new().open(async |bench| {
        let text = definition(
            "subject",
            "do:\n- l: { listen: { to: { one: { with: { type: paid } } } } }\n",
        );
        let request = bench.deploy(&text).await;
        let id = bench.start(request).await;
        bench.skip(SignedDuration::from_hours(48)).await;
        bench.history(id).await.assert_status(Status::Waiting);
        let event =
            json!({ "specversion": "1.0", "id": "1", "source": "test", "type": "paid", "data": 5 });
        assert_eq!(bench.publish(&event).await, 1);
        bench.end(id).await.assert_output(&json!([5]));
    });
}

#[test]
fn failing_assertion_shows_the_history() {
    let failure = std::panic::catch_unwind(|| {
        Workbench::new()
            .with_double("pay", &Double::failing(gone()))
            .open(async |bench| {
                let text = definition("subject", "do:\n- pay: { call: pay }\n");
                let history = bench.execute(&text, json!({})).await;
                history.task("pay").assert_count(TaskState::Faulted, 1);
                history.assert_completed();
            });
    });
    let failure = failure.expect_err("it faulted");
    let message = failure.downcast_ref::<String>().expect("a text");
    for part in [
        "expected the execution to be completed",
        "test/subject",
        "faulted",
        "/do/0/pay#1",
        "gone",
    ] {
        assert!(message.contains(part), "{part} is missing in {message}");
    }
}

#[test]
fn ended_executions_are_kept_as_long_as_was_decided() {
    let hours = |hours| SignedDuration::from_hours(hours);
    let options = Options {
        retention: Some(hours(24 * 90)),
        ..Options::default()
    };
    Workbench::new().with_options(options).open(async |bench| {
        let (handle, scope) = (bench.handle(), bench.scope());
        let started = async |name: &str, rest: &str| {
            let request = bench.deploy(&definition(name, rest)).await;
            bench.start(request).await
        };
        let done = "do:\n- s: { set: { x: 1 } }\n";
        let long = "do:\n- w: { wait: { days: 400 } }\n";
        let (brief, usual) = (started("brief", done).await, started("usual", done).await);
        let waiting = started("waiting", long).await;
        bench.settle().await;
        let settings = WorkflowSettings {
            retention: Some(hours(24)),
            ..WorkflowSettings::default()
        };
        let brief_ones = ("test", "brief");
        let set = handle.set_workflow_settings(scope, brief_ones, &settings, None);
        set.await.expect("they are kept");
        let is_there = async |id| {
            handle
                .execution(scope, id)
                .await
                .expect("it reads")
                .is_some()
        };

        bench.skip(hours(23)).await;
        assert!(is_there(brief).await);
        bench.skip(hours(2)).await;
        assert!(!is_there(brief).await);
        assert!(is_there(usual).await);

        let of_tenant = TenantSettings {
            retention: Some(hours(48)),
            ..TenantSettings::default()
        };
        let set = handle.set_tenant_settings(scope, &of_tenant, None);
        set.await.expect("they are kept");
        bench.skip(hours(24)).await;
        assert!(!is_there(usual).await);
        bench.skip(hours(24 * 20)).await;
        assert!(is_there(waiting).await, "what has not ended is not old");
        let wrong = WorkflowSettings {
            retention: Some(SignedDuration::from_secs(59)),
            ..WorkflowSettings::default()
        };
        let refused = handle.set_workflow_settings(scope, brief_ones, &wrong, None);
        let refused = refused.await.expect_err("it is too short");
        assert_eq!("/retention", refused.violations()[0].pointer);
    });
}
