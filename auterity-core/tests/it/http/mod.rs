//! `call: http` against a local server.

pub(crate) mod server;
mod tokens;

use std::sync::Arc;

use auterity_core::functions::{Function, Functions, Http, HttpOptions, Invocation};
use auterity_core::interpreter::Problem;
use jiff::SignedDuration;
use serde_json::{Value, json};

use self::server::{Server, echoed};
use crate::double::{invocation, open};

async fn call_with(options: HttpOptions, arguments: Value, input: Value) -> Result<Value, Problem> {
    let invocation = Invocation {
        input: Arc::new(input),
        ..invocation(1, arguments)
    };
    Http::new(options).call(invocation).await
}

async fn call(arguments: Value) -> Result<Value, Problem> {
    call_with(open(), arguments, json!({})).await
}

async fn get(server: &Server, path: &str) -> Result<Value, Problem> {
    call(json!({"method": "get", "endpoint": server.url(path)})).await
}

fn kind(problem: &Problem) -> &str {
    problem.kind.rsplit('/').next().unwrap_or_default()
}

fn detail(problem: &Problem) -> &str {
    problem.detail.as_deref().unwrap_or_default()
}

#[tokio::test]
async fn content_is_read_as_its_type_says() {
    let server = Server::start();
    let table = [
        ("/json", json!({"id": 1, "name": "Rex"})),
        ("/problem", json!([1])),
        ("/text", json!("hé")),
        ("/latin", json!("hé")),
        ("/typeless", json!("plain")),
        ("/bytes", json!("/wD+")),
        ("/empty", json!(null)),
    ];
    for (path, wanted) in table {
        assert_eq!(get(&server, path).await.expect(path), wanted, "{path}");
    }
    let raw = json!({"method": "get", "endpoint": server.url("/text"), "output": "raw"});
    assert_eq!(call(raw).await.expect("an answer"), json!("aMOp"));
    let problem = get(&server, "/broken-json").await.expect_err("a problem");
    assert_eq!((kind(&problem), problem.status), ("communication", 502));
    assert!(!detail(&problem).contains("canary"), "{problem:?}");
}

#[tokio::test]
async fn response_shows_request_and_answer_without_credentials() {
    let server = Server::start();
    let arguments = json!({
        "method": "get",
        "endpoint": {"uri": server.url("/echo/{petId}"), "authentication": {"bearer": {"token": "canary"}}},
        "headers": {"X-Api-Key": "canary", "X-Plain": "seen"},
        "output": "response",
    });
    let output = call_with(open(), arguments, json!({"petId": 1}))
        .await
        .expect("an answer");
    assert_eq!(output["request"]["method"], "GET");
    assert_eq!(output["request"]["uri"], server.url("/echo/1"));
    assert_eq!(output["statusCode"], 200);
    assert_eq!(output["headers"]["content-type"], "application/json");
    assert_eq!(
        echoed(&output["content"], "authorization").as_deref(),
        Some("Bearer canary")
    );
    assert_eq!(
        echoed(&output["content"], "x-api-key").as_deref(),
        Some("canary")
    );
    assert_eq!(output["request"]["headers"]["x-plain"], "seen");
    assert!(
        !output["request"].to_string().contains("canary"),
        "{}",
        output["request"]
    );
    let cookies =
        json!({"method": "get", "endpoint": server.url("/cookies"), "output": "response"});
    assert_eq!(
        call(cookies).await.expect("an answer")["headers"]["set-cookie"],
        "a=1, b=2"
    );
}

#[tokio::test]
async fn request_is_built_from_all_arguments() {
    let server = Server::start();
    let arguments = json!({
        "method": "Post",
        "endpoint": server.url("/echo/{name}?a=1&b={name}#fragment"),
        "query": {"c": "x y&z", "d": [1, true], "e": null},
        "headers": {"X-Count": 3, "X-Absent": null},
        "body": {"b": 1, "a": [null]},
    });
    let sent = call_with(open(), arguments, json!({"name": "a/é"}))
        .await
        .expect("an answer");
    assert_eq!(sent["method"], "POST");
    assert_eq!(
        sent["target"],
        "/echo/a%2F%C3%A9?a=1&b=a%2F%C3%A9&c=x+y%26z&d=1&d=true"
    );
    assert_eq!(sent["body"], r#"{"b":1,"a":[null]}"#);
    let header = |name: &str| echoed(&sent, name);
    assert_eq!(header("content-type").as_deref(), Some("application/json"));
    assert_eq!(header("x-count").as_deref(), Some("3"));
    assert_eq!(header("x-absent"), None);
    assert_eq!(header("idempotency-key").as_deref(), Some("exe-1-7"));
    assert_eq!(
        header("accept-encoding"),
        None,
        "answers are never decompressed"
    );
}

#[tokio::test]
async fn bodies_follow_their_content_type() {
    let server = Server::start();
    let table = [
        (json!("a text"), None, "a text", "text/plain; charset=utf-8"),
        (json!([1, 2]), None, "[1,2]", "application/json"),
        (
            json!("{}"),
            Some("application/json"),
            "{}",
            "application/json",
        ),
        (
            json!({"a": "b c", "n": 1}),
            Some("application/x-www-form-urlencoded"),
            "a=b+c&n=1",
            "application/x-www-form-urlencoded",
        ),
        (
            json!({"a": 1}),
            Some("application/cloudevents+json"),
            r#"{"a":1}"#,
            "application/cloudevents+json",
        ),
    ];
    for (body, media, wanted, wanted_media) in table {
        let arguments = json!({
            "method": "put", "endpoint": server.url("/echo"), "body": body,
            "headers": {"Content-Type": media, "Idempotency-Key": "own"},
        });
        let sent = call(arguments).await.expect("an answer");
        assert_eq!(sent["body"], wanted);
        assert_eq!(echoed(&sent, "content-type").as_deref(), Some(wanted_media));
        assert_eq!(echoed(&sent, "idempotency-key").as_deref(), Some("own"));
    }
}

#[tokio::test]
async fn basic_authentication_signs_in() {
    let server = Server::start();
    let arguments = |word: &str| {
        json!({
            "method": "get",
            "endpoint": {
                "uri": server.url("/basic-auth/{username}/{password}"),
                "authentication": {"basic": {"username": "serverless-workflow", "password": word}},
            },
        })
    };
    let input = json!({"username": "serverless-workflow", "password": "conformance-test"});
    assert_eq!(
        call_with(open(), arguments("conformance-test"), input.clone()).await,
        Ok(json!({}))
    );
    let problem = call_with(open(), arguments("canary"), input)
        .await
        .expect_err("a problem");
    assert_eq!((kind(&problem), problem.status), ("communication", 401));
    assert!(!format!("{problem:?}").contains("canary"));
}

#[tokio::test]
async fn digest_authentication_answers_the_challenge_of_its_own_server_only() {
    let (server, other) = (Server::start(), Server::start());
    let arguments = |uri: String| {
        json!({
            "method": "post", "body": "text", "redirect": true,
            "endpoint": {"uri": uri, "authentication": {"digest": {"username": "canary", "password": "word"}}},
        })
    };
    for path in ["/digest?a=b", "/redirect/307?/digest?a=b"] {
        let output = call(arguments(server.url(path))).await.expect("an answer");
        let given = output["given"].as_str().expect("a header").to_owned();
        assert!(
            given.starts_with("Digest username=\"canary\", realm=\"r\""),
            "{given}"
        );
        assert!(
            given.contains("uri=\"/digest?a=b\"") && !given.contains("word"),
            "{given}"
        );
        assert_eq!(server.last().body, "text");
    }
    let problem = call(arguments(server.url("/status/401")))
        .await
        .expect_err("a problem");
    assert_eq!((kind(&problem), problem.status), ("communication", 401));
    let elsewhere = server.url(&format!("/redirect/303?{}", other.url("/digest")));
    let problem = call(arguments(elsewhere)).await.expect_err("a problem");
    assert_eq!(problem.status, 401);
    assert!(!format!("{:?}", other.received()).contains("canary"));
}

#[tokio::test]
async fn failures_become_problems_with_a_status_and_without_content() {
    let server = Server::start();
    for status in [300, 302, 304, 400, 401, 403, 404, 409, 429, 500, 503] {
        let problem = get(&server, &format!("/status/{status}"))
            .await
            .expect_err("a problem");
        assert_eq!((kind(&problem), problem.status), ("communication", status));
        assert!(!format!("{problem:?}").contains("canary"));
    }
    for (path, words) in [
        ("/break?canary", "before an answer"),
        ("/cut?canary", "while the answer came"),
    ] {
        let problem = get(&server, path).await.expect_err("a problem");
        assert_eq!(
            (kind(&problem), problem.status),
            ("communication", 503),
            "{path}"
        );
        assert!(detail(&problem).contains(words), "{problem:?}");
        assert!(!format!("{problem:?}").contains("canary"));
    }
    // A port that was free a moment ago.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    let endpoint = format!("http://{}/canary", closed.expect("a free port"));
    let problem = call(json!({"method": "get", "endpoint": endpoint}))
        .await
        .expect_err("a problem");
    assert_eq!((kind(&problem), problem.status), ("communication", 503));
    assert!(!format!("{problem:?}").contains("canary"));
}

#[tokio::test]
async fn redirections_are_errors_unless_the_call_follows_them() {
    let server = Server::start();
    let follow = |path: &str| {
        json!({
            "method": "post", "endpoint": server.url(path), "body": {"a": 1}, "redirect": true,
            "headers": {"Authorization": "Bearer canary"},
        })
    };
    let problem = get(&server, "/redirect/302?/json")
        .await
        .expect_err("a problem");
    assert_eq!((kind(&problem), problem.status), ("communication", 302));

    for (status, method, body) in [
        (301, "GET", ""),
        (302, "GET", ""),
        (303, "GET", ""),
        (307, "POST", r#"{"a":1}"#),
        (308, "POST", r#"{"a":1}"#),
    ] {
        let sent = call(follow(&format!("/redirect/{status}?../echo")))
            .await
            .expect("an answer");
        assert_eq!(
            (&sent["method"], &sent["body"]),
            (&json!(method), &json!(body)),
            "{status}"
        );
        assert_eq!(
            echoed(&sent, "authorization").as_deref(),
            Some("Bearer canary")
        );
        assert_eq!(echoed(&sent, "idempotency-key").as_deref(), Some("exe-1-7"));
    }

    assert_eq!(
        call(follow("/nowhere")).await,
        Ok(json!("stay")),
        "nothing to follow"
    );
    assert_eq!(call(follow("/status/304")).await.map(|_| ()), Ok(()));
    let problem = call(follow("/loop")).await.expect_err("a problem");
    assert_eq!((kind(&problem), problem.status), ("communication", 302));
    assert!(
        detail(&problem).contains("more than 10 times"),
        "{problem:?}"
    );
}

#[tokio::test]
async fn another_server_gets_neither_headers_nor_body() {
    let (server, other) = (Server::start(), Server::start());
    let follow = |status: u16| {
        json!({
            "method": "post", "redirect": true, "body": "canary",
            "endpoint": {
                "uri": server.url(&format!("/redirect/{status}?{}", other.url("/echo"))),
                "authentication": {"bearer": {"token": "canary"}},
            },
            "headers": {"X-Api-Key": "canary", "Cookie": "canary", "Accept": "application/json"},
        })
    };
    call(follow(303)).await.expect("an answer");
    let received = other.last();
    assert_eq!(
        (received.method.as_str(), received.body.as_str()),
        ("GET", "")
    );
    assert_eq!(
        received.headers.get("accept").map(String::as_str),
        Some("application/json")
    );
    assert!(!format!("{received:?}").contains("canary"), "{received:?}");

    let problem = call(follow(307)).await.expect_err("a problem");
    assert_eq!((kind(&problem), problem.status), ("communication", 307));
    assert_eq!(other.received().len(), 1);
}

#[tokio::test]
async fn redirection_is_guarded_like_the_endpoint() {
    let server = Server::start();
    let targets = [
        ("http://169.254.169.254/latest/meta-data", "public address"),
        ("http://[::ffff:127.0.0.1]/", "public address"),
        ("http://0.0.0.0/", "public address"),
        ("ftp://example.com/", "only http"),
        ("http://user:canary@example.com/", "credentials"),
        ("http://example.com:25/", "port"),
    ];
    for (target, words) in targets {
        let arguments = json!({
            "method": "get", "endpoint": server.url(&format!("/redirect/302?{target}")), "redirect": true,
        });
        let problem = call(arguments).await.expect_err(target);
        assert_eq!(kind(&problem), "configuration", "{target}");
        assert!(detail(&problem).contains(words), "{target}: {problem:?}");
        assert!(!format!("{problem:?}").contains("canary"));
    }
}

#[tokio::test]
async fn private_addresses_are_refused_unless_allowed() {
    let server = Server::start();
    let port = server
        .url("")
        .rsplit_once(':')
        .map(|(_, port)| port.to_owned())
        .expect("a port");
    for host in ["127.0.0.1", "localhost", "2130706433", "[::1]"] {
        let arguments = json!({"method": "get", "endpoint": format!("http://{host}:{port}/json")});
        let function = Functions::built_in()
            .get("http")
            .expect("a built-in function");
        let invocation = invocation(1, arguments);
        let problem = function.call(invocation).await.expect_err(host);
        assert_eq!(kind(&problem), "configuration", "{host}");
    }
    assert!(server.received().is_empty());
    let endpoint = format!("http://localhost:{port}/json");
    assert!(
        call(json!({"method": "get", "endpoint": endpoint}))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn limits_end_a_call() {
    let server = Server::start();
    let arguments = |path: &str| json!({"method": "get", "endpoint": server.url(path)});
    let small = || HttpOptions {
        response_bytes_max: 1000,
        header_bytes_max: 1000,
        request_bytes_max: 10,
        ..open()
    };
    let limited = async |path: &str| call_with(small(), arguments(path), json!({})).await;
    assert!(limited("/stream/1000").await.is_ok());
    for path in ["/stream/1001", "/stream/1000000", "/headers/1000"] {
        let problem = limited(path).await.expect_err(path);
        assert_eq!(kind(&problem), "runtime", "{path}");
        assert!(detail(&problem).contains("1000 bytes"), "{problem:?}");
    }
    let large = json!({"method": "post", "endpoint": server.url("/echo"), "body": "x".repeat(11)});
    let problem = call_with(small(), large, json!({}))
        .await
        .expect_err("a problem");
    assert_eq!(kind(&problem), "runtime");

    let short = HttpOptions {
        time_max: SignedDuration::from_millis(50),
        ..open()
    };
    let problem = call_with(short, arguments("/hang"), json!({}))
        .await
        .expect_err("a problem");
    assert_eq!((kind(&problem), problem.status), ("timeout", 408));
}

#[tokio::test]
async fn wrong_arguments_are_named_and_send_nothing() {
    let server = Server::start();
    let url = server.url("/json");
    let table = [
        (json!("canary"), "must be an object"),
        (json!({"endpoint": url}), "'method'"),
        (json!({"method": "ge t", "endpoint": url}), "no method"),
        (json!({"method": "connect", "endpoint": url}), "CONNECT"),
        (json!({"method": "get"}), "endpoint"),
        (json!({"method": "get", "endpoint": {"uri": 1}}), "'uri'"),
        (json!({"method": "get", "endpoint": "/relative"}), "no URI"),
        (
            json!({"method": "get", "endpoint": format!("{url}\r\nX: canary")}),
            "control character",
        ),
        (
            json!({"method": "get", "endpoint": "http://public.example\\@canary/"}),
            "backslash",
        ),
        (
            json!({"method": "get", "endpoint": url, "query": "canary"}),
            "'query'",
        ),
        (
            json!({"method": "get", "endpoint": url, "query": {"a": {"canary": 1}}}),
            "'query'",
        ),
        (
            json!({"method": "get", "endpoint": url, "headers": ["canary"]}),
            "'headers'",
        ),
        (
            json!({"method": "get", "endpoint": url, "headers": {"a b": "canary"}}),
            "name of a header",
        ),
        (
            json!({"method": "get", "endpoint": url, "headers": {"x": "canary\r\ny: z"}}),
            "'x'",
        ),
        (
            json!({"method": "get", "endpoint": url, "headers": {"Host": "canary"}}),
            "'host'",
        ),
        (
            json!({"method": "get", "endpoint": url, "headers": {"Transfer-Encoding": "canary"}}),
            "'transfer-encoding'",
        ),
        (
            json!({"method": "get", "endpoint": url, "output": "canary"}),
            "'output'",
        ),
        (
            json!({"method": "get", "endpoint": url, "redirect": "canary"}),
            "'redirect'",
        ),
        (
            json!({"method": "get", "endpoint": {"uri": url, "authentication": {"oauth2": {"canary": 1}}}}),
            "'authority'",
        ),
    ];
    for (arguments, words) in table {
        let shown = arguments.to_string();
        let problem = call(arguments).await.expect_err(&shown);
        assert_eq!(
            (kind(&problem), problem.status),
            ("configuration", 400),
            "{shown}"
        );
        assert!(detail(&problem).contains(words), "{shown}: {problem:?}");
        assert!(!detail(&problem).contains("canary"), "{problem:?}");
    }
    assert!(server.received().is_empty());
}

#[test]
fn options_are_checked() {
    assert!(HttpOptions::default().validate().is_ok());
    assert!(
        HttpOptions {
            time_max: SignedDuration::ZERO,
            ..open()
        }
        .validate()
        .is_err()
    );
    assert!(
        HttpOptions {
            response_bytes_max: 0,
            ..open()
        }
        .validate()
        .is_err()
    );
    let read: HttpOptions = serde_json::from_value(json!({"time_max": "5s"})).expect("options");
    assert_eq!(read.time_max, SignedDuration::from_secs(5));
    assert!(serde_json::from_value::<HttpOptions>(json!({"unknown": 1})).is_err());
}
