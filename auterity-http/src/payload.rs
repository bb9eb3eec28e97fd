//! Bodies: read up to a limit and within a time, then parsed; and written.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use auterity_core::definition::ProgramHash;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use jiff::Timestamp;
use poem::http::{HeaderMap, header};
use poem::{Body, IntoResponse, Request, RequestBody, Response};
use poem_openapi::payload::Payload;
use poem_openapi::registry::{
    MetaMediaType, MetaRequest, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};
use poem_openapi::types::{ParseError, ParseFromJSON, ParseResult, ToJSON, Type};
use poem_openapi::{ApiExtractor, ApiExtractorType, ApiResponse, ExtractParamOptions};
use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::{Code, Pointed, Problem};

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const CLOUD_EVENT: &str = "application/cloudevents+json";

/// Reads a body, counting what arrives.
async fn read(body: &mut RequestBody, most: usize, within: Duration) -> Result<Bytes, Problem> {
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
fn check_length(headers: &HeaderMap, most: usize) -> Result<(), Problem> {
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
fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let plain = value.split(';').next().unwrap_or_default();
    Some(plain.trim().to_ascii_lowercase())
}

fn check_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.get(header::CONTENT_ENCODING) {
        None => Ok(()),
        Some(value) if value.as_bytes() == b"identity" => Ok(()),
        Some(_) => Err(Problem::new(
            Code::UnsupportedMediaType,
            "compressed bodies are not accepted; send it without Content-Encoding",
        )),
    }
}

fn wrong_media_type(given: Option<&str>, wanted: &str) -> Problem {
    let given = given.unwrap_or("no Content-Type");
    let detail = format!("the body came as {given}; this call takes {wanted}");
    Problem::new(Code::UnsupportedMediaType, detail)
}

/// Parses JSON and says where it does not fit. The parser stops at a nesting of 128.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
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

fn is_json(media_type: &str) -> bool {
    media_type == JSON || (media_type.starts_with("application/") && media_type.ends_with("+json"))
}

/// A JSON body of a call.
#[derive(Debug)]
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<'a, T: Type + DeserializeOwned> ApiExtractor<'a> for JsonBody<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(request_meta(&[(JSON, T::schema_ref())], true))
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<Self::ParamType>,
    ) -> poem::Result<Self> {
        let given = media_type(request.headers());
        if !given.as_deref().is_some_and(is_json) {
            return Err(wrong_media_type(given.as_deref(), JSON).into());
        }
        Ok(Self(parse(&read_json(request, body).await?)?))
    }
}

/// A JSON body with many items, for which a larger limit holds.
#[derive(Debug)]
pub(crate) struct BatchBody<T>(pub(crate) T);

impl<'a, T: Type + DeserializeOwned> ApiExtractor<'a> for BatchBody<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(request_meta(&[(JSON, T::schema_ref())], true))
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<Self::ParamType>,
    ) -> poem::Result<Self> {
        let given = media_type(request.headers());
        if !given.as_deref().is_some_and(is_json) {
            return Err(wrong_media_type(given.as_deref(), JSON).into());
        }
        let most = crate::edge::context(request)?.options().batch_bytes_max;
        Ok(Self(parse(&read_within(request, body, most).await?)?))
    }
}

/// A JSON body that may be left out.
#[derive(Debug)]
pub(crate) struct OptionalJsonBody<T>(pub(crate) T);

impl<'a, T: Type + DeserializeOwned + Default> ApiExtractor<'a> for OptionalJsonBody<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(request_meta(&[(JSON, T::schema_ref())], false))
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<Self::ParamType>,
    ) -> poem::Result<Self> {
        let bytes = read_json(request, body).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        let given = media_type(request.headers());
        if !given.as_deref().is_some_and(is_json) {
            return Err(wrong_media_type(given.as_deref(), JSON).into());
        }
        Ok(Self(parse(&bytes)?))
    }
}

async fn read_json(request: &Request, body: &mut RequestBody) -> Result<Bytes, Problem> {
    let most = crate::edge::context(request)?.options().body_bytes_max;
    read_within(request, body, most).await
}

async fn read_within(
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

fn request_meta(content: &[(&'static str, MetaSchemaRef)], required: bool) -> MetaRequest {
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

fn text_schema() -> MetaSchemaRef {
    MetaSchemaRef::Inline(Box::new(MetaSchema::new("string")))
}

fn object_schema() -> MetaSchemaRef {
    MetaSchemaRef::Inline(Box::new(MetaSchema::new("object")))
}

/// A definition's text.
#[derive(Debug)]
pub(crate) struct DefinitionBody(pub(crate) String);

impl<'a> ApiExtractor<'a> for DefinitionBody {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn request_meta() -> Option<MetaRequest> {
        let content = [(YAML, text_schema()), (JSON, object_schema())];
        Some(request_meta(&content, true))
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<Self::ParamType>,
    ) -> poem::Result<Self> {
        const TAKEN: [&str; 5] = [YAML, JSON, "application/x-yaml", "text/yaml", "text/x-yaml"];
        let headers = request.headers();
        let given = media_type(headers);
        if !given.as_deref().is_some_and(|given| TAKEN.contains(&given)) {
            let wanted = "application/yaml or application/json";
            return Err(wrong_media_type(given.as_deref(), wanted).into());
        }
        let context = crate::edge::context(request)?;
        let options = context.options();
        check_encoding(headers)?;
        check_length(headers, options.definition_bytes_max)?;
        let bytes = read(body, options.definition_bytes_max, options.body_timeout()).await?;
        let text = String::from_utf8(bytes.into()).map_err(|source| {
            Problem::new(Code::InvalidBody, "the definition is not UTF-8 text").with_source(source)
        })?;
        Ok(Self(text))
    }
}

/// A `CloudEvent` in structured or binary mode, as one JSON object.
#[derive(Debug)]
pub(crate) struct CloudEventBody(pub(crate) Value);

impl<'a> ApiExtractor<'a> for CloudEventBody {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn request_meta() -> Option<MetaRequest> {
        let any = MetaSchemaRef::Inline(Box::new(MetaSchema::ANY));
        let content = [(CLOUD_EVENT, object_schema()), (JSON, any)];
        Some(request_meta(&content, true))
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<Self::ParamType>,
    ) -> poem::Result<Self> {
        let headers = request.headers();
        let bytes = read_json(request, body).await?;
        let given = media_type(headers);
        if given.as_deref() == Some(CLOUD_EVENT) {
            return Ok(Self(parse(&bytes)?));
        }
        if !headers.contains_key("ce-specversion") {
            let wanted = "application/cloudevents+json, or any type together with ce- headers";
            return Err(wrong_media_type(given.as_deref(), wanted).into());
        }
        Ok(Self(binary_event(headers, given.as_deref(), &bytes)?))
    }
}

/// Reads the binary mode: attributes from headers, data from the body.
fn binary_event(
    headers: &HeaderMap,
    media_type: Option<&str>,
    bytes: &[u8],
) -> Result<Value, Problem> {
    let mut event = serde_json::Map::new();
    for (name, value) in headers {
        let Some(attribute) = name.as_str().strip_prefix("ce-") else {
            continue;
        };
        let text = std::str::from_utf8(value.as_bytes()).map_err(|_| {
            let detail = format!("the header ce-{attribute} is not UTF-8 text");
            Problem::new(Code::ValidationFailed, detail)
        })?;
        event.insert(attribute.to_owned(), Value::from(percent_decode(text)));
    }
    if let Some(media_type) = media_type {
        event.insert("datacontenttype".to_owned(), Value::from(media_type));
    }
    if !bytes.is_empty() {
        let (name, data) = match media_type {
            Some(given) if is_json(given) => ("data", parse(bytes)?),
            Some(given) if given.starts_with("text/") => {
                let text = std::str::from_utf8(bytes).map_err(|_| {
                    Problem::new(Code::InvalidBody, "the event's data is not UTF-8 text")
                })?;
                ("data", Value::from(text))
            }
            _ => {
                use base64::Engine as _;
                let text = base64::engine::general_purpose::STANDARD.encode(bytes);
                ("data_base64", Value::from(text))
            }
        };
        event.insert(name.to_owned(), data);
    }
    Ok(Value::Object(event))
}

/// Undoes the percent-encoding of `CloudEvents` header values; what is no valid
/// encoding stays as it is.
fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let decoded = match (first, after) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(h, l)| h << 4 | l),
            _ => None,
        };
        match decoded {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

fn hex(letter: u8) -> Option<u8> {
    let digit = char::from(letter).to_digit(16)?;
    u8::try_from(digit).ok()
}

/// A JSON answer, written straight from the value.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: Type> Payload for Json<T> {
    const CONTENT_TYPE: &'static str = JSON;

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Serialize + Send> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => Response::builder().content_type(JSON).body(bytes),
            Err(source) => Problem::internal(source).into_response(),
        }
    }
}

impl<T: Type + Serialize> ApiResponse for Json<T> {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "Done",
                status: Some(200),
                status_range: None,
                content: vec![MetaMediaType {
                    content_type: Self::CONTENT_TYPE,
                    schema: Self::schema_ref(),
                }],
                headers: Vec::new(),
            }],
        }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

/// A definition's text as answer.
#[derive(Debug)]
pub(crate) struct YamlText(pub(crate) String);

impl Payload for YamlText {
    const CONTENT_TYPE: &'static str = YAML;

    fn schema_ref() -> MetaSchemaRef {
        text_schema()
    }
}

impl IntoResponse for YamlText {
    fn into_response(self) -> Response {
        Response::builder().content_type(YAML).body(self.0)
    }
}

/// JSON that is text already and goes out as it is.
#[derive(Debug)]
pub(crate) struct Raw(Box<RawValue>);

impl Raw {
    /// Takes over JSON text.
    pub(crate) fn from_text(text: &str) -> Result<Self, Problem> {
        let raw = RawValue::from_string(text.to_owned());
        raw.map(Self).map_err(Problem::internal)
    }
}

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// A time, as RFC 3339 in UTC.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Time(pub(crate) Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// The SHA-256 of a definition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hash(pub(crate) ProgramHash);

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

// The OpenAPI derive wants each field's type to go both ways. These only go out,
// and go out by serde; the way in refuses.
macro_rules! outgoing {
    ($($name:ident => $word:literal, $schema:expr;)+) => {$(
        impl Type for $name {
            const IS_REQUIRED: bool = true;

            type RawValueType = Self;
            type RawElementValueType = Self;

            fn name() -> Cow<'static, str> {
                $word.into()
            }

            fn schema_ref() -> MetaSchemaRef {
                MetaSchemaRef::Inline(Box::new($schema))
            }

            fn as_raw_value(&self) -> Option<&Self::RawValueType> {
                Some(self)
            }

            fn raw_element_iter<'a>(
                &'a self,
            ) -> Box<dyn Iterator<Item = &'a Self::RawElementValueType> + 'a> {
                Box::new(self.as_raw_value().into_iter())
            }
        }

        impl ToJSON for $name {
            fn to_json(&self) -> Option<Value> {
                serde_json::to_value(self).ok()
            }
        }

        impl ParseFromJSON for $name {
            fn parse_from_json(_value: Option<Value>) -> ParseResult<Self> {
                Err(ParseError::custom("this type only goes out"))
            }
        }
    )+};
}

outgoing! {
    Raw => "any", MetaSchema::ANY;
    Time => "date-time", MetaSchema::new_with_format("string", "date-time");
    Hash => "sha-256", MetaSchema::new_with_format("string", "sha-256");
}

impl fmt::Display for Time {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_values_are_decoded_and_broken_ones_kept() {
        assert_eq!(percent_decode("Euro%20%E2%82%AC"), "Euro €");
        assert_eq!(percent_decode("100%"), "100%");
        assert_eq!(percent_decode("%zz"), "%zz");
        assert_eq!(percent_decode("%ff"), "%ff");
    }

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
    }
}
