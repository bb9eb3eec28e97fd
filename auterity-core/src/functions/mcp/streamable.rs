//! Streamable HTTP: each message is a POST, answered by JSON or by events.

use std::time::Duration;

use reqwest::Response;
use serde_json::{Map, Value, json};
use url::Url;

use super::{Transport, wrong};
use crate::functions::Invocation;
use crate::functions::http::request::{Call, Caller, endpoint, parse};
use crate::functions::http::{Http, read_answer, template};
use crate::functions::rpc::{self, Message};
use crate::functions::sse::{Events, is_stream};
use crate::interpreter::{Problem, ProblemKind};

const SESSION: &str = "mcp-session-id";
const VERSION: &str = "mcp-protocol-version";
/// How long the farewell may take: nobody waits for what it gives.
const FAREWELL_TIME_MAX: Duration = Duration::from_secs(2);

/// A session with a server.
pub(super) struct Streamable<'s> {
    http: &'s Http,
    url: Url,
    policy: Option<&'s Value>,
    headers: Map<String, Value>,
    caller: Caller<'s>,
    session: bool,
}

impl<'s> Streamable<'s> {
    pub(super) fn new(
        http: &'s Http,
        transport: &'s Map<String, Value>,
        invocation: &'s Invocation,
    ) -> Result<Self, Problem> {
        let (uri, policy) = endpoint(transport)?;
        let mut headers = match transport.get("headers") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(headers)) => headers.clone(),
            Some(_) => return Err(wrong("'headers' of the transport must be an object")),
        };
        let accept = "application/json, text/event-stream";
        headers.insert("accept".to_owned(), json!(accept));
        headers.insert("content-type".to_owned(), json!("application/json"));
        Ok(Self {
            http,
            url: parse(&template::expand(uri, &invocation.input)?)?,
            policy,
            headers,
            caller: Caller::of(invocation),
            session: false,
        })
    }

    async fn send(&self, method: &str, message: Value) -> Result<Response, Problem> {
        let arguments = json!({"method": method, "headers": self.headers, "body": message});
        let arguments = arguments.as_object().cloned().unwrap_or_default();
        let to = (self.url.clone(), self.policy);
        let call = Call::to(to, &arguments, self.caller, self.http.options())?;
        let response = self.http.open(call).await?.response;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let detail = format!("the server answered {status}");
        Err(Problem::new(ProblemKind::Communication, detail).with_status(status.as_u16()))
    }

    /// Ends the session, if the server made one; it may refuse, and ends it later.
    pub(super) async fn end(self) {
        if self.session {
            let farewell = self.send("delete", Value::Null);
            drop(tokio::time::timeout(FAREWELL_TIME_MAX, farewell).await);
        }
    }

    /// Reads events until the answer is among them.
    async fn await_answer(&self, response: Response, id: &Value) -> Result<Value, Problem> {
        let most = self.http.options().response_bytes_max;
        let mut events = Events::of(response, most);
        while let Some(data) = events.next().await? {
            match rpc::read(rpc::parse(&data)?, id) {
                Message::Answer(answer) => return answer,
                Message::Asks(told) => drop(self.send("post", told).await?),
                Message::Other => {}
            }
        }
        let detail = "the server's stream ended before it answered";
        Err(Problem::new(ProblemKind::Communication, detail).with_status(502))
    }
}

impl Transport for Streamable<'_> {
    async fn request(&mut self, request: Value, id: &Value) -> Result<Value, Problem> {
        let response = self.send("post", request).await?;
        let given = response.headers().get(SESSION);
        if let Some(session) = given.and_then(|session| session.to_str().ok()) {
            self.headers.insert(SESSION.to_owned(), json!(session));
            self.session = true;
        }
        if is_stream(&response) {
            return self.await_answer(response, id).await;
        }
        let body = read_answer(response, self.http.options().response_bytes_max).await?;
        rpc::answer(rpc::parse(&String::from_utf8_lossy(&body))?, id)
    }

    async fn notify(&mut self, message: Value) -> Result<(), Problem> {
        self.send("post", message).await.map(drop)
    }

    fn agreed(&mut self, version: &str) {
        self.headers.insert(VERSION.to_owned(), json!(version));
    }
}
