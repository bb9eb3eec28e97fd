//! The same done to many executions, by HTTP.

use serde_json::{Value, json};

use crate::fixture::{Account, Answer, Fixture, LISTEN};

async fn ask(fixture: &Fixture, who: &Account, path: &str, body: &Value) -> Answer {
    let path = format!("/api/v1/executions/bulk{path}");
    fixture.post(&path).by(who).json(body).send().await
}

async fn read(fixture: &Fixture, who: &Account, path: &str) -> Answer {
    let path = format!("/api/v1/executions/bulk{path}");
    fixture.get(&path).by(who).send().await
}

async fn ended(fixture: &Fixture, who: &Account, id: &str) -> Value {
    loop {
        let operation = read(fixture, who, &format!("/{id}")).await.json();
        if operation["ended_at"].is_string() {
            return operation;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn operation_is_planned_started_and_followed() {
    let (fixture, ada) = Fixture::with_workflow(LISTEN).await;
    let bob = fixture.sign_up("bob").await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(fixture.start(&ada, "listen").await);
    }
    let body = json!({
        "filter": "workflow:test/listen status:waiting,running,pending",
        "action": "cancel",
        "reason": "called off",
        "dry_run": true,
    });
    let planned = ask(&fixture, &ada, "", &body).await;
    assert_eq!(planned.status, 200, "{}", planned.text);
    let plan = planned.json();
    assert_eq!(plan["operation"]["state"], "planned");
    assert_eq!(plan["operation"]["total"], 3);
    assert_eq!(
        (&plan["checked"], &plan["refused"]),
        (&json!(3), &json!([]))
    );
    assert_eq!(plan["sample"][0], json!(ids[2]));
    let id = plan["operation"]["id"].as_str().unwrap();
    let location = format!("/api/v1/executions/bulk/{id}");
    assert_eq!(planned.header("location"), location);

    // Another one is not part of it.
    let later = fixture.start(&ada, "listen").await;
    for path in [format!("/{id}"), format!("/{id}/items")] {
        read(&fixture, &bob, &path).await.problem(404, "not_found");
    }
    for path in [format!("/{id}/start"), format!("/{id}/stop")] {
        let foreign = ask(&fixture, &bob, &path, &json!({})).await;
        foreign.problem(404, "not_found");
    }
    let started = ask(&fixture, &ada, &format!("/{id}/start"), &json!({})).await;
    assert_eq!(started.status, 202, "{}", started.text);
    let operation = ended(&fixture, &ada, id).await;
    assert_eq!(operation["state"], "done");
    assert_eq!(
        (&operation["done"], &operation["refused"]),
        (&json!(3), &json!(0))
    );
    assert!(operation["by"].as_str().unwrap().starts_with("usr_"));
    let events = fixture.history(&ada, &ids[0]).await;
    assert_eq!(events[1]["kind"], "execution.cancel_requested");
    assert_eq!(events[1]["reason"], "called off");
    let path = format!("/api/v1/executions/{later}");
    let execution = fixture.get(&path).by(&ada).send().await.json();
    assert_eq!(execution["ended_at"], Value::Null);

    let first = read(&fixture, &ada, &format!("/{id}/items?limit=2"))
        .await
        .json();
    assert_eq!(
        first["items"][0],
        json!({"id": ids[2], "outcome": "done", "detail": null})
    );
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = read(
        &fixture,
        &ada,
        &format!("/{id}/items?limit=2&cursor={cursor}"),
    )
    .await;
    assert_eq!(rest.json()["items"].as_array().unwrap().len(), 1);
    let none = read(&fixture, &ada, &format!("/{id}/items?outcome=refused")).await;
    assert_eq!(none.json()["items"], json!([]));
    let wrong = read(&fixture, &ada, &format!("/{id}/items?outcome=odd")).await;
    wrong.problem(400, "parameter_invalid");
    let list = read(&fixture, &ada, "").await.json();
    assert_eq!(list["items"][0]["id"], json!(id));
    assert_eq!(read(&fixture, &bob, "").await.json()["items"], json!([]));
}

#[tokio::test]
async fn executions_can_be_named_and_each_refusal_has_a_reason() {
    let (fixture, ada) = Fixture::with_workflow(LISTEN).await;
    let id = fixture.start(&ada, "listen").await;
    let unknown = "exe_01jzzzzzzzzzzzzzzzzzzzzzzz";
    let body = json!({"ids": [id, unknown], "action": "suspend", "rate": 1_000});
    let call = fixture.post("/api/v1/executions/bulk").by(&ada);
    let started = call.header("idempotency-key", "k").json(&body).send().await;
    assert_eq!(started.status, 202, "{}", started.text);
    let operation = started.json();
    let operation = operation["id"].as_str().unwrap();
    let call = fixture.post("/api/v1/executions/bulk").by(&ada);
    let again = call.header("idempotency-key", "k").json(&body).send().await;
    assert_eq!(again.json()["id"], json!(operation));
    let mut other = body.clone();
    other["action"] = json!("resume");
    let call = fixture.post("/api/v1/executions/bulk").by(&ada);
    let other = call
        .header("idempotency-key", "k")
        .json(&other)
        .send()
        .await;
    other.problem(422, "idempotency_key_reused");
    let ended = ended(&fixture, &ada, operation).await;
    assert_eq!((&ended["done"], &ended["refused"]), (&json!(1), &json!(1)));
    let path = format!("/{operation}/items?outcome=refused");
    let refused = read(&fixture, &ada, &path).await.json();
    assert_eq!(refused["items"][0]["id"], json!(unknown));
    assert_eq!(refused["items"][0]["detail"], "there is no such execution");
    let path = format!("/api/v1/executions/{id}");
    let execution = fixture.get(&path).by(&ada).send().await.json();
    assert_eq!(execution["status"], "suspended");
}

#[tokio::test]
async fn wrong_operations_are_refused_with_the_place() {
    let fixture = Fixture::new().await;
    let ada = fixture.sign_up("ada").await;
    for (body, status, code, pointer) in [
        (
            json!({"action": "cancel"}),
            422,
            "validation_failed",
            "/filter",
        ),
        (
            json!({"action": "cancel", "filter": "", "ids": []}),
            422,
            "validation_failed",
            "/filter",
        ),
        (
            json!({"action": "cancel", "filter": "status:odd"}),
            400,
            "parameter_invalid",
            "/filter",
        ),
        (
            json!({"action": "cancel", "ids": ["7"]}),
            422,
            "validation_failed",
            "/ids/0",
        ),
        (
            json!({"action": "migrate", "filter": ""}),
            422,
            "validation_failed",
            "/version",
        ),
        (
            json!({"action": "cancel", "filter": "", "version": "1.0.0"}),
            422,
            "validation_failed",
            "/version",
        ),
    ] {
        let answer = ask(&fixture, &ada, "", &body).await;
        let problem = answer.problem(status, code);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{body}");
    }
    let slow = json!({"action": "cancel", "filter": "", "rate": 0});
    let slow = ask(&fixture, &ada, "", &slow).await;
    slow.problem(422, "validation_failed");
    let anonymous = fixture.get("/api/v1/executions/bulk").send().await;
    anonymous.problem(401, "unauthenticated");
}
