//! The accept loop, over real sockets.

use std::net::SocketAddr;
use std::sync::Arc;

use auterity_core::Routines;
use auterity_http::{ServeOptions, Server};
use poem::{Endpoint, Request, Response};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::fixture::{Fixture, LISTEN, PASSWORD};

struct Shared(Arc<poem::endpoint::BoxEndpoint<'static, Response>>);

impl Endpoint for Shared {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        self.0.call(request).await
    }
}

struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    over: JoinHandle<()>,
}

async fn serve(fixture: &Fixture, options: ServeOptions) -> Running {
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), options)
        .await
        .unwrap();
    let (address, stop) = (server.local_addr(), CancellationToken::new());
    let endpoint = Shared(Arc::clone(&fixture.endpoint));
    let over = Routines::new().spawn("server", server.run(endpoint, stop.clone()));
    Running {
        address,
        stop,
        over,
    }
}

/// Sends bytes and reads until the server closes.
async fn talk(address: SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

fn head(extra: &str) -> String {
    format!("GET /livez HTTP/1.1\r\nConnection: close\r\n{extra}\r\n")
}

#[tokio::test]
async fn requests_that_could_be_smuggled_are_refused() {
    let fixture = Fixture::new().await;
    let server = serve(&fixture, ServeOptions::default()).await;
    let many = "X: 1\r\n".repeat(100);
    let long = format!("X: {}\r\n", "a".repeat(300_000));
    let table = [
        (head("Host: a\r\n"), "200"),
        (head("Host: a\r\nHost: b\r\n"), "400"),
        (head(""), "400"),
        (
            head("Host: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n"),
            "400",
        ),
        (head("Host: a\r\nContent-Length: +4\r\n"), "400"),
        (head("Host: a\r\nX : 1\r\n"), "400"),
        (head("Host: a\r\nX: 1\r\n folded\r\n"), "400"),
        (head("Host: a\r\nTransfer-Encoding: odd\r\n"), "400"),
        (head(&format!("Host: a\r\n{many}")), "431"),
        (head(&format!("Host: a\r\n{long}")), "431"),
    ];
    for (bytes, status) in table {
        let answer = talk(server.address, &bytes).await;
        let line = answer.lines().next().unwrap_or_default();
        assert!(
            line.starts_with(&format!("HTTP/1.1 {status}")),
            "{line} for {bytes:.80}"
        );
    }
    server.stop.cancel();
    server.over.await.unwrap();
}

#[tokio::test]
async fn slow_and_silent_connections_are_closed() {
    let fixture = Fixture::new().await;
    let options = ServeOptions {
        header_ms_max: 100,
        ..ServeOptions::default()
    };
    let server = serve(&fixture, options).await;
    // Both calls return only because the server closes.
    talk(server.address, "").await;
    let answer = talk(server.address, "GET /livez HTTP/1.1\r\nHost: a\r\n").await;
    assert!(!answer.contains("200 OK"), "{answer}");
    server.stop.cancel();
    server.over.await.unwrap();
}

#[tokio::test]
async fn going_down_says_goodbye_to_streams() {
    let (fixture, ada) = Fixture::with_workflow(LISTEN).await;
    let id = fixture.start(&ada, "listen").await;
    let server = serve(&fixture, ServeOptions::default()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = format!(
        "GET /api/v1/executions/{id}/events HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\
         Authorization: Bearer {}\r\n\r\n",
        ada.token
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut seen = String::new();
    while !seen.contains("execution.started") {
        let mut part = [0; 4_096];
        let length = stream.read(&mut part).await.unwrap();
        assert_ne!(length, 0, "{seen}");
        seen.push_str(std::str::from_utf8(&part[..length]).unwrap());
    }
    server.stop.cancel();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    // The last chunk of a body that was ended in order.
    assert!(
        rest.ends_with(b"0\r\n\r\n"),
        "{:?}",
        String::from_utf8_lossy(&rest)
    );
    server.over.await.unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn guesser_behind_the_proxy_of_this_machine_locks_nobody_else_out() {
    let fixture = Fixture::new().await;
    let ada = fixture.sign_up("ada").await;
    let server = serve(&fixture, ServeOptions::default()).await;
    let sign_in = async |email: &str, password: &str, hops: &str| {
        let body = format!("{{\"email\":\"{email}\",\"password\":\"{password}\"}}");
        let request = format!(
            "POST /api/v1/auth/sign-in HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
             X-Forwarded-For: {hops}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = talk(server.address, &request).await;
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    let mut refused = 0;
    for number in 0..100 {
        let email = format!("nobody-{number}@b.example");
        // What the guesser writes in front makes no other client of it.
        let hops = format!("203.0.113.{number}, 192.0.2.1");
        refused += usize::from(sign_in(&email, "wrong password", &hops).await == "429");
    }
    assert!(0 < refused, "the guesser was never slowed down");
    assert_eq!(sign_in(&ada.email, PASSWORD, "192.0.2.2").await, "200");
    server.stop.cancel();
    server.over.await.unwrap();
}

#[tokio::test]
async fn address_of_the_client_reaches_the_handlers() {
    let fixture = Fixture::new().await;
    let server = serve(&fixture, ServeOptions::default()).await;
    let body = "{\"email\":\"a@b.example\",\"password\":\"wrong password\"}";
    let request = format!(
        "POST /api/v1/auth/sign-in HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut last = String::new();
    for _ in 0..8 {
        last = talk(server.address, &request).await;
    }
    let (head, problem) = last.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 429"), "{head}");
    assert!(head.to_lowercase().contains("retry-after: "), "{head}");
    let problem: Value = serde_json::from_str(problem).unwrap();
    assert_eq!(problem["code"], "too_many_attempts");
    server.stop.cancel();
    server.over.await.unwrap();
}
