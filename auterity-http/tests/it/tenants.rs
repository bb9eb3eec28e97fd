//! What belongs to one tenant does not exist for another.

use poem::http::Method;
use serde_json::{Value, json};

use crate::fixture::{Account, Answer, Fixture, LISTEN};
use crate::schedules::nightly;
use crate::tasks::{APPROVAL, task_of};

/// Gives the answer without what names the request itself.
fn plain(answer: &Answer, names: &Names<'_>) -> String {
    let request_id = answer.header("x-request-id");
    let mut text = answer.text.replace(request_id, "");
    for name in [names.execution, names.schedule, names.task, names.workflow] {
        text = text.replace(name, "");
    }
    text
}

/// One call of the API, as the OpenAPI document names it.
struct Operation {
    id: String,
    method: Method,
    path: String,
    is_guarded: bool,
    takes_body: bool,
    takes_tag: bool,
}

fn operations() -> Vec<Operation> {
    let document: Value = serde_json::from_str(&auterity_http::openapi()).unwrap();
    let mut all = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let parameters = operation["parameters"].as_array();
            let mut named = parameters.into_iter().flatten();
            all.push(Operation {
                id: operation["operationId"].as_str().unwrap().to_owned(),
                method: method.to_uppercase().parse().unwrap(),
                path: format!("/api/v1{path}"),
                is_guarded: operation["security"].is_array(),
                takes_body: operation["requestBody"].is_object(),
                takes_tag: named.any(|parameter| parameter["name"] == "If-Match"),
            });
        }
    }
    assert!(30 < all.len());
    all
}

/// What stands in an address for its parameters.
struct Names<'n> {
    workflow: &'n str,
    execution: &'n str,
    schedule: &'n str,
    task: &'n str,
}

impl Operation {
    fn at(&self, names: &Names<'_>) -> String {
        let id = if self.path.contains("/schedules/") {
            names.schedule
        } else if self.path.contains("/tasks/") {
            names.task
        } else {
            names.execution
        };
        self.path
            .replace("{namespace}", "test")
            .replace("{name}", names.workflow)
            .replace("{version}", "1.0.0")
            .replace("{id}", id)
    }

    /// Gives a body that the call takes; a new call with a body of its own form has to be
    /// added here.
    fn body(&self) -> Value {
        match self.id.as_str() {
            "execution_skip" => json!({ "task": "hear" }),
            "execution_migrate" => json!({ "version": "2.0.0" }),
            "schedule_replace" => nightly("nightly"),
            "schedule_pause" => json!({ "paused": true }),
            "schedule_backfill" => {
                json!({ "from": "2026-01-01T00:00:00Z", "to": "2026-01-04T00:00:00Z" })
            }
            "workflow_settings_put" => {
                json!({ "priority": 0, "concurrency": [], "rate": [], "throttle": [] })
            }
            "task_complete" => json!({ "outcome": "approved" }),
            "task_delegate" => json!({ "to": "eve@example.com" }),
            _ => json!({}),
        }
    }

    async fn ask(&self, fixture: &Fixture, by: Option<&Account>, names: &Names<'_>) -> Answer {
        let mut call = fixture.call(self.method.clone(), &self.at(names));
        if let Some(account) = by {
            call = call.by(account);
        }
        if self.takes_tag {
            call = call.header("if-match", "\"1\"");
        }
        if self.takes_body {
            call = call.json(&self.body());
        }
        call.send().await
    }
}

#[tokio::test]
async fn every_call_but_those_of_sign_in_asks_who_is_there() {
    let fixture = Fixture::new().await;
    let names = Names {
        workflow: "listen",
        execution: "exe_01jzzzzzzzzzzzzzzzzzzzzzzz",
        schedule: "sch_01jzzzzzzzzzzzzzzzzzzzzzzz",
        task: "tsk_01jzzzzzzzzzzzzzzzzzzzzzzz",
    };
    let mut open = Vec::new();
    for operation in operations() {
        if !operation.is_guarded {
            open.push(operation.id);
            continue;
        }
        let answer = operation.ask(&fixture, None, &names).await;
        answer.problem(401, "unauthenticated");
    }
    open.sort();
    let known = [
        "auth_refresh",
        "auth_sign_in",
        "auth_sign_out",
        "auth_sign_up",
    ];
    assert_eq!(open, known);
}

#[tokio::test]
async fn what_belongs_to_another_tenant_looks_unknown_at_every_call() {
    let fixture = Fixture::new().await;
    let ada = fixture.sign_up("ada").await;
    let eve = fixture.sign_up("eve").await;
    let private = LISTEN.replace("name: listen", "name: private");
    fixture.deploy(&ada, &private).await;
    let mut schedule = nightly("private-nightly");
    schedule["workflow"]["name"] = json!("private");
    let made = fixture.post("/api/v1/schedules").by(&ada).json(&schedule);
    let (schedule, execution) = (made.send().await.id(), fixture.start(&ada, "private").await);
    fixture.deploy(&ada, APPROVAL).await;
    let asking = fixture.start(&ada, "decide").await;
    let task = task_of(&fixture, &ada, &asking).await["id"].clone();
    let task = task.as_str().unwrap();
    let foreign = Names {
        task,
        workflow: "private",
        execution: &execution,
        schedule: &schedule,
    };
    let unknown = Names {
        workflow: "absent",
        execution: "exe_01jzzzzzzzzzzzzzzzzzzzzzzz",
        schedule: "sch_01jzzzzzzzzzzzzzzzzzzzzzzz",
        task: "tsk_01jzzzzzzzzzzzzzzzzzzzzzzz",
    };
    let guarded = operations().into_iter().filter(|call| call.is_guarded);
    for operation in guarded.filter(|call| call.id != "stream_open") {
        let id = &operation.id;
        let answer = operation.ask(&fixture, Some(&eve), &foreign).await;
        for secret in [&execution, &schedule, task, "private-nightly"] {
            let own = operation.at(&foreign).contains(secret);
            assert!(
                own || !answer.text.contains(secret),
                "{id}: {}",
                answer.text
            );
        }
        if !operation.path.contains('{') {
            continue;
        }
        assert_eq!(answer.status, 404, "{id}: {}", answer.text);
        let other = operation.ask(&fixture, Some(&eve), &unknown).await;
        assert_eq!(plain(&answer, &foreign), plain(&other, &unknown), "{id}");
    }
    // None of it was changed.
    let path = format!("/api/v1/executions/{execution}");
    let kept = fixture.get(&path).by(&ada).send().await.json();
    assert_eq!(kept["status"], "waiting", "{kept}");
    let path = format!("/api/v1/schedules/{schedule}");
    assert_eq!(
        fixture.get(&path).by(&ada).send().await.json()["state"],
        "active"
    );
    let kept = fixture
        .get(&format!("/api/v1/tasks/{task}"))
        .by(&ada)
        .send()
        .await;
    assert_eq!(kept.json()["state"], "open");
    let rubbish = fixture.get("/api/v1/executions/7").by(&eve).send().await;
    rubbish.problem(404, "not_found");
}

#[tokio::test]
async fn cursor_of_another_tenant_is_refused() {
    let fixture = Fixture::new().await;
    let ada = fixture.sign_up("ada").await;
    let eve = fixture.sign_up("eve").await;
    fixture.deploy(&ada, LISTEN).await;
    fixture.start(&ada, "listen").await;
    fixture.start(&ada, "listen").await;
    let page = fixture
        .get("/api/v1/executions?limit=1")
        .by(&ada)
        .send()
        .await;
    let cursor = page.json()["next_cursor"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/executions?limit=1&cursor={cursor}");
    let ask = |who: &Account| fixture.get(&path).by(who).send();
    assert_eq!(ask(&ada).await.status, 200);
    ask(&eve).await.problem(400, "cursor_invalid");
}

#[tokio::test]
async fn key_of_another_tenant_is_another_key() {
    let fixture = Fixture::new().await;
    let mut ids = Vec::new();
    for name in ["ada", "eve"] {
        let account = fixture.sign_up(name).await;
        fixture.deploy(&account, LISTEN).await;
        let call = fixture
            .post("/api/v1/workflows/test/listen/executions")
            .by(&account);
        let answer = call
            .header("idempotency-key", "k")
            .json(&json!({}))
            .send()
            .await;
        ids.push(answer.id());
    }
    assert_ne!(ids[0], ids[1]);
}
