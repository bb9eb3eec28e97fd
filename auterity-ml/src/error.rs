//! The crate's one error.
//!
//! It has the shape of the other crates' and shares no code with them, so that this crate
//! can be used alone.

use std::error::Error as StdError;
use std::fmt;

/// Says what class of failure happened, for callers that branch on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An option is wrong: a column that is not there, a zone that nobody knows.
    Invalid,
    /// The source cannot be read: it is broken, cut off or of an unknown format.
    Unreadable,
    /// A limit was reached; the message names it.
    Limit,
    /// The log has no valid event.
    Empty,
}

/// The error of every call into this crate.
///
/// The message says what failed, why, and what to do.
pub struct Error {
    inner: Box<Inner>,
}

struct Inner {
    kind: ErrorKind,
    message: String,
    line: Option<u64>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let inner = Inner {
            kind,
            message: message.into(),
            line: None,
            source: None,
        };
        Self {
            inner: Box::new(inner),
        }
    }

    pub(crate) fn at_line(mut self, line: u64) -> Self {
        self.inner.line = Some(line);
        self
    }

    pub(crate) fn with_source(
        mut self,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    /// Gives the class of failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// Gives the message without the line.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// Gives the line of the source where it happened, counted from 1.
    #[must_use]
    pub fn line(&self) -> Option<u64> {
        self.inner.line
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.inner.line {
            write!(out, "line {line}: ")?;
        }
        out.write_str(&self.inner.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Error")
            .field("kind", &self.inner.kind)
            .field("message", &self.inner.message)
            .field("line", &self.inner.line)
            .field("source", &self.inner.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.inner.source {
            Some(source) => Some(source.as_ref()),
            None => None,
        }
    }
}
