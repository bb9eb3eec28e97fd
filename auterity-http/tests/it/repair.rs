//! Repair of live work by HTTP.

use serde_json::{Value, json};

use crate::fixture::{Account, Answer, Fixture, LISTEN};

async fn post(fixture: &Fixture, who: &Account, path: &str, body: &Value) -> Answer {
    let path = format!("/api/v1/executions/{path}");
    fixture.post(&path).by(who).json(body).send().await
}

#[tokio::test]
async fn execution_is_suspended_resumed_and_skipped() {
    let (fixture, ada) = Fixture::with_workflow(LISTEN).await;
    let id = fixture.start(&ada, "listen").await;
    let path = |action: &str| format!("{id}/{action}");
    let resumed = post(&fixture, &ada, &path("resume"), &json!({})).await;
    resumed.problem(409, "conflict");
    let suspended = post(
        &fixture,
        &ada,
        &path("suspend"),
        &json!({"reason": "a look"}),
    )
    .await;
    assert_eq!(suspended.status, 202, "{}", suspended.text);
    assert_eq!(suspended.json()["status"], "suspended");
    let list = "/api/v1/executions?status=suspended";
    let list = fixture.get(list).by(&ada).send().await.json();
    assert_eq!(list["items"][0]["id"], json!(id));
    let resumed = post(&fixture, &ada, &path("resume"), &json!({})).await;
    assert_eq!(resumed.status, 202, "{}", resumed.text);
    for (body, status, code) in [
        (json!({}), 422, "validation_failed"),
        (json!({"task": "/do/7/nothing"}), 409, "conflict"),
        (
            json!({"task": "/do/0/hear", "input": 1}),
            422,
            "validation_failed",
        ),
    ] {
        let answer = post(&fixture, &ada, &path("skip"), &body).await;
        answer.problem(status, code);
    }
    let body = json!({"task": "/do/0/hear", "output": [], "reason": "heard by ear"});
    let skipped = post(&fixture, &ada, &path("skip"), &body).await;
    assert_eq!(skipped.status, 202, "{}", skipped.text);
    let events = fixture.history(&ada, &id).await;
    let kinds: Vec<&str> = events
        .iter()
        .filter_map(|event| event["kind"].as_str())
        .collect();
    assert_eq!(
        kinds,
        [
            "execution.started",
            "execution.suspended",
            "execution.resumed",
            "task.skipped",
            "execution.ended"
        ]
    );
    assert_eq!(events[1]["reason"], "a look");
    assert!(events[1]["by"].as_str().unwrap().starts_with("usr_"));
    assert_eq!(events[0]["by"], Value::Null);
    assert_eq!(events[3]["tasks"][0]["state"], "skipped");
    let late = post(&fixture, &ada, &path("suspend"), &json!({})).await;
    late.problem(409, "already_ended");
}

#[tokio::test]
async fn execution_is_terminated() {
    let (fixture, ada) = Fixture::with_workflow(LISTEN).await;
    let id = fixture.start(&ada, "listen").await;
    let answer = post(&fixture, &ada, &format!("{id}/terminate"), &json!({})).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let events = fixture.history(&ada, &id).await;
    assert_eq!(events[1]["kind"], "execution.terminate_requested");
    let long = json!({"reason": "x".repeat(5_000)});
    let id = fixture.start(&ada, "listen").await;
    let answer = post(&fixture, &ada, &format!("{id}/cancel"), &long).await;
    answer.problem(422, "limit_exceeded");
}

const STEPS: &str = "document: { dsl: '1.0.3', namespace: test, name: steps, version: '1.0.0' }
do:
- first: { call: echo, with: { n: 1 } }
- second:
    do:
    - check: { switch: [ { good: { when: '${ .good == true }', then: finish } }, { bad: { then: fail } } ] }
    - fail: { raise: { error: { type: 'https://e.example/bad', status: 400 } } }
    - finish: { set: { done: true } }
";

async fn faulted(fixture: &Fixture, who: &Account) -> String {
    fixture.deploy(who, STEPS).await;
    let id = fixture.start(who, "steps").await;
    fixture.history(who, &id).await;
    id
}

#[tokio::test]
async fn faulted_execution_is_retried_with_a_dry_run_first() {
    let fixture = Fixture::new().await;
    let ada = fixture.sign_up("ada").await;
    let id = faulted(&fixture, &ada).await;
    let retry = format!("{id}/retry");
    let mut body = json!({"from_task": "/do/1/second", "input": {"good": true}, "dry_run": true});
    let planned = post(&fixture, &ada, &retry, &body).await;
    assert_eq!(planned.status, 200, "{}", planned.text);
    let plan = planned.json();
    assert_eq!(plan["from_task"], "/do/1/second#2");
    assert_eq!(plan["runs_again"][0]["task"], "/do/1/second/do/0/check");
    body["dry_run"] = json!(false);
    body["reason"] = json!("the data was wrong");
    let accepted = post(&fixture, &ada, &retry, &body).await;
    assert_eq!(accepted.status, 202, "{}", accepted.text);
    let events = fixture.history(&ada, &id).await;
    let retried = events
        .iter()
        .find(|event| event["kind"] == "execution.retried");
    assert_eq!(retried.unwrap()["reason"], "the data was wrong");
    let path = format!("/api/v1/executions/{id}");
    let execution = fixture.get(&path).by(&ada).send().await.json();
    assert_eq!(execution["status"], "completed");
    assert_eq!(execution["output"], json!({"done": true}));
    for (body, status, code) in [
        (json!({}), 422, "validation_failed"),
        (json!({"from_task": "/do/7/x"}), 409, "conflict"),
        (
            json!({"from_task": "/", "version": "7.0.0"}),
            404,
            "not_found",
        ),
        (json!({"task": "/"}), 422, "validation_failed"),
    ] {
        let answer = post(&fixture, &ada, &retry, &body).await;
        answer.problem(status, code);
    }
}

#[tokio::test]
async fn faults_are_grouped_and_their_executions_found() {
    let fixture = Fixture::new().await;
    let (ada, bob) = (fixture.sign_up("ada").await, fixture.sign_up("bob").await);
    let first = faulted(&fixture, &ada).await;
    let second = fixture.start(&ada, "steps").await;
    fixture.history(&ada, &second).await;
    let faults = |who: &Account, query: &str| {
        let path = format!("/api/v1/executions/faults{query}");
        fixture.get(&path).by(who).send()
    };
    let groups = faults(&ada, "").await.json();
    assert_eq!(groups["partial"], json!(false));
    let group = &groups["items"][0];
    assert_eq!(group["count"], 2);
    assert_eq!(group["newest"]["id"], json!(second));
    assert_eq!(group["error"]["type"], "https://e.example/bad");
    assert_eq!(groups["items"].as_array().unwrap().len(), 1);
    let signature = group["signature"].as_str().unwrap();
    let path = format!("/api/v1/executions?filter=fault:{signature}");
    let list = fixture.get(&path).by(&ada).send().await.json();
    assert_eq!(list["items"][0]["id"], json!(second));
    assert_eq!(list["items"][1]["id"], json!(first));
    let path = format!("/api/v1/executions/{first}");
    let execution = fixture.get(&path).by(&ada).send().await.json();
    assert_eq!(execution["fault"], json!(signature));
    let none = faults(&ada, "?filter=-workflow:test/steps").await.json();
    assert_eq!(none["items"], json!([]));
    assert_eq!(faults(&bob, "").await.json()["items"], json!([]));
    for query in ["?filter=fault:1", "?limit=0"] {
        let answer = faults(&ada, query).await;
        answer.problem(400, "parameter_invalid");
    }
    let anonymous = fixture.get("/api/v1/executions/faults").send().await;
    anonymous.problem(401, "unauthenticated");
}

#[tokio::test]
async fn execution_is_forked_once_per_key() {
    let fixture = Fixture::new().await;
    let ada = fixture.sign_up("ada").await;
    let id = faulted(&fixture, &ada).await;
    let fork = || {
        let call = fixture
            .post(&format!("/api/v1/executions/{id}/fork"))
            .by(&ada);
        let body = json!({"from_task": "/do/1/second", "input": {"good": true}});
        call.header("idempotency-key", "f").json(&body).send()
    };
    let first = fork().await;
    assert_eq!(first.status, 202, "{}", first.text);
    let new = first.id();
    assert_ne!(new, id);
    assert_eq!(
        first.header("location"),
        format!("/api/v1/executions/{new}")
    );
    assert_eq!(fork().await.json()["id"], json!(new));
    let events = fixture.history(&ada, &new).await;
    assert_eq!(events[0]["kind"], "execution.forked");
}

#[tokio::test]
async fn waiting_execution_is_migrated_or_refused_with_the_reasons() {
    let (fixture, ada) = Fixture::with_workflow(LISTEN).await;
    let id = fixture.start(&ada, "listen").await;
    let next = LISTEN.replace("version: '1.0.0'", "version: '1.1.0'");
    fixture.deploy(&ada, &next).await;
    let other = LISTEN
        .replace("version: '1.0.0'", "version: '2.0.0'")
        .replace("hear", "here");
    fixture.deploy(&ada, &other).await;
    let migrate = format!("{id}/migrate");
    let dry = json!({"version": "2.0.0", "dry_run": true});
    let dry = post(&fixture, &ada, &migrate, &dry).await;
    assert_eq!(dry.status, 200);
    assert_eq!(dry.json()["maps"], json!(false));
    let refused = post(&fixture, &ada, &migrate, &json!({"version": "2.0.0"})).await;
    let problem = refused.problem(409, "conflict");
    assert!(
        problem["errors"][0]["detail"]
            .as_str()
            .unwrap()
            .contains("/do/0/hear")
    );
    let done = post(&fixture, &ada, &migrate, &json!({"version": "1.1.0"})).await;
    assert_eq!(done.status, 200, "{}", done.text);
    assert_eq!(done.json()["done"], json!(true));
    let path = format!("/api/v1/executions/{id}");
    let execution = fixture.get(&path).by(&ada).send().await.json();
    assert_eq!(execution["workflow"]["version"], "1.1.0");
}
