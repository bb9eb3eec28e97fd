//! JSON-RPC 2.0, as a client.

use serde_json::{Value, json};

use crate::interpreter::{Problem, ProblemKind};

/// Error code: there is no such method.
const METHOD_NOT_FOUND: i64 = -32_601;
/// How much of a server's error message a problem repeats.
const MESSAGE_CHARS_MAX: usize = 500;

/// Makes a request; a parameter that is null is left out.
pub(super) fn request(id: &Value, method: &str, parameters: &Value) -> Value {
    let mut request = json!({"jsonrpc": "2.0", "id": id, "method": method});
    if !parameters.is_null() {
        request["params"] = parameters.clone();
    }
    request
}

/// Makes a message that asks for no answer.
pub(super) fn notification(method: &str) -> Value {
    json!({"jsonrpc": "2.0", "method": method})
}

/// What a message from the server is to the one who asked.
#[derive(Debug, PartialEq)]
pub(super) enum Message {
    /// The answer to the request.
    Answer(Result<Value, Problem>),
    /// The server asks something itself; this is what it is told.
    Asks(Value),
    /// Nothing that has to be answered.
    Other,
}

/// Reads a message that came while the answer to a request is awaited.
pub(super) fn read(message: Value, id: &Value) -> Message {
    let Value::Object(mut message) = message else {
        return Message::Other;
    };
    if let Some(method) = message.get("method") {
        let Some(their_id) = message.get("id") else {
            return Message::Other;
        };
        return Message::Asks(if method == "ping" {
            json!({"jsonrpc": "2.0", "id": their_id, "result": {}})
        } else {
            let error =
                json!({"code": METHOD_NOT_FOUND, "message": "this client does no such thing"});
            json!({"jsonrpc": "2.0", "id": their_id, "error": error})
        });
    }
    if let Some(error) = message.get("error").filter(|error| !error.is_null()) {
        // A server that could not read the request does not know its id.
        return Message::Answer(Err(refusal(error)));
    }
    match (message.get("id") == Some(id), message.remove("result")) {
        (true, Some(result)) => Message::Answer(Ok(result)),
        _ => Message::Other,
    }
}

/// Reads a message that is the answer.
pub(super) fn answer(message: Value, id: &Value) -> Result<Value, Problem> {
    match read(message, id) {
        Message::Answer(result) => result,
        Message::Asks(_) | Message::Other => Err(unreadable()),
    }
}

/// Parses a message.
pub(super) fn parse(text: &str) -> Result<Value, Problem> {
    serde_json::from_str(text).map_err(|_| unreadable())
}

fn unreadable() -> Problem {
    let detail = "the server's answer is not one of JSON-RPC 2.0";
    Problem::new(ProblemKind::Communication, detail).with_status(502)
}

fn refusal(error: &Value) -> Problem {
    let code = error
        .get("code")
        .and_then(Value::as_i64)
        .unwrap_or_default();
    let message = error
        .get("message")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let message: String = message.chars().take(MESSAGE_CHARS_MAX).collect();
    let detail = format!("the server answered with the error {code}: {message}");
    Problem::new(ProblemKind::Communication, detail)
}
