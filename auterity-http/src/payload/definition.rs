use poem::{IntoResponse, Request, RequestBody, Response};
use poem_openapi::payload::Payload;
use poem_openapi::registry::{MetaRequest, MetaSchemaRef};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use super::reading::{
    JSON, check_encoding, check_length, media_type, object_schema, read, request_meta, text_schema,
    wrong_media_type,
};
use crate::error::{Code, Problem};

const YAML: &str = "application/yaml";

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
