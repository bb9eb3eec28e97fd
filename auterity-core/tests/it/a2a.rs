//! `call: a2a` against an agent of this machine.

use std::sync::Arc;

use auterity_core::functions::{A2a, Function, Http, HttpOptions};
use auterity_core::interpreter::Problem;
use serde_json::{Value, json};

use crate::double::{Double, Reply, invocation, open};

fn agent() -> Double {
    Double::start(|received| {
        if received.method == "GET" {
            let card = json!({"name": "agent", "url": "/rpc", "preferredTransport": "GRPC",
                "additionalInterfaces": [{"url": "/else", "transport": "HTTP+JSON"}, {"url": "/agent", "transport": "JSONRPC"}]});
            return Reply::json(200, &card);
        }
        let message: Value = serde_json::from_str(&received.body).expect("JSON");
        let answer =
            |result: Value| json!({"jsonrpc": "2.0", "id": message["id"], "result": result});
        match message["method"].as_str() {
            Some("message/send") => Reply::json(
                200,
                &answer(
                    json!({"id": "task-1", "status": {"state": "completed"}, "echo": message["params"]}),
                ),
            ),
            Some("message/stream" | "tasks/resubscribe") => Reply::events(&[
                answer(json!({"kind": "status-update", "final": false})),
                answer(json!({"kind": "artifact-update"})),
                answer(json!({"kind": "status-update", "final": true})),
                answer(json!({"kind": "never seen"})),
            ]),
            Some("tasks/get") => Reply::json(
                200,
                &json!({"jsonrpc": "2.0", "id": message["id"],
                "error": {"code": -32001, "message": "task not found"}}),
            ),
            _ => Reply::json(500, &json!({})),
        }
    })
}

async fn call(arguments: Value) -> Result<Value, Problem> {
    A2a::new(Arc::new(Http::new(open())))
        .call(invocation(1, arguments))
        .await
}

fn message() -> Value {
    json!({"message": {"role": "user", "parts": [{"kind": "text", "text": "hi"}]}})
}

#[tokio::test]
async fn message_is_sent_to_the_address_on_the_card_with_an_id_that_stays() {
    let double = agent();
    let policy = json!({"bearer": {"token": "t"}});
    let card = json!({"endpoint": {"uri": double.url("/.well-known/agent-card.json"), "authentication": policy}});
    let given =
        call(json!({"agentCard": card, "method": "message/send", "parameters": message()})).await;
    let given = given.expect("an answer");
    assert_eq!(given["status"]["state"], "completed");
    assert_eq!(given["echo"]["message"]["messageId"], "exe-1-7");
    let sent = double.received("/agent").pop().expect("a request");
    assert_eq!(sent.headers["authorization"], "Bearer t");
    assert_eq!(sent.headers["idempotency-key"], "exe-1-7");
}

#[tokio::test]
async fn stream_is_the_list_of_what_came_up_to_the_final_one() {
    let double = agent();
    for method in ["message/stream", "tasks/resubscribe"] {
        let given =
            call(json!({"server": double.url("/rpc"), "method": method, "parameters": message()}))
                .await;
        let given = given.expect("an answer");
        assert_eq!(given.as_array().map(Vec::len), Some(3), "{given}");
        assert_eq!(given[2]["final"], true);
    }
}

#[tokio::test]
async fn failures_are_problems() {
    let double = agent();
    let server = json!({"uri": double.url("/rpc")});
    let problem = call(json!({"server": server, "method": "tasks/get", "parameters": {"id": "x"}}))
        .await
        .expect_err("a problem");
    let detail = problem.detail.unwrap_or_default();
    assert!(detail.contains("-32001: task not found"), "{detail}");
    let problem = call(json!({"server": server, "method": "tasks/cancel"}))
        .await
        .expect_err("a problem");
    assert_eq!(problem.status, 500);
    let strict = A2a::new(Arc::new(Http::new(HttpOptions::default())));
    let arguments = json!({"server": server, "method": "tasks/get"});
    let problem = strict
        .call(invocation(1, arguments))
        .await
        .expect_err("a problem");
    assert_eq!(problem.status, 400, "{problem:?}");
}
