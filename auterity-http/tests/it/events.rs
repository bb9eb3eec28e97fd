use serde_json::{Value, json};

use crate::fixture::{Account, Answer, Events, Fixture, LISTEN};

async fn waiting() -> (Fixture, Account, String) {
    let (fixture, ada) = Fixture::with_workflow(LISTEN).await;
    let id = fixture.start(&ada, "listen").await;
    (fixture, ada, id)
}

async fn output_of(fixture: &Fixture, account: &Account, id: &str) -> Value {
    fixture.history(account, id).await;
    let path = format!("/api/v1/executions/{id}");
    fixture.get(&path).by(account).send().await.json()["output"].clone()
}

fn accepted(answer: &Answer) {
    assert_eq!(answer.status, 202, "{}", answer.text);
    assert_eq!(answer.json(), json!({"id": "e 1", "matched": 1}));
}

#[tokio::test]
async fn structured_event_reaches_its_listener() {
    let (fixture, ada, id) = waiting().await;
    let event = json!({
        "specversion": "1.0", "id": "e 1", "source": "/t", "type": "test.go", "data": {"a": 1},
    });
    let call = fixture.post("/api/v1/events").by(&ada);
    let media_type = "application/cloudevents+json; charset=utf-8";
    accepted(&call.body(media_type, event.to_string()).send().await);
    assert_eq!(output_of(&fixture, &ada, &id).await, json!([{"a": 1}]));
}

#[tokio::test]
async fn binary_event_reaches_its_listener() {
    let (fixture, ada, id) = waiting().await;
    let call = fixture
        .post("/api/v1/events")
        .by(&ada)
        .header("ce-specversion", "1.0")
        .header("ce-id", "e%201")
        .header("ce-source", "/t")
        .header("ce-type", "test.go")
        .json(&json!({"a": 2}));
    accepted(&call.send().await);
    assert_eq!(output_of(&fixture, &ada, &id).await, json!([{"a": 2}]));
}

#[tokio::test]
async fn event_that_is_none_is_refused() {
    let (fixture, ada, _) = waiting().await;
    let event = json!({"specversion": "1.0", "id": "1", "source": "/t"});
    let call = fixture.post("/api/v1/events").by(&ada);
    let answer = call
        .body("application/cloudevents+json", event.to_string())
        .send()
        .await;
    answer.problem(422, "validation_failed");
    let call = fixture.post("/api/v1/events").by(&ada).json(&event);
    call.send().await.problem(415, "unsupported_media_type");
    let call = fixture.post("/api/v1/events").by(&ada);
    let answer = call.body("application/cloudevents+json", "{").send().await;
    answer.problem(400, "body_invalid");
}

#[tokio::test]
async fn tenant_follows_its_own_executions_only() {
    let fixture = Fixture::new().await;
    let ada = fixture.sign_up("ada").await;
    let eve = fixture.sign_up("eve").await;
    fixture.deploy(&ada, LISTEN).await;
    fixture.deploy(&eve, LISTEN).await;
    let mut stream = Events::of(fixture.get("/api/v1/stream").by(&ada).open().await);
    fixture.start(&eve, "listen").await;
    let id = fixture.start(&ada, "listen").await;
    let first = stream.next().await.unwrap();
    assert_eq!(first.event, "execution");
    let row: Value = serde_json::from_str(&first.data).unwrap();
    assert_eq!(row["id"], *id);
    assert_eq!(row["workflow"]["name"], "listen");
}
