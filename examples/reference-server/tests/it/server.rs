//! Starts the real binary and talks to it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_auterity");

/// A server process; dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
    pub(crate) admin_url: Option<String>,
}

impl Server {
    /// Starts a server and waits until it says that it is ready.
    pub(crate) fn start(data: &Path, database: Option<&str>) -> Self {
        Self::start_with(data, database, &[])
    }

    /// Starts a server with more arguments.
    pub(crate) fn start_with(data: &Path, database: Option<&str>, more: &[&str]) -> Self {
        let mut command = Command::new(BINARY);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .args(more);
        command.env("AUTERITY_LOG", "error").stdout(Stdio::piped());
        if let Some(url) = database {
            command.env("AUTERITY_DATABASE_URL", url);
        }
        let mut child = command.spawn().expect("the server starts");
        let out = child.stdout.take().expect("stdout is piped");
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line).expect("a line");
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("got {line:?}"));
        assert_eq!(ready["event"], "listening");
        let text = |name: &str| ready[name].as_str().map(str::to_owned);
        Self {
            child,
            url: text("url").expect("a url"),
            admin_url: text("admin_url"),
        }
    }

    /// Ends the process at once, as a crash does.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("reaped");
    }

    /// Asks the process to stop and gives its exit status.
    pub(crate) fn terminate(self) -> Option<i32> {
        self.ask_to_stop();
        self.ended()
    }

    pub(crate) fn ask_to_stop(&self) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .expect("kill is there");
        assert!(sent.success());
    }

    /// Waits for the end and gives the exit status.
    pub(crate) fn ended(mut self) -> Option<i32> {
        self.child.wait().expect("reaped").code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A signed-in user.
#[derive(Debug, Clone)]
pub(crate) struct User {
    client: Client,
    token: String,
}

pub(crate) fn client() -> Client {
    Client::builder()
        .timeout(Duration::from_mins(1))
        .build()
        .expect("a client")
}

/// Sends JSON and reads JSON.
pub(crate) async fn send(
    client: &Client,
    url: &str,
    body: &Value,
) -> reqwest::Result<(u16, Value)> {
    let request = client
        .post(url)
        .header("content-type", "application/json")
        .body(body.to_string());
    read(request.send().await?).await
}

async fn read(response: Response) -> reqwest::Result<(u16, Value)> {
    let status = response.status().as_u16();
    let text = response.text().await?;
    Ok((
        status,
        serde_json::from_str(&text).unwrap_or(Value::String(text)),
    ))
}

impl User {
    /// Signs up with a tenant of its own.
    pub(crate) async fn sign_up(server: &Server) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("team-{number}-{}", std::process::id());
        let body = json!({
            "email": format!("{name}@example.com"),
            "password": "correct horse battery staple",
            "tenant": { "name": name, "slug": name },
        });
        let client = client();
        let url = format!("{}/api/v1/auth/sign-up", server.url);
        let (status, answer) = send(&client, &url, &body).await.expect("answered");
        assert_eq!(status, 201, "{answer}");
        let token = answer["session"]["access_token"]
            .as_str()
            .expect("a token")
            .to_owned();
        Self { client, token }
    }

    /// Sends a request; the error is that of a server that went away.
    pub(crate) async fn call(
        &self,
        server: &Server,
        method: Method,
        path: &str,
        (body, key): (Option<&str>, Option<&str>),
    ) -> reqwest::Result<(u16, Value)> {
        let mut request = self
            .client
            .request(method, format!("{}/api/v1{path}", server.url))
            .bearer_auth(&self.token);
        if let Some(body) = body {
            let kind = if body.starts_with('{') {
                "application/json"
            } else {
                "application/yaml"
            };
            request = request.header("content-type", kind).body(body.to_owned());
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        read(request.send().await?).await
    }

    pub(crate) async fn get(&self, server: &Server, path: &str) -> Value {
        let (status, answer) = self
            .call(server, Method::GET, path, (None, None))
            .await
            .expect("answered");
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    pub(crate) async fn deploy(&self, server: &Server, definition: &str) {
        let sent = self
            .call(server, Method::POST, "/workflows", (Some(definition), None))
            .await;
        let (status, answer) = sent.expect("answered");
        assert!(status == 201 || status == 200, "{answer}");
    }
}
