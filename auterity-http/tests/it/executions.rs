use serde_json::{Value, json};

use crate::fixture::{ECHO, Events, Fixture, LISTEN};

#[tokio::test]
async fn start_waits_for_the_end() {
    let (fixture, ada) = Fixture::with_workflow(ECHO).await;
    let answer = fixture
        .begin(
            &ada,
            "echo?wait=30s",
            &json!({"input": {"count": 3}, "attributes": {"order": "17"}, "priority": 1}),
        )
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let execution = answer.json();
    assert_eq!(execution["status"], "completed");
    assert_eq!(execution["input"], json!({"count": 3}));
    assert_eq!(execution["output"], json!({"said": 3}));
    assert_eq!(execution["error"], Value::Null);
    assert_eq!(execution["attributes"], json!({"order": "17"}));
    assert_eq!(execution["workflow"]["version"], "1.0.0");
    assert!(execution["duration_ms"].is_i64() && execution["ended_at"].is_string());
    let id = execution["id"].as_str().unwrap();
    let path = format!("/api/v1/executions/{id}");
    assert_eq!(answer.header("location"), path);
    assert_eq!(fixture.get(&path).by(&ada).send().await.json(), execution);
}

#[tokio::test]
async fn start_that_does_not_end_in_time_is_accepted() {
    let (fixture, ada) = Fixture::with_workflow(LISTEN).await;
    let answer = fixture.begin(&ada, "listen?wait=10ms", &json!({})).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    assert_eq!(answer.json()["current_tasks"], json!(["/do/0/hear"]));
    for wait in ["soon", "-1s", "3h"] {
        let path = format!("/api/v1/workflows/test/listen/executions?wait={wait}");
        let answer = fixture.post(&path).by(&ada).json(&json!({})).send().await;
        answer.problem(400, "parameter_invalid");
    }
}

#[tokio::test]
async fn input_that_breaks_its_schema_is_pointed_at() {
    let (fixture, ada) = Fixture::with_workflow(ECHO).await;
    let answer = fixture
        .begin(&ada, "echo", &json!({"input": {"count": "three"}}))
        .await;
    let problem = answer.problem(422, "input_invalid");
    assert_eq!(problem["errors"][0]["pointer"], "/input/count");
    let body = json!({"inputs": {}});
    let call = fixture
        .post("/api/v1/workflows/test/echo/executions")
        .by(&ada)
        .json(&body);
    call.send().await.problem(422, "validation_failed");
    let call = fixture
        .post("/api/v1/workflows/test/nothing/executions")
        .by(&ada);
    call.json(&json!({})).send().await.problem(404, "not_found");
}

#[tokio::test]
async fn same_key_finds_the_first_execution() {
    let (fixture, ada) = Fixture::with_workflow(LISTEN).await;
    let start = |key: &str| {
        fixture
            .post("/api/v1/workflows/test/listen/executions")
            .by(&ada)
            .header("idempotency-key", key)
            .json(&json!({}))
            .send()
    };
    let (first, second, other) = (start("a").await, start("a").await, start("b").await);
    assert_eq!(first.status, 202);
    assert_eq!(first.json()["id"], second.json()["id"]);
    assert_ne!(first.json()["id"], other.json()["id"]);
    assert_eq!(first.header("idempotency-replayed"), "");
    assert_eq!(second.header("idempotency-replayed"), "true");
}

#[tokio::test]
async fn same_key_with_another_payload_is_refused() {
    let (fixture, ada) = Fixture::with_workflow(LISTEN).await;
    fixture.deploy(&ada, ECHO).await;
    let start = |path: &str, body: Value| {
        let path = format!("/api/v1/workflows/test/{path}");
        let call = fixture.post(&path).by(&ada).header("idempotency-key", "k");
        call.json(&body).send()
    };
    let body = json!({"input": {"count": 1, "more": [1.5]}, "attributes": {"a": "b"}});
    let first = start("echo/executions", body).await;
    assert_eq!(first.status, 202, "{}", first.text);
    // The same in another order, or with the version spelt out, is the same.
    let again = json!({"attributes": {"a": "b"}, "input": {"more": [1.5], "count": 1}});
    let again = start("echo/executions?version=1.0.0", again).await;
    assert_eq!(again.json()["id"], first.json()["id"]);
    let others = [
        (
            "echo/executions",
            json!({"input": {"count": 2, "more": [1.5]}, "attributes": {"a": "b"}}),
        ),
        (
            "echo/executions",
            json!({"input": {"count": 1, "more": [1.5]}}),
        ),
        (
            "listen/executions",
            json!({"input": {"count": 1, "more": [1.5]}, "attributes": {"a": "b"}}),
        ),
    ];
    for (path, body) in others {
        start(path, body)
            .await
            .problem(422, "idempotency_key_reused");
    }
}

#[tokio::test]
async fn list_takes_few_attributes_only() {
    let fixture = Fixture::new().await;
    let ada = fixture.sign_up("ada").await;
    let list = |count: usize| {
        let pairs: Vec<String> = (0..count)
            .map(|number| format!("attribute.a{number}=b"))
            .collect();
        let path = format!("/api/v1/executions?{}", pairs.join("&"));
        fixture.get(&path).by(&ada).send()
    };
    assert_eq!(list(8).await.status, 200);
    list(9).await.problem(400, "parameter_invalid");
}

#[tokio::test]
async fn list_is_filtered_and_paged() {
    let (fixture, ada) = Fixture::with_workflow(LISTEN).await;
    fixture.deploy(&ada, ECHO).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.insert(0, fixture.start(&ada, "listen").await);
    }
    let list = |query: String| {
        let path = format!("/api/v1/executions?{query}");
        fixture.get(&path).by(&ada).send()
    };
    let found = |answer: &Value| -> Vec<String> {
        let items = answer["items"].as_array().unwrap();
        items
            .iter()
            .map(|item| item["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = list("workflow=test/listen&limit=2".to_owned()).await.json();
    assert_eq!(found(&first), ids[..2]);
    let cursor = first["next_cursor"].as_str().unwrap().to_owned();
    let rest = list(format!("workflow=test/listen&limit=2&cursor={cursor}"))
        .await
        .json();
    assert_eq!(found(&rest), ids[2..]);
    assert_eq!(rest["next_cursor"], Value::Null);
    let none = list("workflow=test/echo".to_owned()).await.json();
    assert_eq!(found(&none), Vec::<String>::new());
    let none = list("status=completed".to_owned()).await.json();
    assert_eq!(found(&none), Vec::<String>::new());
    let some = list("filter=workflow:test/*%20-status:completed%20started%3E-1h".to_owned());
    assert_eq!(found(&some.await.json()), ids);
    let none = list("filter=status:waiting%20started%3E-1h&workflow=test/echo".to_owned());
    assert_eq!(found(&none.await.json()), Vec::<String>::new());
    let wrong = list("filter=status:odd%20colour:red%20started%3E-1h".to_owned()).await;
    let problem = wrong.problem(400, "parameter_invalid");
    let columns = problem["errors"].as_array().unwrap().iter();
    let columns: Vec<_> = columns.map(|error| error["column"].clone()).collect();
    assert_eq!(columns, [8, 12], "{problem}");
    let late = list("started_after=2999-01-01T00:00:00Z".to_owned())
        .await
        .json();
    assert_eq!(found(&late), Vec::<String>::new());

    for query in [
        "status=odd",
        "workflow=listen",
        "started_after=today",
        "limit=0",
    ] {
        list(query.to_owned())
            .await
            .problem(400, "parameter_invalid");
    }
    list(format!("cursor={cursor}"))
        .await
        .problem(400, "cursor_invalid");
    let mut tampered = cursor.into_bytes();
    let last = tampered.last_mut().unwrap();
    *last = if *last == b'A' { b'B' } else { b'A' };
    let tampered = String::from_utf8(tampered).unwrap();
    let answer = list(format!("workflow=test/listen&cursor={tampered}")).await;
    answer.problem(400, "cursor_invalid");
}

#[tokio::test]
async fn history_tells_what_happened() {
    let (fixture, ada) = Fixture::with_workflow(ECHO).await;
    let answer = fixture.begin(&ada, "echo?wait=30s", &json!({})).await;
    let id = answer.id();
    let path = format!("/api/v1/executions/{id}/events");
    let history = fixture.get(&path).by(&ada).send().await.json();
    let items = history["items"].as_array().unwrap();
    assert_eq!(items[0]["sequence"], 1);
    assert_eq!(items[0]["kind"], "execution.started");
    assert_eq!(items.last().unwrap()["kind"], "execution.ended");
    assert_eq!(items[0]["tasks"][0]["name"], "say");
    assert_eq!(history["next_cursor"], Value::Null);

    let first = fixture
        .get(&format!("{path}?limit=1"))
        .by(&ada)
        .send()
        .await
        .json();
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = fixture
        .get(&format!("{path}?cursor={cursor}"))
        .by(&ada)
        .send()
        .await
        .json();
    assert_eq!(rest["items"].as_array().unwrap()[..], items[1..]);
    let after = fixture
        .get(&format!("{path}?after=1"))
        .by(&ada)
        .send()
        .await
        .json();
    assert_eq!(after["items"], rest["items"]);
}

#[tokio::test]
async fn followers_see_history_then_live_and_resume() {
    let (fixture, ada) = Fixture::with_workflow(LISTEN).await;
    let id = fixture.start(&ada, "listen").await;
    let path = format!("/api/v1/executions/{id}/events");
    let open = || {
        fixture
            .get(&path)
            .by(&ada)
            .header("accept", "text/event-stream")
    };
    let mut live = Events::of(open().open().await);
    let first = live.next().await.unwrap();
    assert_eq!((&*first.id, &*first.event), ("1", "execution.started"));

    let event = json!({"specversion": "1.0", "id": "1", "source": "/t", "type": "test.go"});
    let published = fixture
        .post("/api/v1/events")
        .by(&ada)
        .body("application/cloudevents+json", event.to_string())
        .send()
        .await;
    assert_eq!(published.status, 202, "{}", published.text);
    let rest = live.all().await;
    assert_eq!(rest.last().unwrap().event, "execution.ended");
    let data: Value = serde_json::from_str(&rest[0].data).unwrap();
    assert_eq!(data["kind"], "cloud_event.received");

    let resumed = Events::of(open().header("last-event-id", "1").open().await)
        .all()
        .await;
    assert_eq!(resumed, rest);
    let last = rest.last().unwrap().id.clone();
    let done = Events::of(open().header("last-event-id", &last).open().await)
        .all()
        .await;
    assert_eq!(done, []);
}

#[tokio::test]
async fn execution_is_cancelled_once() {
    let (fixture, ada) = Fixture::with_workflow(LISTEN).await;
    let id = fixture.start(&ada, "listen").await;
    let path = format!("/api/v1/executions/{id}");
    let cancel = format!("{path}/cancel");
    let answer = fixture
        .post(&cancel)
        .by(&ada)
        .json(&json!({"reason": "test"}))
        .send()
        .await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let call = fixture.get(&format!("{path}/events")).by(&ada);
    let ended = Events::of(call.header("accept", "text/event-stream").open().await)
        .all()
        .await;
    assert_eq!(ended.last().unwrap().event, "execution.ended");
    let execution = fixture.get(&path).by(&ada).send().await.json();
    assert_eq!(execution["status"], "cancelled");
    fixture
        .post(&cancel)
        .by(&ada)
        .send()
        .await
        .problem(409, "already_ended");
}
