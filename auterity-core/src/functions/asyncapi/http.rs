//! Channels over HTTP: a message is a POST, messages come as events.

use serde_json::{Map, Value, json};
use url::Url;

use super::document::Target;
use super::subscription::{Consumption, Message};
use super::wrong;
use crate::functions::Invocation;
use crate::functions::http::Http;
use crate::functions::http::request::{Call, Caller};
use crate::functions::sse::{Events, is_stream};
use crate::interpreter::{Problem, ProblemKind};

type By<'b> = (&'b Invocation, Option<&'b Value>);

/// Sends a message.
pub(super) async fn publish(
    http: &Http,
    target: &Target,
    message: &Message,
    (invocation, policy): By<'_>,
) -> Result<(), Problem> {
    let mut headers = message.headers.clone();
    if !headers
        .keys()
        .any(|name| name.eq_ignore_ascii_case("content-type"))
    {
        headers.insert("content-type".to_owned(), json!("application/json"));
    }
    let arguments = json!({ "method": "post", "headers": headers, "body": message.payload });
    let arguments = arguments.as_object().cloned().unwrap_or_default();
    let to = (url(target), policy);
    let call = Call::to(to, &arguments, Caller::of(invocation), http.options())?;
    http.exchange(call).await.map(drop)
}

/// Receives messages until there are enough.
pub(super) async fn subscribe(
    http: &Http,
    target: &Target,
    (invocation, policy): By<'_>,
    consumption: &mut Consumption,
) -> Result<(), Problem> {
    let arguments = json!({ "method": "get", "headers": { "accept": "text/event-stream" } });
    let arguments = arguments.as_object().cloned().unwrap_or_default();
    let to = (url(target), policy);
    let call = Call::to(to, &arguments, Caller::reading(invocation), http.options())?;
    let response = http.open(call).await?.response;
    let status = response.status();
    if !status.is_success() {
        let detail = format!("the server answered {status}");
        let problem = Problem::new(ProblemKind::Communication, detail);
        return Err(problem.with_status(status.as_u16()));
    }
    if !is_stream(&response) {
        return Err(wrong("the channel gives no server-sent events"));
    }
    let mut events = Events::of(response, http.options().response_bytes_max);
    while let Some(data) = events.next().await? {
        if consumption.take(&Message::received(&data, Map::new()))? {
            return Ok(());
        }
    }
    let detail = "the channel ended before there were enough messages";
    Err(Problem::new(ProblemKind::Communication, detail).with_status(503))
}

/// Adds the channel's address to the server's.
fn url(target: &Target) -> Url {
    let mut url = target.server.clone();
    let path = format!(
        "{}/{}",
        url.path().trim_end_matches('/'),
        target.address.trim_start_matches('/')
    );
    let (path, query) = path.split_once('?').unwrap_or((&path, ""));
    url.set_path(path);
    if !query.is_empty() {
        url.set_query(Some(query));
    }
    url.set_fragment(None);
    url
}
