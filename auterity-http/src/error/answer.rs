//! How a problem looks on the wire.

use std::error::Error as StdError;

use poem::http::{HeaderValue, StatusCode, header};
use poem::{IntoResponse, Response};
use poem_openapi::Object;
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::Type as _;
use serde::Serialize;

use super::{Code, Pointed, Problem};

/// The media type of every error.
const MEDIA_TYPE: &str = "application/problem+json";
/// Before the code, as a type: `about:blank` would ask for the status' own title.
const TYPE_PREFIX: &str = "urn:auterity:problem:";

impl Problem {
    /// Logs what only operators should read, and writes the answer.
    pub(crate) fn render(&self, request_id: &str, instance: &str) -> Response {
        let (status, code, title) = self.inner.code.row();
        if 500 <= status {
            let source = self.inner.source.as_deref().map(chain);
            tracing::error!(
                request_id,
                instance,
                code,
                detail = self.inner.detail,
                source,
                "a request failed"
            );
        }
        let detail = match self.inner.code {
            Code::Internal => {
                "the server failed; its log names the reason under this request id".to_owned()
            }
            _ => self.inner.detail.clone(),
        };
        let body = Body {
            kind: format!("{TYPE_PREFIX}{code}"),
            title,
            status,
            detail,
            instance: instance.to_owned(),
            code,
            request_id: request_id.to_owned(),
            errors: self.inner.errors.clone(),
        };
        let bytes = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = Response::builder()
            .status(self.inner.code.status())
            .header(header::CONTENT_TYPE, MEDIA_TYPE)
            .header(header::CACHE_CONTROL, "no-store")
            .body(bytes);
        if let Some(seconds) = self.retry_after_s() {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == 401 {
            response.headers_mut().insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"auterity\""),
            );
        }
        response
    }
}

impl poem::error::ResponseError for Problem {
    fn status(&self) -> StatusCode {
        self.inner.code.status()
    }

    fn as_response(&self) -> Response {
        // Only the edge knows the request; an endpoint mounted without it says less.
        self.render("", "")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.render("", "")
    }
}

impl poem_openapi::ApiResponse for Problem {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "What went wrong (RFC 9457); `code` says which class of failure it is",
                status: None,
                status_range: None,
                content: vec![MetaMediaType {
                    content_type: MEDIA_TYPE,
                    schema: ProblemSchema::schema_ref(),
                }],
                headers: Vec::new(),
            }],
        }
    }

    fn register(registry: &mut Registry) {
        ProblemSchema::register(registry);
    }
}

/// What an error answer holds.
#[derive(Debug, Serialize)]
struct Body {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: String,
    instance: String,
    code: &'static str,
    request_id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Pointed>,
}

/// The same for the OpenAPI document.
#[derive(Debug, Object)]
#[oai(rename = "Problem")]
struct ProblemSchema {
    /// A URI that names the class of failure: `urn:auterity:problem:` and the code.
    #[oai(rename = "type")]
    kind: String,
    /// The class of failure in a few words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What failed, why, and what to do.
    detail: String,
    /// The path of the request.
    instance: String,
    /// The class of failure as a stable word.
    code: String,
    /// Names the request in the server's log.
    request_id: String,
    /// The places of the mistakes, when there are any.
    errors: Option<Vec<Pointed>>,
}

/// Gives an error and its causes as one line.
fn chain(error: &(dyn StdError + Send + Sync + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}
