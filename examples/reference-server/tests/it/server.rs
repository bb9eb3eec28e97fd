//! Starts the real binary and talks to it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

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
        // One that only works listens nowhere.
        assert!(ready["event"] == "listening" || ready["event"] == "working");
        let text = |name: &str| ready[name].as_str().map(str::to_owned);
        Self {
            child,
            url: text("url").unwrap_or_default(),
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
        self.signal("TERM");
    }

    /// Sends the process a signal.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.expect("kill is there").success());
    }

    /// Waits until the process is gone.
    pub(crate) fn wait(&mut self) {
        self.child.wait().expect("reaped");
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
    email: String,
    token: String,
    signed_in: Instant,
}

const PASSWORD: &str = "correct horse battery staple";
/// Less than an access token is valid for.
const RENEW_AFTER: Duration = Duration::from_mins(5);

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

fn token(answer: &Value) -> String {
    let token = answer["session"]["access_token"].as_str();
    token.expect("a token").to_owned()
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
            "password": PASSWORD,
            "tenant": { "name": name, "slug": name },
        });
        let client = client();
        let url = format!("{}/api/v1/auth/sign-up", server.url);
        let (status, answer) = send(&client, &url, &body).await.expect("answered");
        assert_eq!(status, 201, "{answer}");
        Self {
            client,
            email: format!("{name}@example.com"),
            token: token(&answer),
            signed_in: Instant::now(),
        }
    }

    /// Signs in again before the access token ends.
    pub(crate) async fn renew(&mut self, server: &Server) {
        if self.signed_in.elapsed() < RENEW_AFTER {
            return;
        }
        let body = json!({ "email": self.email, "password": PASSWORD });
        let url = format!("{}/api/v1/auth/sign-in", server.url);
        // Else the next call tries again.
        if let Ok((200, answer)) = send(&self.client, &url, &body).await {
            self.token = token(&answer);
            self.signed_in = Instant::now();
        }
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

    /// Reads what is there, also while the server gets new connections to its database.
    pub(crate) async fn get(&self, server: &Server, path: &str) -> Value {
        let mut tries = 0;
        loop {
            let answered = self.call(server, Method::GET, path, (None, None)).await;
            let (status, answer) = answered.expect("answered");
            tries += 1;
            if status != 503 || tries == 20 {
                assert_eq!(status, 200, "{path}: {answer}");
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub(crate) async fn deploy(&self, server: &Server, definition: &str) {
        let sent = self
            .call(server, Method::POST, "/workflows", (Some(definition), None))
            .await;
        let (status, answer) = sent.expect("answered");
        assert!(status == 201 || status == 200, "{answer}");
    }
}
