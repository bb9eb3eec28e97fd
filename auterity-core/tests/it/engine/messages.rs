//! Events, children and cancellation.

use auterity_core::store::Status;
use serde_json::{Value, json};

use super::{Fixture, PATIENCE, output};

fn cloud_event(kind: &str, id: &str, data: &Value) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "https://test.example", "type": kind, "data": data})
}

async fn parked(fixture: &Fixture, rest: &str) -> auterity_core::ExecutionId {
    fixture.deploy("listener", rest).await;
    let id = fixture.start("listener", json!({"order": 7})).await;
    fixture.until(id, |row| row.status == Status::Waiting).await;
    id
}

#[tokio::test]
async fn listener_takes_the_event_that_correlates_and_no_other() {
    let fixture = Fixture::new().await;
    let id = parked(
        &fixture,
        "do:
- l:
    listen:
      to:
        one:
          with: { type: order.paid }
          correlate:
            order: { from: .data.order, expect: '${ .order }' }
",
    )
    .await;
    let publish = |id: &str, order: u32| {
        let event = cloud_event("order.paid", id, &json!({"order": order}));
        let (handle, scope) = (fixture.handle.clone(), fixture.scope.clone());
        async move { handle.publish(&scope, &event).await.expect("published") }
    };
    assert_eq!(publish("1", 8).await, 0);
    assert_eq!(publish("2", 7).await, 1);
    assert_eq!(output(&fixture.end(id).await), json!([{"order": 7}]));
}

#[tokio::test]
async fn event_is_for_those_whose_correlation_it_meets_however_they_ask() {
    let fixture = Fixture::new().await;
    let listen = |correlate: &str| {
        format!(
            "do:
- keep: {{ set: '${{ . }}', export: {{ as: . }} }}
- l:
    listen:
      to:
        one:
          with: {{ type: order.paid }}
          correlate:
{correlate}
"
        )
    };
    let two = "            order: { from: .data.order, expect: '${ .order }' }
            shop: { from: .data.shop, expect: berlin }";
    let known = "            order: { from: '.data.order == $context.order', expect: '${ true }' }";
    let mut waiting = Vec::new();
    for (name, correlate) in [("two", two), ("known", known)] {
        fixture.deploy(name, &listen(correlate)).await;
        for order in 1..=3 {
            let id = fixture.start(name, json!({"order": order})).await;
            fixture.until(id, |row| row.status == Status::Waiting).await;
            waiting.push(id);
        }
    }
    let publish = async |id: &str, data: Value| {
        let event = cloud_event("order.paid", id, &data);
        let (handle, scope) = (&fixture.handle, &fixture.scope);
        handle.publish(scope, &event).await.expect("published")
    };
    // Whether the context's order is meant is known by the executions only.
    let elsewhere = json!({"order": 1, "shop": "paris"});
    assert_eq!(3, publish("1", elsewhere).await);
    assert_eq!(Status::Completed, fixture.end(waiting[3]).await.status);
    let here = json!({"shop": "berlin", "order": 2.0});
    assert_eq!(2, publish("2", here).await, "2.0 is not 2");
    assert_eq!(Status::Completed, fixture.end(waiting[4]).await.status);
    let here = json!({"shop": "berlin", "order": 2});
    assert_eq!(2, publish("3", here).await);
    assert_eq!(Status::Completed, fixture.end(waiting[1]).await.status);
    for id in [waiting[0], waiting[2], waiting[5]] {
        fixture.until(id, |row| row.status == Status::Waiting).await;
    }
}

#[tokio::test]
async fn event_that_a_filter_fails_on_is_for_nobody_and_does_no_harm() {
    let fixture = Fixture::new().await;
    let id = parked(
        &fixture,
        "do:
- l:
    listen:
      to:
        any:
        - with: { type: t }
          correlate: { order: { from: .data.order, expect: '${ .order }' } }
        - with: { type: u, data: '${ .size > 1 and (.name | startswith(\"a\")) }' }
        until: length == 2
",
    )
    .await;
    let publish = async |kind: &str, id: &str, data: Value| {
        let event = cloud_event(kind, id, &data);
        let (handle, scope) = (&fixture.handle, &fixture.scope);
        handle.publish(scope, &event).await.expect("published")
    };
    assert_eq!(0, publish("t", "1", json!("text has no order")).await);
    publish("u", "2", json!({"size": 2, "name": 3})).await;
    publish("u", "3", json!({"size": 2, "name": "anna"})).await;
    assert_eq!(1, publish("t", "4", json!({"order": 7})).await);
    let heard = json!([{"size": 2, "name": "anna"}, {"order": 7}]);
    assert_eq!(heard, output(&fixture.end(id).await));
}

#[tokio::test]
async fn all_waits_for_each_filter_and_a_repeated_event_counts_once() {
    let fixture = Fixture::new().await;
    let id = parked(
        &fixture,
        "do:
- l:
    listen:
      to:
        all:
        - with: { type: a }
        - with: { type: b }
",
    )
    .await;
    for (kind, event) in [("a", "1"), ("a", "1"), ("c", "2"), ("b", "3")] {
        let event = cloud_event(kind, event, &json!(kind));
        fixture
            .handle
            .publish(&fixture.scope, &event)
            .await
            .expect("published");
    }
    assert_eq!(output(&fixture.end(id).await), json!(["a", "b"]));
}

#[tokio::test]
async fn any_until_collects_while_the_condition_does_not_hold() {
    let fixture = Fixture::new().await;
    let id = parked(
        &fixture,
        "do:
- l:
    listen:
      to:
        any:
        - with: { type: t, data: '${ .value > 1 }' }
        until: length == 2
    foreach:
      item: reading
      do:
      - double: { set: { value: '${ $reading.value * 2 }' } }
",
    )
    .await;
    for value in [1, 2, 0, 3] {
        let event = cloud_event("t", &value.to_string(), &json!({"value": value}));
        fixture
            .handle
            .publish(&fixture.scope, &event)
            .await
            .expect("published");
    }
    assert_eq!(
        output(&fixture.end(id).await),
        json!([{"value": 4}, {"value": 6}])
    );
}

#[tokio::test]
async fn emitted_event_reaches_another_execution_of_the_same_tenant_only() {
    let fixture = Fixture::new().await;
    let id = parked(
        &fixture,
        "do:\n- l: { listen: { to: { one: { with: { type: ping } } } } }\n",
    )
    .await;
    let other = super::scope(2);
    let event = cloud_event("ping", "1", &json!("foreign"));
    assert_eq!(
        fixture
            .handle
            .publish(&other, &event)
            .await
            .expect("published"),
        0
    );
    let emit = "do:
- e: { emit: { event: { with: { source: 'https://me.example', type: ping, data: { n: 1 } } } } }
";
    let row = fixture.complete(emit, json!({})).await;
    assert_eq!(output(&row)["type"], "ping");
    assert_eq!(output(&fixture.end(id).await), json!([{"n": 1}]));
}

#[tokio::test]
async fn answer_that_comes_at_once_is_heard() {
    const PAIRS: u32 = 40;
    let fixture = Fixture::new().await;
    let side = |emits: &str, hears: &str, first: &str| {
        let emit = format!(
            "- e: {{ emit: {{ event: {{ with: {{ source: 'https://me.example', type: {emits}, \
             data: {{ pair: '${{ $workflow.input.pair }}' }} }} }} }} }}\n"
        );
        let listen = format!(
            "- l: {{ listen: {{ to: {{ one: {{ with: {{ type: {hears} }}, correlate: {{ pair: \
             {{ from: .data.pair, expect: '${{ $workflow.input.pair }}' }} }} }} }} }} }}\n"
        );
        match first {
            "emit" => format!("do:\n{emit}{listen}"),
            _ => format!("do:\n{listen}{emit}"),
        }
    };
    fixture.deploy("ask", &side("ask", "answer", "emit")).await;
    fixture
        .deploy("answer", &side("answer", "ask", "listen"))
        .await;
    let mut all = Vec::new();
    for pair in 0..PAIRS {
        all.push(fixture.start("answer", json!({ "pair": pair })).await);
    }
    for pair in 0..PAIRS {
        all.push(fixture.start("ask", json!({ "pair": pair })).await);
    }
    for id in all {
        fixture.end(id).await;
    }
}

#[tokio::test]
async fn execution_hears_what_its_other_branch_emits() {
    let fixture = Fixture::new().await;
    let rest = "do:
- both:
    fork:
      branches:
      - hears: { listen: { to: { one: { with: { type: ping } } } } }
      - says: { emit: { event: { with: { source: 'https://me.example', type: ping, data: 1 } } } }
";
    let row = fixture.complete(rest, json!({})).await;
    assert_eq!(row.status, Status::Completed);
}

#[tokio::test]
async fn workflow_that_awaits_itself_ends_at_the_limit() {
    let fixture = Fixture::new().await;
    let rest =
        "do:\n- c: { run: { workflow: { namespace: test, name: subject, version: '1.0.0' } } }\n";
    let row = fixture.complete(rest, json!({})).await;
    assert_eq!(row.status, Status::Faulted);
    let error = row.error.expect("it says why");
    assert!(error.contains("nesting_max"), "{error}");
    let query = auterity_core::store::ExecutionQuery {
        limit: 100,
        ..Default::default()
    };
    let all = fixture.store.execution_list(&fixture.scope, &query).await;
    assert_eq!(all.expect("it lists").items.len(), 33);
}

#[tokio::test]
async fn parent_waits_for_its_child_and_gets_output_or_error() {
    let fixture = Fixture::new().await;
    fixture
        .deploy(
            "child",
            "do:\n- w: { wait: { milliseconds: 60 } }\n- s: { set: { n: '${ .n * 2 }' } }\n",
        )
        .await;
    let parent = "do:
- c: { run: { workflow: { namespace: test, name: child, version: '1.0.0', input: { n: 4 } } } }
";
    assert_eq!(
        output(&fixture.complete(parent, json!({})).await),
        json!({"n": 8})
    );
}

#[tokio::test]
async fn failing_child_is_an_error_of_the_task_that_started_it() {
    let fixture = Fixture::new().await;
    fixture
        .deploy(
            "child",
            "do:\n- r: { raise: { error: { type: 'https://x.example/e', status: 409 } } }\n",
        )
        .await;
    let parent = "do:
- t:
    try:
    - c: { run: { workflow: { namespace: test, name: child, version: '1.0.0' } } }
    catch:
      do:
      - n: { set: { status: '${ $error.status }', at: '${ $error.instance }' } }
";
    let row = fixture.complete(parent, json!({})).await;
    assert_eq!(
        output(&row),
        json!({"status": 409, "at": "/do/0/t/try/0/c"})
    );
}

#[tokio::test]
async fn cancelled_execution_ends_and_takes_its_child_along() {
    let fixture = Fixture::new().await;
    fixture
        .deploy("child", "do:\n- w: { wait: { days: 1 } }\n")
        .await;
    fixture
        .deploy(
            "subject",
            "do:\n- c: { run: { workflow: { namespace: test, name: child, version: '1.0.0' } } }\n",
        )
        .await;
    let id = fixture.start("subject", json!({})).await;
    fixture.until(id, |row| row.status == Status::Waiting).await;
    fixture
        .handle
        .cancel(&fixture.scope, id, Some("enough".to_owned()))
        .await
        .expect("asked");
    assert_eq!(fixture.end(id).await.status, Status::Cancelled);
    let child = ("test".to_owned(), Some("child".to_owned()));
    let query = auterity_core::store::ExecutionQuery {
        filter: auterity_core::store::Test::Workflow(vec![child]).into(),
        limit: 10,
        ..Default::default()
    };
    let children = fixture
        .handle
        .executions(&fixture.scope, &query)
        .await
        .expect("listed")
        .items;
    assert_eq!(children.len(), 1);
    let child = fixture
        .handle
        .wait(&fixture.scope, children[0].id, PATIENCE)
        .await
        .expect("there");
    assert_eq!(child.status, Status::Cancelled);
    let again = fixture
        .handle
        .cancel(&fixture.scope, id, None)
        .await
        .expect_err("it has ended");
    assert_eq!(again.kind(), auterity_core::ErrorKind::Conflict);
}
