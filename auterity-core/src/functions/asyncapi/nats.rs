//! Channels over NATS: the channel's address is the subject.

use std::time::Duration;

use async_nats::{Client, ConnectOptions, HeaderMap};
use futures_util::StreamExt;
use serde_json::{Map, Value, json};
use url::Url;

use super::document::Target;
use super::subscription::{Consumption, Message};
use super::wrong;
use crate::functions::Invocation;
use crate::functions::http::Http;
use crate::functions::http::request::{plain, within};
use crate::interpreter::{Problem, ProblemKind};

/// The port that servers listen on unless they say otherwise.
const PORT: u16 = 4_222;
/// How often a lost connection is made anew before the call fails.
const RECONNECTS_MAX: usize = 3;
/// The header by which a server recognises a repeated message (`JetStream`).
const MESSAGE_ID: &str = "Nats-Msg-Id";

/// Sends a message, and waits until the server has it.
pub(super) async fn publish(
    http: &Http,
    target: &Target,
    message: &Message,
    (invocation, policy): (&Invocation, Option<&Value>),
) -> Result<(), Problem> {
    let subject = subject(target)?;
    let body = match &message.payload {
        Value::String(text) => text.clone(),
        payload => payload.to_string(),
    };
    within("message", body.len(), http.options().request_bytes_max)?;
    let mut headers = HeaderMap::new();
    headers.insert(MESSAGE_ID, invocation.key.as_str());
    for (name, value) in &message.headers {
        let value = plain(value).filter(|value| !value.contains(['\r', '\n']));
        let is_name = !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b':');
        let value = value.filter(|_| is_name).ok_or_else(|| {
            wrong("a header of the message has a name or value that none can have")
        })?;
        headers.insert(name.as_str(), value.as_str());
    }
    let client = connect(http, &target.server, policy).await?;
    let sent = client
        .publish_with_headers(subject, headers, body.into())
        .await;
    sent.map_err(|_| broken())?;
    client.flush().await.map_err(|_| broken())
}

/// Receives messages until there are enough.
pub(super) async fn subscribe(
    http: &Http,
    target: &Target,
    policy: Option<&Value>,
    consumption: &mut Consumption,
) -> Result<(), Problem> {
    let subject = subject(target)?;
    let client = connect(http, &target.server, policy).await?;
    let mut messages = client.subscribe(subject).await.map_err(|_| broken())?;
    client.flush().await.map_err(|_| broken())?;
    let most = http.options().response_bytes_max;
    while let Some(received) = messages.next().await {
        within("message", received.payload.len(), most)?;
        let body = String::from_utf8_lossy(&received.payload);
        let mut headers = Map::new();
        for (name, values) in received.headers.iter().flat_map(HeaderMap::iter) {
            let texts: Vec<&str> = values.iter().map(async_nats::HeaderValue::as_str).collect();
            headers.insert(name.to_string(), json!(texts.join(", ")));
        }
        if consumption.take(&Message::received(&body, headers))? {
            return Ok(());
        }
    }
    Err(broken())
}

/// Connects to a server that may be called. One in plain text is connected to by the
/// address that was checked; by TLS its certificate stands for its name.
async fn connect(http: &Http, server: &Url, policy: Option<&Value>) -> Result<Client, Problem> {
    let secure = server.scheme() == "tls";
    let host = server.host_str().unwrap_or_default();
    let port = server.port().unwrap_or(PORT);
    let checked = Url::parse(&format!("http://{host}:{port}/"));
    let checked = checked.map_err(|_| wrong("the server's address is none"))?;
    let addresses = http.addresses(&checked).await?;
    let first = addresses.first().ok_or_else(broken)?;
    let address = if secure {
        format!("tls://{host}:{port}")
    } else {
        format!("nats://{first}")
    };
    let mut options = ConnectOptions::new()
        .name("auterity")
        .connection_timeout(http.options().connect_time_max.unsigned_abs())
        .request_timeout(Some(Duration::from_secs(10)))
        .max_reconnects(RECONNECTS_MAX)
        .require_tls(secure)
        // Else the server could name others, which nobody checked.
        .ignore_discovered_servers();
    let text = |policy: &Value, pointer: &str| {
        policy
            .pointer(pointer)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    if let Some(policy) = policy {
        let basic = (
            text(policy, "/basic/username"),
            text(policy, "/basic/password"),
        );
        options = match (basic, text(policy, "/bearer/token")) {
            ((Some(user), Some(word)), _) => options.user_and_password(user, word),
            (_, Some(token)) => options.token(token),
            _ => return Err(wrong("nats servers take basic or bearer authentication")),
        };
    }
    options
        .connect(address)
        .await
        .map_err(|error| match error.kind() {
            async_nats::ConnectErrorKind::Authentication
            | async_nats::ConnectErrorKind::AuthorizationViolation => Problem::new(
                ProblemKind::Authentication,
                "the nats server refused the credentials",
            ),
            _ => Problem::new(
                ProblemKind::Communication,
                "no connection to the nats server could be made",
            )
            .with_status(503),
        })
}

fn subject(target: &Target) -> Result<String, Problem> {
    let subject = target.address.trim_matches('/').replace('/', ".");
    let is_subject = !subject.is_empty()
        && subject.split('.').all(|part| !part.is_empty())
        && !subject.contains(char::is_whitespace);
    if is_subject {
        return Ok(subject);
    }
    Err(wrong("the channel's address is no subject of nats"))
}

fn broken() -> Problem {
    let detail = "the connection to the nats server broke";
    Problem::new(ProblemKind::Communication, detail).with_status(503)
}
