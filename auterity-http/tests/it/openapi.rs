use std::fmt::Write as _;

use expect_test::{expect, expect_file};
use poem::http::Method;
use serde_json::{Value, json};

use crate::fixture::Fixture;

fn document() -> Value {
    serde_json::from_str(&auterity_http::openapi()).unwrap()
}

fn operations() -> Vec<(String, String, Value)> {
    let document = document();
    let mut all = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            all.push((method.to_uppercase(), path.clone(), operation.clone()));
        }
    }
    all.sort_by(|a, b| (&a.1, &a.0).cmp(&(&b.1, &b.0)));
    all
}

/// A new route has to be added here.
#[test]
fn routes_are_known() {
    let mut lines = String::new();
    for (method, path, operation) in operations() {
        let guard = if operation["security"].is_array() {
            "token"
        } else {
            "open "
        };
        writeln!(lines, "{guard} {method:6} {path}").unwrap();
    }
    expect![[r"
        token GET    /auth/me
        open  POST   /auth/refresh
        open  POST   /auth/sign-in
        open  POST   /auth/sign-out
        open  POST   /auth/sign-up
        token POST   /events
        token GET    /executions
        token POST   /executions/batch
        token GET    /executions/bulk
        token POST   /executions/bulk
        token GET    /executions/bulk/{id}
        token GET    /executions/bulk/{id}/items
        token POST   /executions/bulk/{id}/start
        token POST   /executions/bulk/{id}/stop
        token GET    /executions/faults
        token GET    /executions/{id}
        token POST   /executions/{id}/cancel
        token GET    /executions/{id}/events
        token POST   /executions/{id}/fork
        token POST   /executions/{id}/migrate
        token POST   /executions/{id}/resume
        token POST   /executions/{id}/retry
        token POST   /executions/{id}/skip
        token POST   /executions/{id}/suspend
        token POST   /executions/{id}/terminate
        token GET    /functions
        token GET    /schedules
        token POST   /schedules
        token POST   /schedules/preview
        token DELETE /schedules/{id}
        token GET    /schedules/{id}
        token PATCH  /schedules/{id}
        token PUT    /schedules/{id}
        token GET    /schedules/{id}/backfills
        token POST   /schedules/{id}/backfills
        token GET    /schedules/{id}/preview
        token GET    /schedules/{id}/ticks
        token POST   /schedules/{id}/trigger
        token GET    /stream
        token GET    /tasks
        token GET    /tasks/counts
        token GET    /tasks/{id}
        token POST   /tasks/{id}/claim
        token POST   /tasks/{id}/complete
        token POST   /tasks/{id}/delegate
        token POST   /tasks/{id}/release
        token GET    /workflows
        token POST   /workflows
        token POST   /workflows/validate
        token DELETE /workflows/{namespace}/{name}
        token GET    /workflows/{namespace}/{name}
        token POST   /workflows/{namespace}/{name}/executions
        token GET    /workflows/{namespace}/{name}/settings
        token PUT    /workflows/{namespace}/{name}/settings
        token GET    /workflows/{namespace}/{name}/versions
        token GET    /workflows/{namespace}/{name}/versions/{version}
    "]]
    .assert_eq(&lines);
}

#[test]
fn each_operation_says_what_it_needs_and_how_it_fails() {
    for (method, path, operation) in operations() {
        let place = format!("{method} {path}");
        assert!(operation["operationId"].is_string(), "{place}");
        assert!(operation["summary"].is_string(), "{place}");
        assert!(operation["tags"][0].is_string(), "{place}");
        let problem = "/responses/default/content/application~1problem+json/schema/$ref";
        assert_eq!(
            operation.pointer(problem),
            Some(&json!("#/components/schemas/Problem")),
            "{place}"
        );
        if operation["security"].is_array() {
            assert!(operation["responses"]["401"].is_object(), "{place}");
        }
    }
}

/// `UPDATE_EXPECT=1` writes the file anew.
#[test]
fn published_document_is_current() {
    expect_file!["../../../docs/reference/openapi.json"].assert_eq(&auterity_http::openapi());
}

/// Nobody gets past the door without a token, whatever the path and body.
#[tokio::test]
async fn guarded_routes_refuse_anonymous_callers() {
    let fixture = Fixture::new().await;
    for (method, path, operation) in operations() {
        if operation["security"].is_null() {
            continue;
        }
        let path = path.replace(['{', '}'], "");
        let method: Method = method.parse().unwrap();
        let call = fixture.call(method, &format!("/api/v1{path}"));
        call.json(&json!({}))
            .send()
            .await
            .problem(401, "unauthenticated");
    }
}

#[tokio::test]
async fn document_and_its_page_are_served() {
    let fixture = Fixture::new().await;
    let answer = fixture.get("/api/v1/openapi.json").send().await;
    assert_eq!(answer.json(), document());
    let page = fixture.get("/api/docs").send().await;
    assert_eq!(page.status, 200);
    assert!(!page.text.contains("http://") && !page.text.contains("https://"));
    let script = fixture.get("/api/docs?script").send().await;
    assert_eq!(
        script.header("content-type"),
        "text/javascript; charset=utf-8"
    );
    assert!(!script.text.contains("http://") && !script.text.contains("https://"));
    let post = fixture.post("/api/docs").send().await;
    post.problem(405, "method_not_allowed");
    assert_eq!(post.header("allow"), "GET");
}
