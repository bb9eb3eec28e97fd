//! Every failure as `application/problem+json` (RFC 9457), and the one table that
//! maps kinds of failure to HTTP.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use auterity_core::definition::Mistake;
use auterity_core::engine::DeployError;
use poem::http::{HeaderValue, StatusCode, header};
use poem::{IntoResponse, Response};
use poem_openapi::Object;
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::Type as _;
use serde::Serialize;

/// The media type of every error.
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";
/// Mistakes that one answer lists at most.
const POINTED_MAX: usize = 200;

/// What class of failure a client met; its code is stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Code {
    BadRequest,
    InvalidHost,
    InvalidParameter,
    InvalidCursor,
    InvalidBody,
    InvalidCredentials,
    SessionExpired,
    Unauthenticated,
    Forbidden,
    CrossSite,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    Conflict,
    EmailTaken,
    SlugTaken,
    RefreshRaced,
    VersionExists,
    AlreadyEnded,
    PayloadTooLarge,
    UnsupportedMediaType,
    ValidationFailed,
    DefinitionInvalid,
    InputInvalid,
    LimitExceeded,
    TooManyAttempts,
    Internal,
    Overloaded,
    Unavailable,
    Timeout,
}

impl Code {
    /// The whole table: status, code and title.
    fn row(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::BadRequest => (400, "bad_request", "Bad request"),
            Self::InvalidHost => (400, "host_invalid", "Invalid host"),
            Self::InvalidParameter => (400, "parameter_invalid", "Invalid parameter"),
            Self::InvalidCursor => (400, "cursor_invalid", "Invalid cursor"),
            Self::InvalidBody => (400, "body_invalid", "Invalid body"),
            Self::InvalidCredentials => (401, "invalid_credentials", "Wrong credentials"),
            Self::SessionExpired => (401, "session_expired", "Session expired"),
            Self::Unauthenticated => (401, "unauthenticated", "Not signed in"),
            Self::Forbidden => (403, "forbidden", "Not allowed"),
            Self::CrossSite => (403, "cross_site", "Cross-site request"),
            Self::NotFound => (404, "not_found", "Not found"),
            Self::MethodNotAllowed => (405, "method_not_allowed", "Method not allowed"),
            Self::RequestTimeout => (408, "request_timeout", "Request too slow"),
            Self::Conflict => (409, "conflict", "Conflict"),
            Self::EmailTaken => (409, "email_taken", "Email address taken"),
            Self::SlugTaken => (409, "slug_taken", "Short name taken"),
            Self::RefreshRaced => (409, "refresh_raced", "Session refreshed elsewhere"),
            Self::VersionExists => (409, "version_exists", "Version exists"),
            Self::AlreadyEnded => (409, "already_ended", "Already ended"),
            Self::PayloadTooLarge => (413, "payload_too_large", "Body too large"),
            Self::UnsupportedMediaType => (415, "unsupported_media_type", "Unsupported media type"),
            Self::ValidationFailed => (422, "validation_failed", "Invalid input"),
            Self::DefinitionInvalid => (422, "definition_invalid", "Unprocessable definition"),
            Self::InputInvalid => (422, "input_invalid", "Input does not fit the workflow"),
            Self::LimitExceeded => (422, "limit_exceeded", "Limit exceeded"),
            Self::TooManyAttempts => (429, "too_many_attempts", "Too many attempts"),
            Self::Internal => (500, "internal", "Internal error"),
            Self::Overloaded => (503, "overloaded", "Overloaded"),
            Self::Unavailable => (503, "unavailable", "Unavailable"),
            Self::Timeout => (504, "timeout", "Took too long"),
        }
    }

    /// Gives the word that programs branch on.
    pub(crate) fn as_str(self) -> &'static str {
        self.row().1
    }

    pub(crate) fn status(self) -> StatusCode {
        StatusCode::from_u16(self.row().0).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The kinds of the engine's errors.
    fn of_core(error: &auterity_core::Error) -> Self {
        use auterity_core::ErrorKind as Kind;
        match error.kind() {
            Kind::NotFound => Self::NotFound,
            Kind::Conflict => Self::Conflict,
            Kind::Invalid if error.violations().is_empty() => Self::ValidationFailed,
            Kind::Invalid => Self::InputInvalid,
            Kind::Limit => Self::LimitExceeded,
            Kind::Fenced | Kind::Unavailable | Kind::Stopping => Self::Unavailable,
            _ => Self::Internal,
        }
    }

    /// The kinds of identity's errors.
    fn of_tenancy(error: &auterity_tenancy::Error) -> Self {
        use auterity_tenancy::ErrorKind as Kind;
        match error.kind() {
            Kind::NotFound => Self::NotFound,
            Kind::Conflict { field: "email" } => Self::EmailTaken,
            Kind::Conflict { field: "slug" } => Self::SlugTaken,
            Kind::Conflict {
                field: "refresh_token",
            } => Self::RefreshRaced,
            Kind::Conflict { .. } => Self::Conflict,
            Kind::Invalid => Self::ValidationFailed,
            Kind::Unauthenticated => Self::Unauthenticated,
            Kind::Forbidden => Self::Forbidden,
            Kind::Throttled { .. } => Self::TooManyAttempts,
            Kind::Overloaded => Self::Overloaded,
            Kind::Unavailable => Self::Unavailable,
            _ => Self::Internal,
        }
    }

    /// What stands for errors of the framework that carry a status only.
    fn of_status(status: StatusCode) -> Self {
        match status.as_u16() {
            401 => Self::Unauthenticated,
            403 => Self::Forbidden,
            404 => Self::NotFound,
            405 => Self::MethodNotAllowed,
            408 => Self::RequestTimeout,
            413 => Self::PayloadTooLarge,
            415 => Self::UnsupportedMediaType,
            422 => Self::ValidationFailed,
            429 => Self::TooManyAttempts,
            503 => Self::Unavailable,
            504 => Self::Timeout,
            400..=499 => Self::BadRequest,
            _ => Self::Internal,
        }
    }
}

/// One mistake and its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Object)]
#[oai(rename = "ProblemError")]
pub(crate) struct Pointed {
    /// The JSON pointer of the place in the body.
    pub(crate) pointer: String,
    /// What is wrong there.
    pub(crate) detail: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
    /// The line, counted from 1; for definitions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<u32>,
    /// The column in characters, counted from 1; for definitions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) column: Option<u32>,
}

impl Pointed {
    pub(crate) fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            detail: detail.into(),
            hint: None,
            line: None,
            column: None,
        }
    }
}

impl From<&Mistake> for Pointed {
    fn from(mistake: &Mistake) -> Self {
        Self {
            pointer: mistake.pointer.clone(),
            detail: mistake.message.clone(),
            hint: mistake.hint.clone(),
            line: Some(mistake.start.line),
            column: Some(mistake.start.column),
        }
    }
}

/// A failure on its way to the client.
#[derive(Debug)]
pub(crate) struct Problem {
    inner: Box<Inner>,
}

#[derive(Debug)]
struct Inner {
    code: Code,
    detail: String,
    errors: Vec<Pointed>,
    retry_after: Option<Duration>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Problem {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            inner: Box::new(Inner {
                code,
                detail: detail.into(),
                errors: Vec::new(),
                retry_after: None,
                source: None,
            }),
        }
    }

    /// What is not there, or not for this tenant: one wording for both.
    pub(crate) fn not_found() -> Self {
        Self::new(
            Code::NotFound,
            "there is nothing at this address for this tenant",
        )
    }

    /// A parameter of path, query or header that does not do; the detail goes on from
    /// its name.
    pub(crate) fn parameter(name: &str, detail: &str) -> Self {
        let errors = vec![Pointed::new(name, detail)];
        Self::new(Code::InvalidParameter, format!("{name} {detail}")).with_errors(errors)
    }

    pub(crate) fn internal(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(Code::Internal, "the server failed").with_source(source)
    }

    pub(crate) fn with_errors(mut self, errors: Vec<Pointed>) -> Self {
        self.inner.errors = errors;
        self.inner.errors.truncate(POINTED_MAX);
        self
    }

    pub(crate) fn with_source(
        mut self,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    /// Replaces the code, where a call knows better than the table.
    pub(crate) fn with_code(mut self, code: Code) -> Self {
        self.inner.code = code;
        self
    }

    pub(crate) fn code(&self) -> Code {
        self.inner.code
    }

    /// Takes over whatever the framework says went wrong.
    pub(crate) fn from_framework(error: poem::Error) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(problem) => return problem,
            Err(error) => error,
        };
        if error.is::<poem::error::NotFoundError>() {
            return Self::not_found();
        }
        let code = if error.is::<poem_openapi::error::ParseParamError>()
            || error.is::<poem_openapi::error::ParsePathError>()
        {
            Code::InvalidParameter
        } else {
            Code::of_status(error.status())
        };
        let detail = match code {
            Code::MethodNotAllowed => "this address does not know this method".to_owned(),
            Code::Internal => "the server failed".to_owned(),
            _ => error.to_string(),
        };
        let problem = Self::new(code, detail);
        if code == Code::Internal {
            return problem.with_source(error.to_string());
        }
        problem
    }

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
            kind: "about:blank",
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
        if let Some(wait) = self.inner.retry_after {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() != 0);
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

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.inner.code.as_str(), self.inner.detail)
    }
}

impl StdError for Problem {}

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

impl From<auterity_core::Error> for Problem {
    fn from(error: auterity_core::Error) -> Self {
        let code = Code::of_core(&error);
        let errors = error
            .violations()
            .iter()
            .map(|found| Pointed::new(format!("/input{}", found.pointer), found.message.clone()))
            .collect();
        let problem = match code {
            Code::NotFound => Self::not_found(),
            _ => Self::new(code, error.message()).with_errors(errors),
        };
        problem.with_source(error)
    }
}

impl From<auterity_tenancy::Error> for Problem {
    fn from(error: auterity_tenancy::Error) -> Self {
        let code = Code::of_tenancy(&error);
        let errors = error
            .fields()
            .iter()
            .map(|found| Pointed::new(found.pointer, found.detail.clone()))
            .collect();
        let mut problem = Self::new(code, error.message()).with_errors(errors);
        if let auterity_tenancy::ErrorKind::Throttled { retry_after } = error.kind() {
            problem.inner.retry_after = Some(retry_after);
        }
        problem.with_source(error)
    }
}

impl From<DeployError> for Problem {
    fn from(error: DeployError) -> Self {
        match error {
            DeployError::Invalid(mistakes) => {
                let count = mistakes.len();
                let plural = if count == 1 { "mistake" } else { "mistakes" };
                let detail = format!("the definition has {count} {plural}; nothing was deployed");
                let errors = mistakes.iter().map(Pointed::from).collect();
                Self::new(Code::DefinitionInvalid, detail).with_errors(errors)
            }
            DeployError::External { .. } => {
                let detail = format!("{error}; nothing was deployed");
                Self::new(Code::DefinitionInvalid, detail)
            }
            DeployError::VersionExists => Self::new(
                Code::VersionExists,
                "this version exists with another text; raise document.version",
            ),
            DeployError::Engine(error) => error.into(),
        }
    }
}

/// What an error answer holds.
#[derive(Debug, Serialize)]
struct Body {
    #[serde(rename = "type")]
    kind: &'static str,
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
    /// A URI that names the class of failure; `about:blank` where `code` says it all.
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Code;

    const ALL: [Code; 30] = [
        Code::BadRequest,
        Code::InvalidHost,
        Code::InvalidParameter,
        Code::InvalidCursor,
        Code::InvalidBody,
        Code::InvalidCredentials,
        Code::SessionExpired,
        Code::Unauthenticated,
        Code::Forbidden,
        Code::CrossSite,
        Code::NotFound,
        Code::MethodNotAllowed,
        Code::RequestTimeout,
        Code::Conflict,
        Code::EmailTaken,
        Code::SlugTaken,
        Code::RefreshRaced,
        Code::VersionExists,
        Code::AlreadyEnded,
        Code::PayloadTooLarge,
        Code::UnsupportedMediaType,
        Code::ValidationFailed,
        Code::DefinitionInvalid,
        Code::InputInvalid,
        Code::LimitExceeded,
        Code::TooManyAttempts,
        Code::Internal,
        Code::Overloaded,
        Code::Unavailable,
        Code::Timeout,
    ];

    #[test]
    fn every_code_is_a_word_of_its_own() {
        let words: BTreeSet<_> = ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(words.len(), ALL.len());
        for code in ALL {
            assert!((400..600).contains(&code.status().as_u16()));
        }
    }
}
