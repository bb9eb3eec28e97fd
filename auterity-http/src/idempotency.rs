//! The `Idempotency-Key` of calls that create.

use poem::http::HeaderMap;
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaParamIn, MetaSchema, MetaSchemaRef};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use crate::error::Problem;

/// The header. Each operation that takes it names it once more for the document.
const NAME: &str = "Idempotency-Key";
/// Characters of a key.
const LENGTH_MAX: usize = 255;

/// The key under which a call may be repeated, if the client gave one.
///
/// A key that cannot be read is refused: to act without it would act twice.
#[derive(Debug)]
pub(crate) struct IdempotencyKey(pub(crate) Option<String>);

impl<'a> ApiExtractor<'a> for IdempotencyKey {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];

    type ParamType = String;
    type ParamRawType = String;

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Header)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        let mut schema = MetaSchema::new("string");
        schema.min_length = Some(1);
        schema.max_length = Some(LENGTH_MAX);
        Some(MetaSchemaRef::Inline(Box::new(schema)))
    }

    fn param_raw_type(&self) -> Option<&Self::ParamRawType> {
        self.0.as_ref()
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<Self::ParamType>,
    ) -> poem::Result<Self> {
        Ok(Self(read(request.headers())?))
    }
}

fn read(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(NAME).iter();
    let (first, more) = (values.next(), values.next());
    let Some(value) = first else {
        return Ok(None);
    };
    let text = value.to_str().ok().map(str::trim);
    let fits = |text: &&str| !text.is_empty() && text.len() <= LENGTH_MAX;
    match text.filter(fits) {
        Some(key) if more.is_none() => Ok(Some(key.to_owned())),
        _ => Err(Problem::parameter(
            NAME,
            "must be given once, as 1 to 255 visible ASCII characters",
        )),
    }
}

#[cfg(test)]
mod tests {
    use poem::http::HeaderValue;

    use super::*;

    #[test]
    fn key_that_cannot_be_read_is_refused_and_not_ignored() {
        let headers = |values: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(NAME, HeaderValue::from_bytes(value).unwrap());
            }
            headers
        };
        assert_eq!(read(&headers(&[])).unwrap(), None);
        assert_eq!(read(&headers(&[b"k 1"])).unwrap().as_deref(), Some("k 1"));
        let long = [b'k'; LENGTH_MAX + 1];
        let bad: [&[&[u8]]; 5] = [&[b""], &[b"  "], &[b"k\xe9"], &[&long], &[b"a", b"b"]];
        for values in bad {
            assert!(read(&headers(values)).is_err(), "{values:?}");
        }
    }
}
