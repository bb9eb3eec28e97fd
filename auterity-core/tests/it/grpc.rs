//! `call: grpc` against a server of this machine that speaks HTTP/2 and protobuf, and
//! describes itself.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use auterity_core::functions::{Function, Grpc, Http, HttpOptions};
use auterity_core::interpreter::Problem;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::server::SendResponse;
use http::{HeaderMap, Request, Response};
use prost_reflect::prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, Value as Proto};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use crate::double::{Double, Reply, invocation, open};

const GREETER: &str = r#"
syntax = "proto3";
package shop;
import "parts/common.proto";
import "google/protobuf/timestamp.proto";
service Greeter {
  rpc Greet (Ask) returns (Answer);
  rpc Count (Ask) returns (stream Answer);
  rpc Sum (stream Ask) returns (Answer);
  rpc Chat (stream Ask) returns (stream Answer);
  rpc Fail (Ask) returns (Answer);
  rpc Hang (Ask) returns (Answer);
}
message Ask { string name = 1; int32 times = 2; common.Kind kind = 3; int64 large = 4; google.protobuf.Timestamp at = 5; }
message Answer { string text = 1; int32 total = 2; repeated string seen = 3; }
"#;
const COMMON: &str = "syntax = \"proto3\"; package common; enum Kind { PLAIN = 0; LOUD = 1; }";

/// What the protocol of reflection is made of here, as the server sees it.
const REFLECTION: &str = r#"
syntax = "proto3";
package grpc.reflection.v1alpha;
message Request { oneof request { string file_by_filename = 3; string file_containing_symbol = 4; } }
message Response { oneof response { Files file_descriptor_response = 4; } }
message Files { repeated bytes file_descriptor_proto = 1; }
"#;

fn compile(files: &'static [(&'static str, &'static str)]) -> DescriptorPool {
    struct Memory(&'static [(&'static str, &'static str)]);
    impl protox::file::FileResolver for Memory {
        fn open_file(&self, name: &str) -> Result<protox::file::File, protox::Error> {
            let found = self.0.iter().find(|(known, _)| *known == name);
            match found {
                Some((_, source)) => protox::file::File::from_source(name, source),
                None => protox::file::GoogleFileResolver::new().open_file(name),
            }
        }
    }
    let mut compiler = protox::Compiler::with_file_resolver(Memory(files));
    compiler
        .include_imports(true)
        .open_file(files[0].0)
        .expect("it compiles");
    compiler.descriptor_pool()
}

fn shop() -> DescriptorPool {
    compile(&[("greeter.proto", GREETER), ("parts/common.proto", COMMON)])
}

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<HeaderMap>>>);

/// Serves until the test ends.
async fn serve(seen: Seen) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(connection(stream, seen.clone()));
        }
    });
    address
}

async fn connection(stream: TcpStream, seen: Seen) -> Option<()> {
    let mut connection = h2::server::handshake(stream).await.ok()?;
    while let Some(Ok((request, respond))) = connection.accept().await {
        seen.0.lock().ok()?.push(request.headers().clone());
        tokio::spawn(answer(request, respond));
    }
    Some(())
}

/// Takes the messages of a request as they come, framed by five bytes.
async fn messages(
    request: &mut Request<h2::RecvStream>,
    of: &MessageDescriptor,
    once: bool,
) -> Option<Vec<DynamicMessage>> {
    let (mut buffer, mut found) = (BytesMut::new(), Vec::new());
    loop {
        while 5 <= buffer.len() {
            let length = u32::from_be_bytes([buffer[1], buffer[2], buffer[3], buffer[4]]) as usize;
            if buffer.len() < 5 + length {
                break;
            }
            buffer.advance(5);
            found.push(DynamicMessage::decode(of.clone(), buffer.split_to(length)).ok()?);
            if once {
                return Some(found);
            }
        }
        match request.body_mut().data().await {
            Some(chunk) => {
                let chunk = chunk.ok()?;
                request
                    .body_mut()
                    .flow_control()
                    .release_capacity(chunk.len())
                    .ok()?;
                buffer.extend_from_slice(&chunk);
            }
            None => return Some(found),
        }
    }
}

fn frame(message: &DynamicMessage) -> Bytes {
    let body = message.encode_to_vec();
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(body.len()).expect("a small message"));
    frame.extend_from_slice(&body);
    frame.freeze()
}

async fn answer(
    mut request: Request<h2::RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> Option<()> {
    let path = request.uri().path().to_owned();
    let method = path.rsplit('/').next()?.to_owned();
    let (pool, ask) = if path.starts_with("/shop.") {
        (shop(), "shop.Ask")
    } else if path.starts_with("/grpc.reflection.v1alpha.") {
        (
            compile(&[("r.proto", REFLECTION)]),
            "grpc.reflection.v1alpha.Request",
        )
    } else {
        return fail(&mut respond, 12, "no such service");
    };
    let reflects = ask.starts_with("grpc");
    let asked = messages(&mut request, &pool.get_message_by_name(ask)?, reflects).await?;
    if method == "Fail" {
        return fail(&mut respond, 5, "nobody of that name");
    }
    if method == "Hang" {
        std::future::pending::<()>().await;
    }
    let response = Response::builder()
        .header("content-type", "application/grpc")
        .body(())
        .ok()?;
    let mut stream = respond.send_response(response, false).ok()?;
    for message in if reflects {
        describe(&pool, &asked)
    } else {
        greet(&pool, &method, &asked)
    }? {
        stream.send_data(frame(&message), false).ok()?;
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().ok()?);
    stream.send_trailers(trailers).ok()
}

fn fail(respond: &mut SendResponse<Bytes>, code: u32, message: &str) -> Option<()> {
    let response = Response::builder()
        .header("content-type", "application/grpc")
        .header("grpc-status", code.to_string())
        .header("grpc-message", message)
        .body(())
        .ok()?;
    respond.send_response(response, true).ok().map(drop)
}

fn greet(
    pool: &DescriptorPool,
    method: &str,
    asked: &[DynamicMessage],
) -> Option<Vec<DynamicMessage>> {
    let make = |text: String, total: i32| {
        let mut answer = DynamicMessage::new(pool.get_message_by_name("shop.Answer")?);
        answer.set_field_by_name("text", Proto::String(text));
        answer.set_field_by_name("total", Proto::I32(total));
        Some(answer)
    };
    let name = |ask: &DynamicMessage| ask.get_field_by_name("name")?.as_str().map(str::to_owned);
    let times = |ask: &DynamicMessage| ask.get_field_by_name("times")?.as_i32();
    let first = asked.first()?;
    match method {
        "Greet" => {
            let loud = first.get_field_by_name("kind")?.as_enum_number()? == 1;
            let text = format!("hello {}", name(first)?);
            let large = first.get_field_by_name("large")?.as_i64()?;
            Some(vec![make(
                if loud { text.to_uppercase() } else { text },
                i32::from(large == i64::MAX),
            )?])
        }
        "Count" => (1..=times(first)?)
            .map(|number| make(name(first)?, number))
            .collect(),
        "Sum" => {
            let total = asked.iter().filter_map(times).sum();
            let names: Vec<String> = asked.iter().filter_map(name).collect();
            Some(vec![make(names.join(" "), total)?])
        }
        _ => asked
            .iter()
            .map(|ask| make(name(ask)?, times(ask)?))
            .collect(),
    }
}

fn describe(pool: &DescriptorPool, asked: &[DynamicMessage]) -> Option<Vec<DynamicMessage>> {
    let shop = shop();
    let first = asked.first()?;
    let file = match first.get_field_by_name("file_by_filename")?.as_str() {
        Some(name) if !name.is_empty() => shop.get_file_by_name(name)?,
        _ => shop.get_service_by_name("shop.Greeter")?.parent_file(),
    };
    let encoded = file.file_descriptor_proto().encode_to_vec();
    let mut files = DynamicMessage::new(pool.get_message_by_name("grpc.reflection.v1alpha.Files")?);
    files.set_field_by_name(
        "file_descriptor_proto",
        Proto::List(vec![Proto::Bytes(encoded.into())]),
    );
    let mut response =
        DynamicMessage::new(pool.get_message_by_name("grpc.reflection.v1alpha.Response")?);
    response.set_field_by_name("file_descriptor_response", Proto::Message(files));
    Some(vec![response])
}

/// Where the proto documents are.
fn documents() -> Double {
    Double::start(|received| match received.target.as_str() {
        "/greeter.proto" => Reply::of(200, "text/plain", GREETER),
        "/parts/common.proto" => Reply::of(200, "text/plain", COMMON),
        "/greeter.binpb" => {
            let set = shop().encode_to_vec();
            Reply::of(200, "application/octet-stream", set)
        }
        "/broken.proto" => Reply::of(200, "text/plain", "syntax = \"proto3\"; message {"),
        _ => Reply::json(404, &json!({})),
    })
}

async fn call_at(
    proto: String,
    address: SocketAddr,
    method: &str,
    arguments: Value,
) -> Result<Value, Problem> {
    let service = json!({
        "name": "shop.Greeter", "host": "127.0.0.1", "port": address.port(),
        "authentication": {"bearer": {"token": "canary"}},
    });
    let arguments = json!({"proto": {"endpoint": proto}, "service": service, "method": method, "arguments": arguments});
    Grpc::new(Arc::new(Http::new(open())))
        .call(invocation(1, arguments))
        .await
}

#[tokio::test]
async fn methods_of_every_kind_are_called() {
    let (seen, documents) = (Seen::default(), documents());
    let address = serve(seen.clone()).await;
    let ask = json!({"name": "Ann", "kind": "LOUD", "large": "9223372036854775807", "at": "2026-01-01T00:00:00Z"});
    let greeted = json!({"text": "HELLO ANN", "total": 1, "seen": []});
    let table = [
        ("Greet", ask, greeted),
        (
            "Count",
            json!({"name": "a", "times": 2}),
            json!([{"text": "a", "total": 1, "seen": []}, {"text": "a", "total": 2, "seen": []}]),
        ),
        (
            "Sum",
            json!({"messages": [{"name": "a", "times": 2}, {"name": "b", "times": 3}]}),
            json!({"text": "a b", "total": 5, "seen": []}),
        ),
        (
            "Chat",
            json!({"messages": [{"name": "a"}, {"name": "b", "times": 3}]}),
            json!([{"text": "a", "total": 0, "seen": []}, {"text": "b", "total": 3, "seen": []}]),
        ),
        ("Count", json!({}), json!([])),
    ];
    let sources = [
        documents.url("/greeter.proto"),
        documents.url("/greeter.binpb"),
        format!("grpc://127.0.0.1:{}", address.port()),
    ];
    for source in sources {
        for (method, arguments, wanted) in table.clone() {
            let given = call_at(source.clone(), address, method, arguments).await;
            assert_eq!(given, Ok(wanted), "{source} {method}");
        }
    }
    let headers = seen.0.lock().expect("no panic");
    assert!(headers.iter().any(|headers| {
        headers
            .get("authorization")
            .is_some_and(|value| value == "Bearer canary")
    }));
    assert!(headers.iter().any(|headers| {
        headers
            .get("idempotency-key")
            .is_some_and(|value| value == "exe-1-7")
    }));
}

#[tokio::test]
async fn failures_and_slips_are_told() {
    let documents = documents();
    let address = serve(Seen::default()).await;
    let greeter = || documents.url("/greeter.proto");
    let table = [
        (
            greeter(),
            "Fail",
            json!({}),
            404,
            "NotFound: nobody of that name",
        ),
        (greeter(), "Gret", json!({}), 400, "did you mean \"Greet\""),
        (
            greeter(),
            "Greet",
            json!({"nam": "canary"}),
            400,
            "no field \"nam\"; did you mean \"name\"",
        ),
        (
            greeter(),
            "Greet",
            json!({"times": "canary"}),
            400,
            "\"times\" of shop.Ask has a value of another type",
        ),
        (greeter(), "Sum", json!({}), 400, "give the list 'messages'"),
        (
            documents.url("/broken.proto"),
            "Greet",
            json!({}),
            400,
            "cannot be read",
        ),
        (documents.url("/none.proto"), "Greet", json!({}), 404, "404"),
    ];
    for (proto, method, arguments, status, words) in table {
        let problem = call_at(proto, address, method, arguments)
            .await
            .expect_err(words);
        let detail = problem.detail.clone().unwrap_or_default();
        assert!(detail.contains(words), "{problem:?}");
        assert!(!detail.contains("canary"), "{problem:?}");
        assert_eq!(problem.status, status, "{problem:?}");
    }
    let nobody: SocketAddr = "127.0.0.1:1".parse().expect("an address");
    let problem = call_at(
        greeter(),
        SocketAddr::new(nobody.ip(), 9_999),
        "Greet",
        json!({}),
    )
    .await
    .expect_err("a problem");
    assert_eq!(problem.status, 503, "{problem:?}");
}

#[tokio::test]
async fn calls_are_guarded_and_end_in_time() {
    let documents = documents();
    let address = serve(Seen::default()).await;
    let service =
        |host: &str| json!({"name": "shop.Greeter", "host": host, "port": address.port()});
    let strict = Grpc::new(Arc::new(Http::new(HttpOptions::default())));
    for host in ["127.0.0.1", "localhost", "169.254.169.254", "[::1]"] {
        let proto = format!("grpc://{host}:{}", address.port());
        let arguments =
            json!({"proto": {"endpoint": proto}, "service": service(host), "method": "Greet"});
        let problem = strict.call(invocation(1, arguments)).await.expect_err(host);
        assert!(
            problem
                .detail
                .clone()
                .unwrap_or_default()
                .contains("not a public address"),
            "{problem:?}"
        );
    }
    let short = HttpOptions {
        time_max: jiff::SignedDuration::from_millis(500),
        ..open()
    };
    let arguments = json!({"proto": {"endpoint": documents.url("/greeter.proto")}, "service": service("127.0.0.1"), "method": "Hang"});
    let grpc = Grpc::new(Arc::new(Http::new(short)));
    let call = grpc.call(invocation(1, arguments));
    let problem = tokio::time::timeout(Duration::from_secs(20), call)
        .await
        .expect("in time")
        .expect_err("a problem");
    assert_eq!(problem.status, 408, "{problem:?}");
}
