//! The OpenAPI document, and a page to read it.

use poem::http::{Method, StatusCode, header};
use poem::{Endpoint, Request, Response};
use serde_json::{Value, json};

use crate::error::Problem;

/// Reads the document and shows it; needs nothing from elsewhere.
const PAGE: &str = include_str!("docs.html");
const SCRIPT: &str = include_str!("docs.js");

/// Gives the OpenAPI document of the API as indented JSON.
#[must_use]
pub fn text() -> String {
    let mut text = format!("{:#}", document());
    text.push('\n');
    text
}

pub(super) fn document() -> Value {
    let spec = super::resources().spec();
    let mut document: Value = serde_json::from_str(&spec).unwrap_or_default();
    document["paths"] = with_prefix_slash_removed(document["paths"].take());
    mark_nullable(&mut document["components"]["schemas"]);
    for operations in members(&mut document["paths"]) {
        for operation in members(operations) {
            add_responses(operation);
        }
    }
    document
}

fn members(value: &mut Value) -> impl Iterator<Item = &mut Value> {
    value
        .as_object_mut()
        .into_iter()
        .flat_map(|map| map.values_mut())
}

/// The framework writes `/workflows/` for the root of a prefix.
fn with_prefix_slash_removed(paths: Value) -> Value {
    let Value::Object(paths) = paths else {
        return paths;
    };
    let renamed = paths.into_iter().map(|(path, operations)| {
        let plain = path.strip_suffix('/').unwrap_or(&path).to_owned();
        (plain, operations)
    });
    Value::Object(renamed.collect())
}

/// What may be absent in Rust goes out as null, which version 3.0 of the standard
/// wants to be said.
fn mark_nullable(schemas: &mut Value) {
    for schema in members(schemas) {
        let required: Vec<String> = schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect();
        let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else {
            continue;
        };
        for (name, property) in properties {
            let Some(property) = property.as_object_mut() else {
                continue;
            };
            if !required.contains(name) && property.contains_key("type") {
                property.insert("nullable".to_owned(), json!(true));
            }
        }
    }
}

/// Names the errors that a call can end with because of its shape.
fn add_responses(operation: &mut Value) {
    let problem = operation["responses"]["default"].clone();
    let has_body = operation.get("requestBody").is_some();
    let is_guarded = operation.get("security").is_some();
    let has_parameters = operation
        .get("parameters")
        .and_then(Value::as_array)
        .is_some_and(|list| !list.is_empty());
    let in_path = operation["parameters"]
        .as_array()
        .is_some_and(|list| list.iter().any(|parameter| parameter["in"] == "path"));
    let table = [
        (
            "400",
            has_body || has_parameters,
            "The request is malformed",
        ),
        (
            "401",
            is_guarded,
            "The access token is missing or not valid",
        ),
        ("403", is_guarded, "The role does not allow it"),
        ("404", in_path, "There is no such thing in this tenant"),
        ("413", has_body, "The body is too large"),
        ("415", has_body, "The body has the wrong media type"),
        ("422", has_body, "The body is well-formed but wrong"),
    ];
    for (status, applies, description) in table {
        if applies {
            let mut response = problem.clone();
            response["description"] = json!(description);
            operation["responses"][status] = response;
        }
    }
}

/// Answers with the document.
pub(super) struct Document {
    text: String,
}

impl Document {
    pub(super) fn new(document: &Value) -> Self {
        Self {
            text: document.to_string(),
        }
    }
}

impl Endpoint for Document {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        only_get(&request)?;
        Ok(Response::builder()
            .content_type("application/json")
            .body(self.text.clone()))
    }
}

/// Answers with the page, and with its script at `?script`.
pub(super) struct Page;

impl Endpoint for Page {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        only_get(&request)?;
        if request.uri().query() == Some("script") {
            return Ok(Response::builder()
                .content_type("text/javascript; charset=utf-8")
                .body(SCRIPT));
        }
        Ok(Response::builder()
            .content_type("text/html; charset=utf-8")
            .header(
                header::CONTENT_SECURITY_POLICY,
                "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; \
                 connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            )
            .body(PAGE))
    }
}

fn only_get(request: &Request) -> Result<(), Problem> {
    if request.method() == Method::GET {
        return Ok(());
    }
    Err(Problem::from_framework(poem::Error::from_status(
        StatusCode::METHOD_NOT_ALLOWED,
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The framework writes an address once for each struct with calls at it, and of
    /// equal names in a JSON object only one is read.
    #[test]
    fn calls_at_one_address_stand_in_one_struct() {
        let written = crate::api::resources().spec();
        let read: Value = serde_json::from_str(&written).unwrap();
        let count = |text: &str| text.matches("\"operationId\"").count();
        assert_eq!(count(&written), count(&read.to_string()));
    }
}
