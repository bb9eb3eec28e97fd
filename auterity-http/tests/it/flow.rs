//! Settings of workflows, refusals, and many starts at once.

use poem::http::Method;
use serde_json::{Value, json};

use crate::fixture::{Account, Answer, ECHO, Events, Fixture, LISTEN};

const SETTINGS: &str = "/api/v1/workflows/test/listen/settings";
const START: &str = "/api/v1/workflows/test/listen/executions";

async fn put(fixture: &Fixture, account: &Account, settings: &Value) -> Answer {
    let call = fixture.call(Method::PUT, SETTINGS).by(account);
    let answer = call.json(settings).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer
}

async fn start(fixture: &Fixture, account: &Account, input: &Value) -> Answer {
    fixture
        .begin(account, "listen", &json!({"input": input}))
        .await
}

#[tokio::test]
async fn settings_are_read_and_replaced() {
    let fixture = Fixture::new().await;
    let ada = fixture.sign_up("ada").await;
    let missing = fixture.get(SETTINGS).by(&ada).send().await;
    missing.problem(404, "not_found");
    fixture.deploy(&ada, LISTEN).await;
    let none = fixture.get(SETTINGS).by(&ada).send().await;
    assert_eq!(
        (none.json()["concurrency"].clone(), none.header("etag")),
        (json!([]), "\"0\"")
    );
    let wanted = json!({
        "concurrency": [{"max": 2}, {"max": 1, "key": ".customer"}],
        "throttle": [{"max": 60, "period": "PT1M", "burst": 5}],
        "queue_max": 100,
        "retention": "P4W",
    });
    let kept = put(&fixture, &ada, &wanted).await;
    assert_eq!(kept.header("etag"), "\"1\"");
    let found = fixture.get(SETTINGS).by(&ada).send().await.json();
    assert_eq!(found["concurrency"][1]["key"], ".customer");
    assert_eq!(found["throttle"][0]["period"], "PT1M");
    assert_eq!(found["queue_max"], 100);
    assert_eq!(found["retention"], "P28D");
    let months = fixture.call(Method::PUT, SETTINGS).by(&ada);
    let months = months.json(&json!({"retention": "P1M"})).send().await;
    months.problem(422, "validation_failed");

    let replace = |tag: &'static str| {
        let call = fixture.call(Method::PUT, SETTINGS).by(&ada);
        call.header("if-match", tag).json(&json!({})).send()
    };
    replace("\"0\"").await.problem(412, "precondition_failed");
    assert_eq!(replace("\"1\"").await.header("etag"), "\"2\"");
    replace("nothing").await.problem(412, "precondition_failed");

    // Another tenant sees neither the workflow nor its settings.
    let eve = fixture.sign_up("eve").await;
    let other = fixture.get(SETTINGS).by(&eve).send().await;
    other.problem(404, "not_found");
    let call = fixture.call(Method::PUT, SETTINGS).by(&eve);
    call.json(&json!({})).send().await.problem(404, "not_found");
}

#[tokio::test]
async fn mistakes_in_settings_have_their_place() {
    let (fixture, ada) = Fixture::with_workflow(LISTEN).await;
    for (settings, pointer) in [
        (json!({"concurrency": [{"max": 0}]}), "/concurrency/0/max"),
        (
            json!({"concurrency": [{"max": 1, "key": "((("}]}),
            "/concurrency/0/key",
        ),
        (
            json!({"throttle": [{"max": 1, "period": "soon"}]}),
            "/throttle/0/period",
        ),
        (
            json!({"rate": [{"max": 1, "period": "PT0S"}]}),
            "/rate/0/period",
        ),
        (
            json!({"debounce": {"period": "PT1S", "keep": "all"}}),
            "/debounce/keep",
        ),
        (
            json!({"singleton": {}, "debounce": {"period": "PT1S"}}),
            "/singleton",
        ),
        (json!({"paralel": 1}), "/paralel"),
    ] {
        let call = fixture.call(Method::PUT, SETTINGS).by(&ada);
        let answer = call.json(&settings).send().await;
        let problem = answer.problem(422, "validation_failed");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
}

#[tokio::test]
async fn starts_beyond_a_rate_are_refused_with_the_time_to_wait() {
    let (fixture, ada) = Fixture::with_workflow(LISTEN).await;
    put(
        &fixture,
        &ada,
        &json!({"rate": [{"max": 2, "period": "PT1H"}]}),
    )
    .await;
    let keyed = async || {
        let call = fixture
            .post(START)
            .by(&ada)
            .header("idempotency-key", "monday");
        call.json(&json!({"input": {}})).send().await
    };
    let first = keyed().await;
    assert_eq!(first.status, 202);
    assert_eq!(start(&fixture, &ada, &json!({})).await.status, 202);
    let refused = start(&fixture, &ada, &json!({})).await;
    let problem = refused.problem(429, "throttled");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("workflow/test/listen/rate")
    );
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=1_800).contains(&wait), "{wait}");
    let again = keyed().await;
    assert_eq!(again.status, 202);
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.json()["id"], first.json()["id"]);
    put(&fixture, &ada, &json!({})).await;
    assert_eq!(start(&fixture, &ada, &json!({})).await.status, 202);
}

#[tokio::test]
async fn held_execution_says_what_holds_it() {
    let (fixture, ada) = Fixture::with_workflow(LISTEN).await;
    let settings = json!({"concurrency": [{"max": 1, "key": ".customer"}], "queue_max": 10});
    put(&fixture, &ada, &settings).await;
    let mut ids = Vec::new();
    for customer in ["a", "b", "a", "a"] {
        let answer = start(&fixture, &ada, &json!({"customer": customer})).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        ids.push(answer.id());
    }
    let last = fixture.get(&format!("/api/v1/executions/{}", ids[3]));
    let last = last.by(&ada).send().await.json();
    assert_eq!(last["status"], "pending");
    let queued = &last["queued"];
    assert_eq!(
        queued["limit"],
        "workflow/test/listen/concurrency/.customer"
    );
    assert_eq!(
        (&queued["key"], &queued["ahead"], &queued["max"]),
        (&json!("a"), &json!(1), &json!(1))
    );
    assert!(
        last["waiting_for"]
            .as_str()
            .unwrap()
            .contains("1 before it")
    );
    let mut refused = start(&fixture, &ada, &json!({"customer": "a"})).await;
    for _ in 0..20 {
        if refused.status == 202 {
            refused = start(&fixture, &ada, &json!({"customer": "a"})).await;
        }
    }
    let problem = refused.problem(429, "throttled");
    assert!(problem["detail"].as_str().unwrap().contains("queue_max"));
    assert_eq!(refused.header("retry-after"), "1");
}

#[tokio::test]
async fn batch_gives_a_result_per_item() {
    let (fixture, ada) = Fixture::with_workflow(ECHO).await;
    let items = json!({"items": [
        {"workflow": "test/echo", "input": {"count": 1}, "idempotency_key": "one"},
        {"workflow": "test/nothing"},
        {"workflow": "test/echo", "input": {"count": "odd"}},
        {"workflow": "test/echo", "input": {"count": 1}, "idempotency_key": "one"},
        {"workflow": "test/echo", "attributes": {"half": "two"}, "priority": 3},
    ]});
    let call = fixture.post("/api/v1/executions/batch").by(&ada);
    let answer = call.json(&items).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let reply = answer.json();
    let results = reply["items"].as_array().unwrap();
    assert_eq!((results.len(), &reply["failed"]), (5, &json!(2)));
    assert_eq!(
        (&results[0]["existing"], &results[3]["existing"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(results[0]["id"], results[3]["id"]);
    assert_eq!(results[1]["error"]["status"], 404);
    assert_eq!(results[2]["error"]["code"], "input_invalid");
    let id = results[4]["id"].as_str().unwrap();
    let events = fixture.get(&format!("/api/v1/executions/{id}/events"));
    let events = events.by(&ada).header("accept", "text/event-stream");
    // The stream closes after the end.
    assert!(!Events::of(events.open().await).all().await.is_empty());
    let found = fixture.get(&format!("/api/v1/executions/{id}")).by(&ada);
    let found = found.send().await.json();
    assert_eq!(
        (&found["status"], &found["attributes"]["half"]),
        (&json!("completed"), &json!("two"))
    );
}

#[tokio::test]
async fn repeated_batch_finds_what_it_started_and_an_own_key_counts_more() {
    let (fixture, ada) = Fixture::with_workflow(ECHO).await;
    let batch = async |key: &str, items: &[Value]| {
        let call = fixture.post("/api/v1/executions/batch").by(&ada);
        let call = call.header("idempotency-key", key);
        let answer = call.json(&json!({ "items": items })).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["items"].as_array().unwrap().clone()
    };
    let item = |count: u32| json!({ "workflow": "test/echo", "input": { "count": count } });
    let mut own = item(3);
    own["idempotency_key"] = json!("own");
    let long = "k".repeat(255);
    let first = batch(&long, &[item(1), item(2), own.clone()]).await;
    let again = batch(&long, &[item(1), item(2), own.clone()]).await;
    for (one, other) in first.iter().zip(&again) {
        assert_eq!(one["id"], other["id"]);
        assert_eq!(
            (&one["existing"], &other["existing"]),
            (&json!(false), &json!(true))
        );
    }
    assert_ne!(first[0]["id"], first[1]["id"]);
    let changed = batch(&long, &[item(1), item(7)]).await;
    assert_eq!(changed[0]["id"], first[0]["id"]);
    assert_eq!(changed[1]["error"]["code"], "idempotency_key_reused");
    let other = batch("other", &[item(1), own]).await;
    assert_ne!(other[0]["id"], first[0]["id"]);
    assert_eq!(other[1]["id"], first[2]["id"]);
}

#[tokio::test]
async fn batch_of_a_wrong_form_is_refused_whole() {
    let fixture = Fixture::new().await;
    let ada = fixture.sign_up("ada").await;
    for (body, code, status) in [
        (
            json!({"items": [{"workflow": "echo"}]}),
            "parameter_invalid",
            400,
        ),
        (
            json!({"items": [{"name": "echo"}]}),
            "validation_failed",
            422,
        ),
        (
            json!({"items": vec![json!({"workflow": "a/b"}); 10_001]}),
            "limit_exceeded",
            422,
        ),
    ] {
        let call = fixture.post("/api/v1/executions/batch").by(&ada);
        call.json(&body).send().await.problem(status, code);
    }
}
