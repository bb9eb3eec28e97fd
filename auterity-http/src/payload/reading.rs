//! Reads and parses bodies, whatever they hold.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use poem::http::{HeaderMap, header};
use poem::{Body, Request, RequestBody};
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchema, MetaSchemaRef};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::error::{Code, Pointed, Problem};

pub(super) const JSON: &str = "application/json";

/// Reads a body, counting what arrives.
pub(super) async fn read(
    body: &mut RequestBody,
    most: usize,
    within: Duration,
) -> Result<Bytes, Problem> {
    let body = body.take().unwrap_or_else(|_| Body::empty());
    let work = async {
        let mut read = BytesMut::new();
        let mut parts = std::pin::pin!(body.into_bytes_stream());
        while let Some(part) = parts.next().await {
            let part = part.map_err(|source| {
                Problem::new(Code::InvalidBody, "the body broke off").with_source(source)
            })?;
            if most < read.len() + part.len() {
                let detail = format!("the body is larger than {most} bytes");
                return Err(Problem::new(Code::PayloadTooLarge, detail));
            }
            read.extend_from_slice(&part);
        }
        Ok(read.freeze())
    };
    tokio::time::timeout(within, work)
        .await
        .unwrap_or_else(|_elapsed| {
            let detail = format!("the body did not arrive within {} s", within.as_secs());
            Err(Problem::new(Code::RequestTimeout, detail))
        })
}

/// Refuses a body by its own words before any of it is read.
pub(super) fn check_length(headers: &HeaderMap, most: usize) -> Result<(), Problem> {
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<u64>().ok());
    if length.is_some_and(|length| (most as u64) < length) {
        let detail = format!("the body is larger than {most} bytes");
        return Err(Problem::new(Code::PayloadTooLarge, detail));
    }
    Ok(())
}

/// Gives the media type without parameters, in lower case.
pub(super) fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let plain = value.split(';').next().unwrap_or_default();
    Some(plain.trim().to_ascii_lowercase())
}

pub(super) fn check_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.get(header::CONTENT_ENCODING) {
        None => Ok(()),
        Some(value) if value.as_bytes() == b"identity" => Ok(()),
        Some(_) => Err(Problem::new(
            Code::UnsupportedMediaType,
            "compressed bodies are not accepted; send it without Content-Encoding",
        )),
    }
}

pub(super) fn wrong_media_type(given: Option<&str>, wanted: &str) -> Problem {
    let given = given.unwrap_or("no Content-Type");
    let detail = format!("the body came as {given}; this call takes {wanted}");
    Problem::new(Code::UnsupportedMediaType, detail)
}

/// Parses a JSON object. What derives its reading from a struct would take a list of the
/// struct's fields as well, in their order.
pub(super) fn parse_object<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    let is_json = || serde_json::from_slice::<IgnoredAny>(bytes).is_ok();
    if first.is_some_and(|first| *first != b'{') && is_json() {
        let errors = vec![Pointed::new("", "must be an object")];
        let detail = "the body does not have the form that this call takes";
        return Err(Problem::new(Code::ValidationFailed, detail).with_errors(errors));
    }
    parse(bytes)
}

/// Parses JSON and says where it does not fit, or would be changed by reading it. The
/// parser stops at a nesting of 128.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize(&mut reader);
    let value = parsed.map_err(|error| {
        let is_data = error.inner().classify() == serde_json::error::Category::Data;
        let pointer = pointer_of(error.path());
        let detail = error.inner().to_string();
        let code = if is_data {
            Code::ValidationFailed
        } else {
            Code::InvalidBody
        };
        let summary = if is_data {
            "the body does not have the form that this call takes"
        } else {
            "the body is not valid JSON"
        };
        Problem::new(code, summary).with_errors(vec![Pointed::new(pointer, detail)])
    })?;
    reader.end().map_err(|error| {
        let errors = vec![Pointed::new("", error.to_string())];
        Problem::new(Code::InvalidBody, "the body goes on after its JSON").with_errors(errors)
    })?;
    auterity_core::check_exact(bytes).map_err(|found| {
        let errors = vec![Pointed::new(found.pointer, found.message)];
        let detail = "the body holds something that cannot be kept as it is";
        Problem::new(Code::ValidationFailed, detail).with_errors(errors)
    })?;
    Ok(value)
}

fn pointer_of(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        let word = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } | Segment::Enum { variant: key } => {
                key.replace('~', "~0").replace('/', "~1")
            }
            Segment::Unknown => continue,
        };
        pointer.push('/');
        pointer.push_str(&word);
    }
    pointer
}

pub(super) fn is_json(media_type: &str) -> bool {
    media_type == JSON || (media_type.starts_with("application/") && media_type.ends_with("+json"))
}

pub(super) async fn read_json(request: &Request, body: &mut RequestBody) -> Result<Bytes, Problem> {
    let most = crate::edge::context(request)?.options().body_bytes_max;
    read_within(request, body, most).await
}

pub(super) async fn read_within(
    request: &Request,
    body: &mut RequestBody,
    most: usize,
) -> Result<Bytes, Problem> {
    let within = crate::edge::context(request)?.options().body_timeout();
    check_encoding(request.headers())?;
    check_length(request.headers(), most)?;
    read(body, most, within).await
}

/// Turns a document of the API into one of a crate below, or back: both have the same
/// form. Says where a value does not do.
pub(crate) fn fit<T: DeserializeOwned>(document: &impl Serialize) -> Result<T, Problem> {
    let bytes = serde_json::to_vec(document).map_err(Problem::internal)?;
    parse(&bytes)
}

pub(super) fn request_meta(
    content: &[(&'static str, MetaSchemaRef)],
    required: bool,
) -> MetaRequest {
    MetaRequest {
        description: None,
        content: content
            .iter()
            .map(|(content_type, schema)| MetaMediaType {
                content_type,
                schema: schema.clone(),
            })
            .collect(),
        required,
    }
}

pub(super) fn text_schema() -> MetaSchemaRef {
    MetaSchemaRef::Inline(Box::new(MetaSchema::new("string")))
}

pub(super) fn object_schema() -> MetaSchemaRef {
    MetaSchemaRef::Inline(Box::new(MetaSchema::new("object")))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn parser_says_where_and_refuses_depth() {
        #[derive(Debug, serde::Deserialize)]
        struct Outer {
            #[expect(dead_code, reason = "only parsed")]
            inner: std::collections::BTreeMap<String, u8>,
        }
        let problem = parse::<Outer>(br#"{"inner":{"a/b":"x"}}"#).unwrap_err();
        assert_eq!(problem.code(), Code::ValidationFailed);
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let problem = parse::<Value>(deep.as_bytes()).unwrap_err();
        assert_eq!(problem.code(), Code::InvalidBody);
        assert!(parse::<Value>(b"{} {}").is_err());
        let problem = parse::<Value>(br#"{"input":{"n":123456789012345678901}}"#).unwrap_err();
        assert_eq!(problem.code(), Code::ValidationFailed);
        let lists: [&[u8]; 3] = [b"[]", b" [{}]", b"7"];
        for list in lists {
            let problem = parse_object::<Value>(list).unwrap_err();
            assert_eq!(problem.code(), Code::ValidationFailed);
        }
        let problem = parse_object::<Value>(b"nonsense").unwrap_err();
        assert_eq!(problem.code(), Code::InvalidBody);
        assert!(parse_object::<Value>(b"\n {}").is_ok());
    }
}
