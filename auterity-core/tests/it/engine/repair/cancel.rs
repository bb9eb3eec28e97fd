//! Cancel with compensation, terminate.

use std::sync::Arc;

use auterity_core::ErrorKind;
use auterity_core::clock::ManualClock;
use auterity_core::engine::Ports;
use auterity_core::functions::Functions;
use auterity_core::interpreter::CANCELLED;
use auterity_core::store::{MemoryStore, Status};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::sync::{Semaphore, mpsc};

use super::super::{Fixture, error, options};
use super::{Bench, Gate};

/// Two bookings inside each other, each of which undoes itself.
fn saga(inner_undo: &str) -> String {
    format!(
        "do:
- outer:
    try:
    - hotel: {{ call: note, with: {{ n: hotel }} }}
    - inner:
        try:
        - flight: {{ call: note, with: {{ n: flight }} }}
        - car: {{ call: gate, with: {{ n: car }} }}
        catch:
          errors: {{ with: {{ type: '{CANCELLED}' }} }}
          as: why
          do:
          - undo: {inner_undo}
    - any: {{ try: [ {{ never: {{ call: note, with: {{ n: never }} }} }} ], catch: {{}} }}
    catch:
      errors: {{ with: {{ type: '{CANCELLED}' }} }}
      do:
      - undo: {{ call: note, with: {{ n: no hotel }} }}
- after: {{ call: note, with: {{ n: after }} }}
"
    )
}

#[tokio::test]
async fn cancelled_execution_undoes_from_the_inside_out() {
    let bench = Bench::new().await;
    let undo = "{ call: note, with: { n: '${ $why.detail }' } }";
    let id = bench.start_to_gate(&saga(undo)).await;
    let Fixture { handle, scope, .. } = &bench.fixture;
    handle
        .cancel(scope, id, Some("too dear".to_owned()))
        .await
        .expect("asked");
    let row = bench.fixture.end(id).await;
    assert_eq!(row.status, Status::Cancelled);
    assert_eq!(
        bench.noted().await,
        [
            json!("hotel"),
            json!("flight"),
            json!("too dear"),
            json!("no hotel")
        ]
    );
    let late = handle.cancel(scope, id, None).await.expect_err("too late");
    assert_eq!(late.kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn catch_without_the_error_type_lets_the_cancellation_through() {
    let bench = Bench::new().await;
    let rest = "do:
- t:
    try: [ { g: { call: gate, with: { n: 1 } } } ]
    catch: { retry: { delay: { seconds: 1 } }, do: [ { no: { call: note, with: { n: caught } } } ] }
- u:
    try: [ { v: { call: note, with: { n: after } } } ]
    catch: { errors: { with: { status: 499 } }, do: [ { no: { set: { x: 1 } } } ] }
";
    let id = bench.start_to_gate(rest).await;
    let Fixture { handle, scope, .. } = &bench.fixture;
    handle.cancel(scope, id, None).await.expect("asked");
    assert_eq!(bench.fixture.end(id).await.status, Status::Cancelled);
    assert!(bench.noted().await.is_empty());
}

#[tokio::test]
async fn every_branch_compensates_before_the_fork_does() {
    let bench = Bench::new().await;
    let branch = |name: &str| {
        format!(
            "{{ {name}: {{ try: [ {{ g: {{ call: gate, with: {{ n: {name} }} }} }} ], catch: {{ errors: {{ with: {{ type: '{CANCELLED}' }} }}, do: [ {{ u: {{ call: note, with: {{ n: {name} }} }} }} ] }} }} }}"
        )
    };
    let rest = format!(
        "do:
- all:
    try:
    - both: {{ fork: {{ branches: [ {}, {}, {{ quick: {{ set: {{ x: 1 }} }} }} ] }} }}
    catch:
      errors: {{ with: {{ type: '{CANCELLED}' }} }}
      do: [ {{ u: {{ call: note, with: {{ n: fork }} }} }} ]
",
        branch("left"),
        branch("right")
    );
    let id = bench.start_to_gate(&rest).await;
    bench.called().await;
    let Fixture { handle, scope, .. } = &bench.fixture;
    handle.cancel(scope, id, None).await.expect("asked");
    assert_eq!(bench.fixture.end(id).await.status, Status::Cancelled);
    let mut noted = bench.noted().await;
    assert_eq!(noted.pop(), Some(json!("fork")), "the fork comes last");
    noted.sort_by_key(ToString::to_string);
    assert_eq!(noted, [json!("left"), json!("right")]);
}

#[tokio::test]
async fn failed_compensation_is_the_fault_and_the_outer_ones_still_run() {
    let bench = Bench::new().await;
    let undo = "{ raise: { error: { type: 'https://e.example/full', status: 500 } } }";
    let id = bench.start_to_gate(&saga(undo)).await;
    let Fixture { handle, scope, .. } = &bench.fixture;
    handle.cancel(scope, id, None).await.expect("asked");
    let row = bench.fixture.end(id).await;
    assert_eq!(row.status, Status::Faulted);
    assert_eq!(error(&row)["type"], "https://e.example/full");
    assert_eq!(bench.noted().await.last(), Some(&json!("no hotel")));
}

#[tokio::test]
async fn second_cancel_changes_nothing_and_terminate_ends_a_compensation() {
    let bench = Bench::new().await;
    let undo = "{ call: gate, with: { n: undo } }";
    let id = bench.start_to_gate(&saga(undo)).await;
    let Fixture { handle, scope, .. } = &bench.fixture;
    handle
        .cancel(scope, id, Some("first".to_owned()))
        .await
        .expect("asked");
    assert_eq!(bench.called().await, json!({"n": "undo"}));
    handle
        .cancel(scope, id, Some("second".to_owned()))
        .await
        .expect("harmless");
    let refused = handle.suspend(scope, id, None).await.expect_err("refused");
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    handle
        .terminate(scope, id, Some("now".to_owned()))
        .await
        .expect("asked");
    assert_eq!(bench.fixture.end(id).await.status, Status::Cancelled);
    assert!(!bench.noted().await.contains(&json!("no hotel")));
    assert_eq!(
        bench.kinds(id).await[3..],
        [
            "execution.cancel_requested",
            "execution.cancel_requested",
            "execution.terminate_requested",
            "execution.ended"
        ]
    );
}

#[tokio::test]
async fn compensation_beyond_its_grace_is_a_fault() {
    let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    let (calls, mut called) = mpsc::unbounded_channel();
    let gate = Gate {
        calls,
        open: Arc::new(Semaphore::new(0)),
    };
    let ports = Ports {
        clock: Arc::<ManualClock>::clone(&clock),
        functions: Functions::built_in().with("gate", gate),
        ..Ports::new(Arc::new(MemoryStore::new()))
    };
    let fixture = Fixture::with(ports, options()).await;
    let rest = format!(
        "timeout: {{ after: {{ minutes: 1 }} }}
do:
- t:
    try: [ {{ g: {{ call: gate }} }} ]
    catch: {{ errors: {{ with: {{ type: '{CANCELLED}' }} }}, do: [ {{ u: {{ call: gate }} }} ] }}
"
    );
    fixture.deploy("subject", &rest).await;
    let id = fixture.start("subject", json!({})).await;
    called.recv().await.expect("called");
    fixture
        .handle
        .cancel(&fixture.scope, id, None)
        .await
        .expect("asked");
    called.recv().await.expect("compensating");
    // The definition's own timeout does not count any more.
    clock.advance(SignedDuration::from_mins(2));
    fixture.until(id, |row| row.status == Status::Running).await;
    clock.advance(SignedDuration::from_mins(3));
    let row = fixture.until(id, |row| row.status.is_ended()).await;
    assert_eq!(row.status, Status::Faulted);
    let detail = error(&row)["detail"].to_string();
    assert!(detail.contains("cancel_grace"), "{detail}");
}

#[tokio::test]
async fn waiting_suspended_and_retrying_executions_are_cancelled_too() {
    let bench = Bench::new().await;
    let Fixture { handle, scope, .. } = &bench.fixture;
    let undo = format!(
        "catch: {{ errors: {{ with: {{ type: '{CANCELLED}' }} }}, do: [ {{ u: {{ call: note, with: {{ n: undone }} }} }} ] }}"
    );
    let wait = format!("do:\n- t: {{ try: [ {{ w: {{ wait: {{ days: 1 }} }} }} ], {undo} }}\n");
    for suspended in [false, true] {
        bench.fixture.deploy("subject", &wait).await;
        let id = bench.fixture.start("subject", json!({})).await;
        bench
            .fixture
            .until(id, |row| row.status == Status::Waiting)
            .await;
        if suspended {
            handle.suspend(scope, id, None).await.expect("asked");
        }
        handle.cancel(scope, id, None).await.expect("asked");
        assert_eq!(bench.fixture.end(id).await.status, Status::Cancelled);
        assert_eq!(bench.noted().await, [json!("undone")]);
    }
}

#[tokio::test]
async fn child_of_a_cancelled_parent_follows_the_policy_of_its_task() {
    let bench = Bench::new().await;
    let Fixture { handle, scope, .. } = &bench.fixture;
    let child = format!(
        "do:
- t:
    try: [ {{ g: {{ call: gate, with: {{ n: child }} }} }} ]
    catch: {{ errors: {{ with: {{ type: '{CANCELLED}' }} }}, do: [ {{ u: {{ call: note, with: {{ n: undone }} }} }} ] }}
"
    );
    bench.fixture.deploy("child", &child).await;
    for (policy, status, noted) in [
        ("cancel", Some(Status::Cancelled), vec![json!("undone")]),
        ("terminate", Some(Status::Cancelled), vec![]),
        ("abandon", None, vec![]),
    ] {
        let parent = format!(
            "do:\n- r:\n    metadata: {{ parent_close: {policy} }}\n    run: {{ workflow: {{ namespace: test, name: child, version: '1.0.0' }} }}\n"
        );
        let name = format!("parent-{policy}");
        bench.fixture.deploy(&name, &parent).await;
        let id = bench.fixture.start(&name, json!({})).await;
        bench.called().await;
        handle.cancel(scope, id, None).await.expect("asked");
        assert_eq!(bench.fixture.end(id).await.status, Status::Cancelled);
        let child = id.of_child(1);
        match status {
            Some(status) => assert_eq!(bench.fixture.end(child).await.status, status),
            None => {
                assert_eq!(bench.status(child).await, Status::Running);
                bench.let_go();
                assert_eq!(bench.fixture.end(child).await.status, Status::Completed);
            }
        }
        assert_eq!(bench.noted().await, noted, "{policy}");
    }
}
