//! Errors as the DSL describes them: problem details with a pointer to the task.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Where the standard's error types live. The conformance kit uses this place and
/// its specification text another; filters treat both as the same
/// (see [`Problem::type_matches`]).
const KIT_PREFIX: &str = "https://serverlessworkflow.io/dsl/errors/types/";
const TEXT_PREFIX: &str = "https://serverlessworkflow.io/spec/1.0.0/errors/";

/// The standard's error types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// The definition or the host is not set up for what was asked.
    Configuration,
    /// Data broke a schema.
    Validation,
    /// A runtime expression failed.
    Expression,
    /// Credentials were missing or wrong.
    Authentication,
    /// The credentials do not allow it.
    Authorization,
    /// It took too long.
    Timeout,
    /// A call failed.
    Communication,
    /// The engine refused to go on, for example at a limit.
    Runtime,
}

impl ProblemKind {
    fn word(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Validation => "validation",
            Self::Expression => "expression",
            Self::Authentication => "authentication",
            Self::Authorization => "authorization",
            Self::Timeout => "timeout",
            Self::Communication => "communication",
            Self::Runtime => "runtime",
        }
    }

    fn status(self) -> u16 {
        match self {
            Self::Configuration | Self::Validation | Self::Expression => 400,
            Self::Authentication => 401,
            Self::Authorization => 403,
            Self::Timeout => 408,
            Self::Communication | Self::Runtime => 500,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Configuration => "Configuration Error",
            Self::Validation => "Validation Error",
            Self::Expression => "Expression Error",
            Self::Authentication => "Authentication Error",
            Self::Authorization => "Authorization Error",
            Self::Timeout => "Timeout Error",
            Self::Communication => "Communication Error",
            Self::Runtime => "Runtime Error",
        }
    }
}

/// What went wrong in an execution, as the definition can catch it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// The URI of the error type.
    #[serde(rename = "type")]
    pub kind: String,
    /// A status code, as HTTP uses them.
    pub status: u16,
    /// The error type in a few words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What happened this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The JSON pointer of the task that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
}

impl Problem {
    /// Makes a problem of a standard type.
    #[must_use]
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("{KIT_PREFIX}{}", kind.word()),
            status: kind.status(),
            title: Some(kind.title().to_owned()),
            detail: Some(detail.into()),
            instance: None,
        }
    }

    /// Makes a runtime error of another error: for functions that give up with it. Its
    /// message is seen by whoever may see the execution.
    #[must_use]
    pub fn failed(error: impl std::error::Error) -> Self {
        Self::new(ProblemKind::Runtime, error.to_string())
    }

    /// Sets the status code.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Names the task, unless one is named already.
    #[must_use]
    pub(crate) fn at(mut self, reference: &str) -> Self {
        self.instance.get_or_insert_with(|| reference.to_owned());
        self
    }

    /// Reads the object that a `raise` task gives.
    pub(crate) fn from_value(value: &Value) -> Result<Self, Self> {
        let wrong = |what: &str| {
            Self::new(
                ProblemKind::Configuration,
                format!("the raised error {what}"),
            )
        };
        let Value::Object(object) = value else {
            return Err(wrong("is not an object"));
        };
        // What an expression gave for a text may be anything.
        let text = |name: &str| match object.get(name) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(other) => Some(other.to_string()),
        };
        let kind = object.get("type").and_then(Value::as_str);
        let status = object.get("status").and_then(|status| match status {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        });
        let status = status
            .and_then(|status| u16::try_from(status).ok())
            .ok_or_else(|| wrong("has no status between 0 and 65535"))?;
        Ok(Self {
            kind: kind.ok_or_else(|| wrong("has no type"))?.to_owned(),
            status,
            title: text("title"),
            detail: text("detail"),
            instance: text("instance"),
        })
    }

    /// Gives the object that the definition's expressions see.
    #[must_use]
    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).unwrap_or_else(|_| Value::Object(Map::new()))
    }

    /// Tells whether every named property equals the wanted one.
    pub(crate) fn matches(&self, filter: &[(String, Value)]) -> bool {
        filter.iter().all(|(name, wanted)| match name.as_str() {
            "type" => wanted
                .as_str()
                .is_some_and(|wanted| self.type_matches(wanted)),
            "status" => *wanted == json!(self.status),
            "title" => wanted.as_str() == self.title.as_deref(),
            "detail" | "details" => wanted.as_str() == self.detail.as_deref(),
            "instance" => wanted.as_str() == self.instance.as_deref(),
            _ => false,
        })
    }

    /// Tells whether the type is the wanted one, whichever of the two places the
    /// wanted URI uses.
    fn type_matches(&self, wanted: &str) -> bool {
        fn word(uri: &str) -> Option<&str> {
            uri.strip_prefix(KIT_PREFIX)
                .or_else(|| uri.strip_prefix(TEXT_PREFIX))
        }
        self.kind == wanted || word(wanted).is_some_and(|wanted| word(&self.kind) == Some(wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filter_matches_both_places_of_a_standard_type() {
        let problem = Problem::new(ProblemKind::Communication, "gone").with_status(404);
        let filter = |uri: &str| {
            vec![
                ("type".to_owned(), json!(uri)),
                ("status".to_owned(), json!(404)),
            ]
        };
        assert!(problem.matches(&filter(
            "https://serverlessworkflow.io/dsl/errors/types/communication"
        )));
        assert!(problem.matches(&filter(
            "https://serverlessworkflow.io/spec/1.0.0/errors/communication"
        )));
        assert!(!problem.matches(&filter(
            "https://serverlessworkflow.io/spec/1.0.0/errors/timeout"
        )));
        assert!(!problem.matches(&[("status".to_owned(), json!(503))]));
    }

    #[test]
    fn raised_error_needs_type_and_status() {
        assert!(Problem::from_value(&json!({"type": "x", "status": 400})).is_ok());
        assert!(Problem::from_value(&json!({"status": 400})).is_err());
        assert!(Problem::from_value(&json!({"type": "x", "status": 1e9})).is_err());
    }
}
