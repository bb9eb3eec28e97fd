//! `call: asyncapi` over HTTP against a server of this machine, and over NATS against a
//! real server where there is one.

use std::sync::Arc;
use std::time::Duration;

use auterity_core::engine::Ports;
use auterity_core::functions::{AsyncApi, AsyncApiOptions, Function, Functions, Http, HttpOptions};
use auterity_core::interpreter::Problem;
use auterity_core::store::MemoryStore;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::double::{Double, Reply, invocation, open};
use crate::engine::{Fixture, options, output};

fn third(server: &Value) -> Value {
    json!({
        "asyncapi": "3.0.0", "info": {"title": "t", "version": "1"},
        "servers": {"odd": {"host": "h", "protocol": "kafka"}, "main": server},
        "channels": {
            "notes": {"address": "notes/{user}", "parameters": {"user": {"location": "$message.payload#/user", "default": "all"}}},
            "kafka": {"address": "k", "servers": [{"$ref": "#/servers/odd"}]},
        },
        "operations": {
            "sendNote": {"action": "send", "channel": {"$ref": "#/channels/notes"}},
            "hearNotes": {"action": "receive", "channel": {"$ref": "#/channels/notes"}},
        },
    })
}

/// Serves the documents, takes messages, and gives four events.
fn server() -> Double {
    Double::start(|received| {
        let host = received.headers["host"].clone();
        match (received.method.as_str(), received.target.as_str()) {
            ("GET", "/three.json") => Reply::json(
                200,
                &third(&json!({"host": host, "pathname": "/base", "protocol": "http"})),
            ),
            ("GET", "/two.yaml") => Reply::of(
                200,
                "application/yaml",
                format!(
                    "asyncapi: 2.6.0\ninfo: {{ title: t, version: '1' }}\nservers:\n  main: {{ url: 'http://{{name}}/base', protocol: http, variables: {{ name: {{ default: '{host}' }} }} }}\nchannels:\n  notes/all:\n    publish: {{ operationId: sendNote }}\n    subscribe: {{ operationId: hearNotes }}\n"
                ),
            ),
            ("POST", _) => Reply::of(202, "text/plain", ""),
            ("GET", "/base/notes/all") => {
                let events: Vec<Value> = (1..=4).map(|number| json!({"n": number, "from": if number % 2 == 0 { "even" } else { "odd" }})).collect();
                Reply::events(&events).holding()
            }
            _ => Reply::json(404, &json!({})),
        }
    })
}

fn function(options: HttpOptions) -> AsyncApi {
    AsyncApi::new(Arc::new(Http::new(options)), AsyncApiOptions::default())
}

async fn call(double: &Double, document: &str, more: Value) -> Result<Value, Problem> {
    let mut arguments = json!({"document": {"endpoint": double.url(document)}});
    arguments
        .as_object_mut()
        .expect("an object")
        .extend(more.as_object().expect("an object").clone());
    function(open()).call(invocation(1, arguments)).await
}

fn detail(problem: &Problem) -> &str {
    problem.detail.as_deref().unwrap_or_default()
}

#[tokio::test]
async fn message_is_posted_to_the_channel() {
    let double = server();
    for (document, path) in [
        ("/three.json", "/base/notes/ann"),
        ("/two.yaml", "/base/notes/all"),
    ] {
        let message = json!({"payload": {"user": "ann", "text": "hi"}, "headers": {"X-Mine": "m"}});
        let asked = json!({"operation": "sendNote", "message": message, "authentication": {"bearer": {"token": "t"}}});
        assert_eq!(
            call(&double, document, asked).await,
            Ok(Value::Null),
            "{document}"
        );
        let sent = double.received("/base").pop().expect("a request");
        assert_eq!(sent.target, path);
        assert_eq!(
            (&*sent.headers["x-mine"], &*sent.headers["authorization"]),
            ("m", "Bearer t")
        );
        assert_eq!(sent.body, r#"{"user":"ann","text":"hi"}"#);
    }
}

#[tokio::test]
async fn subscription_consumes_what_passes_until_there_is_enough() {
    let double = server();
    let numbers = |given: Result<Value, Problem>| -> Vec<Value> {
        let given = given.expect("messages");
        given
            .as_array()
            .expect("a list")
            .iter()
            .map(|message| message["payload"]["n"].clone())
            .collect()
    };
    let subscribe = |subscription: Value| json!({"channel": "notes", "subscription": subscription});
    let expression =
        |source: &str, context: Value| json!({"source": source, "variables": {"context": context}});
    let table = [
        (json!({"consume": {"amount": 2}}), json!([1, 2])),
        (
            json!({"consume": {"until": expression("length == $context.wanted", json!({"wanted": 3}))}}),
            json!([1, 2, 3]),
        ),
        (
            json!({"consume": {"while": expression("length < 2", json!({}))}}),
            json!([1, 2]),
        ),
        (
            json!({"filter": expression(".payload.from == $context.from", json!({"from": "even"})), "consume": {"amount": 2}}),
            json!([2, 4]),
        ),
        (
            json!({"consume": {"amount": 100, "for": {"milliseconds": 300}}}),
            json!([1, 2, 3, 4]),
        ),
    ];
    for (subscription, wanted) in table {
        let given = numbers(call(&double, "/three.json", subscribe(subscription.clone())).await);
        assert_eq!(json!(given), wanted, "{subscription}");
    }
    let given = call(
        &double,
        "/two.yaml",
        json!({"operation": "hearNotes", "subscription": {"consume": {"amount": 1}}}),
    )
    .await;
    assert_eq!(numbers(given), [json!(1)]);
    let gone = async {
        while double.gone() < 6 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone)
        .await
        .expect("the requests end");
    let short = AsyncApi::new(
        Arc::new(Http::new(open())),
        AsyncApiOptions {
            subscription_time_max: SignedDuration::from_millis(200),
            ..AsyncApiOptions::default()
        },
    );
    let arguments = json!({"document": {"endpoint": double.url("/three.json")}, "channel": "notes", "subscription": {"consume": {"amount": 9}}});
    let problem = short
        .call(invocation(1, arguments))
        .await
        .expect_err("a problem");
    assert_eq!(problem.status, 408, "{problem:?}");
}

#[tokio::test]
async fn slips_are_told_and_private_servers_refused() {
    let double = server();
    let message = json!({"payload": {}});
    let table = [
        (
            json!({"operation": "sendNot", "message": message}),
            "did you mean \"sendNote\"",
        ),
        (
            json!({"channel": "note", "message": message}),
            "did you mean \"notes\"",
        ),
        (
            json!({"channel": "kafka", "message": message}),
            "the protocol kafka is not supported",
        ),
        (
            json!({"channel": "notes", "message": {"payload": {"user": "a/b"}}}),
            "several parts",
        ),
        (
            json!({"channel": "notes", "server": {"name": "mian"}, "message": message}),
            "did you mean \"main\"",
        ),
        (json!({"message": message}), "'operation' or 'channel'"),
        (
            json!({"channel": "notes", "subscription": {"consume": {}}}),
            "'amount', 'while' or 'until'",
        ),
    ];
    for (asked, words) in table {
        let problem = call(&double, "/three.json", asked).await.expect_err(words);
        assert!(detail(&problem).contains(words), "{problem:?}");
    }
    let document = json!({"document": {"endpoint": double.url("/three.json")}, "channel": "notes", "message": message});
    let problem = function(HttpOptions::default())
        .call(invocation(1, document))
        .await
        .expect_err("a problem");
    assert!(
        detail(&problem).contains("not a public address"),
        "{problem:?}"
    );
}

#[tokio::test]
async fn definition_filters_by_its_data_and_goes_over_the_messages() {
    let double = server();
    let ports = Ports {
        functions: Functions::within(open()),
        ..Ports::new(Arc::new(MemoryStore::new()))
    };
    let fixture = Fixture::with(ports, options()).await;
    let tasks = format!(
        "output: {{ as: '${{ {{ out: ., notes: $context }} }}' }}
do:
- hear:
    call: asyncapi
    with:
      document: {{ endpoint: '{}' }}
      channel: notes
      subscription:
        filter: ${{ .payload.from == $input.from }}
        consume: {{ until: '${{ length == $input.wanted }}' }}
        foreach:
          item: note
          do: [ {{ tell: {{ call: echo, with: {{ n: '${{ $note.payload.n }}', at: '${{ $index }}' }} }} }} ]
          export: {{ as: '${{ ($context // []) + [$output.n] }}' }}
",
        double.url("/three.json")
    );
    let row = fixture
        .complete(&tasks, json!({"from": "even", "wanted": 2}))
        .await;
    assert_eq!(
        output(&row),
        json!({"out": [{"n": 2, "at": 0}, {"n": 4, "at": 1}], "notes": [2, 4]})
    );
}

/// Where the tests' NATS server is; says loudly when there is none.
#[cfg(feature = "asyncapi-nats")]
fn nats() -> Option<url::Url> {
    match std::env::var("AUTERITY_TEST_NATS_URL") {
        Ok(address) => Some(address.parse().expect("an address")),
        Err(_) => {
            println!(
                "SKIPPED: AUTERITY_TEST_NATS_URL names no NATS server; .ci/services starts one"
            );
            None
        }
    }
}

#[cfg(feature = "asyncapi-nats")]
#[tokio::test]
async fn messages_go_over_nats_and_come_back() {
    let Some(address) = nats() else { return };
    let host = format!(
        "{}:{}",
        address.host_str().expect("a host"),
        address.port().expect("a port")
    );
    let described = third(&json!({"host": host, "protocol": "nats"}));
    let double = Double::start(move |_| Reply::json(200, &described));
    let policy = json!({"basic": {"username": address.username(), "password": address.password()}});
    let unique = format!("u{}", std::process::id());
    let subscription = json!({"consume": {"amount": 2}});
    let hearing = json!({"channel": "notes", "subscription": subscription, "authentication": policy, "server": {"name": "main"}});
    let publishing = async {
        loop {
            let message = json!({"payload": {"text": unique}, "headers": {"correlationId": "c-1"}});
            let asked =
                json!({"operation": "sendNote", "message": message, "authentication": policy});
            assert_eq!(call(&double, "/three.json", asked).await, Ok(Value::Null));
        }
    };
    let heard = tokio::select! {
        heard = call(&double, "/three.json", hearing) => heard.expect("messages"),
        () = publishing => unreachable!("it goes on"),
    };
    assert_eq!(heard[1]["payload"], json!({"text": unique}));
    assert_eq!(heard[1]["correlationId"], "c-1");
    assert_eq!(heard[1]["headers"]["Nats-Msg-Id"], "exe-1-7");
    let wrong = json!({"operation": "sendNote", "message": {"payload": {}}, "authentication": {"basic": {"username": "x", "password": "canary"}}});
    let problem = call(&double, "/three.json", wrong)
        .await
        .expect_err("a problem");
    assert_eq!(problem.status, 401, "{problem:?}");
    assert!(!format!("{problem:?}").contains("canary"));
    let document = json!({"document": {"endpoint": double.url("/three.json")}, "operation": "sendNote", "message": {"payload": {}}});
    let problem = function(HttpOptions::default())
        .call(invocation(1, document))
        .await
        .expect_err("a problem");
    assert!(
        detail(&problem).contains("not a public address"),
        "{problem:?}"
    );
}
