//! `mcp`: asks a server of the Model Context Protocol.
//!
//! Where the standard leaves room:
//! - Each call is a session of its own: initialise, ask, end. What the server asks in
//!   the meantime is answered with "not here", a ping with a pong.
//! - The output is the `result` of the answer. A tool's own failure is a result with
//!   `isError`; an error of the protocol is a communication error.
//! - `timeout` shortens the host's limit of time; it cannot lengthen it.
//! - `stdio` starts a program on this machine, within the limits of `run`, and is off
//!   unless the host enables it.

#[cfg(unix)]
mod stdio;
mod streamable;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value, json};

#[cfg(unix)]
use self::stdio::Stdio;
use self::streamable::Streamable;
use super::http::Http;
#[cfg(unix)]
use super::process::Processes;
use super::{Function, Invocation, duration, rpc};
use crate::interpreter::{Problem, ProblemKind};

/// The version of the protocol that is asked for unless the definition names one.
const VERSION: &str = "2025-06-18";

/// Calls tools, prompts and resources of MCP servers.
pub struct Mcp {
    http: Arc<Http>,
    #[cfg(unix)]
    processes: Option<Arc<Processes>>,
}

impl Mcp {
    /// Makes the function; servers are reached within the options of `http`.
    #[must_use]
    pub fn new(http: Arc<Http>) -> Self {
        Self {
            http,
            #[cfg(unix)]
            processes: None,
        }
    }

    /// Enables servers that are programs of this machine.
    #[cfg(unix)]
    #[must_use]
    pub fn with_stdio(mut self, processes: Arc<Processes>) -> Self {
        self.processes = Some(processes);
        self
    }

    async fn converse(
        &self,
        invocation: &Invocation,
        call: &McpCall<'_>,
    ) -> Result<Value, Problem> {
        let transport = call.arguments.get("transport");
        let of = |kind: &str| transport.and_then(|transport| transport.get(kind)?.as_object());
        match (of("http"), of("stdio")) {
            (Some(http), _) => {
                let mut server = Streamable::new(&self.http, http, invocation)?;
                let answer = call.ask(&mut server).await;
                server.end().await;
                answer
            }
            (None, Some(stdio)) => self.start(stdio, call).await,
            (None, None) => Err(wrong("'transport' of an mcp call needs 'http' or 'stdio'")),
        }
    }

    #[cfg(unix)]
    async fn start(
        &self,
        stdio: &Map<String, Value>,
        call: &McpCall<'_>,
    ) -> Result<Value, Problem> {
        let Some(processes) = &self.processes else {
            return Err(off());
        };
        let mut server = Stdio::start(processes, stdio).await?;
        call.ask(&mut server).await
    }

    #[cfg(not(unix))]
    #[expect(clippy::unused_async, reason = "elsewhere it starts a program")]
    async fn start(&self, _: &Map<String, Value>, _: &McpCall<'_>) -> Result<Value, Problem> {
        Err(off())
    }
}

impl fmt::Debug for Mcp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Mcp").finish_non_exhaustive()
    }
}

#[async_trait]
impl Function for Mcp {
    async fn call(&self, invocation: Invocation) -> Result<Value, Problem> {
        let call = McpCall::read(&invocation)?;
        let work = self.http.in_time(self.converse(&invocation, &call));
        match call.time_max {
            None => work.await,
            Some(time_max) => tokio::time::timeout(time_max, work).await.map_err(|_| {
                let detail = format!("the mcp call took longer than {time_max:?}");
                Problem::new(ProblemKind::Timeout, detail)
            })?,
        }
    }
}

/// A way to a server. What it sends on its own is answered on the way.
trait Transport: Send {
    /// Sends a request and waits for its answer.
    fn request(
        &mut self,
        request: Value,
        id: &Value,
    ) -> impl Future<Output = Result<Value, Problem>> + Send;

    /// Sends a message without an answer.
    fn notify(&mut self, message: Value) -> impl Future<Output = Result<(), Problem>> + Send;

    /// Says which version of the protocol was agreed upon.
    fn agreed(&mut self, version: &str);
}

/// What the definition asks for.
struct McpCall<'c> {
    arguments: &'c Map<String, Value>,
    method: &'c str,
    version: &'c str,
    time_max: Option<Duration>,
}

impl<'c> McpCall<'c> {
    fn read(invocation: &'c Invocation) -> Result<Self, Problem> {
        let Value::Object(arguments) = &invocation.arguments else {
            return Err(wrong("the arguments of an mcp call must be an object"));
        };
        let method = arguments.get("method").and_then(Value::as_str);
        let time_max = match arguments.get("timeout") {
            None | Some(Value::Null) => None,
            Some(timeout) => {
                let bad = || wrong("'timeout' of an mcp call is no positive duration");
                Some(duration::read(timeout).ok_or_else(bad)?)
            }
        };
        Ok(Self {
            arguments,
            method: method.ok_or_else(|| wrong("an mcp call needs the text 'method'"))?,
            version: arguments
                .get("protocolVersion")
                .and_then(Value::as_str)
                .unwrap_or(VERSION),
            time_max,
        })
    }

    async fn ask(&self, server: &mut impl Transport) -> Result<Value, Problem> {
        let client = self
            .arguments
            .get("client")
            .filter(|client| client.is_object());
        let client = client
            .cloned()
            .unwrap_or_else(|| json!({"name": "auterity", "version": env!("CARGO_PKG_VERSION")}));
        let hello = json!({
            "protocolVersion": self.version,
            "capabilities": {},
            "clientInfo": client,
        });
        let id = json!(1);
        let welcome = server
            .request(rpc::request(&id, "initialize", &hello), &id)
            .await?;
        let version = welcome.get("protocolVersion").and_then(Value::as_str);
        server.agreed(version.unwrap_or(self.version));
        server
            .notify(rpc::notification("notifications/initialized"))
            .await?;
        let id = json!(2);
        let parameters = self.arguments.get("parameters").unwrap_or(&Value::Null);
        server
            .request(rpc::request(&id, self.method, parameters), &id)
            .await
    }
}

fn off() -> Problem {
    wrong("mcp servers that are programs (stdio) are off: the host has not enabled them")
        .with_status(501)
}

fn wrong(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Configuration, detail)
}
