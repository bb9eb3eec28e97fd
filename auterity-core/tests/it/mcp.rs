//! `call: mcp` against servers of this machine: over HTTP, and as a program.

use std::sync::Arc;
use std::time::Duration;

use auterity_core::functions::{
    Function, Http, HttpOptions, Isolation, Mcp, ProcessOptions, Processes,
};
use auterity_core::interpreter::Problem;
use serde_json::{Value, json};

use crate::double::{Double, Reply, invocation, open};
use crate::http::server::Received;

fn detail(problem: &Problem) -> &str {
    problem.detail.as_deref().unwrap_or_default()
}

/// A server that takes the protocol's word seriously: it knows its session and version.
fn server(stream: bool) -> Double {
    Double::start(move |received| {
        if received.method == "DELETE" {
            return Reply::of(204, "text/plain", "");
        }
        let message: Value = serde_json::from_str(&received.body).expect("JSON");
        let answer =
            |result: Value| json!({"jsonrpc": "2.0", "id": message["id"], "result": result});
        if message["method"] == "initialize" {
            let client = &message["params"]["clientInfo"];
            assert!(client["name"].is_string(), "{message}");
            let version = &message["params"]["protocolVersion"];
            let result = json!({"protocolVersion": version, "capabilities": {}, "serverInfo": {}});
            return Reply::json(200, &answer(result)).with("Mcp-Session-Id", "s-1");
        }
        if !knows(received) {
            return Reply::json(404, &json!({}));
        }
        let Some(method) = message["method"].as_str() else {
            // The answer to what the server asked.
            return Reply::of(202, "text/plain", "");
        };
        let result = match method {
            "notifications/initialized" => return Reply::of(202, "text/plain", ""),
            "tools/call" => {
                json!({"content": [{"type": "text", "text": message["params"]["arguments"]["city"]}]})
            }
            "tools/list" => json!({"tools": [{"name": "weather"}]}),
            "resources/read" => {
                return Reply::json(
                    200,
                    &json!({"jsonrpc": "2.0", "id": message["id"],
                "error": {"code": -32002, "message": "no such resource"}}),
                );
            }
            "prompts/list" => return Reply::of(200, "text/event-stream", ": wait\n\n").holding(),
            other => panic!("{other}"),
        };
        if stream {
            let asks = json!({"jsonrpc": "2.0", "id": 9, "method": "ping"});
            let progress =
                json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {}});
            return Reply::events(&[progress, asks, answer(result)]);
        }
        Reply::json(200, &answer(result))
    })
}

fn knows(received: &Received) -> bool {
    let header = |name: &str| received.headers.get(name).map(String::as_str);
    header("mcp-session-id") == Some("s-1") && header("mcp-protocol-version") == Some("2025-06-18")
}

async fn call(double: &Double, more: Value) -> Result<Value, Problem> {
    call_with(open(), double, more).await
}

async fn call_with(options: HttpOptions, double: &Double, more: Value) -> Result<Value, Problem> {
    let mut arguments = json!({"transport": {"http": {
        "endpoint": {"uri": double.url("/mcp"), "authentication": {"bearer": {"token": "canary"}}},
        "headers": {"X-Mine": "m"},
    }}});
    arguments
        .as_object_mut()
        .expect("an object")
        .extend(more.as_object().expect("an object").clone());
    Mcp::new(Arc::new(Http::new(options)))
        .call(invocation(1, arguments))
        .await
}

#[tokio::test]
async fn tool_is_called_in_a_session_by_json_or_events() {
    for stream in [false, true] {
        let double = server(stream);
        let arguments = json!({"method": "tools/call", "parameters": {"name": "weather", "arguments": {"city": "Bern"}}});
        let given = call(&double, arguments).await;
        assert_eq!(
            given,
            Ok(json!({"content": [{"type": "text", "text": "Bern"}]})),
            "{stream}"
        );
        let received = double.received("/mcp");
        let methods: Vec<&str> = received.iter().map(|one| one.method.as_str()).collect();
        assert_eq!(methods.last(), Some(&"DELETE"), "{methods:?}");
        assert!(
            received
                .iter()
                .all(|one| one.headers["authorization"] == "Bearer canary")
        );
        assert!(received.iter().all(|one| one.headers["x-mine"] == "m"));
        let pongs = received.iter().filter(|one| one.body.contains("\"id\":9"));
        assert_eq!(pongs.count(), usize::from(stream));
    }
    let listed = call(&server(false), json!({"method": "tools/list"})).await;
    assert_eq!(listed, Ok(json!({"tools": [{"name": "weather"}]})));
}

#[tokio::test]
async fn errors_of_the_protocol_are_problems() {
    let double = server(false);
    let problem = call(
        &double,
        json!({"method": "resources/read", "parameters": {"uri": "x:y"}}),
    )
    .await
    .expect_err("a problem");
    assert!(
        detail(&problem).contains("-32002: no such resource"),
        "{problem:?}"
    );
    assert!(problem.kind.ends_with("communication"));
    let table = [
        (Reply::json(401, &json!({})), 401, "answered 401"),
        (
            Reply::json(200, &json!({"hello": 1})),
            502,
            "not one of JSON-RPC",
        ),
        (
            Reply::of(200, "application/json", "canary"),
            502,
            "not one of JSON-RPC",
        ),
        (Reply::events(&[]), 502, "ended before it answered"),
    ];
    for (reply, status, words) in table {
        let double = Double::start(move |_| reply.clone());
        let problem = call(&double, json!({"method": "tools/list"}))
            .await
            .expect_err(words);
        assert_eq!(problem.status, status, "{problem:?}");
        assert!(detail(&problem).contains(words), "{problem:?}");
        assert!(!detail(&problem).contains("canary"), "{problem:?}");
    }
}

#[tokio::test]
async fn calls_are_guarded_limited_and_ended() {
    let double = server(false);
    let problem = call_with(
        HttpOptions::default(),
        &double,
        json!({"method": "tools/list"}),
    )
    .await
    .expect_err("a problem");
    assert!(
        detail(&problem).contains("not a public address"),
        "{problem:?}"
    );
    let flood = Double::start(|_| Reply::of(200, "text/event-stream", "x".repeat(5_000)));
    let small = HttpOptions {
        response_bytes_max: 1_000,
        ..open()
    };
    let problem = call_with(small, &flood, json!({"method": "tools/list"}))
        .await
        .expect_err("a problem");
    assert!(
        detail(&problem).contains("more than 1000 bytes"),
        "{problem:?}"
    );
    let arguments = json!({"method": "prompts/list", "timeout": {"milliseconds": 300}});
    let problem = call(&double, arguments).await.expect_err("a problem");
    assert_eq!(problem.status, 408, "{problem:?}");
    let gone = async {
        while double.gone() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone)
        .await
        .expect("the request ends");
}

const PROGRAM: &str = "import sys, json
for line in sys.stdin:
    message = json.loads(line)
    if message['method'] == 'initialize':
        print(json.dumps({'jsonrpc': '2.0', 'id': message['id'], 'result': {'protocolVersion': '2025-06-18'}}), flush=True)
    elif message['method'] == 'tools/list':
        print(json.dumps({'jsonrpc': '2.0', 'id': message['id'], 'result': {'args': sys.argv[1:]}}), flush=True)
";

#[cfg(unix)]
#[tokio::test]
async fn server_may_be_a_program_where_the_host_says_so() {
    let arguments = |program: &str| {
        let stdio = json!({"command": "python3", "arguments": ["-c", program, "one"]});
        json!({"method": "tools/list", "transport": {"stdio": stdio}})
    };
    let off = Mcp::new(Arc::new(Http::new(open())));
    let problem = off
        .call(invocation(1, arguments(PROGRAM)))
        .await
        .expect_err("a problem");
    assert_eq!(problem.status, 501, "{problem:?}");
    let is_root = rustix::process::geteuid().is_root();
    let processes = Processes::new(ProcessOptions {
        user: is_root.then_some(65_534),
        isolation: Isolation::None,
        ..ProcessOptions::default()
    });
    let on = Mcp::new(Arc::new(Http::new(open()))).with_stdio(processes.expect("options"));
    let given = on.call(invocation(1, arguments(PROGRAM))).await;
    assert_eq!(given, Ok(json!({"args": ["one"]})));
    let problem = on
        .call(invocation(1, arguments("print('{}')")))
        .await
        .expect_err("a problem");
    assert!(
        detail(&problem).contains("ended before it answered"),
        "{problem:?}"
    );
}
