//! `a2a`: asks an agent by the `Agent2Agent` protocol (JSON-RPC over HTTP).
//!
//! Where the standard leaves room:
//! - The agent is at `server`, or else where its card says. The card's own policy is
//!   used for the agent only on the same server.
//! - The output is the answer's `result`; for `message/stream` and `tasks/resubscribe`
//!   it is the list of all of them, up to the one that calls itself final or the
//!   stream's end.
//! - A message without `messageId` gets one that stays the same when the call is
//!   repeated after a crash.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use url::Url;

use super::http::request::{Call, Caller, endpoint, parse};
use super::http::{Http, read_answer, template};
use super::rpc::{self, Message};
use super::sse::{Events, is_stream};
use super::{Function, Invocation};
use crate::interpreter::{Problem, ProblemKind};

/// Sends messages to agents and asks for their tasks.
pub struct A2a {
    http: Arc<Http>,
}

impl A2a {
    /// Makes the function; agents are reached within the options of `http`.
    #[must_use]
    pub fn new(http: Arc<Http>) -> Self {
        Self { http }
    }

    /// Finds the agent's address and the policy for it.
    async fn agent<'a>(
        &self,
        arguments: &'a Map<String, Value>,
        invocation: &Invocation,
    ) -> Result<(Url, Option<&'a Value>), Problem> {
        let server = arguments.get("server").filter(|server| !server.is_null());
        if let Some(server) = server {
            let (uri, policy) = match server {
                Value::String(uri) => (uri.as_str(), None),
                Value::Object(server) => {
                    let uri = server.get("uri").and_then(Value::as_str);
                    let uri = uri.ok_or_else(|| wrong("'server' needs the text 'uri'"))?;
                    (uri, server.get("authentication"))
                }
                _ => return Err(wrong("'server' must be a text or an object with 'uri'")),
            };
            let url = parse(&template::expand(uri, &invocation.input)?)?;
            return Ok((url, policy.filter(|policy| !policy.is_null())));
        }
        let Some(Value::Object(card)) = arguments.get("agentCard") else {
            return Err(wrong(
                "an a2a call needs 'server' or the object 'agentCard'",
            ));
        };
        let (uri, policy) = endpoint(card)?;
        let url = parse(&template::expand(uri, &invocation.input)?)?;
        let home = url.origin();
        let fetched = self
            .http
            .fetch((url, policy), invocation, "application/json");
        let (from, card) = fetched.await?;
        let card: Value =
            serde_json::from_slice(&card).map_err(|_| wrong("the agent's card is not JSON"))?;
        let address = address(&card)
            .ok_or_else(|| wrong("the agent's card names no address that speaks JSON-RPC"))?;
        let agent = parse(
            from.join(address)
                .map_err(|_| wrong("the card's address is none"))?
                .as_str(),
        )?;
        let policy = policy.filter(|_| agent.origin() == home);
        Ok((agent, policy))
    }

    async fn ask(&self, invocation: &Invocation) -> Result<Value, Problem> {
        let Value::Object(arguments) = &invocation.arguments else {
            return Err(wrong("the arguments of an a2a call must be an object"));
        };
        let Some(Value::String(method)) = arguments.get("method") else {
            return Err(wrong("an a2a call needs the text 'method'"));
        };
        let streams = matches!(method.as_str(), "message/stream" | "tasks/resubscribe");
        let parameters = arguments.get("parameters").cloned().unwrap_or_default();
        let parameters = with_id(parameters, &invocation.key);
        let (url, policy) = self.agent(arguments, invocation).await?;
        let id = json!(invocation.key);
        let accept = if streams {
            "text/event-stream"
        } else {
            "application/json"
        };
        let body = rpc::request(&id, method, &parameters);
        let made = json!({
            "method": "post",
            "headers": {"accept": accept, "content-type": "application/json"},
            "body": body,
        });
        let made = made.as_object().cloned().unwrap_or_default();
        let options = self.http.options();
        let call = Call::to((url, policy), &made, Caller::of(invocation), options)?;
        let response = self.http.open(call).await?.response;
        let status = response.status();
        if !status.is_success() {
            let detail = format!("the agent answered {status}");
            let problem = Problem::new(ProblemKind::Communication, detail);
            return Err(problem.with_status(status.as_u16()));
        }
        if streams && is_stream(&response) {
            let events = Events::of(response, options.response_bytes_max);
            return gather(events, &id, options.response_bytes_max).await;
        }
        let body = read_answer(response, options.response_bytes_max).await?;
        let answer = rpc::answer(rpc::parse(&String::from_utf8_lossy(&body))?, &id)?;
        Ok(if streams { json!([answer]) } else { answer })
    }
}

impl fmt::Debug for A2a {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("A2a").finish_non_exhaustive()
    }
}

#[async_trait]
impl Function for A2a {
    async fn call(&self, invocation: Invocation) -> Result<Value, Problem> {
        self.http.in_time(self.ask(&invocation)).await
    }
}

/// Collects the results of a stream.
async fn gather(mut events: Events, id: &Value, bytes_max: usize) -> Result<Value, Problem> {
    let (mut results, mut bytes) = (Vec::new(), 0);
    while let Some(data) = events.next().await? {
        bytes += data.len();
        super::http::request::within("answer", bytes, bytes_max)?;
        let Message::Answer(result) = rpc::read(rpc::parse(&data)?, id) else {
            continue;
        };
        let result = result?;
        let is_final = result.get("final") == Some(&json!(true));
        results.push(result);
        if is_final {
            break;
        }
    }
    Ok(Value::Array(results))
}

/// Finds the address for JSON-RPC: the main one unless that speaks something else.
fn address(card: &Value) -> Option<&str> {
    let speaks = |holder: &Value, name: &str| {
        let transport = holder.get(name).and_then(Value::as_str);
        transport.is_none_or(|transport| transport.eq_ignore_ascii_case("jsonrpc"))
    };
    if speaks(card, "preferredTransport")
        && let Some(url) = card.get("url").and_then(Value::as_str)
    {
        return Some(url);
    }
    let others = ["supportedInterfaces", "additionalInterfaces"].into_iter();
    let others = others.filter_map(|name| card.get(name)?.as_array());
    let mut others = others.flatten();
    let found = others.find(|one| speaks(one, "transport") && speaks(one, "protocolBinding"));
    found?.get("url")?.as_str()
}

fn with_id(mut parameters: Value, key: &str) -> Value {
    if let Some(Value::Object(message)) = parameters.get_mut("message")
        && !message.contains_key("messageId")
    {
        message.insert("messageId".to_owned(), json!(key));
    }
    parameters
}

fn wrong(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Configuration, detail)
}
