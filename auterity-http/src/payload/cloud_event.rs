use poem::http::HeaderMap;
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaRequest, MetaSchema, MetaSchemaRef};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use serde_json::Value;

use super::reading::{
    JSON, is_json, media_type, object_schema, parse, parse_object, read_json, request_meta,
    wrong_media_type,
};
use crate::error::{Code, Problem};

const CLOUD_EVENT: &str = "application/cloudevents+json";

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
            return Ok(Self(parse_object(&bytes)?));
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
}
