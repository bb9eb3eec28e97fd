use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use auterity_core::definition::Mistake;
use auterity_core::engine::DeployError;
use poem_openapi::Object;
use serde::Serialize;

use super::Code;

/// Mistakes that one answer lists at most.
const POINTED_MAX: usize = 200;

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
    /// The column in characters, counted from 1; for definitions and filters.
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
    pub(super) inner: Box<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) code: Code,
    pub(super) detail: String,
    pub(super) errors: Vec<Pointed>,
    pub(super) retry_after: Option<Duration>,
    pub(super) source: Option<Box<dyn StdError + Send + Sync>>,
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

    pub(crate) fn detail(&self) -> &str {
        &self.inner.detail
    }

    /// Gives the whole seconds after which to try again, where they are known.
    pub(crate) fn retry_after_s(&self) -> Option<u64> {
        let wait = self.inner.retry_after?;
        Some(wait.as_secs() + u64::from(wait.subsec_nanos() != 0))
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
        if let Some(wrong) = error.downcast_ref::<poem_openapi::error::ParseParamError>() {
            return Self::parameter(wrong.name, &in_plain_words(&wrong.reason));
        }
        let code = if error.is::<poem_openapi::error::ParsePathError>()
            || error.is::<poem::error::ParseQueryError>()
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
}

/// The framework says `failed to parse "integer(uint32)": invalid digit found in string
/// (occurred while parsing "optional_integer(uint32)")`.
fn in_plain_words(reason: &str) -> String {
    let reason = reason.split(" (occurred while").next().unwrap_or(reason);
    match reason.strip_prefix("failed to parse ") {
        Some(rest) => format!("is no {}", rest.replace('"', "")),
        None => format!("is wrong: {reason}"),
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.inner.code.as_str(), self.inner.detail)
    }
}

impl StdError for Problem {}

impl From<auterity_core::Error> for Problem {
    fn from(error: auterity_core::Error) -> Self {
        let code = Code::of_core(&error);
        let errors = error
            .violations()
            .iter()
            .map(|found| Pointed::new(format!("/input{}", found.pointer), found.message.clone()))
            .collect();
        let mut problem = match code {
            Code::NotFound => Self::not_found(),
            _ => Self::new(code, error.message()).with_errors(errors),
        };
        problem.inner.retry_after = error.retry_after();
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
