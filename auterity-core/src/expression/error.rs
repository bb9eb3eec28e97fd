//! What can be wrong with an expression.

use std::fmt;

use super::budget::Limit;

/// How much of an expression's source an error shows.
const SOURCE_CHARS_MAX: usize = 120;

/// Says why a text is not an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileError {
    /// What is wrong.
    pub message: String,
    /// Where in the source, in bytes.
    pub offset: usize,
    /// What to do about it.
    pub hint: Option<String>,
}

impl CompileError {
    pub(super) fn new(message: impl Into<String>, offset: usize) -> Self {
        Self {
            message: message.into(),
            offset,
            hint: None,
        }
    }

    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for CompileError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(out, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for CompileError {}

/// Says whether an evaluation failed by itself or was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EvaluateErrorKind {
    /// The expression does not fit the data, or raised an error.
    Failed,
    /// The budget was used up.
    Budget(Limit),
}

/// Says why an evaluation gave no value.
///
/// The message names types, names and places, never a value of the data: values
/// may hold secrets, and errors are stored and shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvaluateError {
    kind: EvaluateErrorKind,
    message: String,
}

impl EvaluateError {
    pub(super) fn failed(what: impl fmt::Display, source: &str) -> Self {
        Self {
            kind: EvaluateErrorKind::Failed,
            message: format!("{what} in {}", Place(source)),
        }
    }

    pub(super) fn budget(limit: Limit, source: &str) -> Self {
        Self {
            kind: EvaluateErrorKind::Budget(limit),
            message: format!(
                "the {limit} budget is used up in {}; make the expression do less",
                Place(source)
            ),
        }
    }

    /// Tells the class of failure.
    #[must_use]
    pub fn kind(&self) -> EvaluateErrorKind {
        self.kind
    }

    /// Gives what failed and where, without any value.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for EvaluateError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl std::error::Error for EvaluateError {}

/// An expression's source as `${ … }`, cut to a readable length.
struct Place<'a>(&'a str);

impl fmt::Display for Place<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("${ ")?;
        match self.0.char_indices().nth(SOURCE_CHARS_MAX) {
            Some((end, _)) => write!(out, "{}…", self.0.get(..end).unwrap_or_default())?,
            None => out.write_str(self.0)?,
        }
        out.write_str(" }")
    }
}
