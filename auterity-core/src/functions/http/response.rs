//! What an answer becomes in the definition.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde_json::{Map, Value, json};

use super::exchange::Answer;
use super::request::Output;
use crate::interpreter::{Problem, ProblemKind};

/// Stands in a task's output for a request header that holds a credential.
const REDACTED: &str = "(redacted)";

/// Makes the task's raw output.
pub(in crate::functions) fn output(answer: Answer, output: Output) -> Result<Value, Problem> {
    match output {
        Output::Raw => Ok(Value::String(STANDARD.encode(&answer.body))),
        Output::Content => content(&answer.headers, answer.body),
        Output::Response => {
            let headers = answer.headers;
            let content = content(&headers, answer.body)?;
            Ok(json!({
                "request": {
                    "method": answer.sent.method.as_str(),
                    "uri": answer.sent.url.as_str(),
                    "headers": object(&answer.sent.headers, is_credential),
                },
                "statusCode": answer.status.as_u16(),
                "headers": object(&headers, |_| false),
                "content": content,
            }))
        }
    }
}

/// Reads the body as its content type says: JSON as data, text as text, anything else
/// as base64. A body without a type is text if it can be.
fn content(headers: &HeaderMap, body: Vec<u8>) -> Result<Value, Problem> {
    if body.is_empty() {
        return Ok(Value::Null);
    }
    let media = headers
        .get(CONTENT_TYPE)
        .and_then(|media| media.to_str().ok())
        .unwrap_or_default();
    let media = media.to_ascii_lowercase();
    let (essence, parameters) = media.split_once(';').unwrap_or((media.as_str(), ""));
    let essence = essence.trim();
    if essence == "application/json" || essence.ends_with("+json") {
        return serde_json::from_slice(&body).map_err(|error| {
            // The error's own words would quote the body.
            let place = format!("line {}, column {}", error.line(), error.column());
            let detail = format!("the answer calls itself JSON and is not, at {place}");
            Problem::new(ProblemKind::Communication, detail).with_status(502)
        });
    }
    let text = if !is_text(essence) {
        Err(body)
    } else if is_latin(parameters) {
        Ok(body.iter().copied().map(char::from).collect())
    } else {
        String::from_utf8(body).map_err(std::string::FromUtf8Error::into_bytes)
    };
    Ok(Value::String(
        text.unwrap_or_else(|bytes| STANDARD.encode(bytes)),
    ))
}

fn is_text(essence: &str) -> bool {
    const TEXT: [&str; 8] = [
        "",
        "application/graphql",
        "application/javascript",
        "application/toml",
        "application/x-ndjson",
        "application/x-www-form-urlencoded",
        "application/xml",
        "application/yaml",
    ];
    essence.starts_with("text/")
        || essence.ends_with("+xml")
        || essence.ends_with("+yaml")
        || TEXT.contains(&essence)
}

fn is_latin(parameters: &str) -> bool {
    let charset = parameters
        .split(';')
        .find_map(|one| one.trim().strip_prefix("charset="));
    matches!(
        charset.map(|charset| charset.trim_matches('"')),
        Some("iso-8859-1" | "latin1")
    )
}

fn object(headers: &HeaderMap, is_hidden: impl Fn(&str) -> bool) -> Map<String, Value> {
    let mut object = Map::new();
    for name in headers.keys() {
        let value = if is_hidden(name.as_str()) {
            REDACTED.to_owned()
        } else {
            let values = headers.get_all(name).iter();
            let values: Vec<_> = values
                .map(|value| String::from_utf8_lossy(value.as_bytes()))
                .collect();
            values.join(", ")
        };
        object.insert(name.as_str().to_owned(), Value::String(value));
    }
    object
}

/// Tells whether a request header by its name holds a credential: a task's output is
/// recorded and shown.
fn is_credential(name: &str) -> bool {
    const PARTS: [&str; 8] = [
        "auth",
        "cookie",
        "credential",
        "password",
        "secret",
        "session",
        "signature",
        "token",
    ];
    PARTS.iter().any(|part| name.contains(part))
        || (name.contains("key") && name != "idempotency-key")
}
